"""Records made by people, one or many in a statement; row triggers log them and queue them for the CRMs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import errors, sql

from syncline.domain.records import RecordType
from syncline.errors import Invalid
from syncline.store import undo
from syncline.store.db import Conn
from syncline.store.rows import to_json

SET_RUN = "select app.set_run(%(run_id)s::uuid)"


async def set_run(conn: Conn, run_id: UUID) -> None:
    """Say under which run what follows in the transaction is logged."""
    await conn.execute(SET_RUN, {"run_id": run_id})


def insert_rows(kind: RecordType, names: Sequence[str]) -> sql.Composed:
    """Compose the insert of records with some columns; what a record's document leaves out is null."""
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in names)
    values = sql.SQL(", ").join(sql.SQL("(r.p).{}").format(sql.Identifier(name)) for name in names)
    return sql.SQL("""
insert into {table} (tenant_id, id, {columns})
select %(tenant_id)s, r.id, {values}
from (select d.id, jsonb_populate_record(null::{table}, d.values) as p
      from jsonb_to_recordset(%(rows)s::jsonb) as d (id uuid, values jsonb)) r
on conflict (tenant_id, id) do nothing
""").format(table=sql.Identifier("crm", kind.table), columns=columns, values=values)


async def insert(
    conn: Conn, kind: RecordType, rows: Mapping[UUID, Mapping[str, Any]], *, tenant_id: UUID
) -> None:
    """Make records: id → column → value as JSON has it. Raises `Invalid` for a value that none can have."""
    if not rows:
        return
    # A column that has a default must not be told that it has none.
    names = sorted(
        {name for values in rows.values() for name in values} | _DEFAULTS.get(kind.name, frozenset())
    )
    filled: list[dict[str, Any]] = [
        {"id": each, "values": {**_VALUES.get(kind.name, {}), "custom_fields": {}, **values}}
        for each, values in rows.items()
    ]
    parameters = {"tenant_id": tenant_id, "rows": to_json(filled)}
    try:
        async with conn.transaction():
            await conn.execute(
                insert_rows(kind, sorted({*names, "custom_fields"})), parameters, prepare=False
            )
    except (errors.DataError, errors.IntegrityError):
        # The driver's words would repeat the values.
        raise Invalid(f"A {kind.name} cannot have those values.") from None


_VALUES: Mapping[str, Mapping[str, Any]] = {"deal": {"status": "open"}}
_DEFAULTS = {kind: frozenset(values) for kind, values in _VALUES.items()}


async def change(
    conn: Conn, kind: RecordType, rows: Mapping[UUID, Mapping[str, Any]], *, tenant_id: UUID
) -> None:
    """Write columns of records that are locked, all or none. Raises `Invalid` for what none can have."""
    try:
        async with conn.transaction():
            await undo.write(conn, kind, rows, tenant_id=tenant_id)
    except (errors.DataError, errors.IntegrityError):
        raise Invalid(f"A {kind.name} cannot have those values.") from None
