"""What is on its way to CRMs of certain records, while its answer is out. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from syncline.store.db import Conn

IS_UNDER_WAY = """
select exists (
  select from sync.remote_changes c
  where c.tenant_id = %(tenant_id)s and c.record_id = any(%(record_ids)s::uuid[]) and c.state = 'sent'
    and c.sent_at > clock_timestamp() - %(seconds)s * interval '1 second')
"""


async def is_under_way(conn: Conn, record_ids: Sequence[UUID], *, tenant_id: UUID, seconds: float) -> bool:
    """Tell whether anything of the records was sent within the last `seconds` and has no answer."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            IS_UNDER_WAY, {"tenant_id": tenant_id, "record_ids": list(record_ids), "seconds": seconds}
        )
        return bool(await cursor.fetchone())


@dataclass(frozen=True, slots=True)
class Making:
    """A record that was sent to be made at a CRM, and whose answer is out."""

    connection_id: UUID
    object: str
    record_id: UUID


LIST_MAKINGS = """
select distinct c.connection_id, c.object, c.record_id from sync.remote_changes c
where c.tenant_id = %(tenant_id)s and c.record_id = any(%(record_ids)s::uuid[]) and c.action = 'created'
  and c.state = 'sent'
"""


async def list_makings(conn: Conn, record_ids: Sequence[UUID], *, tenant_id: UUID) -> list[Making]:
    async with conn.cursor(row_factory=class_row(Making)) as cursor:
        await cursor.execute(LIST_MAKINGS, {"tenant_id": tenant_id, "record_ids": list(record_ids)})
        return await cursor.fetchall()
