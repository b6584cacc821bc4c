"""Pipedrive's records made, changed and archived, one call each; and found again by our own id.

Pipedrive has neither batches nor unique fields, so nothing makes a create once only: one whose answer was
lost is told as such, and looked for before it is tried again; where no field takes our id, by `finding`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, cast

import msgspec

from syncline.clock import now
from syncline.connectors.pipedrive.api import Api
from syncline.connectors.pipedrive.bodies import build, join_name, needs_current
from syncline.connectors.pipedrive.decode import convert, parse_ms
from syncline.connectors.pipedrive.failures import CallRefused, Forbidden, describe
from syncline.connectors.pipedrive.fields import Fields, add_labels, list_fields, list_own
from syncline.connectors.pipedrive.linking import refer
from syncline.connectors.pipedrive.objects import (
    CAPABILITIES,
    DEALS,
    EXTERNAL_ID_LABEL,
    EXTERNAL_ID_PREFIX,
    NOTES,
    SEARCH,
    Place,
    get_place,
)
from syncline.connectors.pipedrive.reading import Lists
from syncline.connectors.pipedrive.rounds import Rounds, Step
from syncline.connectors.records import RemoteRecord
from syncline.connectors.writes import RemoteWrite, WriteOutcome
from syncline.errors import NotFound, RecordRejected, SettingInvalid, Unavailable

#: How far back what was made lately is looked through: the index of the search lags behind it.
_LATELY = timedelta(minutes=15)
_LATEST_PAGES = 3
_SEARCH_COST = 20


@dataclass(frozen=True, slots=True)
class _Writer:
    api: Api
    object_name: str
    place: Place
    #: All fields where the account's own are written, else Pipedrive's only.
    fields: Fields
    is_whole: bool

    async def change(self, write: RemoteWrite, remote_id: str) -> WriteOutcome:
        path = f"{self.place.path}/{remote_id}"
        current: dict[str, Any] = {}
        if needs_current(self.object_name, write.properties, self.fields):
            answer = await self.api.call("GET", path, cost=self.place.get_cost)
            current = cast("dict[str, Any]", answer.data)
        body = build(self.object_name, write.properties, self.fields, current)
        if not body:
            record = self._read(current) if current else None
            return WriteOutcome(write.key, remote_id, record, created=False)
        data = await self._send("PUT" if self.place.version == 1 else "PATCH", path, body, repeatable=True)
        return WriteOutcome(write.key, remote_id, self._read(data), created=False)

    async def make(self, write: RemoteWrite) -> WriteOutcome:
        if self.object_name == NOTES and not write.references:
            raise RecordRejected("Pipedrive takes a note only together with the record it belongs to.")
        # A new record has nothing to empty.
        filled = {name: text for name, text in write.properties.items() if text}
        body = build(self.object_name, filled, self.fields, None)
        if self.object_name in CAPABILITIES.found_by_content:
            body |= refer(self.object_name, write.references)
        own = self.fields.find_external_id()
        if own is not None and write.external_id is not None:
            body.setdefault("custom_fields", {})[own.name] = EXTERNAL_ID_PREFIX + write.external_id
        data = await self._send("POST", self.place.path, body, repeatable=False)
        record = self._read(data)
        return WriteOutcome(write.key, record.remote_id, record, created=True)

    async def _send(self, method: Any, path: str, body: dict[str, Any], *, repeatable: bool) -> Any:
        call = partial(self.api.call, method, path, cost=self.place.write_cost, idempotent=repeatable)
        try:
            return (await call(json=body)).data
        except (CallRefused, Forbidden) as error:
            otherwise = self._write_otherwise(body, error)
            if otherwise is None:
                raise
            return (await call(json=otherwise)).data

    def _write_otherwise(self, body: dict[str, Any], error: CallRefused | Forbidden) -> dict[str, Any] | None:
        """Return what to try instead of a body that was refused, None where it was refused for good."""
        said = describe(error.failure)
        if self.object_name == NOTES and "add_time" in body:
            # Only an administrator may say when a note was made; anybody may make one.
            of_token = isinstance(error, Forbidden) and error.of_token
            is_about_it = isinstance(error, Forbidden) or "add_time" in said
            without = {name: value for name, value in body.items() if name != "add_time"}
            return without if is_about_it and not of_token and without else None
        # Sources disagree on whether a name may be written in two parts.
        is_name = isinstance(error, CallRefused) and "first_name" in body and "name" in said
        return join_name(body) if is_name else None

    def _read(self, data: Any) -> RemoteRecord:
        """Read an answer; the account's own fields only where their options are known by label."""
        told = dict(cast("dict[str, Any]", data)) if isinstance(data, dict) else {}
        if self.is_whole:
            add_labels(self.fields, told)
        else:
            told.pop("custom_fields", None)
        record = convert(self.object_name, told)
        if isinstance(record, str):
            # It has been written, but what it is now is not told.
            raise Unavailable(f"What Pipedrive answered to a write {record}.")
        return record


