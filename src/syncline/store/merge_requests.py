"""Merges at CRMs: two remote records of one connection that are one record of ours, and what is to be done.

A merge here always leaves a row for each connection that had both; its state says whether somebody wants the
CRM to follow. Rows are claimed by whoever holds the connection's lease of pushing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row, scalar_row

from syncline.domain.records import RecordType
from syncline.store.absorbing import Cause
from syncline.store.db import Conn
from syncline.store.keys import ConnectionKeys
from syncline.store.labels import LABEL, OF_PAGE
from syncline.store.payloads import Table

#: What a connection does about merges in other CRMs: its setting `merges`.
Following = Literal["here", "everywhere", "review"]
State = Literal["here", "review", "wanted", "sent", "done", "refused"]
SETTING = "merges"

# By a person: wanted at the connections they name. By another CRM's merge: as each connection's setting says.
PUT = """
insert into sync.merges as m (tenant_id, id, connection_id, object, record_type, record_id, merged_record,
  survivor_id, merged_id, state, reason, wanted_by, wanted_at, not_before)
select %(tenant_id)s, gen_random_uuid(), l.connection_id, l.object, %(record_type)s, %(into)s, %(record_id)s,
  own.remote_id, l.remote_id, s.state,
  case when s.state = 'review' and c.settings ->> 'merges' = 'everywhere'
       then 'Merging is not allowed: `syncline writing allow` allows it.' end,
  %(by)s, %(now)s, %(now)s
from sync.links l
join sync.links own on own.tenant_id = %(tenant_id)s and own.connection_id = l.connection_id
  and own.object = l.object and own.record_type = %(record_type)s and own.record_id = %(into)s
  and own.is_primary
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = l.connection_id
cross join lateral (
  select case when %(there)s::uuid[] is not null
                then case when l.connection_id = any(%(there)s::uuid[]) then 'wanted' else 'here' end
              when c.settings ->> 'merges' = 'review' then 'review'
              when c.settings ->> 'merges' = 'everywhere'
                then case when exists (
                       select from sync.writing w
                       where w.tenant_id = %(tenant_id)s and w.connection_id = l.connection_id
                         and w.object = l.object and w.scope = 'merge') then 'wanted' else 'review' end
              else 'here' end as state offset 0) s
where l.tenant_id = %(tenant_id)s and l.record_type = %(record_type)s and l.record_id = %(record_id)s
  and l.is_primary and l.connection_id is distinct from %(connection_id)s
on conflict (tenant_id, connection_id, object, merged_id) do update
  set record_id = excluded.record_id, merged_record = excluded.merged_record,
      survivor_id = excluded.survivor_id, state = excluded.state, reason = excluded.reason,
      wanted_by = excluded.wanted_by, wanted_at = excluded.wanted_at, not_before = excluded.not_before,
      attempts = 0, run_id = null, answered_at = null
  where m.state <> 'sent'
"""


async def put(
    conn: Conn,
    kind: RecordType,
    record_id: UUID,
    into: UUID,
    cause: Cause,
    *,
    tenant_id: UUID,
    now: datetime,
    there: Sequence[UUID] | None = None,
) -> None:
    """Write down which connections have both records, before one goes into the other here.

    `there` names those that a person wants to follow; None leaves it to each connection's setting.
    """
    await conn.execute(
        PUT,
        {
            "tenant_id": tenant_id,
            "record_type": kind.name,
            "record_id": record_id,
            "into": into,
            "connection_id": cause.connection_id,
            "by": None if there is None else cause.actor,
            "there": None if there is None else list(there),
            "now": now,
        },
    )


@dataclass(frozen=True, slots=True)
class Request:
    """One merge at one CRM."""

    id: UUID
    connection_id: UUID
    #: The connection's name.
    connection: str
    object: str
    record_type: str
    #: The record of ours, and the one that went into it.
    record_id: UUID
    merged_record: UUID
    #: What people call it.
    label: str
    survivor_id: str
    merged_id: str
    state: State
    reason: str | None
    #: None where it follows a merge in another CRM.
    wanted_by: str | None
    wanted_at: datetime
    attempts: int
    run_id: UUID | None


_FOUND = """
select m.id, m.connection_id, n.name as connection, m.object, m.record_type, m.record_id, m.merged_record,
  m.survivor_id, m.merged_id, m.state, m.reason, m.wanted_by, m.wanted_at, m.attempts, m.run_id
