"""HubSpot's search: what changed since a moment, ids in order, counts.

Facts it is built on (search guide and others' reports; read 2026-04): at most 200 hits a page and
10,000 a query, a body of 3,000 characters, one sort, a filter at the epoch fails, and the index lags
behind the records and moves while it is read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import msgspec

from syncline.clock import now, to_ms
from syncline.connectors.hubspot.api import Api
from syncline.connectors.hubspot.decode import Records, parse_ms, read_records
from syncline.connectors.hubspot.objects import modified_property
from syncline.connectors.hubspot.reading import Asked, ask, widen
from syncline.connectors.reads import Page
from syncline.connectors.records import RemoteRecord
from syncline.connectors.transport import Response
from syncline.errors import Unavailable

ID = "hs_object_id"
_PAGE = 200
_LONGEST_BODY = 3_000
_EARLIEST_MS = 1_000

Filter = tuple[str, Literal["EQ", "GT", "GTE", "LTE"], str]

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Hits:
    """One page of hits, in the order asked for."""

    found: Records
    #: Our time when the call began.
    began_ms: int
    #: HubSpot's time when it began, at the latest; None when the answer has no date.
    crm_ms: int | None
    #: True when the hits hold ids and modified times only.
    narrow: bool


async def search(
    api: Api,
    asked: Asked,
    filters: Sequence[Filter],
    sort: str,
    *,
    descending: bool = False,
    limit: int | None = None,
    skip: int = 0,
) -> Hits:
    """Read the first page of hits. Further ones are asked for by a filter, never by offset.

    An offset loses records: one that changes while we read moves to the end, and the rest move up. `skip`
    is for estimates only.
    """
    body: dict[str, Any] = {
        "filterGroups": [
            {
                "filters": [
                    {"propertyName": name, "operator": op, "value": value} for name, op, value in filters
                ]
            }
        ]
        if filters
        else [],
        "sorts": [{"propertyName": sort, "direction": "DESCENDING" if descending else "ASCENDING"}],
        "properties": asked.names,
        "limit": limit or _PAGE,
    }
    if skip:
        body["after"] = str(skip)
    narrow = len(_encode(body)) > _LONGEST_BODY
    if narrow:
        body["properties"] = [ID, modified_property(asked.object_name)]
    began_ms = to_ms(now())
    response = await api.call("POST", "search", object_name=asked.object_name, json=body, bucket="search")
    return Hits(read_records(response.body), began_ms, _crm_ms(response, began_ms), narrow)


async def count(api: Api, asked: Asked) -> int | None:
    """Return how many living records the index holds."""
    return (await search(api, asked, (), ID, limit=1)).found.total


async def id_page(api: Api, asked: Asked, above: int, until: str) -> tuple[Hits, Records]:
    """Read the hits with the lowest ids above `above`, and the same with all properties."""
    filters: list[Filter] = [(ID, "GT", str(above))]
    if until:
        filters.append((ID, "LTE", until))
    hits = await search(api, asked, filters, ID)
    return hits, await _full(api, asked, hits, hits.found.records)


async def search_ids(api: Api, object_name: str, above: int, until: str) -> Hits:
    """Read the hits with the lowest ids above `above`, with nothing but ids."""
    hits, _ = await id_page(api, ask(object_name, ()), above, until)
    return hits


async def changed_pages(api: Api, asked: Asked, since_ms: int, until_ms: int | None) -> AsyncIterator[Page]:
    """Yield what changed from `since_ms` to `until_ms`, both included, oldest first, each at least once.

    Goes on from the modified time of the last hit, reading that millisecond again, so that nothing is
    lost between pages however the index moves; a millisecond that fills a page is read by id.
    """
    name = modified_property(asked.object_name)
    bound = max(since_ms, _EARLIEST_MS)
    delivered: set[tuple[str, int]] = set()
    while until_ms is None or bound <= until_ms:
        hits = await search(api, asked, _window(name, bound, until_ms), name)
        stamped = [(each, _modified_ms(each, name) or bound) for each in hits.found.records]
        fresh = [each for each, ms in stamped if (each.remote_id, ms) not in delivered]
        if hits.found.after is None:
            yield await _page(api, asked, hits, fresh, _complete_to(hits, stamped, bound, until_ms))
            return
        if not stamped:
            raise Unavailable("HubSpot's search sent a page without one record that can be read.")
        first, last = stamped[0][1], stamped[-1][1]
        if max(ms for _, ms in stamped) < bound - _EARLIEST_MS:
            raise Unavailable("HubSpot's search does not keep to the time asked for.")
        if last <= bound or first == last:
            moment = max(bound, last)
            async for page in _moment_pages(api, asked, name, moment):
                yield page
            bound = moment + 1
            delivered.clear()
            continue
        bound = last
        delivered = {(each.remote_id, ms) for each, ms in stamped if ms >= bound}
        yield await _page(api, asked, hits, fresh, bound)


async def _moment_pages(api: Api, asked: Asked, name: str, moment_ms: int) -> AsyncIterator[Page]:
    """Yield every record whose modified time is this very millisecond, by id."""
    above = 0
    while True:
        filters: list[Filter] = [(name, "EQ", str(moment_ms)), (ID, "GT", str(above))]
        hits = await search(api, asked, filters, ID)
        found = hits.found
        complete = found.after is None
        yield await _page(api, asked, hits, found.records, moment_ms + 1 if complete else moment_ms)
        if complete:
            return
        highest = found.highest_id()
        if highest <= above:
            raise Unavailable("HubSpot's search repeats its page; it was left so as not to run in a circle.")
        above = highest


def _window(name: str, from_ms: int, until_ms: int | None) -> list[Filter]:
    window: list[Filter] = [(name, "GTE", str(from_ms))]
    if until_ms is not None:
        window.append((name, "LTE", str(until_ms)))
    return window


def _modified_ms(record: RemoteRecord, name: str) -> int | None:
    # The property is what was sorted by; `updatedAt` is the same moment wherever both were seen.
    ms = parse_ms(record.properties.get(name))
    return record.updated_ms if ms is None else ms


async def _full(api: Api, asked: Asked, hits: Hits, wanted: list[RemoteRecord]) -> Records:
    found = Records(wanted, hits.found.unreadable, hits.found.after, hits.found.total)
    return await widen(api, asked, found) if hits.narrow and wanted else found


async def _page(api: Api, asked: Asked, hits: Hits, wanted: list[RemoteRecord], complete_to_ms: int) -> Page:
    full = await _full(api, asked, hits, wanted)
    return Page(full.records, hits.began_ms, None, complete_to_ms, full.unreadable)


def _complete_to(
    hits: Hits, stamped: list[tuple[RemoteRecord, int]], bound: int, until_ms: int | None
) -> int:
    """Return up to when the last page makes the reading complete, as far as the index knew.

    That is HubSpot's clock when it was asked; our own may be wrong.
    """
    latest = max((ms for _, ms in stamped), default=bound)
    now_ms = latest if hits.crm_ms is None else hits.crm_ms
    return now_ms if until_ms is None else min(now_ms, until_ms + 1)


def _crm_ms(response: Response, began_ms: int) -> int | None:
    try:
        answered_ms = to_ms(parsedate_to_datetime(response.headers.get("date", "")))
    except (ValueError, TypeError):
        return None
    # `Date` has whole seconds, cut off; taking the call's duration away gives a moment before it began.
    return answered_ms - max(to_ms(now()) - began_ms, 0)
