"""Runs as a person looks at them: the latest, of any mode, with the name of their connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn
from syncline.store.runs import COLUMNS, Run


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs are meant; None leaves open."""

    connection_id: UUID | None = None
    object: str | None = None
    mode: str | None = None
    status: str | None = None
    #: Only those that have begun.
    begun: bool = False
    #: Only those that had something to do, or failed to.
    changed: bool = False


@dataclass(frozen=True, slots=True)
class ListedRun(Run):
    """A run with everything that is told of it."""

    #: By name.
    connection: str
    cancel_requested_at: datetime | None
    cancel_requested_by: str | None
    #: Of an undo: the run it takes back.
    undoes: UUID | None

    def without_records(self) -> ListedRun:
        """Return it without what its details say of single records, for those who may not see them all."""
        told = {k: v for k, v in (self.error_details or {}).items() if k in ("error", "kind", "reason")}
        return replace(self, error_details=told or None)


_CHOSEN = (
    "(select "
    + COLUMNS
    + """, cancel_requested_at, cancel_requested_by
      from sync.runs w
      where w.tenant_id = %(tenant_id)s"""
)
_WITH_CONNECTION = """) r
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = r.connection_id
"""

LIST_PAGE = (
    "select c.name as connection, r.*, (r.error_details ->> 'undoes')::uuid as undoes from "
    + _CHOSEN
    + """
        and (%(connection_id)s::uuid is null or w.connection_id = %(connection_id)s)
        and (%(object)s::text is null or w.object = %(object)s)
        and (%(mode)s::text is null or w.mode = %(mode)s)
        and (%(status)s::text is null or w.status = %(status)s)
        and (not %(begun)s::boolean or w.status <> 'pending')
        and (not %(changed)s::boolean or w.status not in ('success', 'running')
          or w.records_created + w.records_updated + w.records_archived + w.records_failed > 0)
        and (%(before)s::timestamptz is null or (w.requested_at, w.id) < (%(before)s, %(before_id)s::uuid))
      order by w.requested_at desc, w.id desc
      limit %(limit)s"""
    + _WITH_CONNECTION
    + "order by r.requested_at desc, r.id desc"
)


async def list_page(
    conn: Conn, wanted: Filter, *, tenant_id: UUID, limit: int, before: tuple[datetime, UUID] | None = None
) -> list[ListedRun]:
    """Return runs, those asked for last first, from behind the one that `before` names."""
    moment, row_id = before or (None, None)
    place = {"tenant_id": tenant_id, "before": moment, "before_id": row_id, "limit": limit}
    async with conn.cursor(row_factory=class_row(ListedRun)) as cursor:
        await cursor.execute(LIST_PAGE, {**asdict(wanted), **place}, prepare=False)
        return await cursor.fetchall()


LIST_BY_ID = (
    "select c.name as connection, r.*, (r.error_details ->> 'undoes')::uuid as undoes from "
    + _CHOSEN
    + " and w.id = any(%(ids)s::uuid[])"
    + _WITH_CONNECTION
    + "order by r.requested_at, r.id"
)


async def list_by_id(conn: Conn, ids: Sequence[UUID], *, tenant_id: UUID) -> list[ListedRun]:
    """Return the runs of these ids that there are, in the order they were asked for."""
    async with conn.cursor(row_factory=class_row(ListedRun)) as cursor:
        await cursor.execute(LIST_BY_ID, {"tenant_id": tenant_id, "ids": list(ids)})
        return await cursor.fetchall()
