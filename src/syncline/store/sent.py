"""Values on their way to CRMs: written down before the call that carries them, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql
from psycopg.rows import scalar_row

from syncline.domain.records import RECORD_TYPES
from syncline.store import burials
from syncline.store.db import Conn
from syncline.store.payloads import Table

_encode = msgspec.json.Encoder(decimal_format="number").encode


def _json(rows: Sequence[dict[str, Any]]) -> str:
    return _encode(rows).decode()


# An attempt that was never answered: this one sends it again, or it has been seen to have arrived. What was
# to be made and arrived has been found before (see `creates.SETTLE_MADE`).
SETTLE_UNANSWERED = """
with old as (
  select c.id, n.record_id is not null as again
  from sync.remote_changes c
  left join jsonb_to_recordset(%(rows)s::jsonb) as n (record_id uuid, changes jsonb, action text)
    on n.record_id = c.record_id and n.action = c.action
   and (c.action <> 'updated' or exists (select from jsonb_object_keys(c.changes) f where n.changes ? f))
  where c.tenant_id = %(tenant_id)s and c.connection_id = %(connection_id)s and c.object = %(object)s
    and c.record_id = any(%(record_ids)s::uuid[]) and c.state = 'sent'
), gone as (
  delete from sync.remote_changes c using old
  where c.tenant_id = %(tenant_id)s and c.id = old.id and old.again
)
update sync.remote_changes c set answered_at = %(now)s,
  state = case c.action when 'created' then 'refused' else 'done' end,
  reason = case c.action when 'created' then 'It was not sent.' end
from old where c.tenant_id = %(tenant_id)s and c.id = old.id and not old.again
"""


async def settle_unanswered(
    conn: Conn,
    record_ids: Sequence[UUID],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    now: datetime,
) -> None:
    """Close what was sent of records of which nothing more will be; a later answer counts all the same."""
    await conn.execute(
        SETTLE_UNANSWERED,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "record_ids": list(record_ids),
            "rows": "[]",
            "now": now,
        },
    )


# By the database's clock: whoever asks later how long ago it was may be a process with another clock.
PUT = """
insert into sync.remote_changes (tenant_id, id, run_id, connection_id, object, remote_id, record_type,
  record_id, action, changes, sent_at)
select %(tenant_id)s, r.id, %(run_id)s, %(connection_id)s, %(object)s, r.remote_id, %(record_type)s,
  r.record_id, r.action, r.changes, now()
from jsonb_to_recordset(%(rows)s::jsonb)
  as r (id uuid, remote_id text, record_id uuid, action text, changes jsonb)
on conflict (tenant_id, id) do nothing
"""

SET_SENT = """
update sync.links l set sent = nullif(r.sent, '{}')
from jsonb_to_recordset(%(rows)s::jsonb) as r (remote_id text, sent jsonb)
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
  and l.remote_id = r.remote_id and r.remote_id is not null
"""


async def put(
    conn: Conn,
    rows: Sequence[dict[str, Any]],
    record_ids: Sequence[UUID],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    record_type: str,
    run_id: UUID,
    now: datetime,
) -> None:
    """Write down what is about to be sent: id, remote_id, record_id, action, changes and the link's `sent`.

    Earlier attempts at `record_ids` that were never answered are settled: replaced, or taken as done.
    """
    values: dict[str, Any] = {
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "object": object_name,
        "record_type": record_type,
        "run_id": run_id,
        "now": now,
        "rows": _json(rows),
        "record_ids": list(record_ids),
    }
    await conn.execute(SETTLE_UNANSWERED, values)
    if rows:
        await conn.execute(PUT, values)
        await conn.execute(SET_SENT, values)


async def put_ties(
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
    """Write down associations about to be made or taken away: id, remote_id, record_id, action, changes."""
    await conn.execute(
        PUT,
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


async def answer_ties(conn: Conn, rows: Sequence[dict[str, Any]], *, tenant_id: UUID, now: datetime) -> None:
    """Close what was written down of associations: id, state, reason."""
    await conn.execute(ANSWER, {"tenant_id": tenant_id, "now": now, "rows": _json(rows)})


CLEAR_SENT = """
update sync.links l set sent = null
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
  and l.remote_id = any(%(remote_ids)s::text[]) and l.sent is not null
"""


async def clear(
    conn: Conn, remote_ids: Sequence[str], *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> None:
    """Forget what was on its way to records of which nothing is any more."""
    await conn.execute(
        CLEAR_SENT,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "remote_ids": list(remote_ids),
        },
    )


OVERTAKE = """
update sync.links l set sent = nullif(l.sent - r.fields, '{}')
from jsonb_to_recordset(%(rows)s::jsonb) as r (remote_id text, fields text[])
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
  and l.remote_id = r.remote_id
