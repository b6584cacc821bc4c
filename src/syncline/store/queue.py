"""The queue of un-pushed differences: what is due, what was done, what waits for a person.

A row is taken away only by whoever wrote the revision it has: an edit in the meantime raises it, and the row
stays. Nobody claims rows; the lease of a connection's push keeps others away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record that differs from what a CRM has, and where it is there."""

    record_type: str
    record_id: UUID
    fields: list[str]
    #: `changed`, or `deleted` when the record is no more.
    what: str
    revision: int
    attempts: int
    queued_at: datetime
    #: None for a record that the CRM does not have.
    object: str | None
    remote_id: str | None
    #: Which sort of its kind a record is, where one kind is several objects at a CRM.
    subtype: str | None


LIST_DUE = """
select q.record_type, q.record_id, q.fields, q.what, q.revision, q.attempts, q.queued_at,
       l.object, l.remote_id, a.type as subtype
from sync.queue q
left join crm.activities a
  on a.tenant_id = %(tenant_id)s and q.record_type = 'activity' and a.id = q.record_id
left join lateral (
  select l.object, l.remote_id from sync.links l
  where l.tenant_id = %(tenant_id)s and l.record_id = q.record_id and l.connection_id = %(connection_id)s
    and l.record_type = q.record_type and l.is_primary) l on true
where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s and q.state = 'pending'
  and q.not_before <= %(now)s and q.record_id <> all(%(without)s::uuid[])
order by q.not_before, q.record_id
limit %(limit)s
"""


async def list_due(
    conn: Conn,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    now: datetime,
    limit: int,
    without: Sequence[UUID] = (),
) -> list[Waiting]:
    """Return what may be sent now, the longest waiting first, but for the records that are under way."""
    async with conn.cursor(row_factory=class_row(Waiting)) as cursor:
        await cursor.execute(
            LIST_DUE,
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "now": now,
                "limit": limit,
                "without": list(without),
            },
        )
        return await cursor.fetchall()


DONE = """
delete from sync.queue q
using unnest(%(types)s::text[], %(ids)s::uuid[], %(revisions)s::bigint[])
  as d (record_type, record_id, revision)
where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s
  and q.record_type = d.record_type and q.record_id = d.record_id and q.revision = d.revision
"""


async def done(conn: Conn, rows: Sequence[Waiting], *, tenant_id: UUID, connection_id: UUID) -> None:
    """Take rows away, unless the record was edited since they were listed."""
    if rows:
        await conn.execute(
            DONE,
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "types": [each.record_type for each in rows],
                "ids": [each.record_id for each in rows],
                "revisions": [each.revision for each in rows],
            },
        )


SET_ASIDE = """
update sync.queue q set state = d.state, last_error = d.reason, attempts = q.attempts + d.attempts,
  not_before = %(now)s::timestamptz + d.seconds * interval '1 second'
from unnest(%(types)s::text[], %(ids)s::uuid[], %(revisions)s::bigint[], %(states)s::text[],
            %(reasons)s::text[], %(seconds)s::double precision[], %(attempts)s::integer[])
  as d (record_type, record_id, revision, state, reason, seconds, attempts)
where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s
  and q.record_type = d.record_type and q.record_id = d.record_id
  and (q.revision = d.revision or d.state = 'pending')
"""


@dataclass(frozen=True, slots=True)
class Aside:
    """A row that was not sent: `pending` is tried again later, `parked` and `held` wait for a person."""

    row: Waiting
    state: str
    reason: str
    seconds: float = 0.0
    #: False for one that waits for another, and has not been tried.
    was_tried: bool = True


async def set_aside(
    conn: Conn, rows: Sequence[Aside], *, tenant_id: UUID, connection_id: UUID, now: datetime
) -> None:
    """Keep rows from being sent now. One that was edited meanwhile is not parked: it may be right by now."""
    if rows:
        await conn.execute(
            SET_ASIDE,
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "types": [each.row.record_type for each in rows],
                "ids": [each.row.record_id for each in rows],
                "revisions": [each.row.revision for each in rows],
                "states": [each.state for each in rows],
                "reasons": [each.reason for each in rows],
                "seconds": [each.seconds for each in rows],
                "attempts": [int(each.was_tried) for each in rows],
                "now": now,
            },
        )


@dataclass(frozen=True, slots=True)
class Due:
    """How much waits to be sent to a connection, by kind of record and what is to become of it there."""

    record_type: str
    #: `create`, `change` or `delete`.
    kind: str
    count: int


COUNT_DUE = """
select q.record_type,
       case when q.what = 'deleted' or 'archived_at' = any(q.fields) and l.remote_id is not null then 'delete'
            when l.remote_id is null then 'create' else 'change' end as kind,
       count(*) as count
from sync.queue q
left join lateral (
  select l.remote_id from sync.links l
  where l.tenant_id = %(tenant_id)s and l.record_id = q.record_id and l.connection_id = %(connection_id)s
    and l.record_type = q.record_type and l.is_primary) l on true
where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s and q.state = 'pending'
group by 1, 2
"""


async def count_due(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> list[Due]:
    """Return what waits for a connection, also what is only due later."""
    async with conn.cursor(row_factory=class_row(Due)) as cursor:
        await cursor.execute(COUNT_DUE, {"tenant_id": tenant_id, "connection_id": connection_id})
        return await cursor.fetchall()


COUNT_LINKED = """
select count(*) from sync.links l
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.record_type = %(record_type)s
  and l.is_primary
"""


async def count_linked(conn: Conn, *, tenant_id: UUID, connection_id: UUID, record_type: str) -> int:
    """Return how many records of a kind a connection's CRM has, as far as they are records of ours."""
    cursor = await conn.execute(
        COUNT_LINKED, {"tenant_id": tenant_id, "connection_id": connection_id, "record_type": record_type}
    )
    row = await cursor.fetchone()
    return 0 if row is None else row[0]


HOLD = """
update sync.queue q set state = 'held', last_error = %(reason)s
where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s and q.record_type = %(record_type)s
  and q.state = 'pending'
"""


async def hold(conn: Conn, *, tenant_id: UUID, connection_id: UUID, record_type: str, reason: str) -> int:
    """Hold everything of one kind of record until a person lets it go on; returns how many rows."""
    cursor = await conn.execute(
        HOLD,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "record_type": record_type,
            "reason": reason,
        },
    )
    return cursor.rowcount


LIST_DUE_CONNECTIONS = "select tenant_id, connection_id from sync.due_pushes(%(now)s)"


async def list_due_connections(conn: Conn, *, now: datetime) -> list[tuple[UUID, UUID]]:
    """Return (tenant, connection) of all that may be written to and have something due, over all tenants."""
    cursor = await conn.execute(LIST_DUE_CONNECTIONS, {"now": now})
    return [(row[0], row[1]) for row in await cursor.fetchall()]
