"""How runs went: how many, how long, and what they moved, for charts and rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn
from syncline.store.runs import READING_MODES


@dataclass(frozen=True, slots=True)
class RunRate:
    """The ended runs of one object since a moment."""

    connection_id: UUID
    object: str
    runs: int
    #: Those that ended well; partly counts as well, since all that could be read was.
    succeeded: int
    median_ms: float | None
    #: Of twenty runs, nineteen were as quick.
    p95_ms: float | None


LIST_RATES = """
select r.connection_id, r.object, count(*) as runs,
  count(*) filter (where r.status in ('success', 'partial')) as succeeded,
  percentile_cont(0.5) within group (order by r.duration_ms) as median_ms,
  percentile_cont(0.95) within group (order by r.duration_ms) as p95_ms
from sync.runs r
where r.tenant_id = %(tenant_id)s and r.requested_at > %(since)s and r.completed_at is not null
  and r.status <> 'cancelled' and r.mode = any(%(modes)s::text[])
group by r.connection_id, r.object
"""


async def list_rates(conn: Conn, *, tenant_id: UUID, since: datetime) -> list[RunRate]:
    """Return how the runs that read each object went since a moment."""
    async with conn.cursor(row_factory=class_row(RunRate)) as cursor:
        await cursor.execute(
            LIST_RATES, {"tenant_id": tenant_id, "since": since, "modes": list(READING_MODES)}
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class RunPoint:
    """One ended run, as a bar in a chart."""

    connection_id: UUID
    object: str
    id: UUID
    status: str
    mode: str
    completed_at: datetime
    duration_ms: int
    records: int


LIST_POINTS = """
select k.connection_id, k.object, r.id, r.status, r.mode, r.completed_at,
  coalesce(r.duration_ms, 0) as duration_ms,
  r.records_created + r.records_updated + r.records_archived as records
from unnest(%(connection_ids)s::uuid[], %(objects)s::text[]) as k (connection_id, object)
cross join lateral (
  select l.* from sync.runs l
  where l.tenant_id = %(tenant_id)s and l.connection_id = k.connection_id and l.object = k.object
    and l.completed_at is not null and l.mode = any(%(modes)s::text[])
  order by l.requested_at desc limit %(limit)s
) r
order by r.requested_at
"""


async def list_points(
    conn: Conn, keys: Sequence[tuple[UUID, str]], *, tenant_id: UUID, limit: int
) -> list[RunPoint]:
    """Return the last runs that read each of `keys` (connection and object), the oldest first."""
    async with conn.cursor(row_factory=class_row(RunPoint)) as cursor:
        await cursor.execute(
            LIST_POINTS,
            {
                "tenant_id": tenant_id,
                "connection_ids": [each[0] for each in keys],
                "objects": [each[1] for each in keys],
                "modes": list(READING_MODES),
                "limit": limit,
            },
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Traffic:
    """What runs moved within one hour."""

    hour: datetime
    #: Records that came in, and that were sent.
    came: int
    sent: int
    failed: int


LIST_TRAFFIC = """
select date_trunc('hour', r.completed_at, 'UTC') as hour,
  coalesce(sum(r.records_created + r.records_updated + r.records_archived)
    filter (where r.mode not in ('push', 'undo')), 0)::int8 as came,
  coalesce(sum(r.records_created + r.records_updated + r.records_archived)
    filter (where r.mode in ('push', 'undo')), 0)::int8 as sent,
  coalesce(sum(r.records_failed), 0)::int8 as failed
from sync.runs r
where r.tenant_id = %(tenant_id)s and r.requested_at > %(since)s and r.completed_at > %(since)s
group by 1
"""


async def list_traffic(conn: Conn, *, tenant_id: UUID, since: datetime) -> list[Traffic]:
    """Return what was moved since a moment, by the hour, in no order; hours without runs are left out."""
    async with conn.cursor(row_factory=class_row(Traffic)) as cursor:
        await cursor.execute(LIST_TRAFFIC, {"tenant_id": tenant_id, "since": since})
        return await cursor.fetchall()
