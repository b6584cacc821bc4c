"""One record: read, made, changed, archived and restored by somebody who may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from syncline.actions.caching import Kind, Question, answer
from syncline.actions.editing import Editor, write_fields
from syncline.actions.hub import Hub
from syncline.actions.kept_out import KNOWN_BY, refuse_erased
from syncline.actions.limits import require_room_within
from syncline.actions.seeing import Record, get_fields, get_row, make_records, may_see, owners_seen
from syncline.actions.stages import PLACE, place_deal
from syncline.clock import new_id, now
from syncline.domain.callers import Caller
from syncline.domain.record_fields import RecordFields
from syncline.domain.record_values import fault_of, read_values
from syncline.domain.records import RECORD_TYPES
from syncline.domain.resolving import to_columns, value_of
from syncline.domain.undoing import stands
from syncline.domain.values import write_moment
from syncline.errors import Forbidden, Invalid, Stale
from syncline.store import edits, making, names, tenants, undo
from syncline.store.db import Conn

ARCHIVED = "archived_at"
#: Records that are kept when they were read, and the tables that they and the names they show come from.
RESTS_ON: Mapping[str, tuple[Kind, frozenset[str]]] = {
    "company": ("company", frozenset({"crm.companies", "crm.owners"})),
    "contact": ("contact", frozenset({"crm.contacts", "crm.companies", "crm.owners"})),
    "deal": (
        "deal",
        frozenset(
            {"crm.deals", "crm.companies", "crm.contacts", "crm.owners", "crm.pipelines", "crm.stages"}
        ),
    ),
}


async def read_record(hub: Hub, caller: Caller, record_type: str, record_id: UUID) -> Record:
    """Return a record with what it refers to. Raises `NotFound`, also for one that is not the caller's."""
    caller.require("records:read")
    fields = get_fields(record_type)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        row = await get_row(conn, hub, caller, fields, record_id)
        [record] = await make_records(conn, hub, caller, fields, [row])
    return record


async def recall_record(hub: Hub, caller: Caller, record_type: str, record_id: UUID) -> Record:
    """Return a record as `read_record` does, or as it was read before where nothing has changed since."""
    caller.require("records:read")
    fields = get_fields(record_type)
    rests_on = RESTS_ON.get(fields.name)
    if rests_on is None:
        return await read_record(hub, caller, record_type, record_id)
    question = Question(rests_on[0], (str(record_id),), rests_on[1], asks_for_me=False)
    return await answer(hub, caller, question, lambda: read_record(hub, caller, record_type, record_id))


async def create_record(hub: Hub, caller: Caller, record_type: str, given: Mapping[str, Any]) -> Record:
    """Make a record; it is queued for every CRM in which records may be made.

    Made by somebody who sees their own records only, it is theirs unless they say that it is nobody's.
    Raises `Invalid` with the fields at fault.
    """
    caller.require("records:write")
    fields = _get_writable(record_type)
    values = read_values(fields, given, making=True)
    if not caller.sees_all and "owner_id" not in values and len(caller.owner_ids) == 1:
        values["owner_id"] = str(next(iter(caller.owner_ids)))
    record_id = new_id()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        row = await insert_records(conn, hub, caller, fields, {record_id: values})
        [record] = await make_records(conn, hub, caller, fields, [row[record_id]])
    return record


async def insert_records(
    conn: Conn,
    hub: Hub,
    caller: Caller,
    fields: RecordFields,
    made: Mapping[UUID, Mapping[str, Any]],
    *,
    checked: bool = False,
) -> dict[UUID, dict[str, Any]]:
    """Make records of values that were read, and return their rows. `checked`: see `complete`.

    Raises `Invalid`, and `LimitReached` where the tenant may store no more.
    """
    await require_room_within(conn, hub, len(made))
    settings = await tenants.get_settings(conn, tenant_id=hub.tenant_id)
    rows: dict[UUID, dict[str, Any]] = {}
    for record_id, values in made.items():
        placed = await complete(conn, hub, caller, fields, {}, values, checked=checked)
        if fields.name == "deal" and placed.get("amount") is not None:
            placed.setdefault("currency", settings.currency)
        columns, derived = to_columns(fields.kind, {}, placed, settings.default_region)
        rows[record_id] = {**columns, **derived}
    await refuse_erased(conn, hub, fields.kind, rows.values())
    await edits.set_author(conn, source=caller.source, actor=caller.name)
    await making.insert(conn, fields.kind, rows, tenant_id=hub.tenant_id)
    return await undo.lock_rows(conn, fields.kind, list(rows), tenant_id=hub.tenant_id)


async def complete(
    conn: Conn,
    hub: Hub,
    caller: Caller,
    fields: RecordFields,
    row: Mapping[str, Any],
    values: Mapping[str, Any],
    *,
    checked: bool = False,
) -> dict[str, Any]:
    """Return values with what follows from them, once everything they refer to is known to be there.

    `checked`: it is known already. Raises `Invalid` for a record that the caller may not see, or may not
    give away to.
    """
    if not checked:
        await require_references(conn, hub, caller, fields, values)
    placed = dict(values)
    if fields.name == "deal" and any(name in values for name in PLACE):
        placed |= await place_deal(conn, row, values, tenant_id=hub.tenant_id)
    if fields.name == "activity" and "contact_id" in values:
        placed["contact_link"] = None if values["contact_id"] is None else "association"
    return placed


