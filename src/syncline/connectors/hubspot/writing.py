"""HubSpot records written in batches: changes by id, creates by upsert on our own id, archiving.

Facts it is built on (batch endpoints' guides and recorded answers; read 2026-08): 100 inputs a batch, an id
once in it, a trace id for each input so that some may fail and others not, results in any order, "" to
empty a property.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from syncline.connectors.hubspot.api import Api, Route
from syncline.connectors.hubspot.batches import (
    Answer,
    Item,
    Problems,
    Result,
    Sending,
    read_quiet,
)
from syncline.connectors.hubspot.decode import read_as, read_records
from syncline.connectors.hubspot.failures import CallRefused, Failure
from syncline.connectors.hubspot.lifecycle import STAGE, move_back
from syncline.connectors.hubspot.objects import EXTERNAL_ID, complete_new
from syncline.connectors.hubspot.properties import Traits, missing_external_id
from syncline.connectors.hubspot.reading import ask
from syncline.connectors.hubspot.refusals import context_values, hopeless_properties
from syncline.connectors.records import RemoteRecord
from syncline.connectors.transport import Response
from syncline.connectors.writes import RemoteWrite, WriteOutcome
from syncline.errors import NotFound, RecordRejected

BATCH = 100
#: What a batch refused for its id property says (recorded answers).
_NOT_UNIQUE = "non-unique"


class _Written(msgspec.Struct, rename="camel"):
    id: str | int
    object_write_trace_id: str | None = None
    #: Upsert only.
    new: bool | None = None
    properties: dict[str, Any] = {}


class _Merged(msgspec.Struct):
    id: str | int


class _Answer(Problems):
    results: list[_Written] = msgspec.field(default_factory=list[_Written])


async def write_many(
    api: Api, object_path: str, writes: Sequence[RemoteWrite], traits: Traits
) -> list[WriteOutcome]:
    """Write up to 100 records. See `base.Connector.write_many`.

    Changes go first: losing their outcomes to a failure costs nothing, since they may be sent again.
    """
    changes: list[Item] = []
    upserts: list[Item] = []
    creates: list[Item] = []
    for position, write in enumerate(writes):
        properties = {name: _text(name, value, traits) for name, value in write.properties.items()}
        if write.remote_id is not None:
            changes.append(_change(position, write, write.remote_id, properties))
            continue
        properties = complete_new(object_path, properties)
        if write.external_id is not None and traits.has_external_id:
            upserts.append(_upsert(position, write, write.external_id, properties))
        else:
            creates.append(_create(position, write, properties))
    sending = Sending()
    for part in _rounds(changes):
        await _send(api, object_path, sending, "batch_update", part)
    moved = await _move_back(api, object_path, writes, sending)
    try:
        for part in _rounds(upserts):
            await _send(api, object_path, sending, "batch_upsert", part)
    except _PropertyGone:
        raise missing_external_id(object_path) from None
    await _send(api, object_path, sending, "batch_create", creates, repeatable=False)
    outcomes = [sending.outcomes[str(position)] for position in range(len(writes))]
    return [moved.get(each.key, each) for each in outcomes]


async def archive_many(api: Api, object_path: str, remote_ids: Sequence[str]) -> list[WriteOutcome]:
    """Archive up to 100 records. HubSpot passes over ids it does not have; one it names is gone as wanted."""
    items = [Item(each, each, {"id": each}, frozenset({each}), each) for each in dict.fromkeys(remote_ids)]

    async def post(part: Sequence[Item]) -> Response:
        body = {"inputs": [each.body for each in part]}
        return await api.call("POST", "batch_archive", object_name=object_path, json=body)

    def read(response: Response, part: Sequence[Item]) -> Answer:
        return read_quiet(response, part, _names_in)

    sending = Sending()
    await sending.send(post, read, items)
    return [_archived(sending.outcomes[each]) for each in remote_ids]


async def merge_records(api: Api, object_path: str, survivor_id: str, merged_id: str) -> str:
    """Merge two records. The survivor gets a new id that both old ones lead to (changelog of 2025-01-14)."""
    body = {"primaryObjectId": survivor_id, "objectIdToMerge": merged_id}
    try:
        answer = await api.call("POST", "merge", object_name=object_path, json=body, idempotent=False)
    except CallRefused as error:
        raise RecordRejected(str(error), remote_id=merged_id) from error
    return str(read_as(_Merged, answer.body).id)


async def find_by_external_id(
    api: Api, object_path: str, external_ids: Sequence[str], properties: Sequence[str]
) -> dict[str, RemoteRecord]:
    """Read up to 100 records by our own id of them. See `base.Connector.find_by_external_id`."""
    unique = list(dict.fromkeys(external_ids))
    if not unique:
        return {}
    body = {
        "inputs": [{"id": each} for each in unique],
        "idProperty": EXTERNAL_ID,
        "properties": list(ask(object_path, (*properties, EXTERNAL_ID)).names),
    }
    response = await api.call("POST", "batch_read", object_name=object_path, json=body)
    # HubSpot compares such values without regard to case.
    asked = {each.casefold(): each for each in unique}
    found: dict[str, RemoteRecord] = {}
    for record in read_records(response.body).records:
        own_id = asked.get(str(record.properties.get(EXTERNAL_ID) or "").casefold())
        if own_id is not None:
            found[own_id] = record
    return found


async def _move_back(
    api: Api, object_path: str, writes: Sequence[RemoteWrite], sending: Sending
) -> dict[str, WriteOutcome]:
    async def set_stages(purpose: str, stages: Mapping[str, str]) -> dict[str, WriteOutcome]:
        items = [
            Item(
                f"{purpose} {remote_id}",
                remote_id,
                {
                    "id": remote_id,
                    "properties": {STAGE: stage},
                    "objectWriteTraceId": f"{purpose} {remote_id}",
                },
                frozenset({_trace(f"{purpose} {remote_id}"), remote_id}),
                remote_id,
            )
            for remote_id, stage in stages.items()
        ]
        await _send(api, object_path, sending, "batch_update", items)
        return {each.key: sending.outcomes[each.trace] for each in items}

    outcomes = sending.outcomes
    written = [(each, outcomes[str(i)]) for i, each in enumerate(writes) if str(i) in outcomes]
    return await move_back(api, object_path, written, set_stages)


class _PropertyGone(Exception):
    """Creates cannot be made unique: HubSpot refuses the property they go by."""


async def _send(
    api: Api, object_path: str, sending: Sending, route: Route, items: list[Item], *, repeatable: bool = True
) -> None:
    async def post(part: Sequence[Item]) -> Response:
        body = {"inputs": [each.body for each in part]}
        try:
            return await api.call("POST", route, object_name=object_path, json=body, idempotent=repeatable)
        except CallRefused as error:
            if route == "batch_upsert" and _is_about_external_id(error.failure):
                raise _PropertyGone from error
            raise

    await sending.send(post, _read, items, repeatable=repeatable)


def _is_about_external_id(failure: Failure) -> bool:
    return _NOT_UNIQUE in str(failure.message) or EXTERNAL_ID in hopeless_properties(failure)


def _read(response: Response, part: Sequence[Item]) -> Answer:
    del part
    answer = read_as(_Answer, response.body)
    records = {each.remote_id: each for each in read_records(response.body).records}
    return Answer(
        [_result(each, records) for each in answer.results],
        [(_names_in(each), each) for each in answer.list_all()],
    )


def _result(written: _Written, records: dict[str, RemoteRecord]) -> Result:
    remote_id = str(written.id)
    names: list[str] = []
    if written.object_write_trace_id is not None:
        names.append(_trace(written.object_write_trace_id))
    if written.properties.get(EXTERNAL_ID):
        names.append(str(written.properties[EXTERNAL_ID]))
    names.append(remote_id)
    return Result(tuple(names), remote_id, records.get(remote_id), written.new)


def _names_in(failure: Failure) -> list[str]:
    traces = [_trace(each) for each in context_values(failure, "objectWriteTraceId")]
    return traces or [*context_values(failure, "ids"), *context_values(failure, "id")]


def _trace(trace: str) -> str:
    # An id may be the same number as a trace.
    return f"trace {trace}"


def _change(position: int, write: RemoteWrite, remote_id: str, properties: dict[str, str]) -> Item:
    body = {"id": remote_id, "properties": properties}
    return _item(position, write, body, remote_id, remote_id)


def _upsert(position: int, write: RemoteWrite, external_id: str, properties: dict[str, str]) -> Item:
    body = {
        "id": external_id,
        "idProperty": EXTERNAL_ID,
        "properties": {**properties, EXTERNAL_ID: external_id},
    }
    return _item(position, write, body, external_id, None)


def _create(position: int, write: RemoteWrite, properties: dict[str, str]) -> Item:
    # A new record has nothing to empty.
    filled = {name: value for name, value in properties.items() if value}
    return _item(position, write, {"properties": filled}, None, None)


def _item(
    position: int, write: RemoteWrite, body: dict[str, Any], name: str | None, remote_id: str | None
) -> Item:
    trace = str(position)
    names = {_trace(trace)} if name is None else {_trace(trace), name}
    values = frozenset(value for value in write.properties.values() if value)
    return Item(trace, write.key, {**body, "objectWriteTraceId": trace}, frozenset(names), remote_id, values)


def _rounds(items: list[Item]) -> Iterator[list[Item]]:
    """Cut a batch so that no id is in it twice, which HubSpot would refuse, and the first stays first."""
    while items:
        first: dict[str, Item] = {}
        rest = [item for item in items if first.setdefault(str(item.body["id"]), item) is not item]
        yield list(first.values())
        items = rest


def _text(name: str, value: str | None, traits: Traits) -> str:
    """Return a value as HubSpot takes it: "" empties."""
    if value is None:
        return ""
    # A leading semicolon would add to the choices that are set, and twice when it is sent twice.
    return value.lstrip(";") if name in traits.appending else value


def _archived(outcome: WriteOutcome) -> WriteOutcome:
    if isinstance(outcome.failure, NotFound):
        return WriteOutcome(outcome.key, outcome.remote_id)
    return outcome
