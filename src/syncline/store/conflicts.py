"""Conflicts: fields that both sides changed, waiting for a person or decided by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.rows import class_row

from syncline.domain.resolving import Disputed, Resolution
from syncline.errors import NotFound
from syncline.store.db import Conn
from syncline.store.keys import ConnectionKeys
from syncline.store.rows import exact_rows, to_json

Status = Literal["open", "resolved", "settled"]


@dataclass(frozen=True, slots=True)
class Conflict:
    """One field of one record, and what either side made of it."""

    id: UUID
    connection_id: UUID
    #: The connection's name.
    connection: str
    object: str
    remote_id: str
    record_type: str
    record_id: UUID
    #: What people call the record; empty where it has no name.
    label: str
    field: str
    base: Any
    ours: Any
    theirs: Any
    #: Their property as read, which may be more than `theirs` could take.
    read: Any
    seen: list[Any]
    ours_at: datetime | None
    theirs_at: datetime | None
    status: Status
    resolution: Resolution | None
    #: What stood here after a person decided.
    value: Any
    run_id: UUID | None
    found_at: datetime
    #: When a sync last met it.
    seen_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None

    @property
    def disputed(self) -> Disputed:
        return Disputed(self.field, self.ours, self.theirs, self.seen)


#: What people call a record, of its snapshot.
_LABEL = """coalesce(nullif(btrim(c.our_record ->> 'name'), ''),
  nullif(btrim(concat_ws(' ', c.our_record ->> 'first_name', c.our_record ->> 'last_name')), ''),
  nullif(c.our_record ->> 'email', ''), nullif(btrim(c.our_record ->> 'subject'), ''),
  nullif(c.our_record ->> 'domain', ''), '') as label"""
_COLUMNS = (
    """c.id, c.connection_id, n.name as connection, c.object, c.remote_id, c.record_type, c.record_id, """
    + _LABEL
    + """, c.field, c.base, c.ours, c.theirs, c.read, c.seen, c.ours_at, c.theirs_at, c.status, c.resolution,
  c.value, c.run_id, c.found_at, c.seen_at, c.resolved_at, c.resolved_by"""
)
_FROM = """
from sync.conflicts c
join sync.connections n on n.tenant_id = %(tenant_id)s and n.id = c.connection_id
"""

LIST_CONFLICTS = (
    "select "
    + _COLUMNS
    + _FROM
    + """where c.tenant_id = %(tenant_id)s
  and (%(status)s::text is null or c.status = %(status)s)
  and (%(connection_id)s::uuid is null or c.connection_id = %(connection_id)s)
  and (%(record_type)s::text is null or c.record_type = %(record_type)s)
  and (%(record_id)s::uuid is null or c.record_id = %(record_id)s)
  and (%(field)s::text is null or c.field = %(field)s)
  and (%(before)s::timestamptz is null or (c.found_at, c.id) < (%(before)s, %(before_id)s::uuid))
order by c.found_at desc, c.id desc
limit %(limit)s
"""
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which conflicts are meant; None leaves open."""

    connection_id: UUID | None = None
    record_type: str | None = None
    record_id: UUID | None = None
    field: str | None = None
    status: Status | None = "open"


async def list_conflicts(
    conn: Conn,
    wanted: Filter,
    *,
    tenant_id: UUID,
    limit: int = 100,
    before: tuple[datetime, UUID] | None = None,
) -> list[Conflict]:
    """Return conflicts, latest found first; `before` is the place of the last one seen."""
    async with exact_rows(conn, Conflict) as cursor:
        await cursor.execute(
            LIST_CONFLICTS,
            {
                "tenant_id": tenant_id,
                "status": wanted.status,
                "connection_id": wanted.connection_id,
                "record_type": wanted.record_type,
                "record_id": wanted.record_id,
                "field": wanted.field,
                "before": before[0] if before else None,
                "before_id": before[1] if before else None,
                "limit": limit,
            },
            prepare=False,
        )
        return await cursor.fetchall()


GET = "select " + _COLUMNS + _FROM + "where c.tenant_id = %(tenant_id)s and c.id = %(id)s"


async def get(conn: Conn, conflict_id: UUID, *, tenant_id: UUID) -> Conflict:
    """Return a conflict. Raises `NotFound`."""
    async with exact_rows(conn, Conflict) as cursor:
        await cursor.execute(GET, {"tenant_id": tenant_id, "id": conflict_id})
        found = await cursor.fetchone()
    if found is None:
        raise NotFound("There is no such conflict. `syncline conflicts list --status all` lists them.")
    return found


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Both records as they stood when a conflict was last met, by field of ours."""

    our_record: dict[str, Any]
    their_record: dict[str, Any]


GET_SNAPSHOTS = """
select c.our_record, c.their_record from sync.conflicts c where c.tenant_id = %(tenant_id)s and c.id = %(id)s
"""


async def get_snapshots(conn: Conn, conflict_id: UUID, *, tenant_id: UUID) -> Snapshots:
    async with exact_rows(conn, Snapshots) as cursor:
        await cursor.execute(GET_SNAPSHOTS, {"tenant_id": tenant_id, "id": conflict_id})
        found = await cursor.fetchone()
    if found is None:
        raise NotFound("There is no such conflict.")
    return found


class RecordKeys(ConnectionKeys):
    """A record of ours, as one connection has it."""

    record_type: str
    record_id: UUID


LOCK_OPEN = """
select c.id from sync.conflicts c
where c.tenant_id = %(tenant_id)s and c.connection_id = %(connection_id)s and c.record_type = %(record_type)s
  and c.record_id = %(record_id)s and c.status = 'open'
