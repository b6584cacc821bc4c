"""How often a field has been written there by us and here by them, of late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Flip:
    record_id: UUID
    field: str
    #: How often we wrote it there.
    pushed: int
    #: How often they wrote it here.
    pulled: int


# The change log is asked only for the few records that were written there so often.
LIST = """
select p.record_id, p.field, p.pushed::int, g.pulled::int
from (
  select c.record_id, f.field, count(*) as pushed
  from sync.remote_changes c cross join lateral jsonb_object_keys(c.changes) as f (field)
  where c.tenant_id = %(tenant_id)s and c.connection_id = %(connection_id)s
    and c.record_id = any(%(record_ids)s::uuid[]) and c.sent_at >= %(since)s and c.action = 'updated'
    and c.state = 'done'
  group by c.record_id, f.field having count(*) >= %(most)s) p
cross join lateral (
  select count(*) as pulled from crm.change_log l
  where l.tenant_id = %(tenant_id)s and l.record_id = p.record_id and l.changed_at >= %(since)s
    and l.source = 'pull' and l.action <> 'created' and l.connection_id = %(connection_id)s
    and l.changes ? p.field) g
where g.pulled >= %(most)s
"""


async def list_flips(
    conn: Conn,
    record_ids: Sequence[UUID],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    since: datetime,
    most: int,
) -> list[Flip]:
    """Return fields that both sides have written `most` times or more since a moment."""
    async with conn.cursor(row_factory=class_row(Flip)) as cursor:
        await cursor.execute(
            LIST,
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "record_ids": list(record_ids),
                "since": since,
                "most": most,
            },
        )
        return await cursor.fetchall()
