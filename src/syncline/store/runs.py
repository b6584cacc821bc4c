"""Sync runs: what was asked for, what happened, in counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from syncline.clock import new_id
from syncline.errors import NotFound
from syncline.store.db import Conn

#: Modes that read an object from its beginning or its last mark on, under the lease of that object.
READING_MODES = ("backfill", "incremental", "manual")


@dataclass(frozen=True, slots=True)
class Run:
    id: UUID
    connection_id: UUID
    object: str
    mode: str
    status: str
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: int | None
    records_expected: int | None
    records_read: int
    records_created: int
    records_updated: int
    records_unchanged: int
    records_archived: int
    records_failed: int
    api_calls: int
    error_details: dict[str, Any] | None


COLUMNS = """id, connection_id, object, mode, status, requested_by, requested_at, started_at, completed_at,
  duration_ms, records_expected, records_read, records_created, records_updated, records_unchanged,
  records_archived, records_failed, api_calls, error_details"""


@dataclass(slots=True)
class RunCounts:
    """What a run has done so far."""

    read: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    archived: int = 0
    failed: int = 0

    @property
    def written(self) -> int:
        """How many records of ours or of the mirror are not as they were."""
        return self.created + self.updated + self.archived

    def add(self, other: RunCounts) -> None:
        self.read += other.read
        self.created += other.created
        self.updated += other.updated
        self.unchanged += other.unchanged
        self.archived += other.archived
        self.failed += other.failed


REQUEST = """
insert into sync.runs (tenant_id, id, connection_id, object, mode, requested_by, requested_at, updated_at)
values (%(tenant_id)s, %(id)s, %(connection_id)s, %(object)s, %(mode)s, %(requested_by)s, %(now)s, %(now)s)
"""


async def request(
    conn: Conn,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    mode: str,
    requested_by: str,
    now: datetime,
) -> UUID:
    """Write down that a run is wanted, and return its id. A worker finds it within about a second."""
    run_id = new_id()
    await conn.execute(
        REQUEST,
        {
            "tenant_id": tenant_id,
            "id": run_id,
            "connection_id": connection_id,
            "object": object_name,
            "mode": mode,
            "requested_by": requested_by,
            "now": now,
        },
    )
    return run_id


FIND_PENDING = """
select r.id from sync.runs r
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s and r.object = %(object)s
  and r.mode = %(mode)s and r.status = 'pending'
order by r.requested_at
limit 1
"""


async def find_pending(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str, mode: str
) -> UUID | None:
    """Return a run that was asked for and that no worker has begun."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            FIND_PENDING,
            {"tenant_id": tenant_id, "connection_id": connection_id, "object": object_name, "mode": mode},
        )
        return await cursor.fetchone()


START = """
update sync.runs set status = 'running', started_at = %(now)s, updated_at = %(now)s
where tenant_id = %(tenant_id)s and id = %(id)s and status = 'pending'
"""


async def start(conn: Conn, run_id: UUID, *, tenant_id: UUID, now: datetime) -> bool:
    """Begin a pending run; False when somebody else has begun or cancelled it."""
    cursor = await conn.execute(START, {"tenant_id": tenant_id, "id": run_id, "now": now})
    return cursor.rowcount == 1


SET_MODE = "update sync.runs set mode = %(mode)s where tenant_id = %(tenant_id)s and id = %(id)s"


async def set_mode(conn: Conn, run_id: UUID, *, tenant_id: UUID, mode: str) -> None:
    """Say what the run turned out to be: a backfill, or an incremental."""
    await conn.execute(SET_MODE, {"tenant_id": tenant_id, "id": run_id, "mode": mode})


ADD_COUNTS = """
update sync.runs set records_read = records_read + %(read)s, records_created = records_created + %(created)s,
  records_updated = records_updated + %(updated)s, records_unchanged = records_unchanged + %(unchanged)s,
  records_archived = records_archived + %(archived)s, records_failed = records_failed + %(failed)s,
  records_expected = coalesce(%(expected)s, records_expected), api_calls = %(api_calls)s, updated_at = %(now)s
where tenant_id = %(tenant_id)s and id = %(id)s
returning cancel_requested_at is not null
"""


async def add_counts(
    conn: Conn,
    run_id: UUID,
    counts: RunCounts,
    *,
    tenant_id: UUID,
    api_calls: int,
    now: datetime,
    expected: int | None = None,
) -> bool:
    """Add a chunk's counts. Commits with the chunk, so that they are true after any crash.

    Returns whether somebody has asked for the run to end.
    """
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            ADD_COUNTS,
            {
                "tenant_id": tenant_id,
                "id": run_id,
                "read": counts.read,
                "created": counts.created,
                "updated": counts.updated,
                "unchanged": counts.unchanged,
                "archived": counts.archived,
                "failed": counts.failed,
                "api_calls": api_calls,
                "expected": expected,
                "now": now,
            },
        )
        return bool(await cursor.fetchone())


ASK_TO_CANCEL = """
update sync.runs
set cancel_requested_at = coalesce(cancel_requested_at, %(now)s),
  cancel_requested_by = coalesce(cancel_requested_by, %(by)s), updated_at = %(now)s,
  status = case status when 'pending' then 'cancelled' else status end,
  completed_at = case status when 'pending' then %(now)s end,
  error_details = case status when 'pending' then %(details)s else error_details end
where tenant_id = %(tenant_id)s and id = %(id)s and completed_at is null
"""


async def ask_to_cancel(conn: Conn, run_id: UUID, *, by: str, tenant_id: UUID, now: datetime) -> None:
    """End a run that waits, and let one that runs know that it is to end."""
    details = Jsonb({"error": f"Cancelled by {by}.", "kind": "RunCancelled"})
    await conn.execute(
        ASK_TO_CANCEL, {"tenant_id": tenant_id, "id": run_id, "by": by, "now": now, "details": details}
    )


