"""What merges leave behind: conflicts for a person, decisions that were taken, values still to be pushed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql

from syncline.domain.records import RecordType
from syncline.store.db import Conn

_encode = msgspec.json.Encoder(decimal_format="number").encode


def _json(rows: Sequence[dict[str, Any]]) -> str:
    return _encode(rows).decode()


# One that is open already is brought up to date: it stays one conflict for whoever has to decide.
PUT_CONFLICTS = """
insert into sync.conflicts as c (tenant_id, id, connection_id, object, remote_id, record_type, record_id,
  field, base, ours, theirs, read, seen, our_record, their_record, ours_at, theirs_at, run_id, found_at,
  seen_at)
select %(tenant_id)s, r.id, %(connection_id)s, %(object)s, r.remote_id, %(record_type)s, r.record_id,
  r.field,
  coalesce(r.base, 'null'), coalesce(r.ours, 'null'), coalesce(r.theirs, 'null'), coalesce(r.read, 'null'),
  r.seen, r.our_record, r.their_record, r.ours_at, r.theirs_at, %(run_id)s, %(now)s, %(now)s
from jsonb_to_recordset(%(rows)s::jsonb) as r (id uuid, remote_id text, record_id uuid, field text,
  base jsonb, ours jsonb, theirs jsonb, read jsonb, seen jsonb, our_record jsonb, their_record jsonb,
  ours_at timestamptz, theirs_at timestamptz)
order by r.record_id, r.field
on conflict (tenant_id, connection_id, record_type, record_id, field) where status = 'open' do update
  set base = excluded.base, ours = excluded.ours, theirs = excluded.theirs, read = excluded.read,
    seen = excluded.seen, our_record = excluded.our_record, their_record = excluded.their_record,
    ours_at = excluded.ours_at, theirs_at = excluded.theirs_at, seen_at = excluded.seen_at,
    remote_id = excluded.remote_id
"""


async def put_conflicts(
    conn: Conn,
    rows: Sequence[dict[str, Any]],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    record_type: str,
    run_id: UUID,
    now: datetime,
) -> None:
    """Write conflicts down, each a mapping of the columns that differ between them."""
    await conn.execute(
        PUT_CONFLICTS,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "record_type": record_type,
            "run_id": run_id,
            "now": now,
            "rows": _json(rows),
        },
    )


SETTLE_CONFLICTS = """
update sync.conflicts c set status = 'settled', resolved_at = %(now)s
where c.tenant_id = %(tenant_id)s and c.connection_id = %(connection_id)s
  and c.record_type = %(record_type)s and c.status = 'open' and c.record_id = any(%(record_ids)s::uuid[])
  and not exists (
    select from unnest(%(left_ids)s::uuid[], %(left_fields)s::text[]) as o (record_id, field)
    where o.record_id = c.record_id and o.field = c.field)
"""


async def settle_conflicts(
    conn: Conn,
    record_ids: Sequence[UUID],
    left: Sequence[tuple[UUID, str]],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    record_type: str,
    now: datetime,
) -> None:
    """Close the open conflicts of records that were merged just now, but for those that are `left`."""
    await conn.execute(
        SETTLE_CONFLICTS,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "record_type": record_type,
            "record_ids": list(record_ids),
            "left_ids": [each[0] for each in left],
            "left_fields": [each[1] for each in left],
            "now": now,
        },
    )


PUT_DECISIONS = """
insert into sync.decisions (tenant_id, id, decided_at, connection_id, record_type, record_id, field, rule,
  winner, value, losing, ours, theirs, read, reason, run_id)
select %(tenant_id)s, r.id, %(now)s, %(connection_id)s, %(record_type)s, r.record_id, r.field, r.rule,
  r.winner, coalesce(r.value, 'null'), coalesce(r.losing, 'null'), coalesce(r.ours, 'null'),
  coalesce(r.theirs, 'null'),
  coalesce(r.read, 'null'), r.reason, %(run_id)s
from jsonb_to_recordset(%(rows)s::jsonb) as r (id uuid, record_id uuid, field text, rule text, winner text,
  value jsonb, losing jsonb, ours jsonb, theirs jsonb, read jsonb, reason text)
