"""Records that a CRM associates with one of ours, though no reference of ours says so."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Related:
    record_type: str
    record_id: UUID
    #: What the CRM calls it: 'primary', 'decision maker', …; None without a name.
    label: str | None
    connection: str


LIST_RELATED = """
select distinct on (o.record_type, o.record_id) o.record_type, o.record_id, f.label, n.name as connection
from sync.links l
join sync.connections n on n.tenant_id = %(tenant_id)s and n.id = l.connection_id
cross join lateral (
  select a.to_object as object, a.to_id as remote_id, a.label from raw.associations a
  where a.tenant_id = %(tenant_id)s and a.connection_id = l.connection_id
    and a.from_object = l.object and a.from_id = l.remote_id
  union all
  select a.from_object, a.from_id, a.label from raw.associations a
  where a.tenant_id = %(tenant_id)s and a.connection_id = l.connection_id
    and a.to_object = l.object and a.to_id = l.remote_id) f
join sync.links o on o.tenant_id = %(tenant_id)s and o.connection_id = l.connection_id
  and o.object = f.object and o.remote_id = f.remote_id
where l.tenant_id = %(tenant_id)s and l.record_id = %(record_id)s and l.record_type = %(record_type)s
order by o.record_type, o.record_id, f.label nulls last, n.name
limit %(limit)s
"""


async def list_related(
    conn: Conn, record_type: str, record_id: UUID, *, tenant_id: UUID, limit: int
) -> list[Related]:
    """Return records that any CRM associates with a record, each once."""
    async with conn.cursor(row_factory=class_row(Related)) as cursor:
        await cursor.execute(
            LIST_RELATED,
            {"tenant_id": tenant_id, "record_id": record_id, "record_type": record_type, "limit": limit},
            prepare=False,
        )
        return await cursor.fetchall()
