"""What is asked of CRMs for an erasure, from before the call on, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from syncline.clock import new_id
from syncline.store import erasing
from syncline.store.db import Conn

RemoteState = Literal["review", "wanted", "done", "refused", "kept"]


@dataclass(frozen=True, slots=True)
class NewRemote:
    """What is asked of one CRM."""

    connection_id: UUID
    connection: str
    platform: str
    object: str
    #: None for what was just being made there, and is looked for by our id (`record_id`).
    remote_id: str | None
    state: RemoteState
    reason: str | None = None
    left_behind: str | None = None
    record_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class RemoteErasure:
    """What became of one record at one CRM."""

    id: UUID
    erasure_id: UUID
    connection_id: UUID
    connection: str
    platform: str
    object: str
    #: None once it is gone there, and while it is not known.
    remote_id: str | None
    #: Our own id, by which it is looked for there.
    record_id: UUID | None
    state: RemoteState
    reason: str | None
    left_behind: str | None
    attempts: int
    not_before: datetime
    answered_at: datetime | None


# A record of which something is asked already is not asked for twice within one erasure.
INSERT_REMOTE = """
insert into sync.remote_erasures (tenant_id, id, erasure_id, connection_id, connection, platform, object,
  remote_id, record_id, state, reason, left_behind, not_before, answered_at)
select %(tenant_id)s, s.id, %(erasure_id)s, s.connection_id, s.connection, s.platform, s.object,
  case when s.state <> 'done' then s.remote_id end, case when s.state <> 'done' then s.record_id end,
  s.state, s.reason, s.left_behind, %(now)s,
  case when s.state in ('done', 'kept') then %(now)s::timestamptz end
from unnest(%(ids)s::uuid[], %(connection_ids)s::uuid[], %(connections)s::text[], %(platforms)s::text[],
            %(objects)s::text[], %(remote_ids)s::text[], %(states)s::text[], %(reasons)s::text[],
            %(left)s::text[], %(record_ids)s::uuid[])
  as s (id, connection_id, connection, platform, object, remote_id, state, reason, left_behind, record_id)
where not exists (
  select from sync.remote_erasures r
  where r.tenant_id = %(tenant_id)s and r.erasure_id = %(erasure_id)s and r.connection_id = s.connection_id
    and r.object = s.object
    and (r.remote_id = s.remote_id or (s.remote_id is null and r.record_id = s.record_id)))
on conflict (tenant_id, id) do nothing
"""


async def insert_remotes(
    conn: Conn, rows: Sequence[NewRemote], *, tenant_id: UUID, erasure_id: UUID, now: datetime
) -> None:
    await conn.execute(
        INSERT_REMOTE,
        {
            "tenant_id": tenant_id,
            "erasure_id": erasure_id,
            "now": now,
            "ids": [new_id() for _ in rows],
            "connection_ids": [each.connection_id for each in rows],
            "connections": [each.connection for each in rows],
            "platforms": [each.platform for each in rows],
            "objects": [each.object for each in rows],
            "remote_ids": [each.remote_id for each in rows],
            "states": [each.state for each in rows],
            "reasons": [each.reason for each in rows],
            "left": [each.left_behind for each in rows],
            "record_ids": [each.record_id for each in rows],
        },
    )


LIST_REMOTE = """
select r.id, r.erasure_id, r.connection_id, r.connection, r.platform, r.object, r.remote_id, r.record_id,
  r.state, r.reason, r.left_behind, r.attempts, r.not_before, r.answered_at
