"""Edits of many records, imports, taking them back: what is planned, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from syncline.domain.callers import Caller
from syncline.errors import NotFound
from syncline.store.db import Conn
from syncline.store.rows import exact_rows, to_json

BatchKind = Literal["edit", "import", "undo"]
BatchState = Literal["planned", "running", "success", "partial", "cancelled"]


@dataclass(frozen=True, slots=True)
class Batch:
    id: UUID
    kind: BatchKind
    record_type: str
    state: BatchState
    #: What is to be done; its form is the kind's.
    terms: dict[str, Any]
    rows: int
    #: Rows that were looked at, and of them what became.
    done: int
    created: int
    changed: int
    skipped: int
    failed: int
    source: str
    planned_by: str
    planned_at: datetime
    started_at: datetime | None
    moved_at: datetime | None
    ended_at: datetime | None

    @property
    def failure(self) -> str | None:
        """Why it ended before each row had been looked at, in a sentence; None where it did not."""
        reason = self.terms.get("reason")
        if reason is None or self.state not in ("partial", "cancelled"):
            return None
        tries = self.terms.get("tries")
        return str(reason) if tries is None else f"It was given up after {tries} tries. {reason}"

    @property
    def was_given_up(self) -> bool:
        """Whether it was ended because it failed each time. Begun again, it goes on where it was."""
        return self.state == "partial" and self.failure is not None


_COLUMNS = """
select b.id, b.kind, b.record_type, b.state, b.terms, b.rows, b.done, b.created, b.changed, b.skipped,
  b.failed, b.source, b.planned_by, b.planned_at, b.started_at, b.moved_at, b.ended_at
from app.batches b
where b.tenant_id = %(tenant_id)s
"""

INSERT = """
insert into app.batches (tenant_id, id, kind, record_type, terms, source, planned_by, planned_at)
values (%(tenant_id)s, %(id)s, %(kind)s, %(record_type)s, %(terms)s::jsonb, %(source)s, %(planned_by)s,
  %(now)s)
"""


async def insert(
    conn: Conn,
    batch_id: UUID,
    kind: BatchKind,
    record_type: str,
    terms: Mapping[str, Any],
    *,
    tenant_id: UUID,
    source: str,
    planned_by: str,
    now: datetime,
) -> None:
    """Write down a batch that is planned. Its rows follow."""
    await conn.execute(
        INSERT,
        {
            "tenant_id": tenant_id,
            "id": batch_id,
            "kind": kind,
            "record_type": record_type,
            "terms": to_json(dict(terms)),
            "source": source,
            "planned_by": planned_by,
            "now": now,
        },
    )


SET_TERMS = "update app.batches set terms = %(terms)s::jsonb where tenant_id = %(tenant_id)s and id = %(id)s"


async def set_terms(conn: Conn, batch_id: UUID, terms: Mapping[str, Any], *, tenant_id: UUID) -> None:
    await conn.execute(SET_TERMS, {"tenant_id": tenant_id, "id": batch_id, "terms": to_json(dict(terms))})


GET = _COLUMNS + "and b.id = %(id)s"
LOCK = GET + " for update"


async def get(conn: Conn, batch_id: UUID, *, tenant_id: UUID, lock: bool = False) -> Batch:
    """Return a batch; `lock` lets no other chunk of it be done meanwhile. Raises `NotFound`."""
    async with exact_rows(conn, Batch) as cursor:
        await cursor.execute(LOCK if lock else GET, {"tenant_id": tenant_id, "id": batch_id})
        found = await cursor.fetchone()
    if found is None:
        raise NotFound("There is no such batch.")
    return found


LIST = _COLUMNS + "and b.state <> 'planned' order by b.planned_at desc, b.id limit %(limit)s"


async def list_latest(conn: Conn, *, tenant_id: UUID, limit: int) -> list[Batch]:
    """Return batches that were begun, the latest first."""
    async with exact_rows(conn, Batch) as cursor:
        await cursor.execute(LIST, {"tenant_id": tenant_id, "limit": limit})
        return await cursor.fetchall()


FORGET = """
delete from app.batches b
where b.tenant_id = %(tenant_id)s and b.state in ('planned', 'cancelled') and b.done = 0
  and b.planned_at < %(before)s
"""


async def forget_unused(conn: Conn, *, tenant_id: UUID, now: datetime) -> None:
    """Delete what was planned a day ago and never done."""
    await conn.execute(FORGET, {"tenant_id": tenant_id, "before": now - timedelta(days=1)})


COUNT_ROWS = """
update app.batches b
set rows = (select count(*) from app.batch_rows r where r.tenant_id = %(tenant_id)s and r.batch_id = %(id)s)
where b.tenant_id = %(tenant_id)s and b.id = %(id)s
"""


async def count_rows(conn: Conn, batch_id: UUID, *, tenant_id: UUID) -> None:
    """Note how many rows a batch has."""
    await conn.execute(COUNT_ROWS, {"tenant_id": tenant_id, "id": batch_id})


# By the database's clock: whoever asks how long it has not moved is another process.
BEGIN = """
update app.batches
set state = 'running', started_at = coalesce(started_at, %(now)s), moved_at = now(),
    terms = jsonb_build_object('begun_by', %(by)s::text, 'begun_from', %(source)s::text,
                               'begun_user', %(user_id)s::uuid, 'begun_key', %(key_id)s::uuid)
            || (terms - array['tries', 'stuck_at', 'reason']), ended_at = null
