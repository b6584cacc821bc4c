"""Which record of ours a remote record without a link is: by our own id, else by identity.

Never by a guess: two candidates, or two strangers with one key, are left apart for a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from syncline.domain.agreement import brief, pair
from syncline.domain.records import RecordType
from syncline.domain.verdicts import same
from syncline.engine.prepare import Prepared
from syncline.store import burials, creates, locked, merges, merging
from syncline.store.db import Conn
from syncline.store.locked import ExistingRecord

if TYPE_CHECKING:
    from syncline.engine.write import Target


@dataclass(slots=True)
class Recognised:
    """What became of strangers; those that are in neither are new."""

    #: Remote id → the record of ours it is.
    found: dict[str, ExistingRecord] = field(default_factory=dict[str, ExistingRecord])
    #: Remote ids of records that were deleted here and must not come back.
    buried: set[str] = field(default_factory=set[str])


async def recognise(
    target: Target, conn: Conn, kind: RecordType, strangers: Sequence[Prepared], at: datetime
) -> Recognised:
    """Find and lock the records that strangers are; bury what was deleted here while it was made there."""
    result = Recognised()
    if not strangers:
        return result
    result.buried |= set(
        await merging.find_tombstones(
            conn,
            **target.keys,
            object_name=target.object_name,
            remote_ids=[each.remote_id for each in strangers],
        )
    )
    await _recognise_own(target, conn, kind, _left(strangers, result), result, at)
    if kind.identity is not None:
        await _recognise_identity(target, conn, kind, _left(strangers, result), result)
    return result


def _left(strangers: Sequence[Prepared], result: Recognised) -> list[Prepared]:
    return [
        each
        for each in strangers
        if each.remote_id not in result.found and each.remote_id not in result.buried
    ]


async def _recognise_own(
    target: Target,
    conn: Conn,
    kind: RecordType,
    strangers: Sequence[Prepared],
    result: Recognised,
    at: datetime,
) -> None:
    """Match records that carry our own id: we made them, and the answer has not been stored yet."""
    claimed: dict[UUID, Prepared] = {}
    for record in strangers:
        own_id = _as_id(record.external_id)
        if own_id is not None:
            claimed.setdefault(own_id, record)
    if not claimed:
        return
    found = await locked.lock_unlinked_by_id(conn, kind, ids=list(claimed), **target.keys)
    # What was sent to make it is its agreement until the answer comes: its echo is no word of theirs.
    made = await creates.list_unanswered(conn, list(found), **target.object_keys)
    for own_id, existing in found.items():
        record = claimed[own_id]
        on_its_way = _on_its_way(kind, made[own_id].changes if own_id in made else {}, record)
        base = _find_overwritten(record, on_its_way)
        result.found[record.remote_id] = replace(existing, base=base, sent=on_its_way)
    missing = [(own_id, each.remote_id) for own_id, each in claimed.items() if own_id not in found]
    gone = await burials.find_orphans(conn, kind, missing, **target.object_keys)
    await burials.bury(conn, gone, **target.object_keys, record_type=kind.name, now=at)
    result.buried.update(remote_id for _, remote_id in gone)
    arrived = [(own_id, claimed[own_id].remote_id) for own_id in found] + gone
    await creates.settle_made(conn, arrived, **target.object_keys, now=at)


async def tie_made(
    target: Target, conn: Conn, kind: RecordType, survivors: Sequence[Prepared], at: datetime
) -> None:
    """Link what we made, and was merged there before its answer was stored, to the id it will have had.

    The merge is followed then as if it had come after the answer: both are one record here as well.
    """
    claimed = {own_id: each for each in survivors if (own_id := _as_id(each.external_id)) is not None}
    if not claimed:
        return
    found = await locked.lock_unlinked_by_id(conn, kind, ids=list(claimed), **target.keys)
    made = await creates.list_unanswered(conn, list(found), **target.object_keys)
    arrived: list[tuple[UUID, str]] = []
    for own_id, unanswered in made.items():
        remote_id = await merges.link_made(
            conn,
            own_id,
            [each for each in claimed[own_id].merged_ids if each != claimed[own_id].remote_id],
            _on_its_way(kind, unanswered.changes, claimed[own_id]),
            **target.object_keys,
            record_type=kind.name,
            now=at,
        )
        if remote_id is not None:
            arrived.append((own_id, remote_id))
    await creates.settle_made(conn, arrived, **target.object_keys, now=at)


def _on_its_way(
    kind: RecordType, changes: Mapping[str, Sequence[Any]], record: Prepared
) -> dict[str, list[list[Any]]]:
    # What it belongs to was sent along, and is no field that is merged.
    values = {name: each[1] for name, each in changes.items() if name in kind.content}
    found: dict[str, list[list[Any]]] = {}
    for name, value in values.items():
        mapped, theirs = record.mapped, value
        if mapped is not None and name in record.alike:
            theirs = mapped.theirs.get(name, mapped.values.get(name))
        found[name] = [pair(brief(value), brief(theirs)) if name in kind.long else pair(value, theirs)]
    return found


def _find_overwritten(record: Prepared, on_its_way: Mapping[str, list[list[Any]]]) -> dict[str, list[Any]]:
    """Return what was agreed on of fields that somebody there has changed since we made the record.

    That is only known of one that is known by what it still holds.
    """
    values = record.mapped.values if record.mapped is not None and record.alike else {}
    return {
        name: pairs[0]
        for name, pairs in on_its_way.items()
        if name not in record.alike and name in values and not same(pairs[0][0], values[name])
    }


async def _recognise_identity(
    target: Target, conn: Conn, kind: RecordType, strangers: Sequence[Prepared], result: Recognised
) -> None:
    if kind.identity is None:
        return
    field_name = kind.identity[1]
    by_key: dict[str, list[Prepared]] = {}
    for record in strangers:
        value = record.mapped.values.get(field_name) if record.mapped is not None else None
        if isinstance(value, str) and value.strip() and record.archived_ms is None:
            by_key.setdefault(value.strip().lower(), []).append(record)
    if not by_key:
        return
    candidates = await locked.lock_by_identity(conn, kind, keys=list(by_key), **target.keys)
    taken = {each.record_id for each in result.found.values()}
    for key, matches in candidates.items():
        if len(matches) == 1 and len(by_key.get(key, ())) == 1 and matches[0].record_id not in taken:
            result.found[by_key[key][0].remote_id] = matches[0]


def _as_id(text: str | None) -> UUID | None:
    try:
        return None if text is None else UUID(text)
    except ValueError:
        return None
