"""The change log as people look at it: what changed lately, by whom, in which fields."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Change:
    changed_at: datetime
    record_type: str
    record_id: UUID
    action: str
    #: Names of the fields that changed, in alphabetical order; no values.
    fields: list[str]
    source: str


LIST_RECENT = """
select changed_at, record_type, record_id, action,
  array(select jsonb_object_keys(changes) order by 1) as fields, source
from crm.change_log
where tenant_id = %(tenant_id)s and changed_at > %(after)s
order by changed_at desc
limit %(limit)s
"""


async def list_recent(conn: Conn, *, tenant_id: UUID, after: datetime, limit: int = 20) -> list[Change]:
    """Return the changes after a moment, latest first."""
    async with conn.cursor(row_factory=class_row(Change)) as cursor:
        await cursor.execute(LIST_RECENT, {"tenant_id": tenant_id, "after": after, "limit": limit})
        return await cursor.fetchall()


COUNT_SINCE = """
select count(*) from crm.change_log where tenant_id = %(tenant_id)s and changed_at > %(after)s
"""


async def count_since(conn: Conn, *, tenant_id: UUID, after: datetime) -> int:
    cursor = await conn.execute(COUNT_SINCE, {"tenant_id": tenant_id, "after": after})
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