async def write_many(api: Api, object_name: str, writes: Sequence[RemoteWrite]) -> list[WriteOutcome]:
    """Write up to 20 records: changes first, then creates. See `base.Connector.write_many`."""
    place = get_place(object_name)
    own = list_own(object_name)
    has_own_id = place.takes_custom_fields
    creates = has_own_id and any(each.remote_id is None and each.external_id for each in writes)
    names = {name.partition(".")[0] for each in writes for name in each.properties}
    is_whole = place.fields is not None and (creates or not names <= own.by_name.keys())
    fields = await list_fields(api, object_name) if is_whole else own
    writer = _Writer(api, object_name, place, fields, is_whole)
    changes: dict[str, list[Step]] = {}
    new: list[list[Step]] = []
    for position, write in enumerate(writes):
        values = frozenset(text for text in write.properties.values() if text)
        if write.remote_id is None:
            run = partial(writer.make, write)
            new.append([Step(position, write.key, None, run, is_repeatable=False, values=values)])
        else:
            run = partial(writer.change, write, write.remote_id)
            step = Step(position, write.key, write.remote_id, run, values=values)
            changes.setdefault(write.remote_id, []).append(step)
    rounds = Rounds()
    await rounds.run(changes.values())
    await rounds.run(new)
    return rounds.list_outcomes()


async def archive_many(api: Api, object_name: str, remote_ids: Sequence[str]) -> list[WriteOutcome]:
    """Archive up to 20 records: deals by its own archive, others by deletion, which 30 days undo."""
    place = get_place(object_name)

    async def archive(remote_id: str) -> WriteOutcome:
        path = f"{place.path}/{remote_id}"
        if object_name == DEALS:
            await api.call("PATCH", path, cost=place.write_cost, json={"is_archived": True})
        else:
            await api.call("DELETE", path, cost=place.delete_cost, may_be_empty=True)
        return WriteOutcome(remote_id, remote_id)

    unique = list(dict.fromkeys(remote_ids))
    rounds = Rounds()
    steps = [Step(place_, each, each, partial(archive, each)) for place_, each in enumerate(unique)]
    await rounds.run([each] for each in steps)
    by_key = {each.key: _archived(each) for each in rounds.list_outcomes()}
    return [by_key[each] for each in remote_ids]


async def find_by_external_id(
    api: Api, object_name: str, external_ids: Sequence[str]
) -> dict[str, RemoteRecord]:
    """Find living records by our own id of them. See `base.Connector.find_by_external_id`.

    What was made in the last quarter of an hour is looked through record by record (up to 1,500 of them): the
    search, which finds what is older, learns of a record some time after it was made.
    """
    own = (await list_fields(api, object_name)).find_external_id()
    if own is None:
        raise missing_external_id(object_name)
    wanted = dict.fromkeys(external_ids)
    found = await _look_through_latest(api, object_name, wanted)
    ids: list[str] = []
    for external_id in wanted:
        if external_id not in found:
            ids += await _search(api, object_name, external_id)
    read = await Lists(api, object_name).read(ids[:100])
    for record in read.records:
        if record.external_id in wanted and record.archived_ms is None:
            found.setdefault(str(record.external_id), record)
    return found


def missing_external_id(object_name: str) -> SettingInvalid:
    """Return the error of an account that has no field for our own ids."""
    return SettingInvalid(
        f"Pipedrive has no field “{EXTERNAL_ID_LABEL}” for {object_name}. Create it before writing."
    )


async def _look_through_latest(
    api: Api, object_name: str, wanted: Mapping[str, None]
) -> dict[str, RemoteRecord]:
    found: dict[str, RemoteRecord] = {}
    oldest = now() - _LATELY
    lists = Lists(api, object_name)
    cursor: str | None = ""
    for _ in range(_LATEST_PAGES):
        page, cursor = await lists.newest(cursor or "")
        for record in page.records:
            if record.external_id in wanted and record.archived_ms is None:
                found.setdefault(str(record.external_id), record)
        made = [parse_ms(each.properties.get("add_time")) for each in page.records]
        last = next((ms for ms in reversed(made) if ms is not None), None)
        if cursor is None or len(found) == len(wanted):
            return found
        if last is not None and last < oldest.timestamp() * 1000:
            return found
    return found


async def _search(api: Api, object_name: str, external_id: str) -> list[str]:
    answer = await api.call(
        "GET",
        f"{get_place(object_name).path}/search",
        cost=_SEARCH_COST,
        query={
            "term": EXTERNAL_ID_PREFIX + external_id,
            "fields": "custom_fields",
            "exact_match": "true",
            "limit": "10",
        },
        bucket=SEARCH,
    )
    try:
        hits = msgspec.convert(answer.data, _Hits)
    except msgspec.ValidationError:
        return []
    return [str(each.item.id) for each in hits.items]


class _Item(msgspec.Struct):
    id: int


class _Hit(msgspec.Struct):
    item: _Item


class _Hits(msgspec.Struct):
    items: list[_Hit] = []


def _archived(outcome: WriteOutcome) -> WriteOutcome:
    """Return the outcome; what is gone already is archived as wanted."""
    is_gone = isinstance(outcome.failure, NotFound)
    return WriteOutcome(outcome.key, outcome.remote_id) if is_gone else outcome