from sync.merges m
join sync.connections n on n.tenant_id = %(tenant_id)s and n.id = m.connection_id
where m.tenant_id = %(tenant_id)s
"""
_LABELLED = ")\nselect p.*, " + LABEL + " from p" + OF_PAGE

LIST_OPEN = (
    "with p as ("
    + _FOUND
    + """  and m.state in ('review', 'wanted', 'sent', 'refused')
  and (%(record_type)s::text is null or m.record_type = %(record_type)s)
order by m.wanted_at desc, m.id
limit %(limit)s
"""
    + _LABELLED
    + "order by p.wanted_at desc, p.id"
)


async def list_open(
    conn: Conn, *, tenant_id: UUID, record_type: str | None = None, limit: int = 100
) -> list[Request]:
    """Return merges at CRMs that wait, for the CRM or for a person, or that the CRM refused; latest first."""
    async with conn.cursor(row_factory=class_row(Request)) as cursor:
        await cursor.execute(
            LIST_OPEN, {"tenant_id": tenant_id, "record_type": record_type, "limit": limit}, prepare=False
        )
        return await cursor.fetchall()


LIST_OF_PAIR = (
    "with p as ("
    + _FOUND
    + """  and m.record_type = %(record_type)s and m.merged_record = %(merged_record)s
"""
    + _LABELLED
    + "order by p.connection"
)


async def list_of_merged(
    conn: Conn, record_type: str, merged_record: UUID, *, tenant_id: UUID
) -> list[Request]:
    """Return what became at the CRMs of a record that was merged here, by connection."""
    async with conn.cursor(row_factory=class_row(Request)) as cursor:
        await cursor.execute(
            LIST_OF_PAIR,
            {"tenant_id": tenant_id, "record_type": record_type, "merged_record": merged_record},
        )
        return await cursor.fetchall()


LIST_DUE = (
    "with p as ("
    + _FOUND
    + """  and m.connection_id = %(connection_id)s and m.state in ('wanted', 'sent')
  and m.not_before <= %(now)s
order by m.wanted_at, m.id
limit %(limit)s
"""
    + _LABELLED
    + "order by p.wanted_at, p.id"
)


async def list_due(conn: Conn, *, keys: ConnectionKeys, now: datetime, limit: int = 100) -> list[Request]:
    """Return the merges that are to be carried out at a connection now, the longest waiting first."""
    async with conn.cursor(row_factory=class_row(Request)) as cursor:
        await cursor.execute(LIST_DUE, {**keys, "now": now, "limit": limit})
        return await cursor.fetchall()


SET_STATE = """
update sync.merges m
set state = %(state)s, reason = %(reason)s, run_id = coalesce(%(run_id)s, m.run_id),
    survivor_id = coalesce(%(survivor_id)s, m.survivor_id),
    attempts = case when %(state)s in ('wanted', 'sent') then m.attempts + 1 else m.attempts end,
    not_before = %(not_before)s,
    answered_at = case when %(state)s in ('done', 'refused') then %(now)s::timestamptz end
where m.tenant_id = %(tenant_id)s and m.id = %(id)s
"""


async def set_state(
    conn: Conn,
    request_id: UUID,
    state: State,
    reason: str | None = None,
    *,
    tenant_id: UUID,
    now: datetime,
    not_before: datetime | None = None,
    run_id: UUID | None = None,
    survivor_id: str | None = None,
) -> None:
    await conn.execute(
        SET_STATE,
        {
            "tenant_id": tenant_id,
            "id": request_id,
            "state": state,
            "reason": reason,
            "run_id": run_id,
            "survivor_id": survivor_id,
            "not_before": not_before or now,
            "now": now,
        },
    )


WANT = """
update sync.merges m
set state = 'wanted', reason = null, wanted_by = %(by)s, wanted_at = %(now)s, not_before = %(now)s,
  attempts = 0
