"""Records from a file: its columns guessed, each row shown as new, changed, the same or wrong, then imported.

What is there already is recognised by its id, a contact by its address, a company by its domain, whatever has
none by what the same line of the same file was made before; whatever means several records is not guessed at.
Applied (`importing_again`) and taken back as any batch (`batches`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from syncline.actions.hub import Hub
from syncline.actions.importing_rows import Planner
from syncline.actions.seeing import get_fields
from syncline.clock import new_id, now
from syncline.domain.callers import Caller
from syncline.domain.record_fields import RecordFields
from syncline.domain.record_values import fault_of
from syncline.domain.tables import Manner, guess_mapping, read_table
from syncline.errors import Forbidden, Invalid
from syncline.store import batch_rows, batches, tenants
from syncline.store.batch_rows import Action, Row
from syncline.store.batches import Batch
from syncline.store.db import Conn

#: Rows planned in one statement.
_AT_ONCE = 1_000
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file."""

    name: str
    #: The field it is taken for, or 'id'; None: it is left out.
    field: str | None
    #: The first few of its cells that hold something.
    samples: list[str]


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import would do. Nothing is done until it is applied."""

    batch: Batch
    columns: list[Column]
    manner: Manner
    #: `create`, `change`, `none`, `invalid` → rows.
    counts: dict[Action, int]
    #: The first rows of each kind, the wrong ones with their reasons.
    rows: list[Row]


async def upload_import(
    hub: Hub, caller: Caller, record_type: str, data: bytes, *, file_name: str = ""
) -> ImportPlan:
    """Read a file, guess its columns, and plan its import. Raises `Invalid` for what is no table."""
    caller.require("records:bulk")
    fields = get_fields(record_type)
    if not fields.writable:
        raise Forbidden(f"{fields.plural.capitalize()} are the CRMs' to make and change.")
    table = read_table(data)
    mapping = guess_mapping(fields, table.columns)
    batch_id = new_id()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        zone = (await tenants.get_settings(conn, tenant_id=hub.tenant_id)).time_zone
        await batches.forget_unused(conn, tenant_id=hub.tenant_id, now=now())
        terms = {
            "file": "".join(each for each in file_name[:200] if each.isprintable()),
            "columns": table.columns,
            "mapping": mapping,
            "manner": asdict(Manner(zone)),
            "digest": hashlib.sha256(data).hexdigest(),
        }
        await batches.insert(
            conn,
            batch_id,
            "import",
            fields.name,
            terms,
            tenant_id=hub.tenant_id,
            source=caller.source,
            planned_by=caller.name,
            now=now(),
        )
        for start in range(0, len(table.rows), _AT_ONCE):
            rows = [
                Row(line, None, "waiting", "none", {"cells": cells}, None)
                for line, cells in table.rows[start : start + _AT_ONCE]
            ]
            await batch_rows.put_rows(conn, batch_id, rows, tenant_id=hub.tenant_id)
        await batches.count_rows(conn, batch_id, tenant_id=hub.tenant_id)
        await _plan(conn, hub, caller, fields, batch_id)
        return await _show(conn, hub, batch_id)


async def map_import(
    hub: Hub,
    caller: Caller,
    batch_id: UUID,
    mapping: Mapping[str, str | None],
    *,
    manner: Manner | None = None,
) -> ImportPlan:
    """Say which column is which field, and plan anew. Columns that are not named are left out.

    Raises `NotFound`, and `Invalid` for a column or field that there is not, or an import that has begun.
    """
    caller.require("records:bulk")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        batch = await _get(conn, hub, batch_id, lock=True)
        fields = get_fields(batch.record_type)
        _require_mapping(fields, batch, mapping, manner)
        terms = {**batch.terms, "mapping": {name: mapping.get(name) for name in batch.terms["columns"]}}
        if manner is not None:
            terms["manner"] = asdict(manner)
        await batches.set_terms(conn, batch_id, terms, tenant_id=hub.tenant_id)
        await _plan(conn, hub, caller, fields, batch_id)
        return await _show(conn, hub, batch_id)


async def read_import(hub: Hub, caller: Caller, batch_id: UUID) -> ImportPlan:
    """Return what was planned. Raises `NotFound`."""
    caller.require("records:bulk")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await _show(conn, hub, batch_id)


async def _get(conn: Conn, hub: Hub, batch_id: UUID, *, lock: bool) -> Batch:
    batch = await batches.get(conn, batch_id, tenant_id=hub.tenant_id, lock=lock)
    if batch.kind != "import" or batch.state != "planned":
        raise Invalid("That import has begun, or is none. Upload the file again.")
    return batch


def _require_mapping(
    fields: RecordFields, batch: Batch, mapping: Mapping[str, str | None], manner: Manner | None
) -> None:
    faults: dict[str, str] = {}
    seen: dict[str, str] = {}
    for column, name in mapping.items():
        each = fields.find(name) if name else None
        if column not in batch.terms["columns"]:
            faults[column] = "The file has no such column."
        elif name and name != "id" and (each is None or not each.writable):
            faults[column] = f"{name[:100]!r} is no field that can be written."
        elif name and name in seen:
            faults[column] = f"{name} comes from {seen[name]!r} already."
        elif name:
            seen[name] = column
    if not seen and not faults:
        faults["mapping"] = "At least one column has to be a field."
    if manner is not None and manner.zone not in available_timezones():
        faults["zone"] = "There is no such time zone; one is called Europe/Berlin."
    if manner is not None and manner.dates not in ("iso", "dmy", "mdy"):
        faults["dates"] = "One of iso, dmy, mdy."
    if faults:
        raise fault_of(faults)


async def _plan(conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, batch_id: UUID) -> None:
    batch = await batches.get(conn, batch_id, tenant_id=hub.tenant_id)
    planner = Planner(conn, hub, caller, fields, batch)
    after = 0
    while True:
        rows = await batch_rows.list_rows(
            conn, batch_id, tenant_id=hub.tenant_id, limit=_AT_ONCE, after=after
        )
        if not rows:
            return
        planned = await planner.plan(rows)
        await batch_rows.put_rows(conn, batch_id, planned, tenant_id=hub.tenant_id)
        after = rows[-1].position


async def _show(conn: Conn, hub: Hub, batch_id: UUID) -> ImportPlan:
    batch = await batches.get(conn, batch_id, tenant_id=hub.tenant_id)
    terms = batch.terms
    look = partial(batch_rows.list_rows, conn, batch_id, tenant_id=hub.tenant_id, limit=_SHOWN)
    first = await look()
    shown = {row.position: row for row in first}
    kinds: tuple[Action, ...] = ("invalid", "change", "create")
    for kind in kinds:
        shown |= {row.position: row for row in await look(action=kind)}
    return ImportPlan(
        batch,
        _show_columns(terms, first),
        Manner(**terms["manner"]),
        await batch_rows.count_actions(conn, batch_id, tenant_id=hub.tenant_id),
        [shown[position] for position in sorted(shown)],
    )


def _show_columns(terms: Mapping[str, Any], rows: Sequence[Row]) -> list[Column]:
    columns: list[Column] = []
    for index, name in enumerate(terms["columns"]):
        cells = [str(((row.values or {}).get("cells") or [""] * (index + 1))[index]) for row in rows]
        filled = [cell[:100] for cell in cells if cell.strip()]
        columns.append(Column(name, terms["mapping"].get(name), list(dict.fromkeys(filled))[:3]))
    return columns
