"""Lists that people want to come back to: filters, order, columns under a name, their own or everybody's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import scalar_row

from syncline.errors import NotFound
from syncline.store.db import Conn
from syncline.store.rows import exact_rows, to_json


@dataclass(frozen=True, slots=True)
class SavedView:
    id: UUID
    #: Whose it is; None for one that everybody of the tenant sees.
    user_id: UUID | None
    #: The list it is of: a kind of record in the plural, or any other page.
    page: str
    name: str
    query: dict[str, Any]
    created_by: str
    created_at: datetime
    updated_at: datetime


LIST = """
select v.id, v.user_id, v.page, v.name, v.query, v.created_by, v.created_at, v.updated_at
from app.saved_views v
where v.tenant_id = %(tenant_id)s and v.page = %(page)s
  and (v.user_id is null or v.user_id = %(user_id)s::uuid)
order by v.user_id is null, lower(v.name), v.id
"""


async def list_of_page(conn: Conn, page: str, *, tenant_id: UUID, user_id: UUID | None) -> list[SavedView]:
    """Return somebody's own views of a page by name, then everybody's."""
    async with exact_rows(conn, SavedView) as cursor:
        await cursor.execute(LIST, {"tenant_id": tenant_id, "page": page, "user_id": user_id})
        return await cursor.fetchall()


GET = """
select v.id, v.user_id, v.page, v.name, v.query, v.created_by, v.created_at, v.updated_at
from app.saved_views v
where v.tenant_id = %(tenant_id)s and v.id = %(id)s and (v.user_id is null or v.user_id = %(user_id)s::uuid)
"""


async def get(conn: Conn, view_id: UUID, *, tenant_id: UUID, user_id: UUID | None) -> SavedView:
    """Return a view that is somebody's own or everybody's. Raises `NotFound`."""
    async with exact_rows(conn, SavedView) as cursor:
        await cursor.execute(GET, {"tenant_id": tenant_id, "id": view_id, "user_id": user_id})
        found = await cursor.fetchone()
    if found is None:
        raise NotFound("There is no such view.")
    return found


PUT = """
insert into app.saved_views (tenant_id, id, user_id, page, name, query, created_by, created_at, updated_at)
values (%(tenant_id)s, %(id)s, %(user_id)s, %(page)s, %(name)s, %(query)s::jsonb, %(created_by)s, %(now)s,
  %(now)s)
on conflict (tenant_id, id) do update
  set user_id = excluded.user_id, name = excluded.name, query = excluded.query,
      updated_at = excluded.updated_at
"""


async def put(
    conn: Conn,
    view_id: UUID,
    *,
    tenant_id: UUID,
    user_id: UUID | None,
    page: str,
    name: str,
    query: Mapping[str, Any],
    created_by: str,
    now: datetime,
) -> None:
    """Make a view, or change the one of that id."""
    await conn.execute(
        PUT,
        {
            "tenant_id": tenant_id,
            "id": view_id,
            "user_id": user_id,
            "page": page,
            "name": name,
            "query": to_json(dict(query)),
            "created_by": created_by,
            "now": now,
        },
    )


REMOVE = "delete from app.saved_views where tenant_id = %(tenant_id)s and id = %(id)s returning id"


async def remove(conn: Conn, view_id: UUID, *, tenant_id: UUID) -> bool:
    """Delete a view; False where there was none."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(REMOVE, {"tenant_id": tenant_id, "id": view_id})
        return await cursor.fetchone() is not None
