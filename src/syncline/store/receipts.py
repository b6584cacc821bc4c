"""Erasures as they are shown and proven: nothing here says who a person was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from syncline.store.db import Conn
from syncline.store.erasing import State


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure: the receipt of it, without what the CRMs said."""

    id: UUID
    requested_at: datetime
    requested_by: str
    source: str
    state: State
    proof: list[str]
    #: Table → rows removed, blanked or redacted.
    removed: Mapping[str, int]
    #: Why it waits.
    problem: str | None
    removed_at: datetime | None
    completed_at: datetime | None
    lifted_at: datetime | None
    lifted_by: str | None
    #: When something of the person was last kept out.
    seen_at: datetime | None


_RECEIPT = """
select e.id, e.requested_at, e.requested_by, e.source, e.state, e.proof, e.removed, e.problem, e.removed_at,
  e.completed_at, e.lifted_at, e.lifted_by,
  (select max(i.seen_at) from sync.erased_identities i
   where i.tenant_id = %(tenant_id)s and i.erasure_id = e.id) as seen_at
from sync.erasures e
where e.tenant_id = %(tenant_id)s
"""
LIST = (
    _RECEIPT
    + """  and (%(after_at)s::timestamptz is null
       or (e.requested_at, e.id) < (%(after_at)s, %(after_id)s::uuid))
order by e.requested_at desc, e.id desc
limit %(limit)s
"""
)
FIND = _RECEIPT + "  and e.id = %(id)s\n"


async def list_latest(
    conn: Conn, *, tenant_id: UUID, limit: int = 50, after: tuple[datetime, UUID] | None = None
) -> list[Erasure]:
    """Return erasures, the latest first, behind the one at `after`."""
    after_at, after_id = after or (None, None)
    async with conn.cursor(row_factory=class_row(Erasure)) as cursor:
        await cursor.execute(
            LIST, {"tenant_id": tenant_id, "limit": limit, "after_at": after_at, "after_id": after_id}
        )
        return await cursor.fetchall()


async def find(conn: Conn, erasure_id: UUID, *, tenant_id: UUID) -> Erasure | None:
    async with conn.cursor(row_factory=class_row(Erasure)) as cursor:
        await cursor.execute(FIND, {"tenant_id": tenant_id, "id": erasure_id})
        return await cursor.fetchone()


# Looked up by what was hashed at the time: whoever has the key can show that a receipt is somebody's.
LIST_PROVING = """
select e.id from sync.erasures e
where e.tenant_id = %(tenant_id)s and e.proof && %(proofs)s::text[]
order by e.requested_at desc
"""


async def list_proving(conn: Conn, proofs: Sequence[str], *, tenant_id: UUID) -> list[UUID]:
    """Return the erasures whose receipts hold one of `proofs`, the latest first."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(LIST_PROVING, {"tenant_id": tenant_id, "proofs": list(proofs)})
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Standing:
    """How the erasures of a tenant stand."""

    removing: int
    sending: int
    review: int
    refused: int
    #: Why one that is not carried out here waits.
    problem: str | None


SUM_UP = """
select count(*) filter (where e.state = 'removing') as removing,
  count(*) filter (where e.state = 'sending') as sending,
  (select count(*) from sync.remote_erasures r
   where r.tenant_id = %(tenant_id)s and r.state = 'review') as review,
  (select count(*) from sync.remote_erasures r
   where r.tenant_id = %(tenant_id)s and r.state = 'refused') as refused,
  max(e.problem) filter (where e.state = 'removing') as problem
from sync.erasures e
where e.tenant_id = %(tenant_id)s
"""


async def sum_up(conn: Conn, *, tenant_id: UUID) -> Standing:
    async with conn.cursor(row_factory=class_row(Standing)) as cursor:
        await cursor.execute(SUM_UP, {"tenant_id": tenant_id})
        found = await cursor.fetchone()
    return found or Standing(0, 0, 0, 0, None)
