"""How records stand beside what a CRM was read to have: for comparing them without locking any.

What was agreed on, what waits to be pushed and what a person is asked come in one statement with the record,
so that an edit is seen with its place in the queue or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from syncline.store.keys import ConnectionKeys, ObjectKeys
from syncline.store.locked import decode_row
from syncline.store.payloads import KnownPayload, Table

_decode = msgspec.json.Decoder(float_hook=Decimal).decode


@dataclass(frozen=True, slots=True)
class Standing:
    """A record of ours as it stands towards one remote record."""

    remote_id: str
    record_id: UUID
    row: dict[str, Any]
    base: dict[str, list[Any]]
    sent: dict[str, list[list[Any]]]
    #: True while anything of it waits to be pushed, also parked or held.
    is_queued: bool
    #: Fields with an open conflict.
    disputed: frozenset[str]


def find_standing(record_type: RecordType) -> sql.Composed:
    return sql.SQL("""
select l.remote_id, l.record_id, to_jsonb(c)::text as row, l.base::text as base, l.sent::text as sent,
  exists (select from sync.queue q
          where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s
            and q.record_type = %(record_type)s and q.record_id = l.record_id) as is_queued,
  array(select f.field from sync.conflicts f
        where f.tenant_id = %(tenant_id)s and f.connection_id = %(connection_id)s
          and f.record_type = %(record_type)s and f.record_id = l.record_id and f.status = 'open') as disputed
from sync.links l
join {table} c on c.tenant_id = %(tenant_id)s and c.id = l.record_id
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object_name)s
  and l.record_type = %(record_type)s and l.is_primary and l.remote_id = any(%(remote_ids)s::text[])
  and c.merged_into is null
""").format(table=sql.Identifier("crm", record_type.table))


@dataclass(frozen=True, slots=True)
class _Row:
    remote_id: str
    record_id: UUID
    row: str
    base: str
    sent: str | None
    is_queued: bool
    disputed: list[str]


async def list_standing(
    conn: Conn, record_type: RecordType, remote_ids: Sequence[str], *, keys: ObjectKeys
) -> dict[str, Standing]:
    """Return the records that `remote_ids` are primarily linked to, by remote id."""
    async with conn.cursor(row_factory=class_row(_Row)) as cursor:
        await cursor.execute(
            find_standing(record_type),
            {**keys, "record_type": record_type.name, "remote_ids": list(remote_ids)},
            prepare=False,
        )
        return {
            each.remote_id: Standing(
                each.remote_id,
                each.record_id,
                decode_row(each.row),
                _decode(each.base),
                {} if each.sent is None else _decode(each.sent),
                each.is_queued,
                frozenset(each.disputed),
            )
            for each in await cursor.fetchall()
        }


LIST_KNOWN = sql.SQL("""
select r.remote_id, r.payload_hash, r.mapped_hash, r.remote_updated_at, r.requested_at,
       r.archived_at, r.archived_reason
from {table} r
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s
  and r.remote_id = any(%(remote_ids)s::text[])
""")


async def list_known(
    conn: Conn, table: Table, remote_ids: Sequence[str], *, keys: ConnectionKeys
) -> dict[str, KnownPayload]:
    """Return what is stored of `remote_ids`, without locking it. Unknown ids are absent."""
    async with conn.cursor(row_factory=class_row(KnownPayload)) as cursor:
        await cursor.execute(
            LIST_KNOWN.format(table=table), {**keys, "remote_ids": list(remote_ids)}, prepare=False
        )
        return {row.remote_id: row for row in await cursor.fetchall()}


LIST_LINKED_IDS = """
select l.remote_id from sync.links l
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object_name)s
  and l.remote_id = any(%(remote_ids)s::text[])
union
select t.remote_id from sync.tombstones t
where t.tenant_id = %(tenant_id)s and t.connection_id = %(connection_id)s and t.object = %(object_name)s
  and t.remote_id = any(%(remote_ids)s::text[])
"""


async def list_accounted(conn: Conn, remote_ids: Sequence[str], *, keys: ObjectKeys) -> set[str]:
    """Return those of `remote_ids` that are linked, or must not come back."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(LIST_LINKED_IDS, {**keys, "remote_ids": list(remote_ids)})
        return set(await cursor.fetchall())


def find_lost(record_type: RecordType) -> sql.Composed:
    return sql.SQL("""
select l.remote_id from sync.links l
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object_name)s
  and l.record_type = %(record_type)s
  and not exists (select from {table} c where c.tenant_id = %(tenant_id)s and c.id = l.record_id)
order by l.remote_id
""").format(table=sql.Identifier("crm", record_type.table))


