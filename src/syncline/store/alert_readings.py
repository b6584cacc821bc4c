"""The numbers behind alert rules, by connection and object. Reads only, and judges nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.domain.alert_states import Reading
from syncline.store.db import Conn
from syncline.store.runs import READING_MODES


@dataclass(frozen=True, slots=True)
class WatchedConnection:
    id: UUID
    name: str
    is_active: bool
    #: True when a failure paused it, and no person did.
    is_broken: bool


# A person's pause says so: see actions/connections.py.
LIST_CONNECTIONS = """
select id, name, status = 'active' as is_active,
  status = 'paused' and left(paused_reason, 10) <> 'Paused by ' as is_broken
from sync.connections where tenant_id = %(tenant_id)s
"""


async def list_connections(conn: Conn, *, tenant_id: UUID) -> list[WatchedConnection]:
    async with conn.cursor(row_factory=class_row(WatchedConnection)) as cursor:
        await cursor.execute(LIST_CONNECTIONS, {"tenant_id": tenant_id})
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Freshness:
    """One schedule of an object of an active connection."""

    connection_id: UUID
    connection: str
    object: str
    cron: str
    #: When the connection was made or resumed, or the schedule changed: what was before is not late.
    watched_since: datetime
    last_success_at: datetime | None
    #: When a run that is going on last moved records; None without one.
    moved_at: datetime | None

    @property
    def fresh_at(self) -> datetime:
        """Return since when nothing good has happened."""
        known = (self.watched_since, self.last_success_at, self.moved_at)
        return max(each for each in known if each is not None)


LIST_FRESHNESS = """
select s.connection_id, c.name as connection, s.object, s.cron,
  greatest(c.created_at, c.resumed_at, s.changed_at) as watched_since, r.last_success_at, w.moved_at
from sync.schedules s
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = s.connection_id and c.status = 'active'
left join lateral (
  select max(l.completed_at) as last_success_at from (
    select completed_at from sync.runs
    where tenant_id = %(tenant_id)s and connection_id = s.connection_id and object = s.object
      and status in ('success', 'partial') and mode = any(%(modes)s::text[])
    order by requested_at desc limit 5) l) r on true
left join lateral (
  select max(updated_at) as moved_at from sync.runs
  where tenant_id = %(tenant_id)s and connection_id = s.connection_id and object = s.object
    and status = 'running' and records_read > 0 and mode = any(%(modes)s::text[])) w on true
where s.tenant_id = %(tenant_id)s and s.enabled and s.mode = any(%(modes)s::text[])
order by s.connection_id, s.object, s.mode
"""


async def list_freshness(conn: Conn, *, tenant_id: UUID) -> list[Freshness]:
    """Return how current what is read on schedule is, of connections that are not paused, by schedule."""
    async with conn.cursor(row_factory=class_row(Freshness)) as cursor:
        await cursor.execute(LIST_FRESHNESS, {"tenant_id": tenant_id, "modes": list(READING_MODES)})
        return await cursor.fetchall()


# Runs that read an object make up for each other; a failed push is made up for by a push.
LIST_FAILED_RUNS = """
with ended as materialized (
  select r.connection_id, r.object, r.status, r.completed_at,
    case when r.mode = any(%(modes)s::text[]) then 'read' else r.mode end as kind
  from sync.runs r
  where r.tenant_id = %(tenant_id)s and r.updated_at > %(since)s and r.completed_at > %(since)s
    and r.status <> 'cancelled')
select count(*)::float8 as value, e.connection_id, c.name as connection, e.object
from ended e
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = e.connection_id
  and (c.status = 'active' or left(c.paused_reason, 10) <> 'Paused by ')
where e.status in ('failed', 'stopped') and not exists (
  select from ended l
  where l.connection_id = e.connection_id and l.object = e.object and l.kind = e.kind
    and l.status in ('success', 'partial') and l.completed_at > e.completed_at)
group by e.connection_id, c.name, e.object
"""


async def list_failed_runs(conn: Conn, *, tenant_id: UUID, since: datetime) -> list[Reading]:
    """Return how many runs of each object failed since a moment, and since the last that went well."""
    async with conn.cursor(row_factory=class_row(Reading)) as cursor:
        await cursor.execute(
            LIST_FAILED_RUNS, {"tenant_id": tenant_id, "since": since, "modes": list(READING_MODES)}
        )
        return await cursor.fetchall()


LIST_FAILED_SHARES = """
select sum(r.records_failed)::float8 / sum(greatest(r.records_read, r.records_failed)) as value,
  r.connection_id, c.name as connection, r.object
from sync.runs r
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = r.connection_id
  and (c.status = 'active' or left(c.paused_reason, 10) <> 'Paused by ')
where r.tenant_id = %(tenant_id)s and r.updated_at > %(since)s and r.completed_at > %(since)s
group by r.connection_id, c.name, r.object
having sum(greatest(r.records_read, r.records_failed)) > 0
"""


async def list_failed_shares(conn: Conn, *, tenant_id: UUID, since: datetime) -> list[Reading]:
    """Return which share of its records, 0 to 1, failed in the runs of each object that ended since."""
    async with conn.cursor(row_factory=class_row(Reading)) as cursor:
        await cursor.execute(LIST_FAILED_SHARES, {"tenant_id": tenant_id, "since": since})
        return await cursor.fetchall()


# What a brake or the stop switch holds waits for a person, and says so elsewhere.
LIST_QUEUE_AGES = """
select coalesce(extract(epoch from %(now)s - q.oldest_at) / 60, 0)::float8 as value,
  c.id as connection_id, c.name as connection
from sync.connections c
left join lateral (
  select min(queued_at) as oldest_at from sync.queue
  where tenant_id = %(tenant_id)s and connection_id = c.id and state in ('pending', 'claimed')) q on true
join app.tenants t on t.tenant_id = %(tenant_id)s and t.writing_stopped_at is null
where c.tenant_id = %(tenant_id)s and c.status = 'active' and c.writes_enabled
"""


async def list_queue_ages(conn: Conn, *, tenant_id: UUID, now: datetime) -> list[Reading]:
    """Return for how many minutes the oldest change waits to be sent to each CRM that may be written to."""
    async with conn.cursor(row_factory=class_row(Reading)) as cursor:
        await cursor.execute(LIST_QUEUE_AGES, {"tenant_id": tenant_id, "now": now})
        return await cursor.fetchall()


LIST_OPEN_DRIFT = """
select count(distinct d.remote_id)::float8 as value, d.connection_id, c.name as connection, d.object
from sync.drift d
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = d.connection_id and c.status = 'active'
where d.tenant_id = %(tenant_id)s and d.state = 'open'
group by d.connection_id, c.name, d.object
"""


async def list_open_drift(conn: Conn, *, tenant_id: UUID) -> list[Reading]:
    """Return how many records of each object differ from their CRM, and were not mended."""
    async with conn.cursor(row_factory=class_row(Reading)) as cursor:
        await cursor.execute(LIST_OPEN_DRIFT, {"tenant_id": tenant_id})
        return await cursor.fetchall()
