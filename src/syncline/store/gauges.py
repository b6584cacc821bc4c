"""What a monitoring system asks of a tenant every few seconds: counts and ages, no value and no address.

Reads by indexes, and rows of one day at most; what it costs does not grow with the years.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn

SEE_TENANT = "select app.set_tenant(%(tenant_id)s)"


async def see_tenant(conn: Conn, tenant_id: UUID) -> None:
    """Let what follows in this transaction see one tenant, and no longer the one before."""
    await conn.execute(SEE_TENANT, {"tenant_id": tenant_id})


@dataclass(frozen=True, slots=True)
class RunSlice:
    """Runs of one object that moved within a day, in one status and of about one length."""

    connection: str
    object: str
    status: str
    #: How many of the edges of lengths it reached; None while it goes on.
    slot: int | None
    runs: int
    seconds: float


# What has waited or gone on for longer than that has a small index for each status.
LIST_RUNS = """
select c.name as connection, g.object, g.status, g.slot, g.runs, g.seconds
from (
  select r.connection_id, r.object, r.status,
    width_bucket(r.duration_ms / 1000.0, %(edges)s::numeric[]) as slot, count(*) as runs,
    coalesce(sum(r.duration_ms), 0)::float8 / 1000 as seconds
  from (
    select d.connection_id, d.object, d.status, d.duration_ms from sync.runs d
    where d.tenant_id = %(tenant_id)s and d.updated_at > %(since)s
    union all
    select p.connection_id, p.object, p.status, null from sync.runs p
    where p.tenant_id = %(tenant_id)s and p.status = 'pending' and p.updated_at <= %(since)s
    union all
    select n.connection_id, n.object, n.status, null from sync.runs n
    where n.tenant_id = %(tenant_id)s and n.status = 'running' and n.updated_at <= %(since)s
  ) r
  group by 1, 2, 3, 4
) g
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = g.connection_id
"""


async def list_runs(
    conn: Conn, *, tenant_id: UUID, since: datetime, edges: Sequence[float]
) -> list[RunSlice]:
    """Return the runs since a moment, and those that have not ended; `edges` in seconds, ascending."""
    values = {"tenant_id": tenant_id, "since": since, "edges": [float(each) for each in edges]}
    async with conn.cursor(row_factory=class_row(RunSlice)) as cursor:
        await cursor.execute(LIST_RUNS, values)
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Success:
    connection: str
    object: str
    at: datetime


# A push or a webhook reads no object to its end. Statuses and modes are written as the index has them.
LIST_SUCCESSES = """
select c.name as connection, s.object, r.at
from (
  select distinct d.connection_id, d.object from sync.schedules d
  where d.tenant_id = %(tenant_id)s and d.enabled and d.mode in ('backfill', 'incremental', 'manual')
) s
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = s.connection_id and c.status = 'active'
cross join lateral (
  select max(l.completed_at) as at from sync.runs l
  where l.tenant_id = %(tenant_id)s and l.connection_id = s.connection_id and l.object = s.object
    and l.status in ('success', 'partial') and l.mode in ('backfill', 'incremental', 'manual')
) r
where r.at is not null
"""


async def list_successes(conn: Conn, *, tenant_id: UUID) -> list[Success]:
    """Return when each object that is read on schedule, of connections not paused, was last read well."""
    async with conn.cursor(row_factory=class_row(Success)) as cursor:
        await cursor.execute(LIST_SUCCESSES, {"tenant_id": tenant_id})
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in one place of a connection."""

    connection: str
    #: 'queue' or 'inbox'.
    place: str
    state: str
    count: int
    oldest_at: datetime | None


LIST_WAITING = """
select c.name as connection, w.place, w.state, w.count, w.oldest_at
from (
  select q.connection_id, 'queue' as place, q.state, count(*) as count, min(q.queued_at) as oldest_at
  from sync.queue q where q.tenant_id = %(tenant_id)s
  group by q.connection_id, q.state
  union all
  select i.connection_id, 'inbox', i.state, count(*), min(i.received_at)
  from sync.inbox i where i.tenant_id = %(tenant_id)s and i.state = 'pending'
  group by i.connection_id, i.state
) w
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = w.connection_id
order by 1, 2, 3
"""


async def list_waiting(conn: Conn, *, tenant_id: UUID) -> list[Waiting]:
    """Return what is to be sent, by state, and the deliveries that are to be worked off."""
    async with conn.cursor(row_factory=class_row(Waiting)) as cursor:
        await cursor.execute(LIST_WAITING, {"tenant_id": tenant_id})
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Things of one object that wait for a person: records set aside, open conflicts."""

    connection: str
    object: str
    #: 'parked' or 'conflict'.
    what: str
    count: int


LIST_TROUBLES = """
select c.name as connection, t.object, t.what, t.count
from (
  select p.connection_id, p.object, 'parked' as what, count(*) as count
  from sync.parked p where p.tenant_id = %(tenant_id)s group by p.connection_id, p.object
  union all
  select o.connection_id, o.object, 'conflict', count(*)
  from sync.conflicts o where o.tenant_id = %(tenant_id)s and o.status = 'open'
  group by o.connection_id, o.object
) t
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = t.connection_id
order by 1, 2, 3
"""


async def list_troubles(conn: Conn, *, tenant_id: UUID) -> list[Trouble]:
    async with conn.cursor(row_factory=class_row(Trouble)) as cursor:
        await cursor.execute(LIST_TROUBLES, {"tenant_id": tenant_id})
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Account:
    """A connection, and at which account of a CRM it makes its calls."""

    connection: str
    platform: str
    account_id: str | None
    status: str


LIST_ACCOUNTS = """
select c.name as connection, c.platform, c.account_id, c.status
from sync.connections c where c.tenant_id = %(tenant_id)s order by c.name
"""


async def list_accounts(conn: Conn, *, tenant_id: UUID) -> list[Account]:
    async with conn.cursor(row_factory=class_row(Account)) as cursor:
        await cursor.execute(LIST_ACCOUNTS, {"tenant_id": tenant_id})
        return await cursor.fetchall()
