"""Compares records as they were just read with what stands here, and says of each field that differs why.

Changes nothing. What a merge would do is asked of the merge itself, so that what is found is what is mended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from syncline.domain.changes import Change, Copy, copy_row, find_change
from syncline.domain.mapping import MappedRecord
from syncline.domain.merge import Merged, merge
from syncline.domain.records import RecordType
from syncline.domain.verdicts import is_blank
from syncline.engine.gate import list_kept_out
from syncline.engine.prepare import Prepared, is_outdated, latest_of
from syncline.engine.write import Target
from syncline.store import standing
from syncline.store.db import Conn
from syncline.store.drift import WHOLE, Cause, Finding, State
from syncline.store.payloads import KnownPayload
from syncline.store.standing import Standing

#: Longer texts are cut where drift is shown.
_LONGEST_SHOWN = 2_000


async def compare(conn: Conn, target: Target, records: Sequence[Prepared]) -> list[Finding]:
    """Return what differs between records as read and as they stand here, with the reason.

    What was read before something newer was stored is passed over: it says nothing any more. So is whoever is
    erased: what differs would be written down with their values.
    """
    latest = latest_of(records)
    for each in await list_kept_out(target, conn, latest):
        del latest[each]
    known = await standing.list_known(conn, target.table, list(latest), keys=target.keys)
    current = {
        remote_id: record
        for remote_id, record in latest.items()
        if not is_outdated(record, known.get(remote_id))
    }
    if target.mapper is None:
        return [_missing_here(each) for each in current if each not in known]
    kind = target.mapper.record_type
    found = await standing.list_standing(conn, kind, list(current), keys=target.object_keys)
    findings: list[Finding] = []
    for remote_id, mine in found.items():
        record = current[remote_id]
        findings += find_differences(target, kind, record, mine, known.get(remote_id))
    strangers = [remote_id for remote_id in current if remote_id not in found]
    if strangers:
        accounted = await standing.list_accounted(conn, strangers, keys=target.object_keys)
        findings += [_missing_here(each) for each in strangers if each not in accounted]
    return findings


def _missing_here(remote_id: str) -> Finding:
    return Finding(remote_id, WHOLE, "open", "missing_here")


def find_differences(
    target: Target, kind: RecordType, record: Prepared, mine: Standing, known: KnownPayload | None
) -> list[Finding]:
    """Return the fields in which a record as read differs from ours, but for those that are on their way."""
    mapped = record.mapped
    if mapped is None:
        return []
    ours = copy_row(mine.row)
    theirs = Copy(mapped.values, mapped.theirs, record.updated_ms, source=target.source)
    changes = _list_changes(target, kind, mine, ours, theirs)
    if not changes:
        return []
    merged = merge(kind, target.policy, mine.base, ours, theirs, sent=mine.sent, access=target.access)
    is_read = known is not None and known.payload_hash in (record.payload_hash, b"")
    return [
        Finding(
            record.remote_id,
            name,
            *why,
            _shown(change.ours),
            _shown(change.theirs),
            None if change.known is None else _shown(change.known[0]),
        )
        for name, change in changes.items()
        if (why := _explain(target, change, mapped, merged, mine, is_read=is_read)) is not None
    ]


def _list_changes(
    target: Target, kind: RecordType, mine: Standing, ours: Copy, theirs: Copy
) -> dict[str, Change]:
    """Return the fields that do not agree and were not agreed on as they are, as a merge sees them."""
    access = target.access
    found: dict[str, Change] = {}
    for name in theirs.values:
        if name in kind.derived or not (name in access.pull or name in access.push):
            continue
        change = find_change(name, kind, mine.base, ours, theirs, mine.sent)
        if change is not None and change.state != "agreed":
            found[name] = change
    return found


def _explain(
    target: Target, change: Change, mapped: MappedRecord, merged: Merged, mine: Standing, *, is_read: bool
) -> tuple[State, Cause] | None:
    """Say what is behind a difference; None for one that is on its way, or that a person is asked about."""
    name = change.name
    conflicts = {each.field for each in merged.conflicts}
    if name in mine.disputed:
        return None
    if name in conflicts:
        return "open", "undisputed" if is_read else "unread"
    if name in merged.write:
        return "open", "unmerged" if is_read else "unread"
    if target.mapper is not None and target.mapper.is_foreign(name, change.ours):
        return "kept", "unwritable"
    if name in merged.push:
        return None if mine.is_queued else ("open", "unqueued")
    if name in mapped.problems or (change.state == "fill" and not is_blank(change.read)):
        return "kept", "unreadable"
    if conflicts or mine.disputed:
        return None  # it waits for a field that it belongs to
    return "kept", "unwritable"


def _shown(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST_SHOWN:
        return value[:_LONGEST_SHOWN] + "…"
    return value
