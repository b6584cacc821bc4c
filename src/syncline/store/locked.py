"""Records of ours as they stand, locked: those a connection has, and those that a stranger may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql
from psycopg.rows import class_row

from syncline.domain.records import RecordType, flatten
from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class ExistingRecord:
    """A record as it stands, locked, and what was agreed with this connection (None: never linked)."""

    remote_id: str
    record_id: UUID
    version: int
    row: dict[str, Any]
    base: dict[str, list[Any]]
    #: Field → pairs on their way to the CRM and not yet answered.
    sent: dict[str, list[list[Any]]] = field(default_factory=dict[str, list[list[Any]]])
    #: False for a remote record that was merged into the one that is.
    is_primary: bool = True


_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def decode_row(text: str) -> dict[str, Any]:
    """Read a row that the database wrote as JSON, each custom field beside the columns."""
    return flatten(_decode(text))


def lock_linked(record_type: RecordType) -> sql.Composed:
    return sql.SQL("""
select l.remote_id, l.is_primary, c.id as record_id, c.version, to_jsonb(c)::text as row,
       l.base::text as base, l.sent::text as sent
from sync.links l
join {table} c on c.tenant_id = %(tenant_id)s and c.id = l.record_id
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
  and l.record_type = %(record_type)s and l.remote_id = any(%(remote_ids)s::text[])
order by c.id
for update of c
""").format(table=sql.Identifier("crm", record_type.table))


@dataclass(frozen=True, slots=True)
class _Row:
    remote_id: str
    is_primary: bool
    record_id: UUID
    version: int
    row: str
    base: str
    sent: str | None


async def lock_linked_records(
    conn: Conn,
    record_type: RecordType,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    remote_ids: Sequence[str],
) -> dict[str, ExistingRecord]:
    """Return the records that `remote_ids` are linked to, locked in id order."""
    async with conn.cursor(row_factory=class_row(_Row)) as cursor:
        await cursor.execute(
            lock_linked(record_type),
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "object": object_name,
                "record_type": record_type.name,
                "remote_ids": list(remote_ids),
            },
            prepare=False,
        )
        return {
            row.remote_id: ExistingRecord(
                row.remote_id,
                row.record_id,
                row.version,
                decode_row(row.row),
                _decode(row.base),
                {} if row.sent is None else _decode(row.sent),
                row.is_primary,
            )
            for row in await cursor.fetchall()
        }


# Two connections that load the same person at once would each find nobody, and make two records.
LOCK_IDENTITIES = """
select case when %(alone)s or (select count(*) from sync.connections c where c.tenant_id = %(tenant_id)s) > 1
  then pg_advisory_xact_lock(7263004, hashtext(%(record_type)s || %(tenant_id)s::uuid::text))
  else pg_advisory_xact_lock_shared(7263004, hashtext(%(record_type)s || %(tenant_id)s::uuid::text)) end
"""


async def lock_identities(
    conn: Conn, record_type: RecordType, *, tenant_id: UUID, alone: bool = False
) -> None:
    """Be the only one who makes records of this type by looking first, until the transaction ends.

    A tenant with one connection has its pulls go on beside each other: its runs of an object exclude each
    other already, and their writers have different records. `alone` excludes those as well.
    """
    await conn.execute(
        LOCK_IDENTITIES, {"tenant_id": tenant_id, "record_type": record_type.name, "alone": alone}
    )


def find_by_identity(record_type: RecordType) -> sql.Composed:
    key = record_type.identity[0] if record_type.identity is not None else "id"
    return sql.SQL("""
select c.{key} as key, c.id as record_id, c.version, to_jsonb(c)::text as row
from {table} c
where c.tenant_id = %(tenant_id)s and c.{key} = any(%(keys)s::text[])
  and c.archived_at is null and c.merged_into is null
  and not exists (select from sync.links l
                  where l.tenant_id = %(tenant_id)s and l.record_id = c.id
                    and l.connection_id = %(connection_id)s)
order by c.id
for update of c
""").format(table=sql.Identifier("crm", record_type.table), key=sql.Identifier(key))


@dataclass(frozen=True, slots=True)
class _Candidate:
    key: str
    record_id: UUID
    version: int
    row: str


async def lock_by_identity(
    conn: Conn,
    record_type: RecordType,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    keys: Sequence[str],
) -> dict[str, list[ExistingRecord]]:
    """Return living records with one of `keys` that this connection has no link to yet, locked."""
    found: dict[str, list[ExistingRecord]] = {}
    async with conn.cursor(row_factory=class_row(_Candidate)) as cursor:
        await cursor.execute(
            find_by_identity(record_type),
            {"tenant_id": tenant_id, "connection_id": connection_id, "keys": list(keys)},
            prepare=False,
        )
        for row in await cursor.fetchall():
            found.setdefault(row.key, []).append(
                ExistingRecord("", row.record_id, row.version, decode_row(row.row), {})
            )
    return found


def find_unlinked_by_id(record_type: RecordType) -> sql.Composed:
    return sql.SQL("""
select c.id::text as key, c.id as record_id, c.version, to_jsonb(c)::text as row
from {table} c
where c.tenant_id = %(tenant_id)s and c.id = any(%(ids)s::uuid[])
  and not exists (select from sync.links l
                  where l.tenant_id = %(tenant_id)s and l.record_id = c.id
                    and l.connection_id = %(connection_id)s and l.record_type = %(record_type)s)
order by c.id
for update of c
""").format(table=sql.Identifier("crm", record_type.table))


async def lock_unlinked_by_id(
    conn: Conn, record_type: RecordType, *, tenant_id: UUID, connection_id: UUID, ids: Sequence[UUID]
) -> dict[UUID, ExistingRecord]:
    """Return records by our own id that this connection has no link to yet, locked in id order."""
    async with conn.cursor(row_factory=class_row(_Candidate)) as cursor:
        await cursor.execute(
            find_unlinked_by_id(record_type),
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "record_type": record_type.name,
                "ids": list(ids),
            },
            prepare=False,
        )
        return {
            row.record_id: ExistingRecord("", row.record_id, row.version, decode_row(row.row), {})
            for row in await cursor.fetchall()
        }
