"""The rows of a batch: what is planned for each, what became of it, what writing them would queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn
from syncline.store.rows import exact_rows, to_json

RowState = Literal["waiting", "done", "skipped", "failed"]
Action = Literal["create", "change", "none", "invalid", "restore"]


@dataclass(frozen=True, slots=True)
class Row:
    position: int
    record_id: UUID | None
    state: RowState
    action: Action
    #: Field → value, and what an import read it from.
    values: dict[str, Any] | None
    #: Field → why it cannot be taken; '' for the row as a whole.
    reasons: dict[str, str] | None


PUT_ROWS = """
insert into app.batch_rows as r (tenant_id, batch_id, position, record_id, action, "values", reasons)
select %(tenant_id)s, %(batch_id)s, d.position, d.record_id, d.action, d."values", d.reasons
from jsonb_to_recordset(%(rows)s::jsonb)
  as d (position integer, record_id uuid, action text, "values" jsonb, reasons jsonb)
on conflict (tenant_id, batch_id, position) do update
  set record_id = excluded.record_id, action = excluded.action, "values" = excluded."values",
      reasons = excluded.reasons
"""


async def put_rows(conn: Conn, batch_id: UUID, rows: Sequence[Row], *, tenant_id: UUID) -> None:
    """Write down what is planned for rows; those of the same position are replaced."""
    document = to_json(
        [
            {
                "position": each.position,
                "record_id": each.record_id,
                "action": each.action,
                "values": each.values,
                "reasons": each.reasons,
            }
            for each in rows
        ]
    )
    await conn.execute(
        PUT_ROWS, {"tenant_id": tenant_id, "batch_id": batch_id, "rows": document}, prepare=False
    )


PUT_RECORDS = """
insert into app.batch_rows (tenant_id, batch_id, position, record_id, action)
select %(tenant_id)s, %(batch_id)s, r.position, r.id, %(action)s
from unnest(%(ids)s::uuid[]) with ordinality as r (id, position)
on conflict (tenant_id, batch_id, position) do nothing
"""


async def put_records(
    conn: Conn, batch_id: UUID, ids: Sequence[UUID], action: Action, *, tenant_id: UUID
) -> None:
    """Write down the records that a batch is about."""
    await conn.execute(
        PUT_RECORDS,
        {"tenant_id": tenant_id, "batch_id": batch_id, "ids": list(ids), "action": action},
        prepare=False,
    )


PUT_CHANGED = """
insert into app.batch_rows (tenant_id, batch_id, position, record_id, action)
select %(tenant_id)s, %(batch_id)s, row_number() over (order by h.record_id), h.record_id, 'restore'
from (select distinct c.record_id from crm.change_log c
      where c.tenant_id = %(tenant_id)s and c.run_id = %(undone)s) h
on conflict (tenant_id, batch_id, position) do nothing
"""


async def put_changed(conn: Conn, batch_id: UUID, undone: UUID, *, tenant_id: UUID) -> None:
    """Write down the records that another batch changed or made."""
    await conn.execute(PUT_CHANGED, {"tenant_id": tenant_id, "batch_id": batch_id, "undone": undone})


LIST_ROWS = """
select r.position, r.record_id, r.state, r.action, r."values", r.reasons from app.batch_rows r
where r.tenant_id = %(tenant_id)s and r.batch_id = %(batch_id)s and r.position > %(after)s
  and (%(state)s::text is null or r.state = %(state)s)
  and (%(action)s::text is null or r.action = %(action)s)