order by c.id
for update
"""
LIST_OF_RECORD = (
    "select "
    + _COLUMNS
    + _FROM
    + """where c.tenant_id = %(tenant_id)s and c.connection_id = %(connection_id)s
  and c.record_type = %(record_type)s and c.record_id = %(record_id)s and c.status = 'open'
order by c.field
"""
)


async def lock_open(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, record_type: str, record_id: UUID
) -> list[Conflict]:
    """Lock and return a record's open conflicts with one connection, by field. Lock record and link first."""
    keys = {
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "record_type": record_type,
        "record_id": record_id,
    }
    await conn.execute(LOCK_OPEN, keys)
    async with exact_rows(conn, Conflict) as cursor:
        await cursor.execute(LIST_OF_RECORD, keys)
        return await cursor.fetchall()


RESOLVE = """
update sync.conflicts c
set status = 'resolved', resolution = %(resolution)s, value = %(value)s::jsonb, resolved_at = %(now)s,
  resolved_by = %(by)s
where c.tenant_id = %(tenant_id)s and c.id = %(id)s and c.status = 'open'
"""


async def resolve(
    conn: Conn,
    conflict_id: UUID,
    resolution: Resolution,
    value: Any,
    *,
    tenant_id: UUID,
    by: str,
    now: datetime,
) -> None:
    """Close a conflict by a person's choice; `value` is what stands here now."""
    await conn.execute(
        RESOLVE,
        {
            "tenant_id": tenant_id,
            "id": conflict_id,
            "resolution": resolution,
            "value": to_json(value),
            "by": by,
            "now": now,
        },
    )


COUNT_OPEN = """
select c.connection_id, c.record_type, count(*) as count from sync.conflicts c
where c.tenant_id = %(tenant_id)s and c.status = 'open'
  and (%(connection_id)s::uuid is null or c.connection_id = %(connection_id)s)
  and (%(record_type)s::text is null or c.record_type = %(record_type)s)
  and (%(record_id)s::uuid is null or c.record_id = %(record_id)s)
  and (%(field)s::text is null or c.field = %(field)s)
group by c.connection_id, c.record_type
"""


@dataclass(frozen=True, slots=True)
class OpenCount:
    connection_id: UUID
    record_type: str
    count: int


async def count_open(conn: Conn, wanted: Filter | None = None, *, tenant_id: UUID) -> list[OpenCount]:
    """Return how many conflicts wait for a person, per connection and kind of record.

    Of a filter its status is passed over.
    """
    meant = wanted or Filter()
    async with conn.cursor(row_factory=class_row(OpenCount)) as cursor:
        await cursor.execute(
            COUNT_OPEN,
            {
                "tenant_id": tenant_id,
                "connection_id": meant.connection_id,
                "record_type": meant.record_type,
                "record_id": meant.record_id,
                "field": meant.field,
            },
            prepare=False,
        )
        return await cursor.fetchall()


# The rows are locked by the update: of two that announce at once, the second finds nothing left.
CLAIM_UNANNOUNCED = (
    """
with claimed as (
  update sync.conflicts u set notified_at = %(now)s
  where u.tenant_id = %(tenant_id)s and u.status = 'open' and u.notified_at is null
    and (%(run_id)s::uuid is null or u.run_id = %(run_id)s)
  returning u.id
)
select c.id, c.run_id, n.name as connection, c.connection_id, c.record_type, c.record_id, c.field, """
    + _LABEL
    + _FROM
    + """where c.tenant_id = %(tenant_id)s and c.id in (select id from claimed)
order by c.found_at, c.id
"""
)


@dataclass(frozen=True, slots=True)
class Unannounced:
    """A conflict that nobody has been told of. Holds no values."""

    id: UUID
    run_id: UUID | None
    connection: str
    connection_id: UUID
    record_type: str
    record_id: UUID
    field: str
    label: str


async def claim_unannounced(
    conn: Conn, *, tenant_id: UUID, run_id: UUID | None, now: datetime
) -> Sequence[Unannounced]:
    """Mark open conflicts as announced and return those that were not, oldest first."""
    async with conn.cursor(row_factory=class_row(Unannounced)) as cursor:
        await cursor.execute(CLAIM_UNANNOUNCED, {"tenant_id": tenant_id, "run_id": run_id, "now": now})
        return await cursor.fetchall()
