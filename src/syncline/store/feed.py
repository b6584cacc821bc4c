"""What has happened since somebody looked: changes of records, runs, the queue's and the conflicts' counts.

A transaction that commits late leaves rows whose time is long past. `look` tells which are under way, so that
whoever follows knows how far back to look again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Look:
    """A moment, by the database's clock, and the transactions that had not ended then."""

    at: datetime
    under_way: list[int]


# Each id of a transaction as a number: xid8 knows no other way than by text.
LOOK = """
select clock_timestamp() as at,
  array(select x::text::bigint from pg_snapshot_xip(pg_current_snapshot()) x) as under_way
"""


async def look(conn: Conn) -> Look:
    """Return the moment from which a later look has to go on. Ask it before anything else is read."""
    async with conn.cursor(row_factory=class_row(Look)) as cursor:
        await cursor.execute(LOOK)
        found = await cursor.fetchone()
    assert found is not None  # noqa: S101 - a select without a table gives one row
    return found


@dataclass(frozen=True, slots=True)
class ChangeKey:
    changed_at: datetime
    id: UUID


LIST_KEYS = """
select l.changed_at, l.id from crm.change_log l
where l.tenant_id = %(tenant_id)s and l.changed_at > %(after)s
order by l.changed_at, l.id
limit %(limit)s
"""


async def list_keys(conn: Conn, *, tenant_id: UUID, after: datetime, limit: int) -> list[ChangeKey]:
    """Return which changes there are after a moment, oldest first."""
    async with conn.cursor(row_factory=class_row(ChangeKey)) as cursor:
        await cursor.execute(LIST_KEYS, {"tenant_id": tenant_id, "after": after, "limit": limit})
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class RecordChange:
    """A change of a record, without values, and whose record it is now."""

    id: UUID
    changed_at: datetime
    record_type: str
    record_id: UUID
    action: str
    fields: list[str]
    source: str
    actor: str | None
    run_id: UUID | None
    connection_id: UUID | None
    #: Of a record that is no more: whose it was.
    owner_id: UUID | None
    #: False where that is not known: the record is gone, and this change does not tell.
    has_owner: bool
    #: True where this change gave it to somebody else: whose it was before, None for nobody's.
    has_moved: bool
    former_owner_id: UUID | None


GET_CHANGES = """
select l.id, l.changed_at, l.record_type, l.record_id, l.action,
  array(select jsonb_object_keys(l.changes) order by 1) as fields, l.source, l.actor, l.run_id,
  l.connection_id,
  case when l.action = 'deleted' and jsonb_typeof(l.changes -> 'owner_id') = 'array'
    then (l.changes -> 'owner_id' ->> 0)::uuid else o.owner_id end as owner_id,
  l.action = 'deleted' or o.is_here is not null as has_owner,
  m.has_moved, case when m.has_moved then (l.changes -> 'owner_id' ->> 0)::uuid end as former_owner_id
from unnest(%(times)s::timestamptz[], %(ids)s::uuid[]) as w (changed_at, id)
join crm.change_log l on l.tenant_id = %(tenant_id)s and l.changed_at = w.changed_at and l.id = w.id
cross join lateral (
  select l.action not in ('created', 'deleted')
         and coalesce(jsonb_typeof(l.changes -> 'owner_id') = 'array', false) as has_moved) m
left join lateral (
  select r.owner_id, true as is_here from crm.companies r
  where l.record_type = 'company' and r.tenant_id = %(tenant_id)s and r.id = l.record_id
  union all
  select r.owner_id, true from crm.contacts r
  where l.record_type = 'contact' and r.tenant_id = %(tenant_id)s and r.id = l.record_id
  union all
  select r.owner_id, true from crm.deals r
  where l.record_type = 'deal' and r.tenant_id = %(tenant_id)s and r.id = l.record_id
  union all
  select r.owner_id, true from crm.activities r
  where l.record_type = 'activity' and r.tenant_id = %(tenant_id)s and r.id = l.record_id
  union all
  select r.owner_id, true from crm.tasks r
  where l.record_type = 'task' and r.tenant_id = %(tenant_id)s and r.id = l.record_id
) o on true
order by l.changed_at, l.id
"""


async def get_changes(conn: Conn, keys: Sequence[ChangeKey], *, tenant_id: UUID) -> list[RecordChange]:
    """Return changes by their keys, oldest first."""
    if not keys:
        return []
    async with conn.cursor(row_factory=class_row(RecordChange)) as cursor:
        await cursor.execute(
            GET_CHANGES,
            {
                "tenant_id": tenant_id,
                "times": [each.changed_at for each in keys],
                "ids": [each.id for each in keys],
            },
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class RunNews:
    """A run as it stands. Holds no values of records."""

    id: UUID
    connection_id: UUID
    connection: str
    object: str
    mode: str
    status: str
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    records_expected: int | None
    records_read: int
    records_created: int
    records_updated: int
    records_unchanged: int
    records_archived: int
    records_failed: int
    api_calls: int
    updated_at: datetime
    is_cancelling: bool


LIST_RUNS = """
select r.id, r.connection_id, c.name as connection, r.object, r.mode, r.status, r.requested_by,
  r.requested_at, r.started_at, r.completed_at, r.records_expected, r.records_read, r.records_created,
  r.records_updated,
  r.records_unchanged, r.records_archived, r.records_failed, r.api_calls, r.updated_at,
  r.cancel_requested_at is not null and r.completed_at is null as is_cancelling
from sync.runs r
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = r.connection_id
where r.tenant_id = %(tenant_id)s and r.updated_at > %(after)s
order by r.updated_at
limit %(limit)s
"""


async def list_runs(conn: Conn, *, tenant_id: UUID, after: datetime, limit: int) -> list[RunNews]:
    """Return the runs that moved after a moment, by when they did."""
    async with conn.cursor(row_factory=class_row(RunNews)) as cursor:
        await cursor.execute(LIST_RUNS, {"tenant_id": tenant_id, "after": after, "limit": limit})
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many rows of a connection are in a state."""

    connection: str
    state: str
    count: int


COUNT_QUEUE = """
select c.name as connection, q.state, count(*) as count
from sync.queue q
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = q.connection_id
where q.tenant_id = %(tenant_id)s
group by c.name, q.state
order by c.name, q.state
"""


async def count_queue(conn: Conn, *, tenant_id: UUID) -> list[StateCount]:
    async with conn.cursor(row_factory=class_row(StateCount)) as cursor:
        await cursor.execute(COUNT_QUEUE, {"tenant_id": tenant_id})
        return await cursor.fetchall()


COUNT_CONFLICTS = """
select n.name as connection, c.status as state, count(*) as count
from sync.conflicts c
join sync.connections n on n.tenant_id = %(tenant_id)s and n.id = c.connection_id
where c.tenant_id = %(tenant_id)s and c.status = 'open'
group by n.name, c.status
order by n.name
"""


async def count_conflicts(conn: Conn, *, tenant_id: UUID) -> list[StateCount]:
    """Return how many conflicts wait for a person, by connection."""
    async with conn.cursor(row_factory=class_row(StateCount)) as cursor:
        await cursor.execute(COUNT_CONFLICTS, {"tenant_id": tenant_id})
        return await cursor.fetchall()


def as_json(news: RunNews) -> dict[str, Any]:
    """Return a run as it is told to those who watch."""
    told = asdict(news)
    del told["connection_id"]
    return {name: _plain(value) for name, value in told.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
