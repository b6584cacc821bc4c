"""What records belong to, and whether a CRM has it: for what is made there together with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from syncline.domain.records import RecordType
from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Parent:
    """What a record belongs to by one of its columns, and where that is at the CRM."""

    record_id: UUID
    column: str
    parent_id: UUID
    #: None while the CRM does not have it.
    object: str | None
    remote_id: str | None
    #: True while it waits to be made there itself.
    is_coming: bool


# By the row as JSON: kinds differ in what they can belong to.
LIST_PARENTS = sql.SQL("""
select p.record_id, p.name as column, p.parent_id, l.object, l.remote_id,
       l.remote_id is null and q.record_id is not null as is_coming
from (
  select c.id as record_id, n.name, n.type, (to_jsonb(c) ->> n.name)::uuid as parent_id
  from {table} c cross join unnest(%(columns)s::text[], %(types)s::text[]) as n (name, type)
  where c.tenant_id = %(tenant_id)s and c.id = any(%(record_ids)s::uuid[])) p
left join sync.links l on l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s
  and l.record_type = p.type and l.record_id = p.parent_id and l.is_primary
left join sync.queue q on q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s
  and q.record_type = p.type and q.record_id = p.parent_id and q.state = 'pending' and q.what <> 'deleted'
where p.parent_id is not null
""")


async def list_parents(
    conn: Conn,
    kind: RecordType,
    columns: Mapping[str, str],
    record_ids: Sequence[UUID],
    *,
    tenant_id: UUID,
    connection_id: UUID,
) -> list[Parent]:
    """Return what records belong to, in no order; `columns` are column → kind of record it refers to."""
    async with conn.cursor(row_factory=class_row(Parent)) as cursor:
        await cursor.execute(
            LIST_PARENTS.format(table=sql.Identifier("crm", kind.table)),
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "record_ids": list(record_ids),
                "columns": list(columns),
                "types": list(columns.values()),
            },
            prepare=False,
        )
        return await cursor.fetchall()


LIST_SUCCESSORS = """
select l.object, l.remote_id, p.remote_id as now_id
from unnest(%(objects)s::text[], %(remote_ids)s::text[]) as w (object, remote_id)
join sync.links l on l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s
  and l.object = w.object and l.remote_id = w.remote_id and not l.is_primary
join sync.links p on p.tenant_id = %(tenant_id)s and p.connection_id = %(connection_id)s
  and p.record_type = l.record_type and p.record_id = l.record_id and p.is_primary and p.object = l.object
"""


async def list_successors(
    conn: Conn, places: Sequence[tuple[str, str]], *, tenant_id: UUID, connection_id: UUID
) -> dict[tuple[str, str], str]:
    """Return (object, remote id) → the id of the record that it was merged into, here or there."""
    cursor = await conn.execute(
        LIST_SUCCESSORS,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "objects": [each[0] for each in places],
            "remote_ids": [each[1] for each in places],
        },
    )
    return {(row[0], row[1]): row[2] for row in await cursor.fetchall()}
