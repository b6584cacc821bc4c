"""What belongs to what, made and taken away: at Pipedrive a value of the record that refers to the other.

What is as wanted already is not written, and only the value that was meant is taken away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import msgspec

from syncline.connectors.pipedrive.api import Api
from syncline.connectors.pipedrive.objects import (
    ACTIVITIES,
    PERSONS,
    REFERENCES,
    TASKS,
    get_place,
)
from syncline.connectors.pipedrive.reading import Lists
from syncline.connectors.pipedrive.rounds import Rounds, Step
from syncline.connectors.reads import Association
from syncline.connectors.writes import RemoteLink, WriteOutcome
from syncline.errors import Invalid, NotFound, RecordRejected

Data = dict[str, Any]


async def read_associations(
    api: Api, from_object: str, to_object: str, remote_ids: Sequence[str]
) -> list[Association]:
    """Read the one association that each of up to 100 records has, from the records themselves."""
    name = _reference(from_object, to_object)
    kind = f"{from_object.rstrip('s')}_to_{to_object.rstrip('s')}"
    held = await _read(api, from_object, remote_ids)
    return [
        Association(remote_id, str(data[name]), 0, kind, "", None)
        for remote_id, data in held.items()
        if data.get(name) is not None
    ]


async def associate_many(
    api: Api, from_object: str, to_object: str, links: Sequence[RemoteLink]
) -> list[WriteOutcome]:
    """Make up to 100 associations. Each replaces the one the record had: there is room for one."""
    return await _write(api, from_object, to_object, links, take_away=False)


async def dissociate_many(
    api: Api, from_object: str, to_object: str, links: Sequence[RemoteLink]
) -> list[WriteOutcome]:
    """Take away up to 100 associations; a record that refers to another by now keeps that."""
    return await _write(api, from_object, to_object, links, take_away=True)


async def _write(
    api: Api, from_object: str, to_object: str, links: Sequence[RemoteLink], *, take_away: bool
) -> list[WriteOutcome]:
    name = _reference(from_object, to_object)
    held = await _read(api, from_object, [each.from_id for each in links]) if links else {}
    place = get_place(from_object)

    async def write(link: RemoteLink) -> WriteOutcome:
        data = held.get(link.from_id)
        if data is None:
            if take_away:
                return WriteOutcome(link.key)
            raise NotFound
        body = _body(from_object, to_object, name, data, link.to_id, take_away=take_away)
        if body:
            method = "PUT" if place.version == 1 else "PATCH"
            path = f"{place.path}/{link.from_id}"
            answer = await api.call(method, path, cost=place.write_cost, json=body)
            if isinstance(answer.data, dict):
                held[link.from_id] = cast("Data", answer.data)
        return WriteOutcome(link.key)

    chains: dict[str, list[Step]] = {}
    for position, link in enumerate(links):
        step = Step(position, link.key, None, partial(write, link))
        chains.setdefault(link.from_id, []).append(step)
    rounds = Rounds()
    await rounds.run(chains.values())
    return rounds.list_outcomes()


def refer(from_object: str, references: Mapping[str, str]) -> Data:
    """Return what a new record's body says of what it belongs to: object → id. Raises `RecordRejected`."""
    body: Data = {}
    for to_object, to_id in references.items():
        body |= _body(from_object, to_object, _reference(from_object, to_object), {}, to_id, take_away=False)
    return body


def _reference(from_object: str, to_object: str) -> str:
    path = REFERENCES.get((from_object, to_object))
    if path is None:
        raise Invalid(f"{from_object} do not refer to {to_object} at Pipedrive.")
    return path[0]


async def _read(api: Api, object_name: str, remote_ids: Sequence[str]) -> dict[str, Data]:
    found = await Lists(api, object_name).read(remote_ids)
    return {
        each.remote_id: cast("Data", msgspec.json.decode(each.payload))
        for each in found.records
        if each.archived_ms is None
    }


def _body(
    from_object: str, to_object: str, name: str, data: Mapping[str, Any], to_id: str, *, take_away: bool
) -> Data:
    """Return what is to be written, nothing where it is as wanted."""
    has = str(data.get(name)) == to_id
    if has != take_away:
        return {}
    if not to_id.isdigit():
        raise RecordRejected("Pipedrive knows records by numbers only.")
    if from_object in (ACTIVITIES, TASKS) and to_object == PERSONS:
        # The person of an activity is its primary participant, and `person_id` only tells who that is.
        return {"participants": _participants(data, int(to_id), take_away=take_away)}
    return {name: None if take_away else int(to_id)}


def _participants(data: Mapping[str, Any], person_id: int, *, take_away: bool) -> list[Data]:
    listed: Any = data.get("participants")
    entries = cast("list[Any]", listed) if isinstance(listed, list) else []
    others = [
        {"person_id": cast("Data", each).get("person_id"), "primary": False}
        for each in entries
        if isinstance(each, dict) and cast("Data", each).get("person_id") != person_id
    ]
    return others if take_away else [{"person_id": person_id, "primary": True}, *others]
