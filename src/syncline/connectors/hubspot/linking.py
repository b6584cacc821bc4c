"""Associations made and taken away, in batches.

HubSpot replaces the types of a pair by those it is sent (associations guide, read 2026-04), so that a label
a person gave would vanish: what a pair has is read first and sent along. A label given in between is lost;
HubSpot offers no way around that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from syncline.connectors.hubspot.api import Api, Route
from syncline.connectors.hubspot.associations import read_associations
from syncline.connectors.hubspot.batches import Answer, Item, Sending, read_quiet
from syncline.connectors.hubspot.failures import Failure
from syncline.connectors.hubspot.refusals import context_values
from syncline.connectors.transport import Response
from syncline.connectors.writes import RemoteLink, WriteOutcome
from syncline.errors import NotFound

#: HubSpot's limit for taking away; making takes 2,000 (2026).
_ARCHIVE_BATCH = 100

#: A pair can be asked for without a type and with several in one call; the types of a pair go together.
_PLAIN, _TYPED = "plain", "typed"

#: (category, type id)
_Type = tuple[str, int]
_Pair = tuple[str, str]


async def associate_many(
    api: Api, from_object: tuple[str, str], to_object: tuple[str, str], links: Sequence[RemoteLink]
) -> list[WriteOutcome]:
    """Make up to 1,000 associations; what is there already is not written again.

    Objects come as (name, name in paths). See `base.Connector.associate_many`.
    """
    if not links:
        return []
    there = await _read_types(api, from_object, to_object, [each.from_id for each in links])
    missing: dict[_Pair, list[RemoteLink]] = {}
    for link in links:
        has = there.get(_pair(link), set())
        if not has or (link.type_id is not None and link.type_id not in {number for _, number in has}):
            missing.setdefault(_pair(link), []).append(link)
    plain: list[Item] = []
    typed: list[Item] = []
    for pair, wanted in missing.items():
        types = {(each.category, each.type_id) for each in wanted if each.type_id is not None}
        if types:
            typed.append(
                _item(pair, {**_ends(pair), "types": _types(types | there.get(pair, set()))}, _TYPED)
            )
        if len(types) < len(wanted) and pair not in there:
            plain.append(_item(pair, _ends(pair)))
    sending = Sending()
    await _send(api, from_object[1], to_object[1], sending, "associate_default", plain)
    await _send(api, from_object[1], to_object[1], sending, "associate", typed)
    return _outcomes(sending, links)


async def dissociate_many(
    api: Api, from_path: str, to_path: str, links: Sequence[RemoteLink]
) -> list[WriteOutcome]:
    """Take away associations. What is not there is passed over by HubSpot."""
    whole = {_pair(each) for each in links if each.type_id is None}
    items = [_item(pair, {"from": {"id": pair[0]}, "to": [{"id": pair[1]}]}) for pair in dict.fromkeys(whole)]
    types: dict[_Pair, set[_Type]] = {}
    for link in links:
        if link.type_id is not None and _pair(link) not in whole:  # all of it goes, or has gone
            types.setdefault(_pair(link), set()).add((link.category, link.type_id))
    labelled = [
        _item(pair, {**_ends(pair), "types": _types(chosen)}, _TYPED) for pair, chosen in types.items()
    ]
    sending = Sending()
    for part in _slices(items):
        await _send(api, from_path, to_path, sending, "dissociate", part)
    for part in _slices(labelled):
        await _send(api, from_path, to_path, sending, "dissociate_types", part)
    return [
        WriteOutcome(each.key) if isinstance(each.failure, NotFound) else each
        for each in _outcomes(sending, links)
    ]


async def _read_types(
    api: Api, from_object: tuple[str, str], to_object: tuple[str, str], from_ids: list[str]
) -> dict[_Pair, set[_Type]]:
    found: dict[_Pair, set[_Type]] = {}
    for each in await read_associations(api, from_object, to_object, from_ids):
        found.setdefault((each.from_id, each.to_id), set()).add((each.category, each.type_id))
    return found


async def _send(
    api: Api, from_path: str, to_path: str, sending: Sending, route: Route, items: list[Item]
) -> None:
    async def post(part: Sequence[Item]) -> Response:
        return await api.call(
            "POST",
            route,
            object_name=from_path,
            to=to_path,
            json={"inputs": [each.body for each in part]},
            bucket="associations",
        )

    await sending.send(post, _read, items)


def _read(response: Response, part: Sequence[Item]) -> Answer:
    # Results are not needed: ids in them may be others than those sent, where records were merged.
    return read_quiet(response, part, _names_in)


def _names_in(failure: Failure) -> list[str]:
    """Name the pair of a problem. A single id does not say which side it is of."""
    ends = zip(context_values(failure, "fromObjectId"), context_values(failure, "toObjectId"), strict=False)
    return [_name(pair) for pair in ends]


def _outcomes(sending: Sending, links: Sequence[RemoteLink]) -> list[WriteOutcome]:
    found: list[WriteOutcome] = []
    for link in links:
        kinds = (_PLAIN,) if link.type_id is None else (_TYPED, _PLAIN)
        traces = (_trace(_pair(link), kind) for kind in kinds)
        outcome = next((sending.outcomes[each] for each in traces if each in sending.outcomes), None)
        # What was not sent was as wanted already.
        failure, unwritten = (None, False) if outcome is None else (outcome.failure, outcome.unwritten)
        found.append(WriteOutcome(link.key, failure=failure, unwritten=unwritten))
    return found


def _item(pair: _Pair, body: dict[str, Any], kind: str = _PLAIN) -> Item:
    name = _name(pair)
    return Item(_trace(pair, kind), name, body, frozenset({name}))


def _ends(pair: _Pair) -> dict[str, Any]:
    return {"from": {"id": pair[0]}, "to": {"id": pair[1]}}


def _types(chosen: set[_Type]) -> list[dict[str, Any]]:
    return [
        {"associationCategory": category, "associationTypeId": number}
        for category, number in sorted(chosen, key=lambda each: each[1])
    ]


def _pair(link: RemoteLink) -> _Pair:
    return link.from_id, link.to_id


def _trace(pair: _Pair, kind: str) -> str:
    return f"{kind} {_name(pair)}"


def _name(pair: _Pair) -> str:
    return f"{pair[0]}>{pair[1]}"


def _slices(items: list[Item]) -> Iterator[list[Item]]:
    for start in range(0, len(items), _ARCHIVE_BATCH):
        yield items[start : start + _ARCHIVE_BATCH]