"""


async def overtake(
    conn: Conn, rows: Sequence[dict[str, Any]], *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> None:
    """Forget what was on its way in fields of which a reading told more since: `remote_id` and `fields` each.

    The answer, when it comes, agrees on nothing there.
    """
    await conn.execute(
        OVERTAKE,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "rows": _json(rows),
        },
    )


# Nobody can delete them until the link is there, for the deletion to find.
LOCK_ALIVE = sql.SQL("""
select c.id from {table} c
where c.tenant_id = %(tenant_id)s and c.id = any(%(record_ids)s::uuid[])
order by c.id for key share
""")

# A field that is not on its way any more was read since, which counts for more; so does the whole reading by
# which a new record was found before the answer to its making.
AGREE = """
insert into sync.links as l (tenant_id, connection_id, object, remote_id, record_type, record_id, base,
  mapping_version, linked_at)
select %(tenant_id)s, %(connection_id)s, %(object)s, r.remote_id, %(record_type)s, r.record_id, r.base,
  %(mapping_version)s, %(now)s
from jsonb_to_recordset(%(rows)s::jsonb) as r (remote_id text, record_id uuid, base jsonb)
where r.base is not null and r.record_id = any(%(alive)s::uuid[])
order by r.remote_id
on conflict (tenant_id, connection_id, object, remote_id) do update
  set base = l.base || coalesce((
        select jsonb_object_agg(b.key, b.value) from jsonb_each(excluded.base) b
        where l.sent ? b.key or b.key = 'archived_at'), '{}'),
      sent = nullif(l.sent - array(select jsonb_object_keys(excluded.base)), '{}')
"""

# What was blanked for an erased person stays blank.
ANSWER = """
update sync.remote_changes c
set state = r.state, reason = case when c.changes <> '{}' then r.reason end,
  kept = case when c.changes <> '{}' then r.kept end, remote_id = coalesce(r.remote_id, c.remote_id),
  answered_at = %(now)s
from jsonb_to_recordset(%(rows)s::jsonb)
  as r (id uuid, state text, reason text, kept jsonb, remote_id text)
where c.tenant_id = %(tenant_id)s and c.id = r.id and r.id is not null
"""


async def answer(
    conn: Conn,
    rows: Sequence[dict[str, Any]],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    record_type: str,
    mapping_version: int,
    now: datetime,
) -> None:
    """Make what was answered the new base, link what was made, and close what was written down.

    Each row: id, state, reason, kept, remote_id, record_id, and `base` where something was agreed on. What
    was made there and has been deleted here meanwhile is buried.
    """
    values: dict[str, Any] = {
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "object": object_name,
        "record_type": record_type,
        "mapping_version": mapping_version,
        "now": now,
        "rows": _json(rows),
    }
    table = sql.Identifier("crm", RECORD_TYPES[record_type].table)
    agreed = [(row["record_id"], row["remote_id"]) for row in rows if row.get("base") is not None]
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            LOCK_ALIVE.format(table=table),
            {"tenant_id": tenant_id, "record_ids": [record_id for record_id, _ in agreed]},
        )
        alive = set(await cursor.fetchall())
    await conn.execute(AGREE, {**values, "alive": list(alive)})
    await conn.execute(ANSWER, values)
    await burials.bury(
        conn,
        [each for each in agreed if each[0] not in alive],
        tenant_id=tenant_id,
        connection_id=connection_id,
        object_name=object_name,
        record_type=record_type,
        now=now,
    )
    refused = [row["remote_id"] for row in rows if row["state"] == "refused" and row.get("remote_id")]
    if refused:
        await clear(conn, refused, tenant_id=tenant_id, connection_id=connection_id, object_name=object_name)


# The mirror keeps what was read whole; but nothing that was read before this write may count as news after
# it, and whatever is read next has to be looked at, even if it equals what was read before.
OUTDATE = sql.SQL("""
update {table} r
set remote_updated_at = greatest(r.remote_updated_at, d.updated_at),
  requested_at = greatest(r.requested_at, d.at), mapped_hash = null, payload_hash = ''
from unnest(%(remote_ids)s::text[], %(updated_at)s::timestamptz[], %(sent_at)s::timestamptz[])
  as d (remote_id, updated_at, at)
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s and r.remote_id = d.remote_id
""")


async def outdate_payloads(
    conn: Conn,
    table: Table,
    written: Sequence[tuple[str, datetime | None, datetime]],
    *,
    tenant_id: UUID,
    connection_id: UUID,
) -> None:
    """Note that records were written: (remote id, modified time of the answer, when it was sent)."""
    if written:
        ordered = sorted(written)
        await conn.execute(
            OUTDATE.format(table=table),
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "remote_ids": [each[0] for each in ordered],
                "updated_at": [each[1] for each in ordered],
                "sent_at": [each[2] for each in ordered],
            },
            prepare=False,
        )


LIST_BURIED = """
select t.record_id, t.remote_id from sync.tombstones t
where t.tenant_id = %(tenant_id)s and t.connection_id = %(connection_id)s and t.object = %(object)s
  and t.record_id = any(%(record_ids)s::uuid[])
order by t.buried_at
"""


async def list_buried(
    conn: Conn, record_ids: Sequence[UUID], *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> dict[UUID, str]:
    """Return record → remote id of records that were deleted here; where there are several, the latest."""
    cursor = await conn.execute(
        LIST_BURIED,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "record_ids": list(record_ids),
        },
    )
    return {row[0]: row[1] for row in await cursor.fetchall()}