where tenant_id = %(tenant_id)s and id = %(id)s
  and (state in ('planned', 'running') or state = 'partial' and terms ? 'reason')
returning id
"""


async def begin(conn: Conn, batch_id: UUID, caller: Caller, *, tenant_id: UUID, now: datetime) -> bool:
    """Let a batch run, or go on, also one that was given up; False where it has ended otherwise.

    Who let it run first stays who did.
    """
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            BEGIN,
            {
                "tenant_id": tenant_id,
                "id": batch_id,
                "by": caller.name,
                "source": caller.source,
                "user_id": caller.user_id,
                "key_id": caller.key_id,
                "now": now,
            },
        )
        return await cursor.fetchone() is not None


LIST_LEFT = "select tenant_id, batch_id from app.left_batches(make_interval(secs => %(seconds)s))"


async def list_left(conn: Conn, *, seconds: float) -> list[tuple[UUID, UUID]]:
    """Return (tenant, batch) of all that run and have not moved for so long, over all tenants."""
    cursor = await conn.execute(LIST_LEFT, {"seconds": seconds})
    return [(row[0], row[1]) for row in await cursor.fetchall()]


TAKE_OVER = """
update app.batches b set moved_at = now()
where b.tenant_id = %(tenant_id)s and b.id = %(id)s and b.state = 'running'
  and b.moved_at < now() - make_interval(secs => %(seconds)s)
returning b.id
"""


async def take_over(conn: Conn, batch_id: UUID, *, tenant_id: UUID, seconds: float) -> bool:
    """Be the one who goes on with a batch that has not moved for so long; False where another is."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(TAKE_OVER, {"tenant_id": tenant_id, "id": batch_id, "seconds": seconds})
        return await cursor.fetchone() is not None


NOTE_FAILURE = """
with known as (
  select case when (b.terms ->> 'stuck_at')::integer = b.done then (b.terms ->> 'tries')::integer + 1
              else 1 end as tries
  from app.batches b
  where b.tenant_id = %(tenant_id)s and b.id = %(id)s and b.state = 'running'
  for update)
update app.batches b
set state = case when k.tries >= %(most)s then 'partial' else b.state end,
    ended_at = case when k.tries >= %(most)s then %(now)s::timestamptz end,
    terms = b.terms || jsonb_build_object('tries', k.tries, 'stuck_at', b.done, 'reason', %(reason)s::text)
from known k
where b.tenant_id = %(tenant_id)s and b.id = %(id)s
returning b.state <> 'running'
"""


async def note_failure(
    conn: Conn, batch_id: UUID, reason: str, *, tenant_id: UUID, most: int, now: datetime
) -> bool:
    """Note that going on with a batch came to nothing; True where it has ended by that.

    It ends when that was the `most`th time without a row done in between, over all processes. `reason` is a
    sentence.
    """
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            NOTE_FAILURE,
            {"tenant_id": tenant_id, "id": batch_id, "reason": reason, "most": most, "now": now},
        )
        return bool(await cursor.fetchone())


END = """
update app.batches
set state = %(state)s, ended_at = %(now)s,
    terms = (terms - array['tries', 'stuck_at', 'reason'])
            || jsonb_strip_nulls(jsonb_build_object('reason', %(reason)s::text))
where tenant_id = %(tenant_id)s and id = %(id)s and state in ('planned', 'running')
returning id
"""


async def end(
    conn: Conn,
    batch_id: UUID,
    state: BatchState,
    *,
    tenant_id: UUID,
    now: datetime,
    reason: str | None = None,
) -> bool:
    """Let a batch have ended; False where it had. `reason` is a sentence, where nobody asked for it."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            END, {"tenant_id": tenant_id, "id": batch_id, "state": state, "now": now, "reason": reason}
        )
        return await cursor.fetchone() is not None


@dataclass(frozen=True, slots=True)
class Undoing:
    id: UUID
    state: BatchState


FIND_UNDO = """
select b.id, b.state from app.batches b
where b.tenant_id = %(tenant_id)s and b.kind = 'undo' and b.terms ->> 'undoes' = %(undone)s
  and b.state <> 'planned' and b.state <> 'cancelled'
order by b.planned_at desc limit 1
"""


async def find_undo(conn: Conn, batch_id: UUID, *, tenant_id: UUID) -> Undoing | None:
    """Return the batch that took another one back, or is doing so."""
    async with conn.cursor(row_factory=class_row(Undoing)) as cursor:
        await cursor.execute(FIND_UNDO, {"tenant_id": tenant_id, "undone": str(batch_id)})
        return await cursor.fetchone()