from sync.remote_erasures r
where r.tenant_id = %(tenant_id)s and r.erasure_id = any(%(erasure_ids)s::uuid[])
order by r.connection, r.object, r.id
"""


async def list_remote(conn: Conn, erasure_ids: Sequence[UUID], *, tenant_id: UUID) -> list[RemoteErasure]:
    """Return what was asked of CRMs, by connection."""
    async with conn.cursor(row_factory=class_row(RemoteErasure)) as cursor:
        await cursor.execute(LIST_REMOTE, {"tenant_id": tenant_id, "erasure_ids": list(erasure_ids)})
        return await cursor.fetchall()


SET_REMOTE = """
update sync.remote_erasures r
set state = %(state)s, reason = %(reason)s, not_before = %(not_before)s,
    attempts = r.attempts + 1,
    remote_id = case when %(state)s <> 'done' then r.remote_id end,
    record_id = case when %(state)s <> 'done' then r.record_id end,
    answered_at = case when %(state)s in ('done', 'refused', 'kept') then %(now)s::timestamptz end
where r.tenant_id = %(tenant_id)s and r.id = any(%(ids)s::uuid[]) and r.state in ('wanted', 'review')
"""


async def set_remote(
    conn: Conn,
    ids: Sequence[UUID],
    state: RemoteState,
    reason: str | None = None,
    *,
    tenant_id: UUID,
    now: datetime,
    not_before: datetime | None = None,
) -> None:
    """Note what became of requests that wait."""
    await conn.execute(
        SET_REMOTE,
        {
            "tenant_id": tenant_id,
            "ids": list(ids),
            "state": state,
            "reason": reason,
            "not_before": not_before or now,
            "now": now,
        },
    )


# Also what a CRM refused: a person may have changed there what stood in the way.
DECIDE = """
update sync.remote_erasures r set state = %(state)s, reason = null, not_before = %(now)s, attempts = 0,
  answered_at = case when %(state)s = 'kept' then %(now)s::timestamptz end
where r.tenant_id = %(tenant_id)s and r.erasure_id = %(erasure_id)s
  and r.state in ('review', 'refused', 'kept', 'wanted') and r.state <> %(state)s
  and (%(connections)s::text[] is null or r.connection = any(%(connections)s::text[]))
"""

# What could not be told before is known now, and asked of the CRM after all.
NAME_REMOTE = """
update sync.remote_erasures r set remote_id = %(remote_id)s,
  state = case r.state when 'refused' then 'wanted' else r.state end,
  reason = case when r.state <> 'refused' then r.reason end,
  answered_at = case when r.state <> 'refused' then r.answered_at end
where r.tenant_id = %(tenant_id)s and r.erasure_id = %(erasure_id)s and r.connection_id = %(connection_id)s
  and r.object = %(object)s and r.record_id = %(record_id)s and r.remote_id is null
"""


async def name_remote(
    conn: Conn,
    erasure_id: UUID,
    record_id: UUID,
    remote_id: str,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
) -> None:
    """Say which remote record it is that was being made of one of ours."""
    await conn.execute(
        NAME_REMOTE,
        {
            "tenant_id": tenant_id,
            "erasure_id": erasure_id,
            "record_id": record_id,
            "remote_id": remote_id,
            "connection_id": connection_id,
            "object": object_name,
        },
    )


async def decide(
    conn: Conn,
    erasure_id: UUID,
    state: Literal["wanted", "kept"],
    *,
    tenant_id: UUID,
    now: datetime,
    connections: Sequence[str] | None = None,
) -> int:
    """Let CRMs be asked after all, or leave it to them; returns how many records that is about."""
    values = {
        "tenant_id": tenant_id,
        "erasure_id": erasure_id,
        "state": state,
        "now": now,
        "connections": None if connections is None else list(connections),
    }
    decided = (await conn.execute(DECIDE, values)).rowcount
    if decided:
        await erasing.reopen(conn, erasure_id, tenant_id=tenant_id, now=now)
    return decided


IS_STOPPED = """
select t.writing_stopped_at is not null from app.tenants t where t.tenant_id = %(tenant_id)s
"""


async def is_stopped(conn: Conn, *, tenant_id: UUID) -> bool:
    """Tell whether somebody has stopped all writing to CRMs. What single connections allow is not asked."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(IS_STOPPED, {"tenant_id": tenant_id})
        return bool(await cursor.fetchone())