where m.tenant_id = %(tenant_id)s and m.id = any(%(ids)s::uuid[])
  and m.state in ('here', 'review', 'refused')
"""


async def want(conn: Conn, ids: Sequence[UUID], *, tenant_id: UUID, by: str, now: datetime) -> int:
    """Let merges that were only made here be made at their CRMs as well; returns how many."""
    cursor = await conn.execute(WANT, {"tenant_id": tenant_id, "ids": list(ids), "by": by, "now": now})
    return cursor.rowcount


ASK_ABOUT_ALL = """
update sync.merges m set state = 'review', reason = %(reason)s
where m.tenant_id = %(tenant_id)s and m.connection_id = %(connection_id)s and m.state = 'wanted'
  and m.wanted_by is null
"""


async def ask_about_all(conn: Conn, reason: str, *, keys: ConnectionKeys) -> int:
    """Leave to a person what no person has asked for; returns how many merges that is."""
    cursor = await conn.execute(ASK_ABOUT_ALL, {**keys, "reason": reason})
    return cursor.rowcount


COUNT_FOLLOWING = """
select count(*) from sync.merges m
where m.tenant_id = %(tenant_id)s and m.connection_id = %(connection_id)s and m.state = 'wanted'
  and m.wanted_by is null
"""


async def count_following(conn: Conn, *, keys: ConnectionKeys) -> int:
    """Return how many merges wait for a connection that no person has asked for."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(COUNT_FOLLOWING, {**keys})
        return await cursor.fetchone() or 0


SETTLE_MADE = """
update sync.merges m set state = 'done', reason = 'The CRM had merged them.', answered_at = %(now)s
where m.tenant_id = %(tenant_id)s and m.connection_id = %(connection_id)s and m.object = %(object)s
  and m.merged_id = any(%(remote_ids)s::text[]) and m.state in ('here', 'review', 'wanted', 'refused')
"""


async def settle_made(
    conn: Conn,
    remote_ids: Sequence[str],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    now: datetime,
) -> None:
    """Close what was asked about remote records that were read to have been merged."""
    await conn.execute(
        SETTLE_MADE,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "remote_ids": list(remote_ids),
            "now": now,
        },
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """How a pair of remote records stands now."""

    #: The record of ours that the one that is to go is.
    record_id: UUID
    #: The remote record that is that one's own; None where it has none any more.
    survivor_id: str | None
    #: True where what is to go is itself the record's own.
    is_primary: bool
    #: Why the mirror holds it as gone; None for a living one.
    gone: str | None


FIND_STANDING = sql.SQL("""
select l.record_id, own.remote_id as survivor_id, l.is_primary, r.archived_reason as gone
from sync.links l
left join sync.links own on own.tenant_id = %(tenant_id)s and own.connection_id = %(connection_id)s
  and own.object = l.object and own.record_type = l.record_type and own.record_id = l.record_id
  and own.is_primary
left join {table} r on r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s
  and r.remote_id = l.remote_id
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
  and l.remote_id = %(merged_id)s
""")


async def find_standing(
    conn: Conn, table: Table, request: Request, *, keys: ConnectionKeys
) -> Standing | None:
    """Return how a pair stands, by what was read last; None where the one is no record of ours any more."""
    async with conn.cursor(row_factory=class_row(Standing)) as cursor:
        await cursor.execute(
            FIND_STANDING.format(table=table),
            {**keys, "object": request.object, "merged_id": request.merged_id},
            prepare=False,
        )
        return await cursor.fetchone()


HAS_UNANSWERED_CREATE = """
select exists (
  select from sync.remote_changes c
  where c.tenant_id = %(tenant_id)s and c.record_type = %(record_type)s
    and c.record_id = any(%(ids)s::uuid[]) and c.action = 'created' and c.state = 'sent')
"""


async def has_unanswered_create(
    conn: Conn, record_type: str, ids: Sequence[UUID], *, tenant_id: UUID
) -> bool:
    """Tell whether one of the records is just being made at a CRM, so that its link is not there yet."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            HAS_UNANSWERED_CREATE, {"tenant_id": tenant_id, "record_type": record_type, "ids": list(ids)}
        )
        return bool(await cursor.fetchone())
