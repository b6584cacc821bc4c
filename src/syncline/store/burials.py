"""Records that a CRM was found to have though they have been deleted here: buried, and queued to be archived.

A deletion buries what is linked by itself (see the triggers); here is what was on its way to be made then.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from psycopg import sql

from syncline.domain.records import RecordType
from syncline.store.db import Conn

# Made by us, and no more: an id of ours that we never sent there is another installation's affair.
FIND_ORPHANS = sql.SQL("""
select d.record_id, d.remote_id
from unnest(%(record_ids)s::uuid[], %(remote_ids)s::text[]) as d (record_id, remote_id)
where not exists (select from {table} c where c.tenant_id = %(tenant_id)s and c.id = d.record_id)
  and exists (select from sync.remote_changes r
              where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s
                and r.object = %(object)s and r.record_id = d.record_id and r.action = 'created')
""")


async def find_orphans(
    conn: Conn,
    kind: RecordType,
    made: Sequence[tuple[UUID, str]],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
) -> list[tuple[UUID, str]]:
    """Return those of (our id, remote id) that we had made and that have been deleted here since."""
    if not made:
        return []
    cursor = await conn.execute(
        FIND_ORPHANS.format(table=sql.Identifier("crm", kind.table)),
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "record_ids": [each[0] for each in made],
            "remote_ids": [each[1] for each in made],
        },
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


BURY = """
insert into sync.tombstones (tenant_id, connection_id, object, remote_id, record_type, record_id, reason,
  buried_at)
select %(tenant_id)s, %(connection_id)s, %(object)s, d.remote_id, %(record_type)s, d.record_id, 'deleted',
  %(now)s
from unnest(%(record_ids)s::uuid[], %(remote_ids)s::text[]) as d (record_id, remote_id)
order by d.remote_id
on conflict (tenant_id, connection_id, object, remote_id) do nothing
"""

# What the trigger would queue, had it known of the remote record. A row that is there was to make it.
QUEUE = """
insert into sync.queue as q (tenant_id, connection_id, record_type, record_id, fields, queued_at, not_before,
  what)
select %(tenant_id)s, %(connection_id)s, %(record_type)s, r.record_id, array['archived_at'], %(now)s, %(now)s,
  'deleted'
from unnest(%(record_ids)s::uuid[]) as r (record_id)
where exists (select from sync.writing w
              where w.tenant_id = %(tenant_id)s and w.connection_id = %(connection_id)s
                and w.object = %(object)s and w.scope = 'archive')
order by r.record_id
on conflict (tenant_id, connection_id, record_type, record_id) do update
  set what = excluded.what, fields = excluded.fields, revision = q.revision + 1,
    state = case q.state when 'held' then 'held' else 'pending' end,
    not_before = excluded.not_before, attempts = 0, last_error = null
"""

UNQUEUE = """
delete from sync.queue q
where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s
  and q.record_type = %(record_type)s and q.record_id = any(%(record_ids)s::uuid[]) and q.what <> 'deleted'
"""


async def bury(
    conn: Conn,
    gone: Sequence[tuple[UUID, str]],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    record_type: str,
    now: datetime,
) -> None:
    """Keep (our id, remote id) of deleted records from coming back, and queue them to be archived there.

    Where archiving is not allowed they are left alone. May be repeated.
    """
    if not gone:
        return
    values = {
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "object": object_name,
        "record_type": record_type,
        "record_ids": [each[0] for each in gone],
        "remote_ids": [each[1] for each in gone],
        "now": now,
    }
    await conn.execute(BURY, values)
    await conn.execute(QUEUE, values)
    await conn.execute(UNQUEUE, values)
