"""Records that were sent to be made and whose answer is out: what was sent, when, and what may be theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql
from psycopg.rows import class_row, scalar_row

from syncline.domain.records import RecordType
from syncline.store.db import Conn

_decode = msgspec.json.Decoder(float_hook=Decimal).decode


@dataclass(frozen=True, slots=True)
class Unanswered:
    """One record that was sent to be made."""

    record_id: UUID
    #: Field → [nothing, value sent], in our form; columns of what it belongs to likewise, with remote ids.
    changes: dict[str, Any]
    #: By the database's clock, as is how long ago that was.
    sent_at: datetime
    age_seconds: float


@dataclass(frozen=True, slots=True)
class _Row:
    record_id: UUID
    changes: str
    sent_at: datetime
    age_seconds: float

    def read(self) -> Unanswered:
        return Unanswered(self.record_id, _decode(self.changes), self.sent_at, self.age_seconds)


LIST_UNANSWERED = """
select c.record_id, c.changes::text as changes, c.sent_at,
       greatest(0, extract(epoch from clock_timestamp() - c.sent_at))::double precision as age_seconds
from sync.remote_changes c
where c.tenant_id = %(tenant_id)s and c.connection_id = %(connection_id)s and c.object = %(object)s
  and c.record_id = any(%(record_ids)s::uuid[]) and c.action = 'created' and c.state = 'sent'
order by c.sent_at, c.id
"""


async def list_unanswered(
    conn: Conn, record_ids: Sequence[UUID], *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> dict[UUID, Unanswered]:
    """Return those of `record_ids` that were sent to be made, without an answer so far; earliest first."""
    async with conn.cursor(row_factory=class_row(_Row)) as cursor:
        await cursor.execute(
            LIST_UNANSWERED,
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "object": object_name,
                "record_ids": list(record_ids),
            },
        )
        rows = await cursor.fetchall()
    return {row.record_id: row.read() for row in rows}


# From the queue, since few rows of it were sent. What waits for a person may still be found; what was deleted
# or archived here since is looked for by nobody.
LIST_PENDING = sql.SQL("""
select c.record_id, c.changes::text as changes, c.sent_at,
       greatest(0, extract(epoch from clock_timestamp() - c.sent_at))::double precision as age_seconds
from sync.queue q
join sync.remote_changes c on c.tenant_id = %(tenant_id)s and c.record_id = q.record_id
  and c.connection_id = %(connection_id)s and c.object = %(object)s and c.action = 'created'
  and c.state = 'sent'
join {table} r on r.tenant_id = %(tenant_id)s and r.id = q.record_id and r.archived_at is null
where q.tenant_id = %(tenant_id)s and q.connection_id = %(connection_id)s
  and q.record_type = %(record_type)s
order by c.sent_at, c.id
""")


async def list_pending(
    conn: Conn, kind: RecordType, *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> list[Unanswered]:
    """Return everything of an object that was sent to be made, has no answer, and is still in the queue."""
    async with conn.cursor(row_factory=class_row(_Row)) as cursor:
        await cursor.execute(
            LIST_PENDING.format(table=sql.Identifier("crm", kind.table)),
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "object": object_name,
                "record_type": kind.name,
            },
            prepare=False,
        )
        return [row.read() for row in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Claim:
    """A record of ours that has a remote record, or had it and was deleted."""

    remote_id: str
    #: When the two were linked.
    since: datetime
    #: True when we made it there, or deleted it here: it is nobody else's for certain.
    is_certain: bool


LIST_CLAIMS = """
select l.remote_id, l.linked_at as since,
       exists (select from sync.remote_changes c
               where c.tenant_id = %(tenant_id)s and c.record_id = l.record_id
                 and c.connection_id = %(connection_id)s and c.object = %(object)s
                 and c.remote_id = l.remote_id and c.action = 'created' and c.state = 'done') as is_certain
from sync.links l
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
  and l.remote_id = any(%(remote_ids)s::text[])
union all
select t.remote_id, t.buried_at, true from sync.tombstones t
where t.tenant_id = %(tenant_id)s and t.connection_id = %(connection_id)s and t.object = %(object)s
  and t.remote_id = any(%(remote_ids)s::text[])
"""


async def list_claims(
    conn: Conn, remote_ids: Sequence[str], *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> dict[str, Claim]:
    """Return remote id → whose it is already; absent are those that are nobody's."""
    async with conn.cursor(row_factory=class_row(Claim)) as cursor:
        await cursor.execute(
            LIST_CLAIMS,
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "object": object_name,
                "remote_ids": list(remote_ids),
            },
        )
        return {claim.remote_id: claim for claim in await cursor.fetchall()}


NOTE_LOST = """
update sync.remote_changes c set sent_at = now()
where c.tenant_id = %(tenant_id)s and c.id = any(%(ids)s::uuid[]) and c.action = 'created'
  and c.state = 'sent'
"""


async def note_lost(conn: Conn, ids: Sequence[UUID], *, tenant_id: UUID) -> None:
    """Note that creates may have been sent as late as now: they had waited since they were written down."""
    await conn.execute(NOTE_LOST, {"tenant_id": tenant_id, "ids": list(ids)})


SETTLE_MADE = """
update sync.remote_changes c set state = 'done', remote_id = d.remote_id, answered_at = %(now)s
from unnest(%(record_ids)s::uuid[], %(remote_ids)s::text[]) as d (record_id, remote_id)
where c.tenant_id = %(tenant_id)s and c.connection_id = %(connection_id)s and c.object = %(object)s
  and c.record_id = d.record_id and c.action = 'created' and c.state = 'sent'
"""


async def settle_made(
    conn: Conn,
    made: Sequence[tuple[UUID, str]],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    now: datetime,
) -> None:
    """Close what was sent to be made and has been found before its answer: (our id, remote id) each."""
    if made:
        await conn.execute(
            SETTLE_MADE,
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "object": object_name,
                "record_ids": [each[0] for each in made],
                "remote_ids": [each[1] for each in made],
                "now": now,
            },
        )


FORGET_DOUBTS = """
update sync.cursors c set state = c.state - %(remote_ids)s::text[]
where c.tenant_id = %(tenant_id)s and c.connection_id = %(connection_id)s and c.object = %(object)s
  and c.kind = 'in_doubt'
"""

LIST_DOUBTS = """
select k.key from sync.cursors c cross join lateral jsonb_object_keys(c.state) as k (key)
where c.tenant_id = %(tenant_id)s and c.connection_id = %(connection_id)s and c.object = %(object)s
  and c.kind = 'in_doubt'
order by k.key limit %(limit)s
"""
#: The kind of cursor that holds, by remote id, what was read and left until it is known whose it is.
IN_DOUBT = "in_doubt"


async def list_doubts(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str, limit: int
) -> list[str]:
    """Return remote ids that were left in doubt, those with a link since among them."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            LIST_DOUBTS,
            {"tenant_id": tenant_id, "connection_id": connection_id, "object": object_name, "limit": limit},
        )
        return await cursor.fetchall()


async def forget_doubts(
    conn: Conn, remote_ids: Sequence[str], *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> None:
    """Take what is no longer in doubt off the list."""
    await conn.execute(
        FORGET_DOUBTS,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "remote_ids": list(remote_ids),
        },
    )
