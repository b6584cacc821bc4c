"""Schedules: when which object of a connection is to be read, in the tenant's time zone.

Holds cron expressions as text; when the next time is, is reckoned by the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.errors import NotFound
from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Schedule:
    connection_id: UUID
    object: str
    mode: str
    cron: str
    enabled: bool
    next_at: datetime
    last_enqueued_at: datetime | None
    #: Why it was switched off, when that was not a person's doing.
    problem: str | None


_COLUMNS = "connection_id, object, mode, cron, enabled, next_at, last_enqueued_at, problem"

PUT_DEFAULT = """
insert into sync.schedules (tenant_id, connection_id, object, mode, cron, next_at)
values (%(tenant_id)s, %(connection_id)s, %(object)s, %(mode)s, %(cron)s, %(next_at)s)
on conflict on constraint schedules_pkey do nothing
"""


async def put_default(
    conn: Conn,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    mode: str,
    cron: str,
    next_at: datetime,
) -> bool:
    """Make a schedule unless there is one: what a person has set stays. `next_at` may be now.

    Returns whether it is new.
    """
    cursor = await conn.execute(
        PUT_DEFAULT,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "mode": mode,
            "cron": cron,
            "next_at": next_at,
        },
    )
    return cursor.rowcount == 1


CHANGE = """
update sync.schedules set cron = %(cron)s, enabled = %(enabled)s, next_at = %(next_at)s, problem = null,
  changed_at = now()
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and mode = %(mode)s
"""


async def change(
    conn: Conn,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    mode: str,
    cron: str,
    enabled: bool,
    next_at: datetime,
) -> None:
    """Set when an object is read. Raises `NotFound`."""
    cursor = await conn.execute(
        CHANGE,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "mode": mode,
            "cron": cron,
            "enabled": enabled,
            "next_at": next_at,
        },
    )
    if cursor.rowcount != 1:
        raise NotFound(f"There is no schedule for {object_name} ({mode}) of this connection.")


LIST_SCHEDULES = (
    "select "
    + _COLUMNS
    + """ from sync.schedules
where tenant_id = %(tenant_id)s
  and (%(connection_id)s::uuid is null or connection_id = %(connection_id)s)
order by connection_id, object, mode"""
)


async def list_schedules(conn: Conn, *, tenant_id: UUID, connection_id: UUID | None = None) -> list[Schedule]:
    """Return a tenant's schedules, or those of one connection, by connection, object and mode."""
    async with conn.cursor(row_factory=class_row(Schedule)) as cursor:
        await cursor.execute(LIST_SCHEDULES, {"tenant_id": tenant_id, "connection_id": connection_id})
        return await cursor.fetchall()


LIST_DUE_TENANTS = "select tenant_id from sync.due_tenants(%(at)s) as tenant_id"


async def list_due_tenants(conn: Conn, at: datetime) -> list[UUID]:
    """Return the tenants that have a schedule due or a run asked for. Needs no tenant to be set."""
    cursor = await conn.execute(LIST_DUE_TENANTS, {"at": at})
    return [row[0] for row in await cursor.fetchall()]


CLAIM_DUE = (
    "select "
    + ", ".join(f"s.{column}" for column in _COLUMNS.split(", "))
    + """ from sync.schedules s
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = s.connection_id
where s.tenant_id = %(tenant_id)s and s.enabled and s.next_at <= %(at)s and c.status = 'active'
order by s.next_at, s.connection_id, s.object, s.mode
limit %(limit)s
for update of s skip locked"""
)


async def claim_due(conn: Conn, at: datetime, *, tenant_id: UUID, limit: int = 100) -> list[Schedule]:
    """Lock and return what is due, longest overdue first; what another worker has locked is passed over.

    Give each its next time in the same transaction, by `advance` or `switch_off`.
    """
    async with conn.cursor(row_factory=class_row(Schedule)) as cursor:
        await cursor.execute(CLAIM_DUE, {"tenant_id": tenant_id, "at": at, "limit": limit})
        return await cursor.fetchall()


ADVANCE = """
update sync.schedules s set next_at = n.next_at, last_enqueued_at = %(at)s
from unnest(%(connection_ids)s::uuid[], %(objects)s::text[], %(modes)s::text[], %(next_ats)s::timestamptz[])
  as n (connection_id, object, mode, next_at)
where s.tenant_id = %(tenant_id)s and s.connection_id = n.connection_id and s.object = n.object
  and s.mode = n.mode
"""


async def advance(
    conn: Conn, steps: Sequence[tuple[Schedule, datetime]], at: datetime, *, tenant_id: UUID
) -> None:
    """Note that each schedule was served `at`, and when it is due next."""
    await conn.execute(
        ADVANCE,
        {
            "tenant_id": tenant_id,
            "at": at,
            "connection_ids": [schedule.connection_id for schedule, _ in steps],
            "objects": [schedule.object for schedule, _ in steps],
            "modes": [schedule.mode for schedule, _ in steps],
            "next_ats": [next_at for _, next_at in steps],
        },
    )


SWITCH_OFF = """
update sync.schedules set enabled = false, problem = %(problem)s
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and mode = %(mode)s
"""


async def switch_off(conn: Conn, schedule: Schedule, problem: str, *, tenant_id: UUID) -> None:
    """Take a schedule that cannot be served out of service, with the reason for status and doctor."""
    await conn.execute(
        SWITCH_OFF,
        {
            "tenant_id": tenant_id,
            "connection_id": schedule.connection_id,
            "object": schedule.object,
            "mode": schedule.mode,
            "problem": problem,
        },
    )
