"""Erasures of persons, asked for and carried out here. Who it was is sealed, and goes at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from syncline.store.db import Conn
from syncline.store.rows import to_json

State = Literal["removing", "sending", "done"]


INSERT = """
insert into sync.erasures (tenant_id, id, requested_at, requested_by, source, subject, proof, wanted,
  not_before)
values (%(tenant_id)s, %(id)s, %(now)s, %(by)s, %(source)s, %(subject)s, %(proof)s, %(wanted)s::jsonb,
  %(now)s)
"""


async def insert(
    conn: Conn,
    erasure_id: UUID,
    *,
    tenant_id: UUID,
    by: str,
    source: str,
    subject: bytes,
    proof: Sequence[str],
    wanted: Mapping[UUID, str],
    now: datetime,
) -> None:
    """Write down that a person is to be erased. `subject` is sealed; `wanted` is what each CRM is asked."""
    await conn.execute(
        INSERT,
        {
            "tenant_id": tenant_id,
            "id": erasure_id,
            "by": by,
            "source": source,
            "subject": subject,
            "proof": list(proof),
            "wanted": to_json({str(connection_id): state for connection_id, state in wanted.items()}),
            "now": now,
        },
    )


LIST_OPEN = "select o.tenant_id, o.erasure_id from sync.open_erasures(%(now)s) o"


async def list_open(conn: Conn, now: datetime) -> list[tuple[UUID, UUID]]:
    """Return (tenant, erasure) of all that are to be gone on with, over all tenants."""
    cursor = await conn.execute(LIST_OPEN, {"now": now})
    return [(row[0], row[1]) for row in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Claimed:
    state: State
    subject: bytes | None
    attempts: int


CLAIM = """
update sync.erasures e set not_before = %(until)s, attempts = e.attempts + 1
where e.tenant_id = %(tenant_id)s and e.id = %(id)s and e.state <> 'done' and e.not_before <= %(now)s
returning e.state, e.subject, e.attempts
"""


async def claim(
    conn: Conn, erasure_id: UUID, *, tenant_id: UUID, now: datetime, until: datetime
) -> Claimed | None:
    """Be the one who goes on with an erasure, until a moment; None where there is nothing to be done."""
    async with conn.cursor(row_factory=class_row(Claimed)) as cursor:
        await cursor.execute(CLAIM, {"tenant_id": tenant_id, "id": erasure_id, "now": now, "until": until})
        return await cursor.fetchone()


KEEP_SUBJECT = """
update sync.erasures e set subject = %(subject)s,
  proof = array(select p from unnest(e.proof || %(proof)s::text[]) p group by p order by p)
where e.tenant_id = %(tenant_id)s and e.id = %(id)s and e.state = 'removing'
"""


async def keep_subject(
    conn: Conn, erasure_id: UUID, subject: bytes, proof: Sequence[str], *, tenant_id: UUID
) -> None:
    """Keep what more has been found of the person, sealed."""
    values = {"tenant_id": tenant_id, "id": erasure_id, "subject": subject, "proof": list(proof)}
    await conn.execute(KEEP_SUBJECT, values)


FIND_WANTED = "select e.wanted from sync.erasures e where e.tenant_id = %(tenant_id)s and e.id = %(id)s"


async def find_wanted(conn: Conn, erasure_id: UUID, *, tenant_id: UUID) -> dict[UUID, str]:
    """Return connection → what it was to be asked when the erasure was ordered."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(FIND_WANTED, {"tenant_id": tenant_id, "id": erasure_id})
        found: Mapping[str, str] = await cursor.fetchone() or {}
    return {UUID(connection_id): state for connection_id, state in found.items()}


LIST_ORDERED_BEFORE = """
select e.id from sync.erasures e
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = %(connection_id)s
where e.tenant_id = %(tenant_id)s and e.id = any(%(ids)s::uuid[]) and e.requested_at < c.created_at
  and not e.wanted ? c.id::text
"""


async def list_ordered_before(
    conn: Conn, ids: Sequence[UUID], connection_id: UUID, *, tenant_id: UUID
) -> set[UUID]:
    """Return those erasures that were ordered before a connection was made: they say nothing of it."""
    values = {"tenant_id": tenant_id, "ids": list(ids), "connection_id": connection_id}
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(LIST_ORDERED_BEFORE, values)
        return set(await cursor.fetchall())


# What is not removed here yet is asked of CRMs afterwards.
REOPEN = """
update sync.erasures e set state = 'sending', completed_at = null, not_before = %(now)s, attempts = 0
where e.tenant_id = %(tenant_id)s and e.id = %(erasure_id)s and e.state <> 'removing'
"""


