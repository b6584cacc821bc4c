"""The jobs that wait and run: how they are written down, what was asked for, how full the queue is.

Knows the queue's tables; putting jobs in and taking them out is `queueing`'s, doing them the engine's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import msgspec
from psycopg.rows import class_row, scalar_row

from syncline.store.db import Conn


class RunOrder(msgspec.Struct, frozen=True):
    """What a job is to do: read one object of one connection."""

    tenant_id: UUID
    connection_id: UUID
    object: str
    mode: str
    #: The run written down beforehand by whoever asked for it; None for what a schedule wants.
    run_id: UUID | None = None

    @property
    def key(self) -> str:
        """What must not be queued twice. What `sync.due_tenants` looks for, too."""
        if self.run_id is not None:
            return f"run:{self.run_id}"
        return f"schedule:{self.tenant_id}:{self.connection_id}:{self.object}:{self.mode}"


def encode_order(order: RunOrder) -> bytes:
    return msgspec.json.encode(order)


def decode_order(payload: bytes | None) -> RunOrder:
    return msgspec.json.decode(payload or b"{}", type=RunOrder)


@dataclass(frozen=True, slots=True)
class _Requested:
    id: UUID
    connection_id: UUID
    object: str
    mode: str


LIST_REQUESTED = """
select r.id, r.connection_id, r.object, r.mode
from sync.runs r
where r.tenant_id = %(tenant_id)s and r.status = 'pending'
  and not exists (select from jobs.pgqueuer j
                  where j.dedupe_key = 'run:' || r.id and j.status in ('queued', 'picked'))
order by r.requested_at, r.id
limit %(limit)s
"""


async def list_requested(conn: Conn, *, tenant_id: UUID, limit: int = 100) -> list[RunOrder]:
    """Return the runs that were asked for and are in no queue yet, oldest first."""
    async with conn.cursor(row_factory=class_row(_Requested)) as cursor:
        await cursor.execute(LIST_REQUESTED, {"tenant_id": tenant_id, "limit": limit})
        rows = await cursor.fetchall()
    return [RunOrder(tenant_id, row.connection_id, row.object, row.mode, row.id) for row in rows]


IS_PENDING = """
select exists (select from sync.runs where tenant_id = %(tenant_id)s and id = %(id)s and status = 'pending')
"""


async def is_pending(conn: Conn, run_id: UUID, *, tenant_id: UUID) -> bool:
    """Tell whether a run that was asked for still waits."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(IS_PENDING, {"tenant_id": tenant_id, "id": run_id})
        return bool(await cursor.fetchone())


@dataclass(frozen=True, slots=True)
class QueueDepth:
    queued: int
    running: int
    #: Since when the oldest job that could run waits, in seconds; None when none does.
    oldest_seconds: float | None


MEASURE = """
select count(*) filter (where status = 'queued') as queued,
  count(*) filter (where status = 'picked') as running,
  extract(epoch from now() - min(execute_after)
    filter (where status = 'queued' and execute_after <= now()))::float8 as oldest_seconds
from jobs.pgqueuer
"""


async def measure(conn: Conn) -> QueueDepth:
    """Return how full the queue is, over all tenants, for status and doctor."""
    async with conn.cursor(row_factory=class_row(QueueDepth)) as cursor:
        await cursor.execute(MEASURE)
        return await cursor.fetchone() or QueueDepth(0, 0, None)


PRUNE_LOG = "delete from jobs.pgqueuer_log where created < now() - %(keep)s::interval and aggregated"

PRUNE_STATISTICS = "delete from jobs.pgqueuer_statistics where created < now() - %(keep)s::interval"


async def prune(conn: Conn, *, keep: timedelta) -> None:
    """Delete what the queue remembers of jobs that ended longer than `keep` ago."""
    await conn.execute(PRUNE_LOG, {"keep": keep})
    await conn.execute(PRUNE_STATISTICS, {"keep": keep})
