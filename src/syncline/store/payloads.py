"""The tables of `raw`: what each CRM said last, by platform and object. Knows nothing of what it means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row, scalar_row

from syncline.store.db import Conn

#: The name of a raw table, quoted for use in a statement.
Table: TypeAlias = sql.Identifier


def table_of(platform: str, object_name: str) -> Table:
    """Name the raw table of an object. The parts are quoted, whatever they hold."""
    return sql.Identifier("raw", f"{platform}_{object_name}")


@dataclass(frozen=True, slots=True)
class KnownPayload:
    """What is stored of a remote record, without its payload."""

    remote_id: str
    payload_hash: bytes
    mapped_hash: bytes | None
    remote_updated_at: datetime | None
    requested_at: datetime
    archived_at: datetime | None
    archived_reason: str | None


class NewPayload(NamedTuple):
    """A row to be written, in the order the staging table has."""

    remote_id: str
    raw: str
    payload_hash: bytes
    mapped_hash: bytes | None
    remote_updated_at: datetime | None
    requested_at: datetime
    archived_at: datetime | None
    archived_reason: str | None


# Locks in id order, so that two writers of one object cannot wait for each other in a ring.
LOCK_KNOWN = sql.SQL("""
select r.remote_id, r.payload_hash, r.mapped_hash, r.remote_updated_at, r.requested_at,
       r.archived_at, r.archived_reason
from {table} r
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s
  and r.remote_id = any(%(remote_ids)s::text[])
order by r.remote_id
for update
""")


async def lock_known(
    conn: Conn,
    table: Table,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    remote_ids: Sequence[str],
) -> dict[str, KnownPayload]:
    """Return what is stored of `remote_ids`, locked until the transaction ends. Unknown ids are absent."""
    async with conn.cursor(row_factory=class_row(KnownPayload)) as cursor:
        await cursor.execute(
            LOCK_KNOWN.format(table=table),
            {"tenant_id": tenant_id, "connection_id": connection_id, "remote_ids": list(remote_ids)},
            prepare=False,
        )
        return {row.remote_id: row for row in await cursor.fetchall()}


# STORAGE EXTERNAL and the wide target keep TOAST from compressing text that is read once: 1.1 to 1.5 s
# of 32,000 records.
CREATE_STAGING = """
create temp table pull_payloads (
  remote_id text, raw text, payload_hash bytea, mapped_hash bytea, remote_updated_at timestamptz,
  requested_at timestamptz, archived_at timestamptz, archived_reason text
) with (toast_tuple_target = 8160) on commit drop
"""
KEEP_PLAIN = "alter table pull_payloads alter column raw set storage external"
COPY_STAGING = "copy pull_payloads from stdin (format binary)"
STAGING_TYPES = ("text", "text", "bytea", "bytea", "timestamptz", "timestamptz", "timestamptz", "text")

# The payload is cast to jsonb here and nowhere else: only rows that changed come this far. Associations
# are read by calls of their own and kept across a rewrite. The guard keeps time from running backwards
# even if somebody wrote between the look and the write.
UPSERT = sql.SQL("""
insert into {table} as r (tenant_id, connection_id, remote_id, raw, payload_hash, mapped_hash,
  remote_updated_at, requested_at, archived_at, archived_reason, synced_at)
select %(tenant_id)s, %(connection_id)s, s.remote_id, s.raw::jsonb, s.payload_hash, s.mapped_hash,
  s.remote_updated_at, s.requested_at, s.archived_at, s.archived_reason, %(now)s
from pull_payloads s
on conflict (tenant_id, connection_id, remote_id) do update set
  raw = case when r.raw ? 'associations'
             then excluded.raw || jsonb_build_object('associations', r.raw -> 'associations')
             else excluded.raw end,
  payload_hash = excluded.payload_hash, mapped_hash = excluded.mapped_hash,
  remote_updated_at = excluded.remote_updated_at, requested_at = excluded.requested_at,
  archived_at = excluded.archived_at, archived_reason = excluded.archived_reason, merged_into = null,
  synced_at = excluded.synced_at
where r.remote_updated_at is null or excluded.remote_updated_at is null
   or (r.remote_updated_at, r.requested_at) <= (excluded.remote_updated_at, excluded.requested_at)
returning r.remote_id
""")


async def upsert(
    conn: Conn,
    table: Table,
    rows: Iterable[NewPayload],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    now: datetime,
) -> set[str]:
    """Write payloads, many in one statement, and return whose. Needs a transaction; once per transaction.

    Absent from the answer are those that somebody else wrote in the meantime, of a later state.
    """
    await conn.execute(CREATE_STAGING)
    await conn.execute(KEEP_PLAIN)
    async with conn.cursor() as cursor, cursor.copy(COPY_STAGING) as copy:
        copy.set_types(STAGING_TYPES)
        for row in rows:
            await copy.write_row(row)
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            UPSERT.format(table=table),
            {"tenant_id": tenant_id, "connection_id": connection_id, "now": now},
            prepare=False,
        )
        return set(await cursor.fetchall())


MARK_GONE = sql.SQL("""
update {table} r
set archived_at = %(now)s, archived_reason = %(reason)s, merged_into = %(merged_into)s, synced_at = %(now)s,
  requested_at = greatest(r.requested_at, %(asked_at)s)
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s
  and r.remote_id = any(%(remote_ids)s::text[])
  and (r.archived_at is null or %(reason)s = 'merged' and r.archived_reason <> 'merged')
