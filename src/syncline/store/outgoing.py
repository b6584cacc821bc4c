"""What is to be told to subscribers: their events found in the change log, runs and conflicts, once each.

How far back has to be looked is the engine's matter (`feed.look`); sending is too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from syncline.store.db import Conn

LIST_TENANTS = "select tenant_id from sync.outgoing_tenants() as tenant_id"


async def list_tenants(conn: Conn) -> list[UUID]:
    """Return the tenants that somebody has subscribed to. Needs no tenant to be set."""
    cursor = await conn.execute(LIST_TENANTS)
    return [row[0] for row in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Place:
    """How far a tenant has been looked through."""

    looked_at: datetime
    #: Transaction → seconds since 1970.
    under_way: dict[str, float]


BEGIN = """
insert into sync.outgoing_places (tenant_id, looked_at) values (%(tenant_id)s, %(at)s)
on conflict (tenant_id) do nothing
"""


async def begin(conn: Conn, at: datetime, *, tenant_id: UUID) -> None:
    """Look from now on; where it was looked already, from there."""
    await conn.execute(BEGIN, {"tenant_id": tenant_id, "at": at})


END = "delete from sync.outgoing_places where tenant_id = %(tenant_id)s"


async def end(conn: Conn, *, tenant_id: UUID) -> None:
    """Look no more: nobody is subscribed. Whoever is later begins anew."""
    await conn.execute(END, {"tenant_id": tenant_id})


LOCK = """
select looked_at, under_way from sync.outgoing_places
where tenant_id = %(tenant_id)s
for update skip locked
"""


async def lock_place(conn: Conn, *, tenant_id: UUID) -> Place | None:
    """Lock and return how far it was looked; None while another worker looks."""
    async with conn.cursor(row_factory=class_row(Place)) as cursor:
        await cursor.execute(LOCK, {"tenant_id": tenant_id})
        return await cursor.fetchone()


MOVE = """
update sync.outgoing_places set looked_at = %(looked_at)s, under_way = %(under_way)s
where tenant_id = %(tenant_id)s
"""


async def move_place(conn: Conn, place: Place, *, tenant_id: UUID) -> None:
    await conn.execute(
        MOVE,
        {"tenant_id": tenant_id, "looked_at": place.looked_at, "under_way": Jsonb(place.under_way)},
    )


# Nobody is told what happened before they subscribed.
WRITE_RECORDS = """
insert into sync.deliveries (tenant_id, id, subscription_id, event, event_id, happened_at, record_type,
  record_id, not_before, created_at)
select %(tenant_id)s, gen_random_uuid(), s.id, 'record.' || l.action, l.id, l.changed_at, l.record_type,
  l.record_id, %(now)s, %(now)s
from crm.change_log l
join sync.subscriptions s on s.tenant_id = %(tenant_id)s and s.status = 'active'
  and s.told_since <= l.changed_at
  and (s.events = '{}' or 'record.' || l.action = any(s.events))
  and (s.record_types = '{}' or l.record_type = any(s.record_types))
where l.tenant_id = %(tenant_id)s and l.changed_at > %(after)s
on conflict (tenant_id, subscription_id, event, event_id) do nothing
"""

WRITE_RUNS = """
insert into sync.deliveries (tenant_id, id, subscription_id, event, event_id, happened_at, body, not_before,
  created_at)
select %(tenant_id)s, gen_random_uuid(), s.id, 'run.ended', r.id, r.completed_at,
  jsonb_build_object('run_id', r.id, 'connection', c.name, 'object', r.object, 'mode', r.mode,
    'status', r.status, 'requested_by', r.requested_by, 'started_at', r.started_at,
    'completed_at', r.completed_at, 'records_read', r.records_read, 'records_created', r.records_created,
    'records_updated', r.records_updated, 'records_archived', r.records_archived,
    'records_failed', r.records_failed, 'error', r.error_details ->> 'error'),
  %(now)s, %(now)s
from sync.runs r
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = r.connection_id
join sync.subscriptions s on s.tenant_id = %(tenant_id)s and s.status = 'active'
  and s.told_since <= r.completed_at and (s.events = '{}' or 'run.ended' = any(s.events))
where r.tenant_id = %(tenant_id)s and r.updated_at > %(after)s and r.completed_at is not null
on conflict (tenant_id, subscription_id, event, event_id) do nothing
"""

WRITE_CONFLICTS = """
insert into sync.deliveries (tenant_id, id, subscription_id, event, event_id, happened_at, record_type,
  record_id, body, not_before, created_at)
select %(tenant_id)s, gen_random_uuid(), s.id, 'conflict.opened', c.id, c.found_at, c.record_type,
  c.record_id, jsonb_build_object('conflict_id', c.id, 'connection', n.name, 'object', c.object,
    'remote_id', c.remote_id, 'field', c.field),
  %(now)s, %(now)s
from sync.conflicts c
join sync.connections n on n.tenant_id = %(tenant_id)s and n.id = c.connection_id
join sync.subscriptions s on s.tenant_id = %(tenant_id)s and s.status = 'active'
  and s.told_since <= c.found_at and (s.events = '{}' or 'conflict.opened' = any(s.events))
  and (s.record_types = '{}' or c.record_type = any(s.record_types))
where c.tenant_id = %(tenant_id)s and c.found_at > %(after)s
on conflict (tenant_id, subscription_id, event, event_id) do nothing
"""


async def write_deliveries(conn: Conn, *, tenant_id: UUID, after: datetime, now: datetime) -> int:
    """Write down what subscribers are to be told of what happened after a moment; returns how much is new.

    What was written before is passed over, so that the moment may lie too far back.
    """
    parameters = {"tenant_id": tenant_id, "after": after, "now": now}
    made = 0
    for statement in (WRITE_RECORDS, WRITE_RUNS, WRITE_CONFLICTS):
        made += (await conn.execute(statement, parameters)).rowcount
    return made