on conflict (tenant_id, id) do nothing
"""


async def put_decisions(
    conn: Conn,
    rows: Sequence[dict[str, Any]],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    record_type: str,
    run_id: UUID,
    now: datetime,
) -> None:
    await conn.execute(
        PUT_DECISIONS,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "record_type": record_type,
            "run_id": run_id,
            "now": now,
            "rows": _json(rows),
        },
    )


# One that is parked waits for a person.
QUEUE_OWN = """
insert into sync.queue (tenant_id, connection_id, record_type, record_id, fields, queued_at, not_before)
select %(tenant_id)s, %(connection_id)s, %(record_type)s, r.record_id, r.fields, %(now)s, %(now)s
from jsonb_to_recordset(%(rows)s::jsonb) as r (record_id uuid, fields text[])
order by r.record_id
on conflict (tenant_id, connection_id, record_type, record_id) do nothing
"""

# A row may be under way with what it said before, and is taken away once that was answered: a higher revision
# keeps it. What was parked for want of a record that is back is tried again.
KEEP_OWN = """
update sync.queue q set fields = array(select distinct f from unnest(q.fields || r.fields) f order by 1),
  revision = q.revision + 1, state = 'pending',
  not_before = case q.state when 'parked' then %(now)s else q.not_before end,
  attempts = case q.state when 'parked' then 0 else q.attempts end,
  last_error = case q.state when 'parked' then null else q.last_error end
from jsonb_to_recordset(%(rows)s::jsonb)
  as r (record_id uuid, fields text[], in_hand boolean, is_back boolean)
where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s
  and q.record_type = %(record_type)s and q.record_id = r.record_id
  and (q.state = 'pending' and not r.in_hand or q.state = 'parked' and r.is_back)
"""


async def queue_own(
    conn: Conn,
    rows: Sequence[dict[str, Any]],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    record_type: str,
    now: datetime,
) -> None:
    """Queue what a merge left to be pushed to the connection it was with: `record_id` and `fields` each.

    `in_hand`: by whoever is about to push it. `is_back`: it was archived, or had another id, until now.
    """
    values = {
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "record_type": record_type,
        "now": now,
        "rows": _json(rows),
    }
    if not all(row["in_hand"] and not row["is_back"] for row in rows):
        await conn.execute(KEEP_OWN, values)
    await conn.execute(QUEUE_OWN, values)


UNQUEUE = """
delete from sync.queue q
where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s
  and q.record_type = %(record_type)s and q.record_id = any(%(record_ids)s::uuid[])
  and q.state in ('pending', 'parked') and q.what = 'changed'
"""


async def unqueue(
    conn: Conn, record_ids: Sequence[UUID], *, tenant_id: UUID, connection_id: UUID, record_type: str
) -> None:
    """Take away what waits for records that their CRM takes nothing for, but for what a brake holds."""
    await conn.execute(
        UNQUEUE,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "record_type": record_type,
            "record_ids": list(record_ids),
        },
    )


UNQUEUE_ABSORBED = sql.SQL("""
delete from sync.queue q using {table} c
where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s
  and q.record_type = %(record_type)s and q.state = 'parked'
  and c.tenant_id = %(tenant_id)s and c.id = q.record_id and c.merged_into is not null
""")


async def unqueue_absorbed(conn: Conn, kind: RecordType, *, tenant_id: UUID, connection_id: UUID) -> None:
    """Take away what was parked of records that have been merged into others since."""
    await conn.execute(
        UNQUEUE_ABSORBED.format(table=sql.Identifier("crm", kind.table)),
        {"tenant_id": tenant_id, "connection_id": connection_id, "record_type": kind.name},
    )


LIST_TOMBSTONES = """
select t.remote_id, t.reason from sync.tombstones t
where t.tenant_id = %(tenant_id)s and t.connection_id = %(connection_id)s and t.object = %(object)s
  and t.remote_id = any(%(remote_ids)s::text[])
"""


async def find_tombstones(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str, remote_ids: Sequence[str]
) -> dict[str, str]:
    """Return remote id → reason (`deleted` here, `erased` for privacy) of those that must not come back."""
    cursor = await conn.execute(
        LIST_TOMBSTONES,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "remote_ids": list(remote_ids),
        },
    )
    return {str(row[0]): str(row[1]) for row in await cursor.fetchall()}
