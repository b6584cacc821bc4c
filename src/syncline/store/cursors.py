"""Where reading of an object goes on: one state per kind of reading, one part per id range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class CursorPart:
    part: int
    state: dict[str, Any]


LIST_PARTS = """
select part, state from sync.cursors
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and kind = %(kind)s
order by part
"""


async def list_parts(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str, kind: str
) -> list[CursorPart]:
    """Return the parts of a cursor in order; none when this kind of reading has not begun."""
    async with conn.cursor(row_factory=class_row(CursorPart)) as cursor:
        await cursor.execute(
            LIST_PARTS,
            {"tenant_id": tenant_id, "connection_id": connection_id, "object": object_name, "kind": kind},
        )
        return await cursor.fetchall()


async def find_state(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str, kind: str
) -> dict[str, Any] | None:
    """Return the state of a cursor that has one part only."""
    parts = await list_parts(
        conn, tenant_id=tenant_id, connection_id=connection_id, object_name=object_name, kind=kind
    )
    return parts[0].state if parts else None


PUT = """
insert into sync.cursors as c (tenant_id, connection_id, object, kind, part, state, updated_at)
values (%(tenant_id)s, %(connection_id)s, %(object)s, %(kind)s, %(part)s, %(state)s, %(now)s)
on conflict (tenant_id, connection_id, object, kind, part) do update
  set state = c.state || excluded.state, updated_at = excluded.updated_at
"""


async def put(
    conn: Conn,
    state: dict[str, Any],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    kind: str,
    now: datetime,
    part: int = 0,
) -> None:
    """Store a part's state, merged key by key into what it holds."""
    await conn.execute(
        PUT,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "kind": kind,
            "part": part,
            "state": Jsonb(state),
            "now": now,
        },
    )


PUT_PARTS = """
insert into sync.cursors as c (tenant_id, connection_id, object, kind, part, state, updated_at)
select %(tenant_id)s, %(connection_id)s, %(object)s, %(kind)s, s.part, s.state, %(now)s
from unnest(%(parts)s::integer[], %(states)s::jsonb[]) as s (part, state)
on conflict (tenant_id, connection_id, object, kind, part) do update
  set state = c.state || excluded.state, updated_at = excluded.updated_at
"""


async def put_parts(
    conn: Conn,
    states: Mapping[int, dict[str, Any]],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    kind: str,
    now: datetime,
) -> None:
    """Store the states of several parts in one statement, each merged into what it holds."""
    await conn.execute(
        PUT_PARTS,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "kind": kind,
            "parts": list(states),
            "states": [Jsonb(state) for state in states.values()],
            "now": now,
        },
    )


REMOVE = """
delete from sync.cursors
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and kind = %(kind)s
"""


async def remove(conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str, kind: str) -> None:
    await conn.execute(
        REMOVE,
        {"tenant_id": tenant_id, "connection_id": connection_id, "object": object_name, "kind": kind},
    )
