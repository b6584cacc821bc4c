"""One record edited on a person's behalf: locked, written, and logged by the row triggers under their name.

Knows no conflict and no policy; what is to be written has been decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import errors, sql
from psycopg.rows import scalar_row

from syncline.domain.agreement import encode
from syncline.domain.records import RecordType
from syncline.errors import Invalid
from syncline.store.db import Conn
from syncline.store.keys import ObjectKeys
from syncline.store.rows import exact_rows

SET_AUTHOR = "select app.set_author(%(source)s, %(actor)s, %(connection_id)s::uuid)"


async def set_author(conn: Conn, *, source: str, actor: str, connection_id: UUID | None = None) -> None:
    """Say who edits from here on in the transaction; what a connection says is not queued back to it."""
    await conn.execute(SET_AUTHOR, {"source": source, "actor": actor, "connection_id": connection_id})


@dataclass(frozen=True, slots=True)
class _Row:
    row: dict[str, Any]


FIND_ROW = sql.SQL("""
select to_jsonb(c) as row from {table} c where c.tenant_id = %(tenant_id)s and c.id = %(record_id)s
""")


async def find_row(
    conn: Conn, kind: RecordType, record_id: UUID, *, tenant_id: UUID
) -> dict[str, Any] | None:
    """Return a record's columns as JSON has them; None when it is gone."""
    return await _fetch_row(conn, FIND_ROW, kind, record_id, tenant_id)


LOCK_ROW = sql.SQL("""
select to_jsonb(c) as row from {table} c where c.tenant_id = %(tenant_id)s and c.id = %(record_id)s for update
""")


async def lock_row(
    conn: Conn, kind: RecordType, record_id: UUID, *, tenant_id: UUID
) -> dict[str, Any] | None:
    """Lock a record and return its columns as JSON has them; None when it is gone."""
    return await _fetch_row(conn, LOCK_ROW, kind, record_id, tenant_id)


async def _fetch_row(
    conn: Conn, statement: sql.SQL, kind: RecordType, record_id: UUID, tenant_id: UUID
) -> dict[str, Any] | None:
    composed = statement.format(table=sql.Identifier("crm", kind.table))
    async with exact_rows(conn, _Row) as cursor:
        await cursor.execute(composed, {"tenant_id": tenant_id, "record_id": record_id})
        found = await cursor.fetchone()
    return None if found is None else found.row


def update_columns(kind: RecordType, names: Sequence[str]) -> sql.Composed:
    """Compose the update of some columns; values come as JSON and take the columns' own types."""
    settings = sql.SQL(", ").join(sql.SQL("{0} = p.{0}").format(sql.Identifier(name)) for name in names)
    return sql.SQL(
        "update {table} c set {settings} from jsonb_populate_record(null::{table}, %(values)s::jsonb) p"
        " where c.tenant_id = %(tenant_id)s and c.id = %(record_id)s"
    ).format(table=sql.Identifier("crm", kind.table), settings=settings)


async def write_columns(
    conn: Conn, kind: RecordType, record_id: UUID, values: Mapping[str, Any], *, tenant_id: UUID
) -> None:
    """Write columns of one record. Raises `Invalid` for a value that its column cannot take.

    After that the transaction is of no more use.
    """
    parameters = {"tenant_id": tenant_id, "record_id": record_id, "values": encode(values)}
    try:
        await conn.execute(update_columns(kind, list(values)), parameters, prepare=False)
    except (errors.DataError, errors.IntegrityError):
        # The driver's words would repeat the value.
        raise Invalid(f"A {kind.name} cannot have that value in {', '.join(values)}.") from None


@dataclass(frozen=True, slots=True)
class HeldLink:
    """A link, locked."""

    record_id: UUID
    is_primary: bool
    base: dict[str, list[Any]]


LOCK_LINK = """
select l.record_id, l.is_primary, l.base from sync.links l
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object_name)s
  and l.remote_id = %(remote_id)s
for update
"""


async def lock_link(conn: Conn, remote_id: str, *, keys: ObjectKeys) -> HeldLink | None:
    """Lock the link of a remote record. Lock its record first."""
    async with exact_rows(conn, HeldLink) as cursor:
        await cursor.execute(LOCK_LINK, {**keys, "remote_id": remote_id})
        return await cursor.fetchone()


AGREE = """
update sync.links set base = base || %(pairs)s::jsonb
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object_name)s
  and remote_id = %(remote_id)s
"""


async def agree(conn: Conn, remote_id: str, pairs: Mapping[str, Sequence[Any]], *, keys: ObjectKeys) -> None:
    """Lay pairs over what was agreed on with a remote record."""
    await conn.execute(AGREE, {**keys, "remote_id": remote_id, "pairs": encode(pairs)})


FIND_OWNER = """
select o.id from crm.owners o
where o.tenant_id = %(tenant_id)s and o.email_norm = lower(btrim(%(email)s)) and o.archived_at is null
  and o.merged_into is null
order by o.id limit 2
"""


async def find_owner(conn: Conn, email: str, *, tenant_id: UUID) -> UUID | None:
    """Return the one living owner with that address; None where there is none, or more than one."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(FIND_OWNER, {"tenant_id": tenant_id, "email": email})
        found: list[UUID] = await cursor.fetchall()
    return found[0] if len(found) == 1 else None