async def list_lost(conn: Conn, record_type: RecordType, *, keys: ObjectKeys) -> list[str]:
    """Return remote ids that are linked to a record which is no more."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(find_lost(record_type), {**keys, "record_type": record_type.name}, prepare=False)
        return await cursor.fetchall()


UNLINK = """
delete from sync.links l
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object_name)s
  and l.remote_id = any(%(remote_ids)s::text[])
"""
# What was read of it has to be looked at again, though it may be what was read before.
FORGET_MEANING = sql.SQL("""
update {table} r set mapped_hash = null
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s
  and r.remote_id = any(%(remote_ids)s::text[])
""")


async def unlink(conn: Conn, table: Table, remote_ids: Sequence[str], *, keys: ObjectKeys) -> None:
    """Take links away, so that the next reading of these remote records makes records of them anew."""
    values = {**keys, "remote_ids": list(remote_ids)}
    await conn.execute(FORGET_MEANING.format(table=table), values, prepare=False)
    await conn.execute(UNLINK, values)


@dataclass(frozen=True, slots=True)
class Unarchived:
    """A record that lives here though the CRM is known to have it no more."""

    remote_id: str
    #: True when our record has been told: somebody brought it back here.
    was_told: bool
    is_explained: bool
    archived_at: datetime


def find_unarchived(record_type: RecordType, payloads: Table) -> sql.Composed:
    return sql.SQL("""
select r.remote_id, r.archived_at,
  coalesce(l.base -> 'archived_at' -> 0, 'null') <> 'null' as was_told,
  exists (select from sync.queue q
          where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s
            and q.record_type = %(record_type)s and q.record_id = l.record_id)
  or exists (select from sync.conflicts f
             where f.tenant_id = %(tenant_id)s and f.connection_id = %(connection_id)s
               and f.record_type = %(record_type)s and f.record_id = l.record_id and f.status = 'open'
               and f.field = 'archived_at') as is_explained
from {payloads} r
join sync.links l on l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s
  and l.object = %(object_name)s and l.remote_id = r.remote_id and l.is_primary
join {table} c on c.tenant_id = %(tenant_id)s and c.id = l.record_id
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s
  and r.archived_reason in ('archived', 'missing') and c.archived_at is null and c.merged_into is null
order by r.remote_id
""").format(table=sql.Identifier("crm", record_type.table), payloads=payloads)


async def list_unarchived(
    conn: Conn, record_type: RecordType, payloads: Table, *, keys: ObjectKeys
) -> list[Unarchived]:
    async with conn.cursor(row_factory=class_row(Unarchived)) as cursor:
        await cursor.execute(
            find_unarchived(record_type, payloads), {**keys, "record_type": record_type.name}, prepare=False
        )
        return await cursor.fetchall()


def find_unmirrored(record_type: RecordType, payloads: Table) -> sql.Composed:
    return sql.SQL("""
select l.remote_id from sync.links l
join {table} c on c.tenant_id = %(tenant_id)s and c.id = l.record_id
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object_name)s
  and l.record_type = %(record_type)s and c.archived_at is null and c.merged_into is null
  and not exists (select from {payloads} r
                  where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s
                    and r.remote_id = l.remote_id)
order by l.remote_id
""").format(table=sql.Identifier("crm", record_type.table), payloads=payloads)


async def list_unmirrored(
    conn: Conn, record_type: RecordType, payloads: Table, *, keys: ObjectKeys
) -> list[str]:
    """Return remote ids that living records are linked to, and of which the mirror holds nothing."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            find_unmirrored(record_type, payloads), {**keys, "record_type": record_type.name}, prepare=False
        )
        return await cursor.fetchall()


def count_of_linked(record_type: RecordType) -> sql.Composed:
    return sql.SQL("""
select count(distinct c.id) from sync.links l
join {table} c on c.tenant_id = %(tenant_id)s and c.id = l.record_id
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object_name)s
  and l.record_type = %(record_type)s and c.archived_at is null and c.merged_into is null
""").format(table=sql.Identifier("crm", record_type.table))


async def count_linked_living(conn: Conn, record_type: RecordType, *, keys: ObjectKeys) -> int:
    """Return how many living records of ours an object's remote records are."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            count_of_linked(record_type), {**keys, "record_type": record_type.name}, prepare=False
        )
        return await cursor.fetchone() or 0
