"""The queue as a person looks at it: what waits, what the CRM refused, what is held; and letting it go on.

Knows nothing of sending; what is drained, and when, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn
from syncline.store.labels import LABEL, OF_PAGE

State = Literal["pending", "parked", "held"]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows of the queue are meant; None leaves open."""

    connection_id: UUID | None = None
    record_type: str | None = None
    record_id: UUID | None = None
    state: State | None = None
    #: Of the CRM's words, in any case.
    reason: str | None = None

    def parameters(self, tenant_id: UUID) -> dict[str, object]:
        return {
            "tenant_id": tenant_id,
            "connection_id": self.connection_id,
            "record_type": self.record_type,
            "record_id": self.record_id,
            "state": self.state,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class WaitingCount:
    connection: str
    state: State
    count: int
    #: Since when the first of them waits.
    oldest_at: datetime


_WHERE = """
where q.tenant_id = %(tenant_id)s
  and (%(connection_id)s::uuid is null or q.connection_id = %(connection_id)s)
  and (%(record_type)s::text is null or q.record_type = %(record_type)s)
  and (%(record_id)s::uuid is null or q.record_id = %(record_id)s)
  and (%(state)s::text is null or q.state = %(state)s)
  and (%(reason)s::text is null or position(lower(%(reason)s) in lower(q.last_error)) > 0)
"""

COUNT_WAITING = (
    """
select n.name as connection, q.state, count(*) as count, min(q.queued_at) as oldest_at
from sync.queue q
join sync.connections n on n.tenant_id = %(tenant_id)s and n.id = q.connection_id
"""
    + _WHERE
    + "group by n.name, q.state order by n.name, q.state"
)


async def list_counts(conn: Conn, wanted: Filter, *, tenant_id: UUID) -> list[WaitingCount]:
    """Return how many wait per connection and state."""
    async with conn.cursor(row_factory=class_row(WaitingCount)) as cursor:
        await cursor.execute(COUNT_WAITING, wanted.parameters(tenant_id), prepare=False)
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Waiting:
    """Local changes of one record on their way to one connection."""

    connection: str
    record_type: str
    record_id: UUID
    #: What people call it; empty where it has no name, or is gone.
    label: str
    #: Its id at the CRM; None for one that is to be made there, or is gone here.
    remote_id: str | None
    state: State
    what: str
    fields: list[str]
    queued_at: datetime
    not_before: datetime
    attempts: int
    #: Why it was parked, is held or failed last: the CRM's own words where it said some.
    reason: str | None


LIST_WAITING = (
    """
with p as (
select n.name as connection, q.record_type, q.record_id, l.remote_id, q.state, q.what, q.fields, q.queued_at,
  q.not_before, q.attempts, q.last_error as reason
from sync.queue q
join sync.connections n on n.tenant_id = %(tenant_id)s and n.id = q.connection_id
left join sync.links l on l.tenant_id = %(tenant_id)s and l.record_id = q.record_id
  and l.connection_id = q.connection_id and l.record_type = q.record_type and l.is_primary
"""
    + _WHERE
    + """order by q.queued_at, q.connection_id, q.record_id limit %(limit)s
)
select p.*, """
    + LABEL
    + " from p"
    + OF_PAGE
    + "order by p.queued_at, p.connection, p.record_id"
)


async def list_waiting(conn: Conn, wanted: Filter, *, tenant_id: UUID, limit: int = 100) -> list[Waiting]:
    """Return what waits, the oldest first."""
    async with conn.cursor(row_factory=class_row(Waiting)) as cursor:
        await cursor.execute(LIST_WAITING, {**wanted.parameters(tenant_id), "limit": limit}, prepare=False)
        return await cursor.fetchall()


RELEASE = (
    """
update sync.queue q
set state = 'pending', not_before = %(now)s, attempts = 0, last_error = null
"""
    + _WHERE
    + "and (q.state in ('parked', 'held') or q.not_before > %(now)s)"
)


async def release(conn: Conn, wanted: Filter, *, tenant_id: UUID, now: datetime) -> int:
    """Let go on at once what is parked, held, or waits to be tried again; returns how many.

    The revision stays: what is being sent just now stays what it is.
    """
    cursor = await conn.execute(RELEASE, {**wanted.parameters(tenant_id), "now": now}, prepare=False)
    return cursor.rowcount


DROP = "delete from sync.queue q " + _WHERE


async def drop(conn: Conn, wanted: Filter, *, tenant_id: UUID) -> int:
    """Take rows away; returns how many. The values here stay as they are."""
    cursor = await conn.execute(DROP, wanted.parameters(tenant_id), prepare=False)
    return cursor.rowcount


# As change capture does, for one connection, and only where writing is allowed.
ENQUEUE = """
insert into sync.queue as q (tenant_id, connection_id, record_type, record_id, fields, queued_at, not_before)
select %(tenant_id)s, %(connection_id)s, %(record_type)s, %(record_id)s, %(fields)s::text[], %(now)s, %(now)s
where exists (
  select from sync.writing w
  join sync.links l on l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s
    and l.record_type = %(record_type)s and l.record_id = %(record_id)s and l.is_primary
    and l.object = w.object
  where w.tenant_id = %(tenant_id)s and w.connection_id = %(connection_id)s
    and w.record_type = %(record_type)s and w.scope = 'field'
    and (w.field = '' or w.field = any(%(fields)s::text[])))
on conflict (tenant_id, connection_id, record_type, record_id) do update
  set fields = array(select distinct f from unnest(q.fields || excluded.fields) f order by 1),
      what = excluded.what, revision = q.revision + 1,
      state = case q.state when 'held' then 'held' else 'pending' end,
      not_before = excluded.not_before, attempts = 0, last_error = null
"""


async def enqueue(
    conn: Conn,
    fields: Sequence[str],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    record_type: str,
    record_id: UUID,
    now: datetime,
) -> bool:
    """Queue fields of a record for one connection; False where it may not be written to, or is not linked."""
    cursor = await conn.execute(
        ENQUEUE,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "record_type": record_type,
            "record_id": record_id,
            "fields": list(fields),
            "now": now,
        },
    )
    return cursor.rowcount == 1