order by r.position limit %(limit)s
"""


async def list_rows(
    conn: Conn,
    batch_id: UUID,
    *,
    tenant_id: UUID,
    limit: int,
    after: int = 0,
    state: RowState | None = None,
    action: Action | None = None,
) -> list[Row]:
    """Return rows by position, those in a state or with an action only where one is named."""
    async with exact_rows(conn, Row) as cursor:
        await cursor.execute(
            LIST_ROWS,
            {
                "tenant_id": tenant_id,
                "batch_id": batch_id,
                "after": after,
                "state": state,
                "action": action,
                "limit": limit,
            },
            prepare=False,
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class ActionCount:
    action: Action
    count: int


COUNT_ACTIONS = """
select r.action, count(*) as count from app.batch_rows r
where r.tenant_id = %(tenant_id)s and r.batch_id = %(batch_id)s
group by r.action
"""


async def count_actions(conn: Conn, batch_id: UUID, *, tenant_id: UUID) -> dict[Action, int]:
    """Return how many rows there are by what is planned for them."""
    async with conn.cursor(row_factory=class_row(ActionCount)) as cursor:
        await cursor.execute(COUNT_ACTIONS, {"tenant_id": tenant_id, "batch_id": batch_id})
        return {each.action: each.count for each in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row."""

    position: int
    state: RowState
    record_id: UUID | None
    created: bool = False
    reasons: dict[str, str] | None = None
    #: What was done in the end, where that is not what was planned.
    action: Action | None = None


SETTLE = """
update app.batch_rows r
set state = d.state, record_id = d.record_id, reasons = coalesce(d.reasons, r.reasons), "values" = null,
    action = coalesce(d.action, r.action)
from jsonb_to_recordset(%(rows)s::jsonb)
  as d (position integer, state text, record_id uuid, reasons jsonb, action text)
where r.tenant_id = %(tenant_id)s and r.batch_id = %(batch_id)s and r.position = d.position
"""
ADVANCE = """
update app.batches
set done = done + %(done)s, created = created + %(created)s, changed = changed + %(changed)s,
    skipped = skipped + %(skipped)s, failed = failed + %(failed)s, moved_at = now()
where tenant_id = %(tenant_id)s and id = %(batch_id)s
"""


async def settle(conn: Conn, batch_id: UUID, outcomes: Sequence[Outcome], *, tenant_id: UUID) -> None:
    """Write down what became of rows; their values are forgotten."""
    document = to_json(
        [
            {
                "position": each.position,
                "state": each.state,
                "record_id": each.record_id,
                "reasons": each.reasons,
                "action": each.action,
            }
            for each in outcomes
        ]
    )
    keys = {"tenant_id": tenant_id, "batch_id": batch_id}
    await conn.execute(SETTLE, keys | {"rows": document}, prepare=False)
    states = [each.state for each in outcomes]
    await conn.execute(
        ADVANCE,
        keys
        | {
            "done": len(outcomes),
            "created": sum(each.created for each in outcomes),
            "changed": sum(each.state == "done" and not each.created for each in outcomes),
            "skipped": states.count("skipped"),
            "failed": states.count("failed"),
        },
    )


@dataclass(frozen=True, slots=True)
class Sending:
    """How many records of a batch would be queued for a connection's object."""

    connection_id: UUID
    connection: str
    object: str
    count: int


COUNT_SENDING = """
select l.connection_id, n.name as connection, l.object, count(*) as count
from app.batch_rows r
join sync.links l on l.tenant_id = %(tenant_id)s and l.record_id = r.record_id
  and l.record_type = %(record_type)s and l.is_primary
join sync.connections n on n.tenant_id = %(tenant_id)s and n.id = l.connection_id
where r.tenant_id = %(tenant_id)s and r.batch_id = %(batch_id)s
  and exists (
    select from sync.writing w
    where w.tenant_id = %(tenant_id)s and w.connection_id = l.connection_id and w.object = l.object
      and w.record_type = %(record_type)s
      and (w.scope = 'field' and (w.field = '' or w.field = any(%(fields)s::text[]))
           or w.scope = 'archive' and 'archived_at' = any(%(fields)s::text[])
           or w.scope = 'associate' and %(fields)s::text[] && array['contact_id', 'company_id', 'deal_id']))
group by l.connection_id, n.name, l.object
order by n.name, l.object
"""


async def count_sending(
    conn: Conn, batch_id: UUID, record_type: str, fields: Sequence[str], *, tenant_id: UUID
) -> list[Sending]:
    """Return what changing those fields of a batch's records would queue, by connection and object."""
    async with conn.cursor(row_factory=class_row(Sending)) as cursor:
        await cursor.execute(
            COUNT_SENDING,
            {
                "tenant_id": tenant_id,
                "batch_id": batch_id,
                "record_type": record_type,
                "fields": list(fields),
            },
            prepare=False,
        )
        return await cursor.fetchall()