async def require_references(
    conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, values: Mapping[str, Any]
) -> None:
    """Raise `Invalid` unless the caller may see every record that values refer to."""
    faults: dict[str, str] = {}
    owner_ids = owners_seen(caller)
    seen = None if owner_ids is None else sorted(owner_ids)
    for name, value in values.items():
        each = fields.fields.get(name)
        if value is None or each is None or each.refers_to is None:
            continue
        if name == "owner_id" and owner_ids is not None and UUID(value) not in owner_ids:
            faults[name] = "You can keep records for yourself, or leave them to nobody."
            continue
        kind, wanted = RECORD_TYPES[each.refers_to], [UUID(value)]
        found = await names.list_labels(conn, kind, wanted, tenant_id=hub.tenant_id, owner_ids=seen)
        if not found:
            faults[name] = f"There is no {each.refers_to} with that id."
    if faults:
        raise fault_of(faults)


async def change_record(
    hub: Hub,
    caller: Caller,
    record_type: str,
    record_id: UUID,
    given: Mapping[str, Any],
    *,
    version: int | None = None,
) -> Record:
    """Change fields of a record, the others stay; it goes to every CRM that may be written to.

    `version` is the one that was read: with it nothing is overwritten that somebody wrote since. What is
    already so changes nothing. Raises `Stale`, `NotFound`, and `Invalid` with the fields at fault.
    """
    caller.require("records:write")
    fields = _get_writable(record_type)
    values = read_values(fields, given)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        row = await get_current(conn, hub, caller, fields, record_id, version)
        require_living(row)
        row = await write_values(conn, hub, caller, fields, row, values)
        if not may_see(caller, fields, row):
            raise Forbidden("That would give the record away.")
        [record] = await make_records(conn, hub, caller, fields, [row])
    return record


async def write_values(
    conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, row: dict[str, Any], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Write values that were read to a locked record, with what follows; returns the row then."""
    placed = await complete(conn, hub, caller, fields, row, values)
    placed = {name: value for name, value in placed.items() if not stands(value_of(row, name), value)}
    if not placed:
        return row
    if not KNOWN_BY.isdisjoint(placed):
        region = (await tenants.get_settings(conn, tenant_id=hub.tenant_id)).default_region
        columns, derived = to_columns(fields.kind, row, placed, region)
        await refuse_erased(conn, hub, fields.kind, [{**row, **columns, **derived}])
    by = Editor(caller.name, caller.source)
    return await write_fields(conn, hub, fields.kind, UUID(row["id"]), row, placed, by=by)


async def get_current(
    conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, record_id: UUID, version: int | None
) -> dict[str, Any]:
    """Lock a record and return its row. Raises `Stale` unless it is still at that version, and `NotFound`."""
    row = await get_row(conn, hub, caller, fields, record_id, lock=True)
    if version is not None and int(row["version"]) != version:
        raise Stale
    return row


def require_living(row: Mapping[str, Any]) -> None:
    if row.get("merged_into"):
        raise Invalid(f"It was merged into {row['merged_into']}; change that one.")
    if row.get(ARCHIVED):
        raise Invalid("It is archived. Restore it before you change it.")


async def archive_record(
    hub: Hub, caller: Caller, record_type: str, record_id: UUID, *, version: int | None = None
) -> Record:
    """Archive a record here, and in every CRM in which records may be archived. Archived already is done."""
    return await _set_archived(hub, caller, record_type, record_id, version, archived=True)


async def restore_record(
    hub: Hub, caller: Caller, record_type: str, record_id: UUID, *, version: int | None = None
) -> Record:
    """Let an archived record live again. Raises `Invalid` for one that was merged into another."""
    return await _set_archived(hub, caller, record_type, record_id, version, archived=False)


async def _set_archived(
    hub: Hub, caller: Caller, record_type: str, record_id: UUID, version: int | None, *, archived: bool
) -> Record:
    caller.require("records:write")
    fields = _get_writable(record_type)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        row = await get_current(conn, hub, caller, fields, record_id, version)
        if row.get("merged_into"):
            raise Invalid(f"It was merged into {row['merged_into']}, and is no record of its own any more.")
        if (row.get(ARCHIVED) is not None) != archived:
            moment = write_moment(now()) if archived else None
            by = Editor(caller.name, caller.source)
            row = await write_fields(conn, hub, fields.kind, record_id, row, {ARCHIVED: moment}, by=by)
        [record] = await make_records(conn, hub, caller, fields, [row])
    return record


async def set_stage(
    hub: Hub,
    caller: Caller,
    deal_id: UUID,
    stage: str,
    *,
    pipeline: str | None = None,
    version: int | None = None,
) -> Record:
    """Move a deal to a stage, named by its id, key or label; status and close date follow.

    Without a `pipeline` a stage of the deal's own is meant. Raises as `change_record` does.
    """
    given: dict[str, Any] = {"stage": stage}
    if pipeline is not None:
        given["pipeline"] = pipeline
    return await change_record(hub, caller, "deal", deal_id, given, version=version)


def _get_writable(record_type: str) -> RecordFields:
    fields = get_fields(record_type)
    if not fields.writable:
        raise Forbidden(f"{fields.plural.capitalize()} are the CRMs' to make and change.")
    return fields
