"""Runs as a person looks at them: the latest, of any mode, with the name of their connection."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
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
