"""What runs did, record by record: here by the change log, at the CRMs by what was sent.

Reads only. What is made of it, showing, comparing or taking back, is others' matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from syncline.store.db import Conn
from syncline.store.rows import exact_rows


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a record of ours."""

    record_type: str
    record_id: UUID
    action: str
    #: Field → [old, new]; or {"left_out": …} for what is too long to be kept.
    changes: dict[str, Any]
    changed_at: datetime
    #: The connection it came from; None for a change made here.
    connection_id: UUID | None


LIST_CHANGES = """
select c.record_type, c.record_id, c.action, c.changes, c.changed_at, c.connection_id
from crm.change_log c
where c.tenant_id = %(tenant_id)s and c.run_id = any(%(run_ids)s::uuid[])
order by c.changed_at, c.record_type, c.record_id, c.id
"""


async def list_changes(conn: Conn, run_ids: Sequence[UUID], *, tenant_id: UUID) -> list[Change]:
    """Return what runs changed here, oldest first."""
    async with exact_rows(conn, Change) as cursor:
        await cursor.execute(LIST_CHANGES, {"tenant_id": tenant_id, "run_ids": list(run_ids)})
        return await cursor.fetchall()


# By the records, and never by the run, of which each part would read everything.
LIST_CHANGES_OF = """
select c.record_type, c.record_id, c.action, c.changes, c.changed_at, c.connection_id
from crm.change_log c
where c.tenant_id = %(tenant_id)s and c.record_id = any(%(record_ids)s::uuid[])
  and c.run_id is not distinct from %(run_id)s
order by c.changed_at, c.record_type, c.record_id, c.id
"""