IS_CANCELLED = """
select exists (select from sync.runs where tenant_id = %(tenant_id)s and id = %(id)s
               and cancel_requested_at is not null)
"""


async def is_cancelled(conn: Conn, run_id: UUID, *, tenant_id: UUID) -> bool:
    """Tell whether somebody has asked for a run to end."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(IS_CANCELLED, {"tenant_id": tenant_id, "id": run_id})
        return bool(await cursor.fetchone())


FINISH = """
update sync.runs set status = %(status)s, completed_at = %(now)s, updated_at = %(now)s,
  started_at = coalesce(started_at, %(now)s),
  error_details = %(error_details)s, api_calls = greatest(api_calls, %(api_calls)s)
where tenant_id = %(tenant_id)s and id = %(id)s and completed_at is null
"""


async def finish(
    conn: Conn,
    run_id: UUID,
    *,
    tenant_id: UUID,
    status: str,
    now: datetime,
    api_calls: int,
    error_details: dict[str, Any] | None = None,
) -> None:
    """End a run; a run that has ended stays as it is."""
    await conn.execute(
        FINISH,
        {
            "tenant_id": tenant_id,
            "id": run_id,
            "status": status,
            "now": now,
            "api_calls": api_calls,
            "error_details": None if error_details is None else Jsonb(error_details),
        },
    )


ABANDON = """
update sync.runs set status = 'failed', completed_at = %(now)s, updated_at = %(now)s,
  error_details = %(error_details)s
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and status = 'running' and id <> %(current)s and mode = any(%(modes)s::text[])
"""


async def abandon_others(
    conn: Conn,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    current: UUID,
    now: datetime,
    modes: Sequence[str] = READING_MODES,
) -> int:
    """End runs whose process died: whoever holds the lease knows that no other of these modes can be running.

    Runs of other modes have leases of their own, and go on beside.
    """
    cursor = await conn.execute(
        ABANDON,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "current": current,
            "modes": list(modes),
            "now": now,
            "error_details": Jsonb({"error": "The process ended before the run did; the next run went on."}),
        },
    )
    return cursor.rowcount


ABANDON_ALL = """
update sync.runs set status = 'failed', completed_at = %(now)s, updated_at = %(now)s,
  error_details = %(error_details)s
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and status = 'running'
  and mode = any(%(modes)s::text[])
"""


async def abandon_all(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, modes: Sequence[str], now: datetime
) -> None:
    """End runs of all objects whose process died: for whoever holds the one lease of these modes."""
    await conn.execute(
        ABANDON_ALL,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "modes": list(modes),
            "now": now,
            "error_details": Jsonb({"error": "The process ended before the run did; another went on."}),
        },
    )


GET = "select " + COLUMNS + " from sync.runs where tenant_id = %(tenant_id)s and id = %(id)s"


async def get(conn: Conn, run_id: UUID, *, tenant_id: UUID) -> Run:
    async with conn.cursor(row_factory=class_row(Run)) as cursor:
        await cursor.execute(GET, {"tenant_id": tenant_id, "id": run_id})
        row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such run.")
    return row


#: What a WITH says that knows the objects of which there are runs. From one to the next by the index: how
#: many runs each has makes no difference.
OBJECTS_RUN = """recursive objects as (
  (select r.connection_id, r.object from sync.runs r
   where r.tenant_id = %(tenant_id)s
   order by r.connection_id, r.object limit 1)
  union all
  select n.connection_id, n.object
  from objects o
  cross join lateral (
    select r.connection_id, r.object from sync.runs r
    where r.tenant_id = %(tenant_id)s and (r.connection_id, r.object) > (o.connection_id, o.object)
    order by r.connection_id, r.object limit 1) n
)
"""
LIST_LATEST = (
    "with "
    + OBJECTS_RUN
    + """select r.*
from objects o
cross join lateral (
  select """
    + COLUMNS
    + """ from sync.runs
  where tenant_id = %(tenant_id)s and connection_id = o.connection_id and object = o.object
    and status <> 'pending' and mode in ('backfill', 'incremental', 'manual')
  order by requested_at desc limit 1) r
"""
)


async def list_latest(conn: Conn, *, tenant_id: UUID) -> list[Run]:
    """Return the latest run that read each object of each connection, running ones included."""
    async with conn.cursor(row_factory=class_row(Run)) as cursor:
        await cursor.execute(LIST_LATEST, {"tenant_id": tenant_id})
        return await cursor.fetchall()


LAST_SUCCESS = """
select max(completed_at) from sync.runs
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and status in ('success', 'partial') and mode in ('backfill', 'incremental', 'manual')
"""


async def find_last_success(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> datetime | None:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            LAST_SUCCESS, {"tenant_id": tenant_id, "connection_id": connection_id, "object": object_name}
        )
        return await cursor.fetchone()


PRUNE_UNEVENTFUL = """
delete from sync.runs
where tenant_id = %(tenant_id)s and id in (
  select r.id from sync.runs r
  where r.tenant_id = %(tenant_id)s and r.mode = 'webhook' and r.status = 'success'
    and r.completed_at < %(before)s
    and r.records_created + r.records_updated + r.records_archived + r.records_failed = 0
  limit %(limit)s)
"""


async def prune_uneventful(conn: Conn, *, tenant_id: UUID, before: datetime, limit: int) -> int:
    """Forget up to `limit` runs of webhooks that found nothing new, such as the echo of what we wrote."""
    cursor = await conn.execute(PRUNE_UNEVENTFUL, {"tenant_id": tenant_id, "before": before, "limit": limit})
    return cursor.rowcount
