"""What a record has left in the machinery: links, tombstones, writes, runs of its object, what was read last.

Reads only; what follows from it is for others to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from syncline.store.db import Conn
from syncline.store.rows import exact_rows


@dataclass(frozen=True, slots=True)
class Link:
    connection_id: UUID
    object: str
    remote_id: str
    is_primary: bool
    base: dict[str, list[Any]]
    sent: dict[str, list[list[Any]]] | None
    linked_at: datetime


LIST_LINKS = """
select l.connection_id, l.object, l.remote_id, l.is_primary, l.base, l.sent, l.linked_at from sync.links l
where l.tenant_id = %(tenant_id)s and l.record_id = %(record_id)s and l.record_type = %(record_type)s
order by l.connection_id, l.is_primary desc, l.linked_at
"""


async def list_links(conn: Conn, record_type: str, record_id: UUID, *, tenant_id: UUID) -> list[Link]:
    """Return a record's links by connection, the primary one first."""
    async with exact_rows(conn, Link) as cursor:
        await cursor.execute(
            LIST_LINKS, {"tenant_id": tenant_id, "record_type": record_type, "record_id": record_id}
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A remote record that must not come back: `deleted` here, or `erased` for privacy."""

    connection_id: UUID
    object: str
    remote_id: str
    reason: str
    buried_at: datetime


LIST_TOMBSTONES = """
select t.connection_id, t.object, t.remote_id, t.reason, t.buried_at from sync.tombstones t
where t.tenant_id = %(tenant_id)s
  and (t.record_id = %(record_id)s::uuid
       or t.connection_id = %(connection_id)s::uuid and t.object = %(object)s and t.remote_id = %(remote_id)s)
order by t.connection_id, t.object, t.remote_id
"""


async def list_tombstones(
    conn: Conn,
    *,
    tenant_id: UUID,
    record_id: UUID | None = None,
    connection_id: UUID | None = None,
    object_name: str | None = None,
    remote_id: str | None = None,
) -> list[Tombstone]:
    """Return the tombstones of a record of ours, or of one remote record."""
    async with conn.cursor(row_factory=class_row(Tombstone)) as cursor:
        await cursor.execute(
            LIST_TOMBSTONES,
            {
                "tenant_id": tenant_id,
                "record_id": record_id,
                "connection_id": connection_id,
                "object": object_name,
                "remote_id": remote_id,
            },
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class RemoteChange:
    """What was written to a CRM of one record: `sent` is not answered yet."""

    action: str
    state: str
    #: Names only; what was sent stands in `sync.remote_changes`.
    fields: list[str]
    kept: dict[str, Any] | None
    reason: str | None
    sent_at: datetime
    answered_at: datetime | None


LIST_CHANGES = """
select c.action, c.state, array(select jsonb_object_keys(c.changes) order by 1) as fields, c.kept, c.reason,
  c.sent_at, c.answered_at
from sync.remote_changes c
where c.tenant_id = %(tenant_id)s and c.record_id = %(record_id)s and c.connection_id = %(connection_id)s
order by c.sent_at desc, c.id limit %(limit)s
"""


async def list_changes(
    conn: Conn, record_id: UUID, *, tenant_id: UUID, connection_id: UUID, limit: int = 5
) -> list[RemoteChange]:
    """Return what was written to a connection's CRM of a record, the latest first."""
    async with exact_rows(conn, RemoteChange) as cursor:
        await cursor.execute(
            LIST_CHANGES,
            {
                "tenant_id": tenant_id,
                "record_id": record_id,
                "connection_id": connection_id,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class LastRun:
    """The latest run that pulled, or pushed, an object, and how it ended."""

    mode: str
    status: str
    started_at: datetime | None
    completed_at: datetime | None
    error: str | None


LIST_LAST = """
select distinct on (r.mode = 'push') r.mode, r.status, r.started_at, r.completed_at,
  r.error_details ->> 'error' as error
from sync.runs r
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s and r.object = %(object)s
  and r.status <> 'pending' and r.mode = any(%(modes)s::text[])
order by r.mode = 'push', r.requested_at desc
"""


async def list_last_runs(
    conn: Conn, modes: Sequence[str], *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> list[LastRun]:
    """Return the latest run of an object that pulled, then the latest that pushed, as far as there are."""
    async with conn.cursor(row_factory=class_row(LastRun)) as cursor:
        await cursor.execute(
            LIST_LAST,
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "object": object_name,
                "modes": list(modes),
            },
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class LastRead:
    """A remote record as it was read last, without its associations."""

    raw: str
    remote_updated_at: datetime | None
    archived_at: datetime | None
    archived_reason: str | None
    merged_into: str | None
    synced_at: datetime


FIND_READ = sql.SQL("""
select (r.raw - 'associations')::text as raw, r.remote_updated_at, r.archived_at, r.archived_reason,
  r.merged_into, r.synced_at
from {table} r
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s and r.remote_id = %(remote_id)s
""")


async def find_last_read(
    conn: Conn, table: sql.Identifier, remote_id: str, *, tenant_id: UUID, connection_id: UUID
) -> LastRead | None:
    async with conn.cursor(row_factory=class_row(LastRead)) as cursor:
        await cursor.execute(
            FIND_READ.format(table=table),
            {"tenant_id": tenant_id, "connection_id": connection_id, "remote_id": remote_id},
        )
        return await cursor.fetchone()


@dataclass(frozen=True, slots=True)
class ParkedReading:
    kind: str
    reason: str
    problems: dict[str, str]
    last_seen_at: datetime


FIND_PARKED = """
select p.kind, p.reason, p.problems, p.last_seen_at from sync.parked p
where p.tenant_id = %(tenant_id)s and p.connection_id = %(connection_id)s and p.object = %(object)s
  and p.remote_id = %(remote_id)s
"""


async def find_parked(
    conn: Conn, remote_id: str, *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> ParkedReading | None:
    """Return why a remote record could not be read whole; None when it could."""
    async with conn.cursor(row_factory=class_row(ParkedReading)) as cursor:
        await cursor.execute(
            FIND_PARKED,
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "object": object_name,
                "remote_id": remote_id,
            },
        )
        return await cursor.fetchone()
