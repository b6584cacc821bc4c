"""What the numbers can be filtered by: owners, and currencies into which something can be converted."""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn
from syncline.store.metrics import OwnerName

LIST_OWNERS = """
select o.id, o.name, o.email from crm.owners o
where o.tenant_id = %(tenant_id)s and o.merged_into is null
  and (%(owners)s::uuid[] is null or o.id = any(%(owners)s::uuid[]))
order by o.archived_at is not null, lower(coalesce(o.name, o.email)), o.id
limit %(limit)s
"""


async def list_owners(
    conn: Conn, *, tenant_id: UUID, owners: list[UUID] | None, limit: int
) -> list[OwnerName]:
    """Return owners by name, those who left at the end; only some of them if `owners` names them."""
    async with conn.cursor(row_factory=class_row(OwnerName)) as cursor:
        await cursor.execute(LIST_OWNERS, {"tenant_id": tenant_id, "owners": owners, "limit": limit})
        return await cursor.fetchall()


LIST_CURRENCIES = """
select distinct r.to_currency from crm.exchange_rates r
where r.tenant_id = %(tenant_id)s
order by r.to_currency
limit 60
"""


async def list_currencies(conn: Conn, *, tenant_id: UUID) -> list[str]:
    """Return the currencies that a rate leads to."""
    cursor = await conn.execute(LIST_CURRENCIES, {"tenant_id": tenant_id})
    return [str(row[0]) for row in await cursor.fetchall()]
