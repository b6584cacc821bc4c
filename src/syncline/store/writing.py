"""Switching writing on and off: what may be written to a CRM, by whom it was allowed, and the kill switch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.errors import NotFound
from syncline.store.db import Conn
from syncline.store.keys import ConnectionKeys, ObjectKeys


@dataclass(frozen=True, slots=True)
class Permission:
    """One thing that a person allowed: a field ('' for all), or creating, archiving, associating."""

    object: str
    record_type: str
    scope: str
    field: str
    allowed_at: datetime
    allowed_by: str


LIST_PERMISSIONS = """
select w.object, w.record_type, w.scope, w.field, w.allowed_at, w.allowed_by from sync.writing w
where w.tenant_id = %(tenant_id)s and w.connection_id = %(connection_id)s
order by w.object, w.scope desc, w.field
"""


async def list_permissions(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> list[Permission]:
    async with conn.cursor(row_factory=class_row(Permission)) as cursor:
        await cursor.execute(LIST_PERMISSIONS, {"tenant_id": tenant_id, "connection_id": connection_id})
        return await cursor.fetchall()


# Until the transaction ends nobody else changes what may be written: a count shown stays the count.
LOCK = """
select from sync.connections where tenant_id = %(tenant_id)s and id = %(connection_id)s for update
"""


async def lock(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> None:
    await conn.execute(LOCK, {"tenant_id": tenant_id, "connection_id": connection_id})


ALLOW = """
insert into sync.writing (tenant_id, connection_id, object, record_type, scope, field, allowed_at, allowed_by)
select %(tenant_id)s, %(connection_id)s, %(object_name)s, %(record_type)s, s.scope, s.field, %(now)s, %(by)s
from unnest(%(scopes)s::text[], %(fields)s::text[]) as s (scope, field)
on conflict (tenant_id, connection_id, object, scope, field) do nothing
"""


async def allow(
    conn: Conn,
    permissions: Sequence[tuple[str, str]],
    *,
    keys: ObjectKeys,
    record_type: str,
    by: str,
    now: datetime,
) -> int:
    """Allow (scope, field) pairs of an object; returns how many are new. The others keep who allowed them."""
    cursor = await conn.execute(
        ALLOW,
        {
            **keys,
            "record_type": record_type,
            "by": by,
            "now": now,
            "scopes": [scope for scope, _ in permissions],
            "fields": [field for _, field in permissions],
        },
    )
    return cursor.rowcount


FORBID = """
delete from sync.writing w
using unnest(%(scopes)s::text[], %(fields)s::text[]) as s (scope, field)
where w.tenant_id = %(tenant_id)s and w.connection_id = %(connection_id)s and w.object = %(object_name)s
  and w.scope = s.scope and w.field = s.field
"""


async def forbid(conn: Conn, permissions: Sequence[tuple[str, str]], *, keys: ObjectKeys) -> int:
    """Take (scope, field) pairs back; returns how many stood."""
    cursor = await conn.execute(
        FORBID,
        {
            **keys,
            "scopes": [scope for scope, _ in permissions],
            "fields": [field for _, field in permissions],
        },
    )
    return cursor.rowcount


# The same question that change capture asks when it queues. What was sent to be made and was never answered
# stays until somebody has looked for it: it may be there, and would come in as a stranger.
DROP_UNALLOWED = """
delete from sync.queue q
where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s
  and not exists (
    select from sync.writing w
    left join sync.links l on l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s
      and l.record_id = q.record_id and l.record_type = q.record_type and l.is_primary
    where w.tenant_id = %(tenant_id)s and w.connection_id = %(connection_id)s
      and w.record_type = q.record_type
      and case when q.what = 'deleted' then w.scope = 'archive' and exists (
                 select from sync.tombstones t
                 where t.tenant_id = %(tenant_id)s and t.connection_id = %(connection_id)s
                   and t.record_id = q.record_id and t.object = w.object)
               when l.object is null then w.scope = 'create'
               when l.object <> w.object then false
               when w.scope = 'archive' then 'archived_at' = any(q.fields)
               when w.scope = 'field' then w.field = '' or w.field = any(q.fields)
               when w.scope = 'associate' then q.fields && array['contact_id', 'company_id', 'deal_id']
               else false end)
  and not exists (
    select from sync.remote_changes c
    where c.tenant_id = %(tenant_id)s and c.record_id = q.record_id
      and c.connection_id = %(connection_id)s and c.action = 'created' and c.state = 'sent')
"""


async def drop_unallowed(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> int:
    """Drop queue rows that nothing allows any more; returns how many. The values here stay."""
    cursor = await conn.execute(
        DROP_UNALLOWED, {"tenant_id": tenant_id, "connection_id": connection_id}, prepare=False
    )
    return cursor.rowcount


ENABLE = """
update sync.connections set writes_enabled = %(enabled)s, updated_at = %(now)s
where tenant_id = %(tenant_id)s and id = %(connection_id)s and writes_enabled <> %(enabled)s
"""


async def enable(conn: Conn, *, keys: ConnectionKeys, enabled: bool, now: datetime) -> bool:
    """Let what is allowed be sent, or keep it queued; False where it was so already."""
    cursor = await conn.execute(ENABLE, {**keys, "enabled": enabled, "now": now})
    return cursor.rowcount == 1


STOP = """
update app.tenants set writing_stopped_at = %(now)s, writing_stopped_by = %(by)s
where tenant_id = %(tenant_id)s and writing_stopped_at is null
"""


async def stop(conn: Conn, *, tenant_id: UUID, by: str, now: datetime) -> bool:
    """Stop all writing of a tenant; False where it is stopped already, with who did it kept."""
    cursor = await conn.execute(STOP, {"tenant_id": tenant_id, "by": by, "now": now})
    return cursor.rowcount == 1


RESUME = """
update app.tenants set writing_stopped_at = null, writing_stopped_by = null
where tenant_id = %(tenant_id)s and writing_stopped_at is not null
"""


async def resume(conn: Conn, *, tenant_id: UUID) -> bool:
    """Let writing of a tenant go on; False where nothing had stopped it."""
    cursor = await conn.execute(RESUME, {"tenant_id": tenant_id})
    return cursor.rowcount == 1


@dataclass(frozen=True, slots=True)
class Stopped:
    """Whether and by whom all writing of a tenant was stopped."""

    stopped_at: datetime | None
    stopped_by: str | None


GET_STOPPED = """
select t.writing_stopped_at as stopped_at, t.writing_stopped_by as stopped_by
from app.tenants t where t.tenant_id = %(tenant_id)s
"""


async def get_stopped(conn: Conn, *, tenant_id: UUID) -> Stopped:
    async with conn.cursor(row_factory=class_row(Stopped)) as cursor:
        await cursor.execute(GET_STOPPED, {"tenant_id": tenant_id})
        found = await cursor.fetchone()
    if found is None:
        raise NotFound("There is no such tenant.")
    return found