async def list_changes_of(
    conn: Conn, record_ids: Sequence[UUID], run_id: UUID, *, tenant_id: UUID
) -> list[Change]:
    """Return what a run changed of some records here, oldest first."""
    async with exact_rows(conn, Change) as cursor:
        await cursor.execute(
            LIST_CHANGES_OF, {"tenant_id": tenant_id, "record_ids": list(record_ids), "run_id": run_id}
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class LaterChange:
    """One change of a record by others than a run."""

    record_id: UUID
    changes: dict[str, Any]
    changed_at: datetime
    connection_id: UUID | None


# As it makes a record, a CRM fills in fields by itself. That comes with the first word it says of it, minutes
# later, and is nobody's edit.
LIST_LATER_CHANGES = """
select c.record_id, c.changes, c.changed_at, c.connection_id
from crm.change_log c
where c.tenant_id = %(tenant_id)s and c.record_id = any(%(record_ids)s::uuid[])
  and c.run_id is distinct from %(run_id)s and c.action in ('updated', 'archived', 'restored')
  and not exists (
    select from sync.remote_changes m
    where m.tenant_id = %(tenant_id)s and m.record_id = c.record_id
      and m.connection_id = c.connection_id and m.action = 'created'
      and c.changed_at between m.sent_at and m.sent_at + interval '15 minutes'
      and not exists (select from crm.change_log f
                      where f.tenant_id = %(tenant_id)s and f.record_id = c.record_id
                        and f.connection_id = c.connection_id
                        and f.changed_at >= m.sent_at and f.changed_at < c.changed_at))
order by c.changed_at, c.id
"""


async def list_later_changes(
    conn: Conn, record_ids: Sequence[UUID], run_id: UUID, *, tenant_id: UUID
) -> list[LaterChange]:
    """Return what others than a run changed of records here, oldest first.

    Of a record that the run made all of it was later; of others, also what was before.
    """
    async with exact_rows(conn, LaterChange) as cursor:
        await cursor.execute(
            LIST_LATER_CHANGES, {"tenant_id": tenant_id, "record_ids": list(record_ids), "run_id": run_id}
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class RemoteChange:
    """One write to a CRM."""

    connection_id: UUID
    object: str
    #: None for a record whose making was never answered.
    remote_id: str | None
    record_type: str
    record_id: UUID
    action: str
    #: Field → [what the CRM was read to have, what it was sent], in our form.
    changes: dict[str, Any]
    #: `sent` (no answer yet), `done` or `refused`.
    state: str
    sent_at: datetime


LIST_REMOTE_CHANGES = """
select c.connection_id, c.object, c.remote_id, c.record_type, c.record_id, c.action, c.changes, c.state,
       c.sent_at
from sync.remote_changes c
where c.tenant_id = %(tenant_id)s and c.run_id = any(%(run_ids)s::uuid[])
order by c.sent_at, c.id
"""


async def list_remote_changes(conn: Conn, run_ids: Sequence[UUID], *, tenant_id: UUID) -> list[RemoteChange]:
    """Return what runs sent to CRMs, oldest first."""
    async with exact_rows(conn, RemoteChange) as cursor:
        await cursor.execute(LIST_REMOTE_CHANGES, {"tenant_id": tenant_id, "run_ids": list(run_ids)})
        return await cursor.fetchall()


LIST_REMOTE_CHANGES_OF = """
select c.connection_id, c.object, c.remote_id, c.record_type, c.record_id, c.action, c.changes, c.state,
       c.sent_at
from sync.remote_changes c
where c.tenant_id = %(tenant_id)s and c.record_id = any(%(record_ids)s::uuid[])
  and c.run_id is not distinct from %(run_id)s
order by c.sent_at, c.id
"""


async def list_remote_changes_of(
    conn: Conn, record_ids: Sequence[UUID], run_id: UUID, *, tenant_id: UUID
) -> list[RemoteChange]:
    """Return what a run sent of some records, oldest first."""
    async with exact_rows(conn, RemoteChange) as cursor:
        await cursor.execute(
            LIST_REMOTE_CHANGES_OF,
            {"tenant_id": tenant_id, "record_ids": list(record_ids), "run_id": run_id},
        )
        return await cursor.fetchall()


LIST_RECORDS = """
select r.record_type, r.record_id from (
  select c.record_type, c.record_id from crm.change_log c
  where c.tenant_id = %(tenant_id)s and c.run_id = %(run_id)s
  union
  select s.record_type, s.record_id from sync.remote_changes s
  where s.tenant_id = %(tenant_id)s and s.run_id = %(run_id)s and s.state <> 'refused') r
order by r.record_type, r.record_id
"""


async def list_records(conn: Conn, run_id: UUID, *, tenant_id: UUID) -> list[tuple[str, UUID]]:
    """Return (type, id) of every record that a run did something to, here or there."""
    cursor = await conn.execute(LIST_RECORDS, {"tenant_id": tenant_id, "run_id": run_id})
    return [(str(row[0]), row[1]) for row in await cursor.fetchall()]


LIST_MERGED = """
select c.record_id from crm.change_log c
where c.tenant_id = %(tenant_id)s and c.run_id = %(run_id)s and c.action = 'merged'
"""


async def list_merged(conn: Conn, run_id: UUID, *, tenant_id: UUID) -> set[UUID]:
    """Return the records that a run merged into others."""
    cursor = await conn.execute(LIST_MERGED, {"tenant_id": tenant_id, "run_id": run_id})
    return {row[0] for row in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Unsent:
    """A row of the queue that waits for a person."""

    record_type: str
    record_id: UUID
    state: str
    reason: str | None


LIST_UNSENT = """
select q.record_type, q.record_id, q.state, q.last_error as reason from sync.queue q
where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s
  and q.state = any(%(states)s::text[])
order by q.record_type, q.record_id
"""


async def list_unsent(
    conn: Conn, states: Sequence[str], *, tenant_id: UUID, connection_id: UUID
) -> list[Unsent]:
    """Return the rows of a connection's queue that are in one of `states`."""
    async with exact_rows(conn, Unsent) as cursor:
        await cursor.execute(
            LIST_UNSENT, {"tenant_id": tenant_id, "connection_id": connection_id, "states": list(states)}
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Held:
    """What a brake holds of a kind of record, in its words."""

    record_type: str
    reason: str | None
    count: int


LIST_HELD = """
select q.record_type, max(q.last_error) as reason, count(*) as count from sync.queue q
where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s and q.state = 'held'
group by q.record_type
order by q.record_type
"""


async def list_held(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> list[Held]:
    async with exact_rows(conn, Held) as cursor:
        await cursor.execute(LIST_HELD, {"tenant_id": tenant_id, "connection_id": connection_id})
        return await cursor.fetchall()
