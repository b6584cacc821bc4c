"""Decisions: values that were overruled without asking anybody, kept so that they can be put back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from syncline.errors import NotFound
from syncline.store.db import Conn
from syncline.store.labels import LABEL, OF_PAGE
from syncline.store.rows import exact_rows


@dataclass(frozen=True, slots=True)
class Decision:
    """One value that lost, and the one that stands for it."""

    id: UUID
    decided_at: datetime
    #: The connection's name.
    connection: str
    connection_id: UUID
    record_type: str
    record_id: UUID
    #: What people call it; empty where it has no name, or is gone.
    label: str
    field: str
    rule: str
    winner: str
    value: Any
    #: None when both went into the value.
    losing: Any
    ours: Any
    theirs: Any
    reason: str
    run_id: UUID | None


_FOUND = """
select d.id, d.decided_at, n.name as connection, d.connection_id, d.record_type, d.record_id, d.field, d.rule,
  d.winner, d.value, d.losing, d.ours, d.theirs, d.reason, d.run_id
from sync.decisions d
join sync.connections n on n.tenant_id = %(tenant_id)s and n.id = d.connection_id
where d.tenant_id = %(tenant_id)s
"""
_LABELLED = (
    """
)
select p.*, """
    + LABEL
    + " from p"
    + OF_PAGE
    + "order by p.decided_at desc, p.id desc"
)
LIST_DECISIONS = (
    "with p as ("
    + _FOUND
    + """  and (%(record_id)s::uuid is null or d.record_id = %(record_id)s)
  and (%(connection_id)s::uuid is null or d.connection_id = %(connection_id)s)
  and (%(field)s::text is null or d.field = %(field)s)
  and (%(before)s::timestamptz is null or (d.decided_at, d.id) < (%(before)s, %(before_id)s::uuid))
order by d.decided_at desc, d.id desc
limit %(limit)s
"""
    + _LABELLED
)


async def list_decisions(
    conn: Conn,
    *,
    tenant_id: UUID,
    record_id: UUID | None = None,
    connection_id: UUID | None = None,
    field: str | None = None,
    limit: int = 100,
    before: tuple[datetime, UUID] | None = None,
) -> list[Decision]:
    """Return decisions, latest first; `before` is the place of the last one seen."""
    async with exact_rows(conn, Decision) as cursor:
        await cursor.execute(
            LIST_DECISIONS,
            {
                "tenant_id": tenant_id,
                "record_id": record_id,
                "connection_id": connection_id,
                "field": field,
                "limit": limit,
                "before": before[0] if before else None,
                "before_id": before[1] if before else None,
            },
            prepare=False,
        )
        return await cursor.fetchall()


GET = "with p as (" + _FOUND + "  and d.id = %(id)s" + _LABELLED


async def get(conn: Conn, decision_id: UUID, *, tenant_id: UUID) -> Decision:
    """Return a decision. Raises `NotFound`."""
    async with exact_rows(conn, Decision) as cursor:
        await cursor.execute(GET, {"tenant_id": tenant_id, "id": decision_id})
        found = await cursor.fetchone()
    if found is None:
        raise NotFound("There is no such decision. `syncline decisions` lists the latest.")
    return found


LIST_MADE_WITH = (
    "with p as ("
    + _FOUND
    + """  and d.record_id = %(record_id)s and d.record_type = %(record_type)s
  and d.connection_id = %(connection_id)s and d.decided_at = %(decided_at)s
"""
    + _LABELLED
)


async def list_made_with(conn: Conn, decision: Decision, *, tenant_id: UUID) -> list[Decision]:
    """Return all decisions of the merge that made this one, itself included."""
    async with exact_rows(conn, Decision) as cursor:
        await cursor.execute(
            LIST_MADE_WITH,
            {
                "tenant_id": tenant_id,
                "record_id": decision.record_id,
                "record_type": decision.record_type,
                "connection_id": decision.connection_id,
                "decided_at": decision.decided_at,
            },
        )
        return await cursor.fetchall()
