"""Many records changed, made or put back in one transaction: set-based, and one by one where that fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.actions.kept_out import HELD_ERASED, KNOWN_BY, list_erased, refuse_erased
from syncline.actions.records import complete, insert_records
from syncline.actions.seeing import may_see
from syncline.clock import new_id, now
from syncline.domain.callers import Caller
from syncline.domain.record_fields import RecordFields
from syncline.domain.records import flatten
from syncline.domain.resolving import to_columns, value_of
from syncline.domain.undoing import Later, halves, list_edited, list_edited_since, restore, stands
from syncline.domain.values import write_moment
from syncline.errors import Invalid, LimitReached
from syncline.store import effects, making, tenants, undo
from syncline.store.batch_rows import Outcome, Row
from syncline.store.db import Conn
from syncline.store.effects import Change, LaterChange

ARCHIVED = "archived_at"
Wanted = Sequence[tuple[Row, Mapping[str, Any]]]


async def change_rows(
    conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, wanted: Wanted, *, action: str
) -> list[Outcome]:
    """Change, archive or restore records as the caller. What is gone, archived or so already is skipped."""
    ids = [row.record_id for row, _ in wanted if row.record_id is not None]
    found = await undo.lock_rows(conn, fields.kind, sorted(ids), tenant_id=hub.tenant_id)
    outcomes: list[Outcome] = []
    changes: dict[int, dict[str, Any]] = {}
    for row, values in wanted:
        current = None if row.record_id is None else found.get(row.record_id)
        reason = _find_hindrance(caller, fields, current, action)
        if current is None or reason is not None:
            outcomes.append(_skip(row, reason or "It is gone."))
            continue
        try:
            new = await _find_new(conn, hub, caller, fields, current, values, action)
        except Invalid as error:
            outcomes.append(Outcome(row.position, "failed", row.record_id, reasons=_reasons_of(error)))
            continue
        if new:
            changes[row.position] = new
        else:
            outcomes.append(_skip(row, "It is so already."))
    rows = {row.position: row for row, _ in wanted}
    return outcomes + await _write(conn, hub, fields, rows, changes, found)


def _find_hindrance(
    caller: Caller, fields: RecordFields, current: Mapping[str, Any] | None, action: str
) -> str | None:
    if current is None or not may_see(caller, fields, current):
        return "It is gone."
    if current.get("merged_into"):
        return "It was merged into another."
    if action == "change" and current.get(ARCHIVED):
        return "It is archived."
    return None


async def _find_new(
    conn: Conn,
    hub: Hub,
    caller: Caller,
    fields: RecordFields,
    current: Mapping[str, Any],
    values: Mapping[str, Any],
    action: str,
) -> dict[str, Any]:
    if action != "change":
        is_archived = current.get(ARCHIVED) is not None
        if is_archived == (action == "archive"):
            return {}
        return {ARCHIVED: write_moment(now()) if action == "archive" else None}
    placed = await complete(conn, hub, caller, fields, current, values, checked=True)
    return {name: value for name, value in placed.items() if not stands(value_of(current, name), value)}


async def _write(
    conn: Conn,
    hub: Hub,
    fields: RecordFields,
    rows: Mapping[int, Row],
    changes: Mapping[int, Mapping[str, Any]],
    found: Mapping[UUID, Mapping[str, Any]],
) -> list[Outcome]:
    """Write the changes of rows in one statement; where that is refused one by one, and say which were.

    Refused is what none can have, and what an erased person was known by.
    """
    region = (await tenants.get_settings(conn, tenant_id=hub.tenant_id)).default_region
    columns: dict[UUID, dict[str, Any]] = {}
    derived: dict[UUID, dict[str, Any]] = {}
    for position, new in changes.items():
        record_id = rows[position].record_id
        assert record_id is not None  # noqa: S101 - only records that were found are changed
        columns[record_id], derived[record_id] = to_columns(fields.kind, found[record_id], new, region)
    known = [
        {**found[each], **values, **derived[each]}
        for each, values in columns.items()
        if not KNOWN_BY.isdisjoint(values)
    ]
    try:
        await refuse_erased(conn, hub, fields.kind, known)
        await _write_columns(conn, hub, fields, columns, derived)
    except Invalid as error:
        if len(changes) == 1:
            [position] = changes
            return [Outcome(position, "failed", rows[position].record_id, reasons=_reasons_of(error))]
        return [
            outcome
            for position, new in changes.items()
            for outcome in await _write(conn, hub, fields, rows, {position: new}, found)
        ]
    return [Outcome(position, "done", rows[position].record_id) for position in changes]


async def _write_columns(
    conn: Conn,
    hub: Hub,
    fields: RecordFields,
    columns: Mapping[UUID, Mapping[str, Any]],
    derived: Mapping[UUID, Mapping[str, Any]],
) -> None:
    written = {each: {**values, **derived[each]} for each, values in columns.items()}
    await making.change(conn, fields.kind, written, tenant_id=hub.tenant_id)
    told = [each for each, values in derived.items() if values]
    if told:
        after = await undo.lock_rows(conn, fields.kind, sorted(told), tenant_id=hub.tenant_id)
        # A trigger clears a number that seems to have outlived its text: the same number, written anew.
        lost = {
            each: {name: value for name, value in derived[each].items() if row.get(name) != value}
            for each, row in after.items()
        }
        again = {each: values for each, values in lost.items() if values}
        await making.change(conn, fields.kind, again, tenant_id=hub.tenant_id)


async def create_rows(
    conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, wanted: Wanted
) -> list[Outcome]:
    """Make records as the caller, in one statement; where that is refused one by one."""
    if not wanted:
        return []
    made = {new_id(): (row, values) for row, values in wanted}
    try:
        async with conn.transaction():
            await insert_records(
                conn, hub, caller, fields, {each: pair[1] for each, pair in made.items()}, checked=True
            )
    except (Invalid, LimitReached) as error:
        if len(wanted) == 1:
            return [Outcome(wanted[0][0].position, "failed", None, reasons=_reasons_of(error))]
        return [
            outcome for each in wanted for outcome in await create_rows(conn, hub, caller, fields, [each])
        ]
    return [Outcome(row.position, "done", each, created=True) for each, (row, _) in made.items()]


async def restore_rows(
    conn: Conn, hub: Hub, fields: RecordFields, rows: Sequence[Row], undone: UUID
) -> list[Outcome]:
    """Put back what a batch did, as far as it stands as the batch left it; archive what it made."""
    ids = sorted(row.record_id for row in rows if row.record_id is not None)
    erased = await list_erased(conn, hub, ids)
    found = await undo.lock_rows(conn, fields.kind, ids, tenant_id=hub.tenant_id)
    changes = await effects.list_changes_of(conn, ids, undone, tenant_id=hub.tenant_id)
    since = await effects.list_later_changes(conn, ids, undone, tenant_id=hub.tenant_id)
    outcomes: list[Outcome] = []
    back: dict[int, dict[str, Any]] = {}
    left: dict[int, dict[str, str]] = {}
    for row in rows:
        current = None if row.record_id is None else found.get(row.record_id)
        if current is None or current.get("merged_into"):
            outcomes.append(_skip(row, "It is gone." if current is None else "It was merged into another."))
            continue
        if row.record_id in erased:
            outcomes.append(_skip(row, HELD_ERASED))
            continue
        done = [each for each in changes if each.record_id == row.record_id]
        later = [each for each in since if each.record_id == row.record_id]
        values, spared = _find_former(flatten(dict(current)), done, later)
        if values:
            back[row.position] = values
            left[row.position] = spared
        else:
            outcomes.append(Outcome(row.position, "skipped", row.record_id, reasons=spared or None))
    written = await _write(conn, hub, fields, {row.position: row for row in rows}, back, found)
    return outcomes + [
        Outcome(
            each.position, each.state, each.record_id, reasons=each.reasons or left[each.position] or None
        )
        for each in written
    ]


def _find_former(
    row: dict[str, Any], changes: Sequence[Change], since: Sequence[LaterChange]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what is to be written to put a record back, and field → why it stays."""
    fields = _join(changes)
    if any(each.action == "created" for each in changes):
        later = [Later(each.changed_at, each.changes, each.connection_id is not None) for each in since]
        edited = sorted({*list_edited(row, fields), *list_edited_since(row, later)})
        if row.get(ARCHIVED):
            return {}, {"": "It is archived already."}
        if edited:
            return {}, {"": f"Somebody has changed it since: {', '.join(edited)}."}
        return {ARCHIVED: write_moment(now())}, {}
    found = restore(row, fields)
    return found.values, {each.field: each.reason for each in found.spared}


def _join(changes: Sequence[Change]) -> dict[str, list[Any]]:
    """Return field → [before the first change, after the last]."""
    joined: dict[str, list[Any]] = {}
    for each in changes:
        for name, values in each.changes.items():
            pair = halves(values)
            if pair is not None:
                joined[name] = [joined[name][0] if name in joined else pair[0], pair[1]]
    return joined


def _skip(row: Row, reason: str) -> Outcome:
    return Outcome(row.position, "skipped", row.record_id, reasons={"": reason})


def _reasons_of(error: Invalid | LimitReached) -> dict[str, str]:
    return (dict(error.fields) if isinstance(error, Invalid) else {}) or {"": str(error)}
