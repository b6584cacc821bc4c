"""Reading straight from a CRM, past everything that is stored: to compare, and for programs that want it so.

Stores nothing but the calls' count. Reads all pages, however many there are.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from syncline.actions.hub import Hub
from syncline.clock import now, to_ms
from syncline.connectors.base import Connector, RemoteObject
from syncline.connectors.reads import SERIAL
from syncline.connectors.records import RemoteRecord
from syncline.engine.remotes import Remote
from syncline.store import tenants
from syncline.store.connections import Connection

Timeframe = Literal["today", "this_week", "this_month", "all"]


async def find_begin(hub: Hub, timeframe: Timeframe) -> datetime | None:
    """Return when a timeframe began in the tenant's time zone; weeks begin on Monday. None for all time."""
    if timeframe == "all":
        return None
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        name = (await tenants.get_settings(conn, tenant_id=hub.tenant_id)).time_zone
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError):
        zone = ZoneInfo("UTC")
    return begin_of(timeframe, now().astimezone(zone))


def begin_of(timeframe: Timeframe, local: datetime) -> datetime:
    """Return the midnight with which a timeframe began, as clocks on the wall had it."""
    day = local.date()
    if timeframe == "this_week":
        day -= timedelta(days=day.weekday())
    elif timeframe == "this_month":
        day = day.replace(day=1)
    return datetime(day.year, day.month, day.day, tzinfo=local.tzinfo)


async def read_live(
    hub: Hub, connection: Connection, object_name: str, *, since: datetime | None, associations: bool
) -> AsyncGenerator[list[dict[str, Any]]]:
    """Yield records as the CRM has them now, page by page, each once: those made or changed since, or all.

    With `associations` each says what it belongs to, by the other object's name. Close it when done. Raises
    `NotFound` for an unknown object, `PauseConnection`, and what reading raises.
    """
    async with hub.remotes() as remotes:
        remote = remotes.open(connection, lane="person")
        found = await remote.connector.get_object(object_name)
        others = _others(remote, found) if associations else []
        seen: set[str] = set()
        async for records in _pages(remote.connector, found, since):
            fresh = [each for each in records if each.remote_id not in seen and each.archived_ms is None]
            seen.update(each.remote_id for each in fresh)
            yield await _describe(remote, found, fresh, others)


async def _pages(
    connector: Connector, found: RemoteObject, since: datetime | None
) -> AsyncIterator[Sequence[RemoteRecord]]:
    name = found.name
    properties = [each.name for each in await connector.describe(name)] if found.has_properties else []
    if since is not None and found.incremental:
        async for page in connector.changed_pages(name, properties, to_ms(since), None):
            yield page.records
        return
    after: str | None = ""
    while after is not None:
        page = await connector.walk_page(name, properties, SERIAL, after, "")
        # What cannot be asked for by time is listed, and looked through.
        least = 0 if since is None else to_ms(since)
        yield [each for each in page.records if each.updated_ms is None or each.updated_ms >= least]
        after = page.after


def _others(remote: Remote, found: RemoteObject) -> list[str]:
    """Return the objects that records of this one may belong to, and that are asked for apart."""
    own = {pair[1] for pair in remote.platform.capabilities.references if pair[0] == found.name}
    return [each for each in found.associates_with if each not in own]


async def _describe(
    remote: Remote, found: RemoteObject, records: Sequence[RemoteRecord], others: Sequence[str]
) -> list[dict[str, Any]]:
    told: dict[str, dict[str, Any]] = {
        each.remote_id: msgspec.json.decode(each.payload, type=dict[str, Any]) for each in records
    }
    size = remote.platform.capabilities.association_batch
    ids = list(told)
    for other in others:
        for start in range(0, len(ids), size):
            batch = ids[start : start + size]
            for link in await remote.connector.read_associations(found.name, other, batch):
                of_record = told[link.from_id].setdefault("associations", {})
                of_record.setdefault(other, {"results": []})["results"].append(
                    {"id": link.to_id, "type": link.type}
                )
    return list(told.values())
