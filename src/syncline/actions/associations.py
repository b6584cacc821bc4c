"""What belongs to what: a record's references, what refers to it, and what a CRM associates with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.actions.records import get_current, require_living, write_values
from syncline.actions.seeing import Record, get_fields, get_row, list_labels, make_records, owners_seen
from syncline.domain.callers import Caller
from syncline.domain.filters import Filter, read_sort
from syncline.domain.record_fields import RECORD_FIELDS, RecordFields
from syncline.errors import Invalid
from syncline.store import record_lists, related
from syncline.store.db import Conn
from syncline.store.record_lists import Listing

#: Of each kind that refers to a record so many are told; the list filtered by the reference has them all.
AT_MOST = 50
#: Parent's kind → column that refers to it.
COLUMNS: Mapping[str, str] = {"company": "company_id", "contact": "contact_id", "deal": "deal_id"}


@dataclass(frozen=True, slots=True)
class Association:
    record_type: str
    id: UUID
    label: str
    #: The field that says so, of this record (`refers`) or of the other (`referred`); None where only a CRM
    #: says it.
    field: str | None
    direction: str
    #: What the CRM calls it, and which one: of what only a CRM says.
    crm_label: str | None = None
    connection: str | None = None


@dataclass(frozen=True, slots=True)
class Associations:
    items: list[Association]
    #: Kinds of which there are more.
    more: list[str]


async def list_associations(hub: Hub, caller: Caller, record_type: str, record_id: UUID) -> Associations:
    """Return what a record belongs to and what belongs to it, as far as the caller sees it."""
    caller.require("records:read")
    fields = get_fields(record_type)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        row = await get_row(conn, hub, caller, fields, record_id)
        [record] = await make_records(conn, hub, caller, fields, [row])
        items = [
            Association(each.record_type, each.id, each.label, name, "refers")
            for name, each in record.references.items()
            if name in COLUMNS.values() and each.label is not None
        ]
        more: list[str] = []
        for child in _children(fields):
            found = await _list_children(conn, hub, caller, child, COLUMNS[fields.name], record_id)
            items += [
                Association(child.name, each.id, each.label, COLUMNS[fields.name], "referred")
                for each in found[:AT_MOST]
            ]
            more += [child.name] * (len(found) > AT_MOST)
        items += await _list_related(conn, hub, caller, fields, record_id, {each.id for each in items})
    return Associations(items, more)


def _children(fields: RecordFields) -> list[RecordFields]:
    column = COLUMNS.get(fields.name)
    return [each for each in RECORD_FIELDS.values() if column is not None and column in each.fields]


async def _list_children(
    conn: Conn, hub: Hub, caller: Caller, child: RecordFields, column: str, record_id: UUID
) -> Sequence[Record]:
    listing = Listing(child, (Filter(column, "eq", (str(record_id),)),), "no", owners_seen(caller))
    rows = await record_lists.list_page(
        conn, listing, read_sort(child, None), after=None, limit=AT_MOST + 1, tenant_id=hub.tenant_id
    )
    return await make_records(conn, hub, caller, child, [each.row for each in rows])


async def _list_related(
    conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, record_id: UUID, told: set[UUID]
) -> list[Association]:
    found = await related.list_related(
        conn, fields.name, record_id, tenant_id=hub.tenant_id, limit=4 * AT_MOST
    )
    others = [each for each in found if each.record_id not in told and each.record_type in RECORD_FIELDS]
    wanted = {(each.record_type, each.record_id) for each in others}
    labels = await list_labels(conn, hub, caller, wanted)
    return [
        Association(
            each.record_type,
            each.record_id,
            labels[each.record_type, each.record_id],
            None,
            "associated",
            each.label,
            each.connection,
        )
        for each in others
        if (each.record_type, each.record_id) in labels
    ]


async def add_association(
    hub: Hub, caller: Caller, record_type: str, record_id: UUID, other_type: str, other_id: UUID
) -> None:
    """Let a record belong to another, whichever of them is named first; what it belonged to is replaced.

    It goes to every CRM where associating is allowed. Raises `NotFound`, and `Invalid` for kinds of which
    neither belongs to the other.
    """
    await _associate(hub, caller, (record_type, record_id), (other_type, other_id), remove=False)


async def remove_association(
    hub: Hub, caller: Caller, record_type: str, record_id: UUID, other_type: str, other_id: UUID
) -> None:
    """Let a record no longer belong to another. Where it does not, nothing changes."""
    await _associate(hub, caller, (record_type, record_id), (other_type, other_id), remove=True)


async def _associate(
    hub: Hub, caller: Caller, one: tuple[str, UUID], other: tuple[str, UUID], *, remove: bool
) -> None:
    caller.require("records:write")
    child, child_id, parent, parent_id = _order(get_fields(one[0]), one[1], get_fields(other[0]), other[1])
    column = COLUMNS[parent.name]
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await get_row(conn, hub, caller, parent, parent_id)
        row = await get_current(conn, hub, caller, child, child_id, None)
        require_living(row)
        if not remove:
            await write_values(conn, hub, caller, child, row, {column: str(parent_id)})
        elif row.get(column) == str(parent_id):
            await write_values(conn, hub, caller, child, row, {column: None})


def _order(
    one: RecordFields, one_id: UUID, other: RecordFields, other_id: UUID
) -> tuple[RecordFields, UUID, RecordFields, UUID]:
    if COLUMNS.get(other.name) in one.fields:
        return one, one_id, other, other_id
    if COLUMNS.get(one.name) in other.fields:
        return other, other_id, one, one_id
    raise Invalid(
        f"A {one.name} and a {other.name} do not belong to each other here.",
        fields={"record_type": f"Nothing of this kind belongs to a {one.name}, nor it to that."},
    )
