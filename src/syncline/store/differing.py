"""Records that are not at a connection as they are here, or not at all: found and queued, set-based.

A base keeps long texts as digests, which the database cannot make; those are compared by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from syncline.domain.records import ACTIVITY, RecordType
from syncline.store.db import Conn
from syncline.store.keys import ObjectKeys

#: Before every id.
_FIRST = UUID(int=0)
#: A field of a record by name, of the whole row as `v.row`, and our half of what was agreed on.
_OURS = sql.SQL("""case when starts_with(f.name, 'custom_fields.')
        then v.row -> 'custom_fields' -> substr(f.name, 15) else v.row -> f.name end""")
_LINKED = sql.SQL("""
  from sync.links l
  join {table} c on c.tenant_id = %(tenant_id)s and c.id = l.record_id
  cross join lateral (select to_jsonb(c) as row) v
  where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object_name)s
    and l.record_type = %(record_type)s and l.is_primary and c.archived_at is null and c.merged_into is null
""")


def find_differing(kind: RecordType) -> sql.Composed:
    """Compose (record_id, fields) of records that differ in some of the fields asked for.

    What waits for a person's decision does not count: it is not sent.
    """
    return sql.SQL("""
select d.record_id, d.fields from (
  select l.record_id, array(
    select f.name from unnest(%(fields)s::text[]) f (name)
    cross join lateral (select {ours} as value) o
    where l.base ? f.name
      and not exists (
        select from sync.conflicts k
        where k.tenant_id = %(tenant_id)s and k.connection_id = %(connection_id)s
          and k.record_type = %(record_type)s and k.record_id = l.record_id and k.field = f.name
          and k.status = 'open')
      and case when starts_with(l.base -> f.name ->> 0, 'blake2:')
                 then coalesce(char_length(o.value #>> '{{}}'), 0) <= 200
                      or exists (
                        select from unnest(%(long_ids)s::uuid[], %(long_fields)s::text[]) k (id, field)
                        where k.id = l.record_id and k.field = f.name)
               else coalesce(nullif(o.value, '""'), 'null')
                    <> coalesce(nullif(l.base -> f.name -> 0, '""'), 'null') end
    order by f.name) as fields
  {linked}
) d
where cardinality(d.fields) > 0
""").format(ours=_OURS, linked=_LINKED.format(table=sql.Identifier("crm", kind.table)))


def select_long(kind: RecordType) -> sql.Composed:
    """Compose a page of texts that were agreed on as a digest, in the order of their records."""
    return sql.SQL("""
select l.record_id, f.name as field, l.row ->> f.name as value, l.base -> f.name ->> 0 as agreed
from (
  select l.record_id, l.base, v.row
  {linked}
    and l.record_id > %(after)s::uuid
    and exists (select from unnest(%(fields)s::text[]) f where starts_with(l.base -> f ->> 0, 'blake2:'))
  order by l.record_id limit %(limit)s
) l
cross join unnest(%(fields)s::text[]) f (name)
where starts_with(l.base -> f.name ->> 0, 'blake2:')
order by l.record_id
""").format(linked=_LINKED.format(table=sql.Identifier("crm", kind.table)))


def _parameters(
    kind: RecordType, fields: Sequence[str], long: Sequence[tuple[UUID, str]], keys: ObjectKeys
) -> dict[str, Any]:
    return {
        **keys,
        "record_type": kind.name,
        "fields": list(fields),
        "long_ids": [each[0] for each in long],
        "long_fields": [each[1] for each in long],
    }


async def count_differing(
    conn: Conn,
    kind: RecordType,
    fields: Sequence[str],
    *,
    long: Sequence[tuple[UUID, str]] = (),
    keys: ObjectKeys,
) -> int:
    """Count living records that differ in one of `fields`; `long` names those that do in a long text."""
    statement = sql.SQL("select count(*) from ({found}) n").format(found=find_differing(kind))
    cursor = await conn.execute(statement, _parameters(kind, fields, long, keys), prepare=False)
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


# A row that waits already gets a new revision: whoever has it under way, as was allowed before, leaves it.
def _queue(found: sql.Composed) -> sql.Composed:
    return sql.SQL("""
insert into sync.queue as q (tenant_id, connection_id, record_type, record_id, fields, queued_at, not_before)
select %(tenant_id)s, %(connection_id)s, %(record_type)s, n.record_id, n.fields, %(now)s, %(now)s
from ({found}) n
order by n.record_id
on conflict (tenant_id, connection_id, record_type, record_id) do update
  set fields = array(select distinct f from unnest(q.fields || excluded.fields) f order by 1),
      revision = q.revision + 1, state = case q.state when 'held' then 'held' else 'pending' end,
      not_before = excluded.not_before, attempts = 0, last_error = null
""").format(found=found)


async def queue_differing(
    conn: Conn,
    kind: RecordType,
    fields: Sequence[str],
    *,
    long: Sequence[tuple[UUID, str]] = (),
    keys: ObjectKeys,
    now: datetime,
) -> int:
    """Queue what `count_differing` counts; returns how many."""
    parameters = {**_parameters(kind, fields, long, keys), "now": now}
    cursor = await conn.execute(_queue(find_differing(kind)), parameters, prepare=False)
    return cursor.rowcount


@dataclass(frozen=True, slots=True)
class Missing:
    """Which records would be made as one object of a connection."""

    kind: RecordType
    #: Sorts of the kind that are this object; None for any.
    only: Sequence[str] | None = None
    #: Sorts that are another object.
    without: Sequence[str] = ()
    #: True where the CRM takes it only together with what it belongs to.
    needs_parent: bool = False


_OF_SORT = sql.SQL("""
    and (%(only)s::text[] is null or c.type = any(%(only)s::text[])) and c.type <> all(%(without)s::text[])
""")
_BELONGS = sql.SQL("""
    and coalesce(c.contact_id, c.company_id, c.deal_id) is not null
""")
_BELONGING = ("contact_id", "company_id", "deal_id")


def find_missing(missing: Missing) -> sql.Composed:
    """Compose (record_id, fields) of living records that a connection has no record for, and never had one.

    `fields` are those that hold something, as change capture names them when a record is made.
    """
    return sql.SQL("""
select c.id as record_id,
       array(select e.key from jsonb_each(to_jsonb(c)) e
             where e.key = any(%(names)s::text[]) and e.value <> 'null' order by e.key) as fields
from {table} c
where c.tenant_id = %(tenant_id)s and c.archived_at is null and c.merged_into is null {of_sort} {belongs}
  and not exists (
    select from sync.links l
    where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s
      and l.record_type = %(record_type)s and l.record_id = c.id)
  and not exists (
    select from sync.tombstones t
    where t.tenant_id = %(tenant_id)s and t.connection_id = %(connection_id)s
      and t.record_type = %(record_type)s and t.record_id = c.id)
""").format(
        table=sql.Identifier("crm", missing.kind.table),
        of_sort=_OF_SORT if missing.kind is ACTIVITY else sql.SQL(""),
        belongs=_BELONGS if missing.needs_parent else sql.SQL(""),
    )


def _values_of(missing: Missing, keys: ObjectKeys) -> dict[str, Any]:
    only = None if missing.only is None else list(missing.only)
    return {
        **keys,
        "record_type": missing.kind.name,
        "names": [*missing.kind.content, *_BELONGING],
        "only": only,
        "without": list(missing.without),
    }


async def count_missing(conn: Conn, missing: Missing, *, keys: ObjectKeys) -> int:
    """Count records that would be made at a connection."""
    statement = sql.SQL("select count(*) from ({found}) n").format(found=find_missing(missing))
    cursor = await conn.execute(statement, _values_of(missing, keys), prepare=False)
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def queue_missing(conn: Conn, missing: Missing, *, keys: ObjectKeys, now: datetime) -> int:
    """Queue what `count_missing` counts; returns how many."""
    statement = _queue(find_missing(missing))
    cursor = await conn.execute(statement, {**_values_of(missing, keys), "now": now}, prepare=False)
    return cursor.rowcount


@dataclass(frozen=True, slots=True)
class LongValue:
    """A text here, and the digest that our half of the base has of it."""

    record_id: UUID
    field: str
    value: str | None
    agreed: str


async def list_long(
    conn: Conn,
    kind: RecordType,
    fields: Sequence[str],
    *,
    keys: ObjectKeys,
    after: UUID = _FIRST,
    limit: int = 500,
) -> list[LongValue]:
    """Return long texts of up to `limit` records after one, by record; empty at the end."""
    async with conn.cursor(row_factory=class_row(LongValue)) as cursor:
        await cursor.execute(
            select_long(kind),
            {**keys, "record_type": kind.name, "fields": list(fields), "after": after, "limit": limit},
            prepare=False,
        )
        return await cursor.fetchall()
