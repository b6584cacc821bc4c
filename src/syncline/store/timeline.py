"""What happened around a record, source by source, each the latest first: activities, tasks, changes, writes.

Whoever puts them in one order compares (moment, id), as these statements do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from syncline.store.db import Conn
from syncline.store.rows import exact_rows


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of a record's past is wanted: at most so many, before a place."""

    tenant_id: UUID
    record_id: UUID
    limit: int
    #: Where the page before ended; None for the latest.
    before: tuple[datetime, UUID] | None = None
    #: Owners whose activities and tasks are seen beside those of nobody; None for all.
    owner_ids: Sequence[UUID] | None = None

    def parameters(self) -> dict[str, object]:
        at, row_id = self.before or (None, None)
        owners = None if self.owner_ids is None else list(self.owner_ids)
        return {
            "tenant_id": self.tenant_id,
            "record_id": self.record_id,
            "limit": self.limit,
            "at": at,
            "id": row_id,
            "owners": owners,
        }


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing that happened; `detail` is what there is to say of it."""

    at: datetime
    id: UUID
    detail: dict[str, Any]


async def _list(conn: Conn, statement: str | sql.Composed, span: Span) -> list[Happened]:
    async with exact_rows(conn, Happened) as cursor:
        query = statement if isinstance(statement, sql.Composed) else sql.SQL(statement)  # pyright: ignore[reportArgumentType] - constants of this module
        await cursor.execute(query, span.parameters(), prepare=False)
        return await cursor.fetchall()


LIST_ACTIVITIES = sql.SQL("""
select coalesce(c.occurred_at, c.created_at) as at, c.id,
  jsonb_build_object('type', c.type, 'subject', c.subject, 'body', left(c.body, 2000), 'status', c.status,
    'outcome', c.outcome, 'direction', c.direction, 'duration_ms', c.duration_ms, 'owner_id', c.owner_id,
    'contact_id', c.contact_id, 'company_id', c.company_id, 'deal_id', c.deal_id) as detail
from crm.activities c
where c.tenant_id = %(tenant_id)s and c.{column} = %(record_id)s and c.archived_at is null
  and (%(owners)s::uuid[] is null or c.owner_id is null or c.owner_id = any(%(owners)s::uuid[]))
  and (%(at)s::timestamptz is null
       or (coalesce(c.occurred_at, c.created_at), c.id) < (%(at)s::timestamptz, %(id)s::uuid))
order by coalesce(c.occurred_at, c.created_at) desc, c.id desc limit %(limit)s
""")


async def list_activities(conn: Conn, column: str, span: Span) -> list[Happened]:
    """Return calls, e-mails, meetings and notes that refer to a record by a column."""
    return await _list(conn, LIST_ACTIVITIES.format(column=sql.Identifier(column)), span)


LIST_TASKS = sql.SQL("""
select coalesce(c.due_at, c.created_at) as at, c.id,
  jsonb_build_object('type', c.type, 'subject', c.subject, 'body', left(c.body, 2000), 'status', c.status,
    'priority', c.priority, 'due_at', c.due_at, 'owner_id', c.owner_id, 'contact_id', c.contact_id,
    'company_id', c.company_id, 'deal_id', c.deal_id) as detail
from crm.tasks c
where c.tenant_id = %(tenant_id)s and c.{column} = %(record_id)s and c.archived_at is null
  and (%(owners)s::uuid[] is null or c.owner_id is null or c.owner_id = any(%(owners)s::uuid[]))
  and (%(at)s::timestamptz is null
       or (coalesce(c.due_at, c.created_at), c.id) < (%(at)s::timestamptz, %(id)s::uuid))
order by coalesce(c.due_at, c.created_at) desc, c.id desc limit %(limit)s
""")


async def list_tasks(conn: Conn, column: str, span: Span) -> list[Happened]:
    """Return tasks that refer to a record by a column."""
    return await _list(conn, LIST_TASKS.format(column=sql.Identifier(column)), span)


LIST_CHANGES = """
select h.changed_at as at, h.id,
  jsonb_build_object('action', h.action, 'changes', h.changes, 'source', h.source, 'actor', h.actor,
    'connection', n.name, 'run_id', h.run_id) as detail
from crm.change_log h
left join sync.connections n on n.tenant_id = %(tenant_id)s and n.id = h.connection_id
where h.tenant_id = %(tenant_id)s and h.record_id = %(record_id)s
  and (%(at)s::timestamptz is null or (h.changed_at, h.id) < (%(at)s::timestamptz, %(id)s::uuid))
order by h.changed_at desc, h.id desc limit %(limit)s
"""


async def list_changes(conn: Conn, span: Span) -> list[Happened]:
    """Return the changes of a record, field by field; merges are among them."""
    return await _list(conn, LIST_CHANGES, span)


LIST_WRITES = """
select r.sent_at as at, r.id,
  jsonb_build_object('action', r.action, 'state', r.state, 'reason', r.reason, 'connection', n.name,
    'object', r.object, 'remote_id', r.remote_id, 'kept', r.kept, 'run_id', r.run_id,
    'fields', array(select jsonb_object_keys(r.changes) order by 1)) as detail
from sync.remote_changes r
join sync.connections n on n.tenant_id = %(tenant_id)s and n.id = r.connection_id
where r.tenant_id = %(tenant_id)s and r.record_id = %(record_id)s
  and (%(at)s::timestamptz is null or (r.sent_at, r.id) < (%(at)s::timestamptz, %(id)s::uuid))
order by r.sent_at desc, r.id desc limit %(limit)s
"""


async def list_writes(conn: Conn, span: Span) -> list[Happened]:
    """Return what was written of a record to CRMs, and what became of it."""
    return await _list(conn, LIST_WRITES, span)


GET_CHANGE = """
select h.changed_at as at, h.id,
  jsonb_build_object('action', h.action, 'changes', h.changes, 'record_type', h.record_type) as detail
from crm.change_log h
where h.tenant_id = %(tenant_id)s and h.record_id = %(record_id)s and h.id = %(change_id)s
"""


async def find_change(conn: Conn, record_id: UUID, change_id: UUID, *, tenant_id: UUID) -> Happened | None:
    """Return one change of a record; None where it had none of that id."""
    async with exact_rows(conn, Happened) as cursor:
        await cursor.execute(
            GET_CHANGE, {"tenant_id": tenant_id, "record_id": record_id, "change_id": change_id}
        )
        return await cursor.fetchone()
