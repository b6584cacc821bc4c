"""Records written many at a time by a pull: crm.* rows, their links and their change log, set-based.

Row triggers are passed over here (`app.bulk`); what they would have written is written by these
statements. A test proves that both roads leave the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql
from psycopg.rows import class_row, scalar_row

from syncline.domain.records import FieldType, RecordType
from syncline.domain.values import Value
from syncline.store.db import Conn

_COLUMN_TYPES: dict[FieldType, sql.SQL] = {
    "text": sql.SQL("text"),
    "number": sql.SQL("numeric"),
    "boolean": sql.SQL("boolean"),
    "time": sql.SQL("timestamptz"),
    "date": sql.SQL("date"),
    "reference": sql.SQL("uuid"),
}


@dataclass(slots=True)
class RecordWrite:
    """One record to insert or update, with what was agreed and what is to be logged."""

    record_id: UUID
    remote_id: str
    #: The row's version when it was read; None for a record that does not exist yet.
    version: int | None
    #: Every field of the record type.
    values: dict[str, Value]
    #: JSON: {field: [ours, theirs]}, merged into the link's base.
    base: str
    #: JSON: {field: [old, new]}; None when nothing is to be logged.
    changes: str | None
    action: str
    change_id: UUID
    #: JSON: {field: ms since 1970}, laid over the record's `field_times`; "*" stands for all not named.
    times: str = "{}"
    #: False when the record stays as it is, and only what was agreed on moves.
    touches: bool = True


def create_staging(record_type: RecordType) -> sql.Composed:
    """Compose the staging table of a record type: bookkeeping, then its fields."""
    fields = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), _COLUMN_TYPES[kind])
        for name, kind in record_type.fields.items()
    )
    return sql.SQL(
        "create temp table pull_records (record_id uuid, remote_id text, version bigint, base text,"
        " changes text, action text, change_id uuid, times jsonb, touches boolean, {fields}) on commit drop"
    ).format(fields=fields)


COPY_STAGING = "copy pull_records from stdin"


async def stage(conn: Conn, record_type: RecordType, writes: Iterable[RecordWrite]) -> None:
    """Bring records into the transaction's staging table. Once per transaction."""
    names = tuple(record_type.fields)
    await conn.execute(create_staging(record_type))
    async with conn.cursor() as cursor, cursor.copy(COPY_STAGING) as copy:
        for write in writes:
            values = write.values
            await copy.write_row(
                (
                    write.record_id,
                    write.remote_id,
                    write.version,
                    write.base,
                    write.changes,
                    write.action,
                    write.change_id,
                    write.times,
                    write.touches,
                    *[values.get(name) for name in names],
                )
            )


def insert_new(record_type: RecordType) -> sql.Composed:
    names = [name for name in record_type.fields if name != "created_at"]
    columns = [sql.Identifier(name) for name in names]
    return sql.SQL(
        "insert into {table} (tenant_id, id, {columns}, field_times, created_at, updated_at)"
        " select %(tenant_id)s, s.record_id, {values}, s.times, coalesce(s.created_at, %(now)s), %(now)s"
        " from pull_records s where s.version is null"
        " on conflict (tenant_id, id) do nothing"
    ).format(
        table=sql.Identifier("crm", record_type.table),
        columns=sql.SQL(", ").join(columns),
        values=sql.SQL(", ").join(sql.SQL("s.{}").format(column) for column in columns),
    )


def update_existing(record_type: RecordType) -> sql.Composed:
    names = [name for name in record_type.fields if name != "created_at"]
    return sql.SQL(
        "update {table} c set {settings}, created_at = coalesce(s.created_at, c.created_at),"
        " version = c.version + 1, updated_at = %(now)s, field_times = c.field_times || s.times"
        " from pull_records s"
        " where c.tenant_id = %(tenant_id)s and c.id = s.record_id and c.version = s.version and s.touches"
    ).format(
        table=sql.Identifier("crm", record_type.table),
        settings=sql.SQL(", ").join(sql.SQL("{0} = s.{0}").format(sql.Identifier(name)) for name in names),
    )


INSERT_LINKS = """
insert into sync.links as l (tenant_id, connection_id, object, remote_id, record_type, record_id, base,
  mapping_version, linked_at)
select %(tenant_id)s, %(connection_id)s, %(object)s, s.remote_id, %(record_type)s, s.record_id,
  s.base::jsonb, %(mapping_version)s, %(now)s
from pull_records s
on conflict (tenant_id, connection_id, object, remote_id) do update
  set base = l.base || excluded.base, mapping_version = excluded.mapping_version
"""

