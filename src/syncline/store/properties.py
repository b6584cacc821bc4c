"""What is known of an object's properties at its CRM: which there are, and which can be set."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class KnownProperty:
    name: str
    label: str
    read_only: bool
    calculated: bool

    @property
    def is_settable(self) -> bool:
        return not self.read_only and not self.calculated


LIST_KNOWN = """
select p.name, p.label, p.read_only, p.calculated from sync.properties p
where p.tenant_id = %(tenant_id)s and p.connection_id = %(connection_id)s and p.object = %(object_name)s
  and p.removed_at is null
order by p.name
"""


async def list_known(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> list[KnownProperty]:
    """Return the properties as the last sync found them, without those that are gone."""
    async with conn.cursor(row_factory=class_row(KnownProperty)) as cursor:
        await cursor.execute(
            LIST_KNOWN, {"tenant_id": tenant_id, "connection_id": connection_id, "object_name": object_name}
        )
        return await cursor.fetchall()
