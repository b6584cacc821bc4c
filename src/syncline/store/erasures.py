"""Forgets a remote record that a person had erased: its payload, what was agreed on, and never again.

Leaves a tombstone without personal data. Our own record is archived beforehand, by `absences`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from psycopg import sql

from syncline.store.db import Conn
from syncline.store.payloads import Table

# Also for ids that were never seen here: they must not come with the next backfill. An ended connection
# has no tombstones.
BURY = """
insert into sync.tombstones (tenant_id, connection_id, object, remote_id, record_type, record_id, reason,
  buried_at)
select %(tenant_id)s, %(connection_id)s, %(object)s, s.remote_id, coalesce(l.record_type, %(record_type)s),
  coalesce(l.record_id, '00000000-0000-0000-0000-000000000000'::uuid), 'erased', %(now)s
from unnest(%(remote_ids)s::text[]) as s (remote_id)
left join sync.links l on l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s
  and l.object = %(object)s and l.remote_id = s.remote_id
where exists (select from sync.connections c
              where c.tenant_id = %(tenant_id)s and c.id = %(connection_id)s)
order by s.remote_id
on conflict (tenant_id, connection_id, object, remote_id) do update
  set reason = excluded.reason, buried_at = excluded.buried_at
"""

FORGET_PAYLOADS = sql.SQL("""
delete from {table} r
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s
  and r.remote_id = any(%(remote_ids)s::text[])
""")

FORGET_PARKED = """
delete from sync.parked
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and remote_id = any(%(remote_ids)s::text[])
"""

FORGET_CONFLICTS = """
delete from sync.conflicts
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and remote_id = any(%(remote_ids)s::text[])
"""

FORGET_DRIFT = """
delete from sync.drift
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and remote_id = any(%(remote_ids)s::text[])
"""

# That something was written, when and by which run stays; what it was does not.
BLANK_CHANGES = """
update sync.remote_changes set changes = '{}', kept = null
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and remote_id = any(%(remote_ids)s::text[])
"""

FORGET_DECISIONS = """
delete from sync.decisions d
using sync.links l
where d.tenant_id = %(tenant_id)s and l.tenant_id = %(tenant_id)s
  and l.connection_id = %(connection_id)s and l.object = %(object)s
  and l.remote_id = any(%(remote_ids)s::text[])
  and d.connection_id = l.connection_id and d.record_type = l.record_type and d.record_id = l.record_id
"""

# Nothing waits to be written to a record that is no more.
FORGET_QUEUED = """
delete from sync.queue q
using sync.links l
where q.tenant_id = %(tenant_id)s and l.tenant_id = %(tenant_id)s
  and l.connection_id = %(connection_id)s and l.object = %(object)s
  and l.remote_id = any(%(remote_ids)s::text[])
  and q.connection_id = l.connection_id and q.record_type = l.record_type and q.record_id = l.record_id
"""

FORGET_LINKS = """
delete from sync.links
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and remote_id = any(%(remote_ids)s::text[])
"""

# Deliveries that were given up keep what they said; one that speaks of the person does not. An id in quotes
# or not: a delivery that holds it by chance only loses what nobody needs.
BLANK_DELIVERIES = """
update sync.inbox i set body = null
where i.tenant_id = %(tenant_id)s and i.connection_id = %(connection_id)s and i.state = 'failed'
  and exists (select from unnest(%(remote_ids)s::text[]) as s (remote_id)
              where strpos(i.body, s.remote_id) > 0)
"""


async def bury(
    conn: Conn,
    remote_ids: Sequence[str],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    record_type: str,
    now: datetime,
) -> None:
    """Keep remote records from coming back. May be repeated; while the links are still there."""
    await conn.execute(
        BURY,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "record_type": record_type,
            "remote_ids": sorted(set(remote_ids)),
            "now": now,
        },
    )


async def erase(
    conn: Conn,
    table: Table,
    remote_ids: Sequence[str],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    record_type: str,
    now: datetime,
) -> None:
    """Forget remote records and keep them from coming back. May be repeated.

    `record_type` is what a tombstone says of an id that no record of ours was linked to.
    """
    values = {
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "object": object_name,
        "record_type": record_type,
        "remote_ids": sorted(set(remote_ids)),
        "now": now,
    }
    await conn.execute(BURY, values)
    await conn.execute(FORGET_PAYLOADS.format(table=table), values)
    await conn.execute(FORGET_PARKED, values)
    await conn.execute(FORGET_CONFLICTS, values)
    await conn.execute(FORGET_DRIFT, values)
    await conn.execute(BLANK_CHANGES, values)
    await conn.execute(FORGET_DECISIONS, values)
    await conn.execute(FORGET_QUEUED, values)
    await conn.execute(FORGET_LINKS, values)
    await conn.execute(BLANK_DELIVERIES, values)
