"""A person's word that one run may go beyond a brake."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from syncline.store.db import Conn

GRANT = """
insert into sync.overrides as o (tenant_id, connection_id, record_type, granted_at, granted_by, expires_at)
values (%(tenant_id)s, %(connection_id)s, %(record_type)s, %(now)s, %(granted_by)s, %(expires_at)s)
on conflict (tenant_id, connection_id, record_type) do update
  set granted_at = excluded.granted_at, granted_by = excluded.granted_by, expires_at = excluded.expires_at,
      run_id = null
"""

LET_GO = """
update sync.queue q set state = 'pending', last_error = null, not_before = %(now)s
where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s and q.record_type = %(record_type)s
  and q.state = 'held'
"""


async def grant(
    conn: Conn,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    record_type: str,
    granted_by: str,
    expires_at: datetime,
    now: datetime,
) -> int:
    """Let the next run go beyond its brakes, and put back what was held; returns how many rows."""
    values = {
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "record_type": record_type,
        "granted_by": granted_by,
        "expires_at": expires_at,
        "now": now,
    }
    await conn.execute(GRANT, values)
    cursor = await conn.execute(LET_GO, values)
    return cursor.rowcount


USE = """
delete from sync.overrides o
where o.tenant_id = %(tenant_id)s and o.connection_id = %(connection_id)s and o.record_type = %(record_type)s
returning o.expires_at > %(now)s
"""


async def use(conn: Conn, *, tenant_id: UUID, connection_id: UUID, record_type: str, now: datetime) -> bool:
    """Use up the word that was given, and say whether it still held."""
    cursor = await conn.execute(
        USE,
        {"tenant_id": tenant_id, "connection_id": connection_id, "record_type": record_type, "now": now},
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])