INSERT_CHANGES = """
insert into crm.change_log (tenant_id, id, changed_at, record_type, record_id, action, changes, source,
  connection_id, actor, run_id)
select %(tenant_id)s, s.change_id, %(now)s, %(record_type)s, s.record_id, s.action, s.changes::jsonb,
  'pull', %(connection_id)s, %(actor)s, %(run_id)s
from pull_records s where s.changes is not null
on conflict (tenant_id, changed_at, id) do nothing
"""

# The same rows the trigger would queue, see sync.enqueue_push: other connections that may be written to.
QUEUE_FOR_OTHERS = """
insert into sync.queue as q (tenant_id, connection_id, record_type, record_id, fields, queued_at, not_before)
select %(tenant_id)s, w.connection_id, %(record_type)s, s.record_id, s.changed, %(now)s, %(now)s
from (select r.record_id, r.archived_at is not null as is_archived,
             array(select jsonb_object_keys(r.changes::jsonb) order by 1) as changed
      from pull_records r where r.changes is not null) s
cross join sync.writing w
left join sync.links l on l.tenant_id = %(tenant_id)s and l.record_id = s.record_id
  and l.record_type = %(record_type)s and l.connection_id = w.connection_id and l.is_primary
where w.tenant_id = %(tenant_id)s and w.record_type = %(record_type)s
  and w.connection_id <> %(connection_id)s
  and case when l.object is null then w.scope = 'create' and not s.is_archived
           when l.object <> w.object then false
           when w.scope = 'archive' then 'archived_at' = any(s.changed)
           when s.is_archived then false
           when w.scope = 'field' then w.field = '' or w.field = any(s.changed)
           else false end
group by w.connection_id, s.record_id, s.changed
order by w.connection_id, s.record_id
on conflict (tenant_id, connection_id, record_type, record_id) do update
  set fields = array(select distinct f from unnest(q.fields || excluded.fields) f order by 1),
      what = excluded.what, revision = q.revision + 1,
      state = case q.state when 'held' then 'held' else 'pending' end,
      not_before = excluded.not_before, attempts = 0, last_error = null
"""

MAY_OTHERS_BE_WRITTEN = """
select exists (select from sync.writing w
               where w.tenant_id = %(tenant_id)s and w.record_type = %(record_type)s
                 and w.connection_id <> %(connection_id)s)
"""


async def write_staged(
    conn: Conn,
    record_type: RecordType,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    mapping_version: int,
    run_id: UUID,
    actor: str,
    now: datetime,
    any_new: bool,
    any_existing: bool,
) -> None:
    """Write what was staged: records, links, change log, and the queue of other connections."""
    values = {
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "object": object_name,
        "record_type": record_type.name,
        "mapping_version": mapping_version,
        "run_id": run_id,
        "actor": actor,
        "now": now,
    }
    if any_new:
        await conn.execute(insert_new(record_type), values, prepare=False)
    if any_existing:
        await conn.execute(update_existing(record_type), values, prepare=False)
    await conn.execute(INSERT_LINKS, values, prepare=False)
    await conn.execute(INSERT_CHANGES, values, prepare=False)
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(MAY_OTHERS_BE_WRITTEN, values)
        if await cursor.fetchone():
            await conn.execute(QUEUE_FOR_OTHERS, values, prepare=False)


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
                _decode(row.row),
                _decode(row.base),
                {} if row.sent is None else _decode(row.sent),
                row.is_primary,
            )
            for row in await cursor.fetchall()
        }


# Two connections that load the same person at once would each find nobody, and make two records.
LOCK_IDENTITIES = """
select pg_advisory_xact_lock(7263004, hashtext(%(record_type)s || %(tenant_id)s::uuid::text))
where (select count(*) from sync.connections c where c.tenant_id = %(tenant_id)s) > 1
"""


async def lock_identities(conn: Conn, record_type: RecordType, *, tenant_id: UUID) -> None:
    """Be the only one who makes records of this type until the transaction ends.

    A tenant with one connection needs no lock: its runs of an object exclude each other already, and their
    writers have different records.
    """
    await conn.execute(LOCK_IDENTITIES, {"tenant_id": tenant_id, "record_type": record_type.name})


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
                ExistingRecord("", row.record_id, row.version, _decode(row.row), {})
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
            row.record_id: ExistingRecord("", row.record_id, row.version, _decode(row.row), {})
            for row in await cursor.fetchall()
        }


def count_of(record_type: RecordType) -> sql.Composed:
    return sql.SQL(
        "select count(*) from {table} c where c.tenant_id = %(tenant_id)s and c.archived_at is null"
    ).format(table=sql.Identifier("crm", record_type.table))


async def count_living(conn: Conn, record_type: RecordType, *, tenant_id: UUID) -> int:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(count_of(record_type), {"tenant_id": tenant_id})
        return await cursor.fetchone() or 0