returning r.remote_id
""")


async def mark_gone(
    conn: Conn,
    table: Table,
    remote_ids: Sequence[str],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    reason: str,
    now: datetime,
    merged_into: str | None = None,
    asked_at: datetime | None = None,
) -> list[str]:
    """Mark records that the CRM no longer has, and return those that lived until now.

    `asked_at` is when the CRM was asked for them in vain: what was read of them before is outdated.
    """
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            MARK_GONE.format(table=table),
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "remote_ids": list(remote_ids),
                "reason": reason,
                "merged_into": merged_into,
                "asked_at": asked_at,
                "now": now,
            },
        )
        return await cursor.fetchall()


COUNT_LIVING = sql.SQL("""
select count(*) from {table} r
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s and r.archived_at is null
""")


async def count_living(conn: Conn, table: Table, *, tenant_id: UUID, connection_id: UUID) -> int:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            COUNT_LIVING.format(table=table), {"tenant_id": tenant_id, "connection_id": connection_id}
        )
        return await cursor.fetchone() or 0


HAS_ANY = sql.SQL("""
select exists (select from {table}
               where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s)
""")


async def has_any(conn: Conn, table: Table, *, tenant_id: UUID, connection_id: UUID) -> bool:
    values = {"tenant_id": tenant_id, "connection_id": connection_id}
    cursor = await conn.execute(HAS_ANY.format(table=table), values)
    row = await cursor.fetchone()
    return bool(row and row[0])


LIST_LIVING_IDS = sql.SQL("""
select r.remote_id from {table} r
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s and r.archived_at is null
""")


async def list_living_ids(conn: Conn, table: Table, *, tenant_id: UUID, connection_id: UUID) -> list[str]:
    """Return the ids of all records the mirror holds as living, in no order."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            LIST_LIVING_IDS.format(table=table), {"tenant_id": tenant_id, "connection_id": connection_id}
        )
        return await cursor.fetchall()


FILTER_LIVING = sql.SQL("""
select r.remote_id from {table} r
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s and r.archived_at is null
  and r.remote_id = any(%(remote_ids)s::text[])
""")


async def filter_living(
    conn: Conn, table: Table, remote_ids: Sequence[str], *, tenant_id: UUID, connection_id: UUID
) -> set[str]:
    """Return those of `remote_ids` that the mirror holds as living."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            FILTER_LIVING.format(table=table),
            {"tenant_id": tenant_id, "connection_id": connection_id, "remote_ids": list(remote_ids)},
        )
        return set(await cursor.fetchall())


LIST_VALUES = sql.SQL("""
select r.remote_id, r.raw #>> %(path)s::text[] from {table} r
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s and r.archived_at is null
  and r.remote_id = any(%(remote_ids)s::text[]) and coalesce(r.raw #>> %(path)s::text[], '') <> ''
""")


async def list_values(
    conn: Conn,
    table: Table,
    remote_ids: Sequence[str],
    path: Sequence[str],
    *,
    tenant_id: UUID,
    connection_id: UUID,
) -> list[tuple[str, str]]:
    """Return (remote id, the text at `path` of its payload) of living records that have one."""
    values = {
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "remote_ids": list(remote_ids),
        "path": list(path),
    }
    cursor = await conn.execute(LIST_VALUES.format(table=table), values, prepare=False)
    return [(str(remote_id), str(value)) for remote_id, value in await cursor.fetchall()]


LIST_UNMAPPED = sql.SQL("""
select r.remote_id from {table} r
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s and r.archived_at is null
  and (r.mapped_hash is null or %(everything)s) and r.remote_id > %(after)s
order by r.remote_id limit %(limit)s
""")


async def list_unmapped(
    conn: Conn,
    table: Table,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    after: str,
    limit: int,
    everything: bool = False,
) -> list[str]:
    """Return ids of living records that refer to what was not known when they were read, in order.

    They are above `after`. `everything` returns the other living records as well.
    """
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            LIST_UNMAPPED.format(table=table),
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "after": after,
                "limit": limit,
                "everything": everything,
            },
        )
        return await cursor.fetchall()


HAS_TABLE = "select to_regclass(format('raw.%%I', %(name)s::text)) is not null"
ADD_OBJECT = "select raw.add_object(%(platform)s, %(object)s)"


async def ensure_table(conn: Conn, platform: str, object_name: str) -> Table:
    """Return the object's table, made if this object has none yet (custom objects)."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(HAS_TABLE, {"name": f"{platform}_{object_name}"})
        if not await cursor.fetchone():
            await cursor.execute(ADD_OBJECT, {"platform": platform, "object": object_name})
    return table_of(platform, object_name)
