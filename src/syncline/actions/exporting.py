"""Lists as files: every record that somebody sees in a list, as CSV, a page at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID

from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.actions.record_pages import Wanted, find_listing
from syncline.actions.seeing import Record, get_fields, make_records
from syncline.domain.callers import Caller
from syncline.domain.filters import Place, read_sort
from syncline.domain.record_fields import RecordFields
from syncline.domain.records import CUSTOM
from syncline.domain.tables import write_lines
from syncline.errors import Invalid
from syncline.store import record_lists

_AT_ONCE = 1_000
#: Lets spreadsheets that would guess another encoding read UTF-8.
BOM = "\ufeff"


async def export_csv(
    hub: Hub,
    caller: Caller,
    record_type: str,
    wanted: Wanted | None = None,
    *,
    columns: Sequence[str] = (),
    bom: bool = False,
) -> AsyncGenerator[bytes]:
    """Check what is asked for, write down that it was, and return the file in parts.

    `columns` are fields, `custom_fields.key` or `id`; none: all fields. References stand by name beside their
    ids. No transaction is open between two parts. Raises `Invalid` before the first.
    """
    caller.require("records:read")
    fields, wanted = get_fields(record_type), wanted or Wanted()
    sort = read_sort(fields, wanted.sort)
    chosen = list(columns) or ["id", *fields.fields]
    for name in chosen:
        if name != "id" and fields.find(name) is None:
            raise Invalid(
                f"There is no column {name[:100]!r}.", fields={"columns": f"{name[:100]} is no field."}
            )
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        # What cannot be asked for is told now, while there is no answer yet.
        await find_listing(conn, hub, caller, fields, wanted)
        await note(conn, caller, "records.exported", fields.plural, {"columns": len(chosen)})

    async def parts() -> AsyncGenerator[bytes]:
        yield ((BOM if bom else "") + write_lines([_head(fields, chosen)])).encode()
        place: Place | None = None
        while True:
            async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
                listing, _ = await find_listing(conn, hub, caller, fields, wanted)
                rows = await record_lists.list_page(
                    conn, listing, sort, after=place, limit=_AT_ONCE, tenant_id=hub.tenant_id
                )
                records = await make_records(conn, hub, caller, fields, [each.row for each in rows])
            if rows:
                yield write_lines(_line(each, chosen) for each in records).encode()
            if len(rows) < _AT_ONCE:
                return
            place = Place(rows[-1].place, UUID(rows[-1].row["id"]))

    return parts()


def _head(fields: RecordFields, columns: Sequence[str]) -> list[str]:
    head: list[str] = []
    for name in columns:
        head.append(name)
        each = fields.fields.get(name)
        if each is not None and each.type == "reference":
            head.append(f"{name.removesuffix('_id')}_name")
    return head


def _line(record: Record, columns: Sequence[str]) -> list[Any]:
    line: list[Any] = []
    for name in columns:
        if name == "id":
            line.append(record.id)
        elif name.startswith(CUSTOM):
            line.append(record.values["custom_fields"].get(name.removeprefix(CUSTOM)))
        else:
            line.append(record.values.get(name))
            if record.fields.fields[name].type == "reference":
                reference = record.references.get(name)
                line.append(None if reference is None else reference.label)
    return line
