"""Records written many at a time by a pull: crm.* rows, their links and their change log, set-based.

Row triggers are passed over here (`app.bulk`); what they would have written is written by these
statements. A test proves that both roads leave the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import sql
from psycopg.rows import scalar_row

from syncline.domain.agreement import encode
from syncline.domain.records import CUSTOM, FieldType, RecordType
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
        " changes text, action text, change_id uuid, times jsonb, touches boolean, {fields}{custom})"
        " on commit drop"
    ).format(fields=fields, custom=_IF_CUSTOM[bool(record_type.custom)])


_IF_CUSTOM = {False: sql.SQL(""), True: sql.SQL(", custom jsonb, emptied text[]")}


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
                    *_custom(record_type, values),
                )
            )


def _custom(record_type: RecordType, values: dict[str, Value]) -> Iterator[object]:
    """Yield the custom fields that have a value, as JSON, and the keys of those that have none."""
    if record_type.custom:
        filled = {name: values[name] for name in record_type.custom if values.get(name) is not None}
        yield encode({name.removeprefix(CUSTOM): value for name, value in filled.items()})
        yield [name.removeprefix(CUSTOM) for name in record_type.custom if name not in filled]


def insert_new(record_type: RecordType) -> sql.Composed:
    names = [name for name in record_type.fields if name != "created_at"]
    columns = [sql.Identifier(name) for name in names]
    return sql.SQL(
        "insert into {table} (tenant_id, id, {columns}, field_times, created_at, updated_at{custom})"
        " select %(tenant_id)s, s.record_id, {values}, s.times, coalesce(s.created_at, %(now)s), %(now)s"
        "{custom_value}"
        " from pull_records s where s.version is null"
        " on conflict (tenant_id, id) do nothing"
    ).format(
        table=sql.Identifier("crm", record_type.table),
        columns=sql.SQL(", ").join(columns),
        values=sql.SQL(", ").join(sql.SQL("s.{}").format(column) for column in columns),
        custom=sql.SQL(", custom_fields" if record_type.custom else ""),
        custom_value=sql.SQL(", s.custom" if record_type.custom else ""),
    )


def update_existing(record_type: RecordType) -> sql.Composed:
    names = [name for name in record_type.fields if name != "created_at"]
    return sql.SQL(
        "update {table} c set {settings}, created_at = coalesce(s.created_at, c.created_at),"
        " version = c.version + 1, updated_at = %(now)s, field_times = c.field_times || s.times{custom}"
        " from pull_records s"
        " where c.tenant_id = %(tenant_id)s and c.id = s.record_id and c.version = s.version and s.touches"
    ).format(
        table=sql.Identifier("crm", record_type.table),
        settings=sql.SQL(", ").join(sql.SQL("{0} = s.{0}").format(sql.Identifier(name)) for name in names),
        custom=_LAY_CUSTOM if record_type.custom else sql.SQL(""),
    )


_LAY_CUSTOM = sql.SQL(", custom_fields = (c.custom_fields || s.custom) - s.emptied")


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

# The same rows the trigger would queue, see sync.enqueue_push: other connections that may be written to. But
# that nothing is queued for a CRM that does not know the owner, if no more than that is new.
QUEUE_FOR_OTHERS = """
insert into sync.queue as q (tenant_id, connection_id, record_type, record_id, fields, queued_at, not_before)
select %(tenant_id)s, w.connection_id, %(record_type)s, s.record_id, s.changed, %(now)s, %(now)s
from (select r.record_id, r.archived_at is not null as is_archived,
             (r.changes::jsonb -> 'owner_id' ->> 1)::uuid as owner_id,
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
           when w.scope = 'field' then (w.field = '' or w.field = any(s.changed))
             and (s.owner_id is null or not s.changed <@ array['created_at', 'owner_id'] or exists (
               select from sync.links o
               where o.tenant_id = %(tenant_id)s and o.connection_id = w.connection_id
                 and o.record_type = 'owner' and o.record_id = s.owner_id))
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


def count_of(record_type: RecordType) -> sql.Composed:
    return sql.SQL(
        "select count(*) from {table} c where c.tenant_id = %(tenant_id)s and c.archived_at is null"
    ).format(table=sql.Identifier("crm", record_type.table))


async def count_living(conn: Conn, record_type: RecordType, *, tenant_id: UUID) -> int:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(count_of(record_type), {"tenant_id": tenant_id})
        return await cursor.fetchone() or 0
