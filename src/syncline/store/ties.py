"""What records belong to, as their CRM knows both sides: which associations a reference of ours asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from syncline.domain.records import RecordType
from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Tie:
    """One reference of one record."""

    record_id: UUID
    #: The record it refers to now; None for none.
    parent_id: UUID | None
    #: Where that is at the CRM; None while the CRM does not have it.
    parent_object: str | None
    parent_remote_id: str | None
    #: (object, remote id) of what it referred to before, since it was queued.
    former: list[list[str]]


def list_ties_of(kind: RecordType, column: str) -> sql.Composed:
    # What it referred to before stands in the change log, from the edit on that queued it.
    return sql.SQL("""
select c.id as record_id, c.{column} as parent_id, p.object as parent_object, p.remote_id as parent_remote_id,
       coalesce(f.former, '{{}}') as former
from {table} c
join sync.queue q on q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s
  and q.record_type = %(record_type)s and q.record_id = c.id
left join lateral (
  select l.object, l.remote_id from sync.links l
  where l.tenant_id = %(tenant_id)s and l.record_id = c.{column} and l.connection_id = %(connection_id)s
    and l.record_type = %(parent_type)s and l.is_primary) p on true
left join lateral (
  select array_agg(distinct array[o.object, o.remote_id]) as former
  from crm.change_log g
  join sync.links o on o.tenant_id = %(tenant_id)s and o.connection_id = %(connection_id)s
    and o.record_type = %(parent_type)s and o.is_primary
    and o.record_id::text = g.changes -> %(column)s::text ->> 0
  where g.tenant_id = %(tenant_id)s and g.record_id = c.id and g.changed_at >= %(since)s
    and g.changed_at >= q.queued_at - interval '1 second' and g.source <> 'pull'
    and g.changes ? %(column)s::text
    and o.record_id is distinct from c.{column}) f on true
where c.tenant_id = %(tenant_id)s and c.id = any(%(record_ids)s::uuid[])
""").format(table=sql.Identifier("crm", kind.table), column=sql.Identifier(column))


async def list_ties(
    conn: Conn,
    kind: RecordType,
    column: str,
    parent_type: str,
    record_ids: Sequence[UUID],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    since: datetime,
) -> list[Tie]:
    """Return a reference of queued records; `since` is when the first of them was queued."""
    async with conn.cursor(row_factory=class_row(Tie)) as cursor:
        await cursor.execute(
            list_ties_of(kind, column),
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "record_type": kind.name,
                "parent_type": parent_type,
                "column": column,
                "record_ids": list(record_ids),
                "since": since,
            },
            prepare=False,
        )
        return await cursor.fetchall()
