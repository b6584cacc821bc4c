"""What a create whose answer was lost may have made, looked for by what it holds: activities, tasks, notes.

Read are the records themselves, to the end: among all activities that were made since, and among all notes of
what the note belongs to, since a note's time of making is whatever was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from syncline.connectors.pipedrive.account import find_user
from syncline.connectors.pipedrive.api import Api
from syncline.connectors.pipedrive.decode import parse_ms, read_records
from syncline.connectors.pipedrive.likeness import find_likeness
from syncline.connectors.pipedrive.objects import (
    DEALS,
    NOTES,
    ORGANIZATIONS,
    PAGE,
    PERSONS,
    REFERENCES,
    get_place,
)
from syncline.connectors.pipedrive.reading import Lists
from syncline.connectors.records import RemoteRecord
from syncline.connectors.writes import RemoteWrite
from syncline.errors import Unavailable

#: Clocks are compared, and clocks are set: so much earlier is looked at as well.
_MARGIN_MS = 300_000
#: What has the fewest notes goes first.
_NARROWEST = (DEALS, PERSONS, ORGANIZATIONS)


async def find_made(
    api: Api, object_name: str, writes: Sequence[RemoteWrite], since_ms: int
) -> dict[str, list[RemoteRecord]]:
    """Return key → records that hold what was sent. See `base.Connector.find_made`."""
    if not writes:
        return {}
    since_ms -= _MARGIN_MS
    user = await find_user(api)
    if object_name == NOTES:
        records = await _read_notes(api, writes)
    else:
        records = await _read_activities(api, object_name, since_ms)
    found: dict[str, list[RemoteRecord]] = {}
    for write in writes:
        made = [
            each
            for each in records
            if each.archived_ms is None
            and _is_by(object_name, user, write, each)
            and _is_of_then(object_name, write, each, since_ms)
            and find_likeness(object_name, write, each) is not None
        ]
        if made:
            found[write.key] = sorted(made, key=_made_at)
    return found


async def _read_activities(api: Api, object_name: str, since_ms: int) -> list[RemoteRecord]:
    """Read what was made from `since_ms` on, the latest first: activities and tasks are one list."""
    path, cost = get_place(object_name).path, get_place(object_name).list_cost
    query = {"limit": str(PAGE), "sort_by": "add_time", "sort_direction": "desc"}
    found: list[RemoteRecord] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await api.call("GET", path, cost=cost, query=query | ({"cursor": cursor} if cursor else {}))
        found += read_records(object_name, answer).records
        if _ends_before(answer.data, since_ms):
            break
        if answer.envelope.next_cursor == cursor:
            raise Unavailable("Pipedrive's list of activities repeats its cursor.")
        cursor = answer.envelope.next_cursor
    return found


def _ends_before(rows: Any, since_ms: int) -> bool:
    listed = cast("list[Any]", rows) if isinstance(rows, list) else []
    times = [
        parse_ms(cast("dict[str, Any]", each).get("add_time")) for each in listed if isinstance(each, dict)
    ]
    last = next((ms for ms in reversed(times) if ms is not None), None)
    return last is not None and last < since_ms


async def _read_notes(api: Api, writes: Iterable[RemoteWrite]) -> list[RemoteRecord]:
    """Read all notes of what the notes that were sent belong to."""
    lists = Lists(api, NOTES)
    found: dict[str, RemoteRecord] = {}
    parents = {narrowest for each in writes if (narrowest := _find_narrowest(each)) is not None}
    for name, remote_id in sorted(parents):
        cursor: str | None = ""
        while cursor is not None:
            page, cursor, _ = await lists.page(cursor, {name: remote_id})
            found |= {each.remote_id: each for each in page.records}
    return list(found.values())


def _find_narrowest(write: RemoteWrite) -> tuple[str, str] | None:
    return next(
        (
            (REFERENCES[NOTES, each][0], write.references[each])
            for each in _NARROWEST
            if each in write.references
        ),
        None,
    )


def _is_by(object_name: str, user: str, write: RemoteWrite, record: RemoteRecord) -> bool:
    """Say whether the token's user can have made it. A note's author may be another, if that was sent."""
    if object_name == NOTES:
        return record.properties.get("user_id") in {user, write.properties.get("user_id"), None}
    return record.properties.get("creator_user_id") in {user, None}


def _is_of_then(object_name: str, write: RemoteWrite, record: RemoteRecord, since_ms: int) -> bool:
    """Say whether it was made since, or has the time of making that was sent."""
    made_ms = parse_ms(record.properties.get("add_time"))
    sent_ms = parse_ms(write.properties.get("add_time")) if object_name == NOTES else None
    if made_ms is None or made_ms >= since_ms:
        return True
    return sent_ms is not None and abs(made_ms - sent_ms) < 1000


def _made_at(record: RemoteRecord) -> tuple[int, int]:
    return parse_ms(record.properties.get("add_time")) or 0, int(record.remote_id)