async def reopen(conn: Conn, erasure_id: UUID, *, tenant_id: UUID, now: datetime) -> None:
    """Have CRMs asked (again) for an erasure that may have been done with."""
    await conn.execute(REOPEN, {"tenant_id": tenant_id, "erasure_id": erasure_id, "now": now})


NOTE_REMOVED = """
update sync.erasures e
set removed = case when %(rows)s = 0 then e.removed else e.removed || jsonb_build_object(%(table)s::text,
      coalesce((e.removed ->> %(table)s)::bigint, 0) + %(rows)s) end,
    not_before = greatest(e.not_before, %(until)s)
where e.tenant_id = %(tenant_id)s and e.id = %(id)s
"""


async def note_removed(
    conn: Conn, erasure_id: UUID, table: str, rows: int, *, tenant_id: UUID, until: datetime
) -> None:
    """Add to what was removed, in the transaction that removes it; be left alone until then."""
    values = {"tenant_id": tenant_id, "id": erasure_id, "table": table, "rows": rows, "until": until}
    await conn.execute(NOTE_REMOVED, values)


MARK_RECORDS = """
insert into crm.change_log (tenant_id, id, changed_at, record_type, record_id, action, changes, source, actor)
select %(tenant_id)s, gen_random_uuid(), %(now)s, 'contact', s.id, 'erased', '{}', %(source)s, %(by)s
from unnest(%(ids)s::uuid[]) as s (id)
where not exists (select from crm.change_log l
                  where l.tenant_id = %(tenant_id)s and l.record_id = s.id and l.action = 'erased'
                    and l.changed_at >= %(since)s)
on conflict (tenant_id, changed_at, id) do nothing
"""


async def mark_records(
    conn: Conn,
    ids: Sequence[UUID],
    *,
    tenant_id: UUID,
    by: str,
    source: str,
    since: datetime,
    now: datetime,
) -> None:
    """Write down in the change log that contacts were erased, once since the erasure was asked for."""
    await conn.execute(
        MARK_RECORDS,
        {
            "tenant_id": tenant_id,
            "ids": list(ids),
            "by": by,
            "source": source,
            "since": since,
            "now": now,
        },
    )


SETTLE_REMOVED = """
update sync.erasures e set state = 'sending', subject = null, removed_at = %(now)s, problem = null,
  not_before = %(now)s, attempts = 0
where e.tenant_id = %(tenant_id)s and e.id = %(id)s and e.state = 'removing'
"""


async def settle_removed(conn: Conn, erasure_id: UUID, *, tenant_id: UUID, now: datetime) -> None:
    """Note that nothing of the person is left here; who it was is forgotten with it."""
    await conn.execute(SETTLE_REMOVED, {"tenant_id": tenant_id, "id": erasure_id, "now": now})


PUT_OFF = """
update sync.erasures e set problem = %(problem)s, not_before = %(not_before)s
where e.tenant_id = %(tenant_id)s and e.id = %(id)s and e.state <> 'done'
"""


async def put_off(
    conn: Conn, erasure_id: UUID, problem: str | None, *, tenant_id: UUID, not_before: datetime
) -> None:
    await conn.execute(
        PUT_OFF,
        {"tenant_id": tenant_id, "id": erasure_id, "problem": problem, "not_before": not_before},
    )


COMPLETE = """
update sync.erasures e set state = 'done', completed_at = %(now)s, problem = null
where e.tenant_id = %(tenant_id)s and e.id = %(id)s and e.state = 'sending'
  and not exists (select from sync.remote_erasures r
                  where r.tenant_id = %(tenant_id)s and r.erasure_id = e.id
                    and r.state in ('wanted', 'review'))
"""


async def complete(conn: Conn, erasure_id: UUID, *, tenant_id: UUID, now: datetime) -> bool:
    """Close an erasure of which nothing is asked of any CRM any more; returns whether that is so."""
    cursor = await conn.execute(COMPLETE, {"tenant_id": tenant_id, "id": erasure_id, "now": now})
    return cursor.rowcount > 0


MARK_LIFTED = """
update sync.erasures e set lifted_at = %(now)s, lifted_by = %(by)s
where e.tenant_id = %(tenant_id)s and e.id = any(%(ids)s::uuid[]) and e.lifted_at is null
"""


async def mark_lifted(conn: Conn, ids: Sequence[UUID], *, tenant_id: UUID, by: str, now: datetime) -> None:
    """Note that somebody let a person's data in again."""
    await conn.execute(MARK_LIFTED, {"tenant_id": tenant_id, "ids": list(ids), "by": by, "now": now})
