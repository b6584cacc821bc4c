"""What happened around a record, in one order; its changes field by field, and taking one of them back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast, get_args
from uuid import UUID

from syncline.actions.editing import Editor, write_fields
from syncline.actions.hub import Hub
from syncline.actions.paging import cut, read_place
from syncline.actions.records import require_references
from syncline.actions.seeing import MAX_PAGE, PAGE, Record, get_fields, get_row, make_records, owners_seen
from syncline.clock import now
from syncline.domain.callers import Caller
from syncline.domain.record_fields import RecordFields
from syncline.domain.records import flatten
from syncline.domain.undoing import halves, restore
from syncline.domain.values import write_moment
from syncline.errors import Invalid, NotFound
from syncline.store import timeline
from syncline.store.db import Conn
from syncline.store.timeline import Happened, Span

#: `change`: of the record here; `write`: of it at a CRM.
ItemKind = Literal["activity", "task", "change", "write"]
ITEM_KINDS: tuple[ItemKind, ...] = get_args(ItemKind)


@dataclass(frozen=True, slots=True)
class Item:
    kind: ItemKind
    at: datetime
    #: Of the activity, the task, the change or the write.
    id: UUID
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Timeline:
    items: list[Item]
    #: Where the next page begins; None after the last one.
    after: str | None


async def read_timeline(
    hub: Hub,
    caller: Caller,
    record_type: str,
    record_id: UUID,
    *,
    kinds: Sequence[ItemKind] = ITEM_KINDS,
    limit: int = PAGE,
    after: str | None = None,
) -> Timeline:
    """Return what happened around a record, the latest first. Raises `NotFound` and `Invalid`.

    Activities and tasks of others are left out where the caller does not see them.
    """
    caller.require("records:read")
    fields = get_fields(record_type)
    span = _span(hub, caller, record_id, limit, after)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await get_row(conn, hub, caller, fields, record_id)
        items = [
            Item(kind, each.at, each.id, each.detail)
            for kind in dict.fromkeys(kinds)
            for each in await _list(conn, fields, kind, span)
        ]
    items.sort(key=lambda each: (each.at, each.id), reverse=True)
    return Timeline(*cut(items, limit, lambda each: (each.at, each.id)))


def _span(hub: Hub, caller: Caller, record_id: UUID, limit: int, after: str | None) -> Span:
    if not 1 <= limit <= MAX_PAGE:
        raise Invalid(f"A page has 1 to {MAX_PAGE} entries.", fields={"limit": f"1 to {MAX_PAGE}."})
    place = read_place(after)
    if place is not None and place[0].tzinfo is None:
        raise Invalid(
            "That is not a place in the list.", fields={"after": "That is not a place in the list."}
        )
    owner_ids = owners_seen(caller)
    return Span(hub.tenant_id, record_id, limit + 1, place, None if owner_ids is None else sorted(owner_ids))


async def _list(conn: Conn, fields: RecordFields, kind: ItemKind, span: Span) -> list[Happened]:
    if kind == "change":
        return await timeline.list_changes(conn, span)
    if kind == "write":
        return await timeline.list_writes(conn, span)
    column = "owner_id" if fields.name == "owner" else f"{fields.name}_id"
    if fields.name not in ("company", "contact", "deal", "owner"):
        return []
    listed = timeline.list_activities if kind == "activity" else timeline.list_tasks
    return await listed(conn, column, span)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of one change of a record."""

    change_id: UUID
    changed_at: datetime
    action: str
    field: str
    old: Any
    new: Any
    #: True where the values were too long to be kept.
    left_out: bool
    source: str
    actor: str | None
    #: The connection it came from; None for a change made here.
    connection: str | None
    run_id: UUID | None


@dataclass(frozen=True, slots=True)
class History:
    changes: list[FieldChange]
    after: str | None


async def list_history(
    hub: Hub,
    caller: Caller,
    record_type: str,
    record_id: UUID,
    *,
    limit: int = PAGE,
    after: str | None = None,
) -> History:
    """Return the changes of a record field by field, the latest first; a page ends with a whole change.

    Raises `NotFound` and `Invalid`.
    """
    caller.require("records:read")
    span = _span(hub, caller, record_id, limit, after)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await get_row(conn, hub, caller, get_fields(record_type), record_id)
        found = await timeline.list_changes(conn, span)
    page, following = cut(found, limit, lambda each: (each.at, each.id))
    return History([each for one in page for each in _list_fields(one)], following)


def _list_fields(change: Happened) -> Iterable[FieldChange]:
    detail = change.detail
    run_id = detail["run_id"]
    for name, values in sorted(cast("dict[str, Any]", detail["changes"]).items()):
        pair = halves(values)
        yield FieldChange(
            change.id,
            change.at,
            detail["action"],
            name,
            None if pair is None else pair[0],
            None if pair is None else pair[1],
            pair is None,
            detail["source"],
            detail["actor"],
            detail["connection"],
            UUID(run_id) if run_id else None,
        )


async def undo_change(hub: Hub, caller: Caller, record_type: str, record_id: UUID, change_id: UUID) -> Record:
    """Write back what stood before a change of a record, as an edit of the caller; it goes to every CRM.

    Of a record that was made by it, archives it. Raises `NotFound`, and `Invalid` where something was changed
    since, or cannot come back; then nothing is written.
    """
    caller.require("records:write")
    fields = get_fields(record_type)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        row = await get_row(conn, hub, caller, fields, record_id, lock=True)
        change = await timeline.find_change(conn, record_id, change_id, tenant_id=hub.tenant_id)
        if change is None:
            raise NotFound(f"This {fields.name} has no such change.")
        values = _list_former(change, row)
        owned = {name: value for name, value in values.items() if name in fields.fields}
        await require_references(conn, hub, caller, fields, owned)
        if values:
            by = Editor(caller.name, caller.source)
            row = await write_fields(conn, hub, fields.kind, record_id, row, values, by=by)
        [record] = await make_records(conn, hub, caller, fields, [row])
    return record


def _list_former(change: Happened, row: dict[str, Any]) -> dict[str, Any]:
    action = str(change.detail["action"])
    if action in ("merged", "deleted", "erased"):
        raise Invalid(f"A record that was {action} does not come back by this.")
    if action == "created":
        return {} if row.get("archived_at") else {"archived_at": write_moment(now())}
    found = restore(flatten(dict(row)), cast("dict[str, Any]", change.detail["changes"]))
    if found.spared:
        told = {each.field: each.reason for each in found.spared}
        raise Invalid("That cannot be taken back: something is not as the change left it.", fields=told)
    return found.values
