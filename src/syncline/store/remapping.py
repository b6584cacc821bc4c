"""What is stored of remote records, for mapping it anew: payloads, links with what was agreed on, records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql
from psycopg.rows import class_row, scalar_row

from syncline.domain.records import RecordType
from syncline.store.db import Conn
from syncline.store.locked import ExistingRecord, decode_row
from syncline.store.payloads import Table

_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """A payload as it was read last, without its associations."""

    remote_id: str
    record_id: UUID
    raw: str
    payload_hash: bytes
    mapped_hash: bytes | None
    remote_updated_at: datetime | None
    requested_at: datetime
    archived_at: datetime | None


LIST_STORED = sql.SQL("""
select r.remote_id, l.record_id, (r.raw - 'associations')::text as raw, r.payload_hash, r.mapped_hash,
  r.remote_updated_at, r.requested_at, r.archived_at
from {table} r
join sync.links l on l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s
  and l.object = %(object)s and l.remote_id = r.remote_id and l.is_primary
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s and r.remote_id > %(after)s
order by r.remote_id limit %(limit)s
""")
# The same rows, kept from every other writer: payloads before records, as a pull locks them.
LOCK_STORED = sql.SQL("""
select r.remote_id, l.record_id, (r.raw - 'associations')::text as raw, r.payload_hash, r.mapped_hash,
  r.remote_updated_at, r.requested_at, r.archived_at
from {table} r
join sync.links l on l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s
  and l.object = %(object)s and l.remote_id = r.remote_id and l.is_primary
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s and r.remote_id > %(after)s
order by r.remote_id limit %(limit)s
for update of r
""")


async def list_stored(
    conn: Conn,
    table: Table,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    after: str,
    limit: int,
    lock: bool = False,
) -> list[StoredPayload]:
    """Return the payloads above `after` that records of ours are primarily linked to, in order of their id.

    `lock` keeps them until the transaction ends.
    """
    statement = LOCK_STORED if lock else LIST_STORED
    async with conn.cursor(row_factory=class_row(StoredPayload)) as cursor:
        await cursor.execute(
            statement.format(table=table),
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "object": object_name,
                "after": after,
                "limit": limit,
            },
            prepare=False,
        )
        return await cursor.fetchall()


COUNT_STORED = """
select count(*) from sync.links l
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
  and l.is_primary
"""


async def count_stored(conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str) -> int:
    """Return how many records of ours an object's remote records are linked to."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            COUNT_STORED, {"tenant_id": tenant_id, "connection_id": connection_id, "object": object_name}
        )
        return await cursor.fetchone() or 0


def find_linked(record_type: RecordType) -> sql.Composed:
    return sql.SQL("""
select l.remote_id, c.id as record_id, c.version, to_jsonb(c)::text as row, l.base::text as base,
  l.sent::text as sent
from sync.links l
join {table} c on c.tenant_id = %(tenant_id)s and c.id = l.record_id
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
  and l.record_type = %(record_type)s and l.is_primary and l.remote_id = any(%(remote_ids)s::text[])
""").format(table=sql.Identifier("crm", record_type.table))


@dataclass(frozen=True, slots=True)
class _Linked:
    remote_id: str
    record_id: UUID
    version: int
    row: str
    base: str
    sent: str | None


async def list_linked(
    conn: Conn,
    record_type: RecordType,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    remote_ids: Sequence[str],
) -> dict[str, ExistingRecord]:
    """Return the records that `remote_ids` are primarily linked to, as they stand, without locking any."""
    async with conn.cursor(row_factory=class_row(_Linked)) as cursor:
        await cursor.execute(
            find_linked(record_type),
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
            each.remote_id: ExistingRecord(
                each.remote_id,
                each.record_id,
                each.version,
                decode_row(each.row),
                _decode(each.base),
                {} if each.sent is None else _decode(each.sent),
            )
            for each in await cursor.fetchall()
        }


REBASE = """
update sync.links l
set base = (l.base - s.gone) || s.pairs, mapping_version = %(mapping_version)s
from jsonb_to_recordset(%(rows)s::jsonb) as s (remote_id text, gone text[], pairs jsonb)
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
  and l.remote_id = s.remote_id
"""


async def rebase(
    conn: Conn,
    patches: Mapping[str, Mapping[str, list[Any] | None]],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    mapping_version: int,
) -> None:
    """Change what was agreed on: remote id → field → pair, or None for one that leaves."""
    rows = [
        {
            "remote_id": remote_id,
            "gone": [name for name, each in patch.items() if each is None],
            "pairs": {name: each for name, each in patch.items() if each is not None},
        }
        for remote_id, patch in patches.items()
        if patch
    ]
    if rows:
        await conn.execute(
            REBASE,
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "object": object_name,
                "mapping_version": mapping_version,
                "rows": _encode(rows).decode(),
            },
        )


# One that is null says that the record is to be read again, whatever it means.
SET_HASHES = sql.SQL("""
update {table} r set mapped_hash = s.mapped_hash
from unnest(%(remote_ids)s::text[], %(hashes)s::bytea[]) as s (remote_id, mapped_hash)
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s and r.remote_id = s.remote_id
  and r.mapped_hash is not null and r.mapped_hash is distinct from s.mapped_hash
""")


async def set_hashes(
    conn: Conn,
    table: Table,
    hashes: Mapping[str, bytes | None],
    *,
    tenant_id: UUID,
    connection_id: UUID,
) -> None:
    """Note by which meaning payloads were mapped last: remote id → hash of the mapped properties."""
    await conn.execute(
        SET_HASHES.format(table=table),
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "remote_ids": list(hashes),
            "hashes": list(hashes.values()),
        },
        prepare=False,
    )


LIST_PARKED_KINDS = """
select p.remote_id, p.kind from sync.parked p
where p.tenant_id = %(tenant_id)s and p.connection_id = %(connection_id)s and p.object = %(object)s
"""


async def list_parked_kinds(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> dict[str, str]:
    """Return remote id → why it is parked: its `payload`, or a `value`."""
    cursor = await conn.execute(
        LIST_PARKED_KINDS, {"tenant_id": tenant_id, "connection_id": connection_id, "object": object_name}
    )
    return {str(row[0]): str(row[1]) for row in await cursor.fetchall()}
