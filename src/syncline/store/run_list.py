"""Runs as a person looks at them: the latest, of any mode, with the name of their connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class RunSummary:
    id: UUID
    connection: str
    object: str
    mode: str
    status: str
    requested_by: str
    requested_at: datetime
    completed_at: datetime | None
    records_read: int
    records_created: int
    records_updated: int
    records_archived: int
    records_failed: int
    api_calls: int
    #: Of an undo: the run it takes back.
    undoes: UUID | None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs are meant; None leaves open."""

    connection_id: UUID | None = None
    object: str | None = None
    mode: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run with everything that is told of it."""

    id: UUID
    connection: str
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
    cancel_requested_at: datetime | None
    cancel_requested_by: str | None

    def without_records(self) -> ListedRun:
        """Return it without what its details say of single records, for those who may not see them all."""
        told = {k: v for k, v in (self.error_details or {}).items() if k in ("error", "kind", "reason")}
        return replace(self, error_details=told or None)


_LISTED = """
select r.id, c.name as connection, r.object, r.mode, r.status, r.requested_by, r.requested_at, r.started_at,
  r.completed_at, r.duration_ms, r.records_expected, r.records_read, r.records_created, r.records_updated,
  r.records_unchanged, r.records_archived, r.records_failed, r.api_calls, r.error_details,
  r.cancel_requested_at, r.cancel_requested_by
from sync.runs r
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = r.connection_id
where r.tenant_id = %(tenant_id)s
"""

LIST_PAGE = (
    _LISTED
    + """  and (%(connection_id)s::uuid is null or r.connection_id = %(connection_id)s)
  and (%(object)s::text is null or r.object = %(object)s)
  and (%(mode)s::text is null or r.mode = %(mode)s)
  and (%(status)s::text is null or r.status = %(status)s)
  and (%(before)s::timestamptz is null or (r.requested_at, r.id) < (%(before)s, %(before_id)s::uuid))
order by r.requested_at desc, r.id desc
limit %(limit)s
"""
)


async def list_page(
    conn: Conn, wanted: Filter, *, tenant_id: UUID, limit: int, before: tuple[datetime, UUID] | None = None
) -> list[ListedRun]:
    """Return runs, those asked for last first, from behind the one that `before` names."""
    moment, row_id = before or (None, None)
    async with conn.cursor(row_factory=class_row(ListedRun)) as cursor:
        await cursor.execute(
            LIST_PAGE,
            {
                "tenant_id": tenant_id,
                "connection_id": wanted.connection_id,
                "object": wanted.object,
                "mode": wanted.mode,
                "status": wanted.status,
                "before": moment,
                "before_id": row_id,
                "limit": limit,
            },
            prepare=False,
        )
        return await cursor.fetchall()


LIST_BY_ID = _LISTED + "  and r.id = any(%(ids)s::uuid[]) order by r.requested_at, r.id"


async def list_by_id(conn: Conn, ids: Sequence[UUID], *, tenant_id: UUID) -> list[ListedRun]:
    """Return the runs of these ids that there are, in the order they were asked for."""
    async with conn.cursor(row_factory=class_row(ListedRun)) as cursor:
        await cursor.execute(LIST_BY_ID, {"tenant_id": tenant_id, "ids": list(ids)})
        return await cursor.fetchall()


LIST_RUNS = """
select r.id, c.name as connection, r.object, r.mode, r.status, r.requested_by, r.requested_at, r.completed_at,
       r.records_read, r.records_created, r.records_updated, r.records_archived, r.records_failed,
       r.api_calls, (r.error_details ->> 'undoes')::uuid as undoes
from sync.runs r
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = r.connection_id
where r.tenant_id = %(tenant_id)s and r.status <> 'pending'
  and (%(connection_id)s::uuid is null or r.connection_id = %(connection_id)s)
  and (%(mode)s::text is null or r.mode = %(mode)s)
  and (not %(changed)s::boolean or r.status not in ('success', 'running')
    or r.records_created + r.records_updated + r.records_archived + r.records_failed > 0)
order by r.requested_at desc, r.id desc
limit %(limit)s
"""


async def list_runs(
    conn: Conn,
    *,
    tenant_id: UUID,
    connection_id: UUID | None,
    mode: str | None,
    changed: bool,
    limit: int,
) -> list[RunSummary]:
    """Return the latest runs, the last that was asked for first, of one connection and mode or of all.

    `changed` leaves out those that found nothing to do.
    """
    async with conn.cursor(row_factory=class_row(RunSummary)) as cursor:
        await cursor.execute(
            LIST_RUNS,
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "mode": mode,
                "changed": changed,
                "limit": limit,
            },
            prepare=False,
        )
        return await cursor.fetchall()
