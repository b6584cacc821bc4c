"""What every page shows beside its own matter: the tenant's currency, and how much waits for a person."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from syncline.errors import NotFound
from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Glance:
    time_zone: str
    currency: str
    connections: int
    #: None of these is counted beyond a thousand.
    open_conflicts: int
    #: Rows of the queue that the CRM refused, or a brake holds.
    stuck: int
    #: Records that could not be read whole.
    parked: int
    drift: int
    open_alerts: int


READ_GLANCE = """
select t.time_zone, t.currency,
  (select count(*) from sync.connections n where n.tenant_id = %(tenant_id)s) as connections,
  (select count(*) from (select from sync.conflicts c
     where c.tenant_id = %(tenant_id)s and c.status = 'open' limit 1000) x) as open_conflicts,
  (select count(*) from (select from sync.queue q
     where q.tenant_id = %(tenant_id)s and q.state in ('parked', 'held') limit 1000) x) as stuck,
  (select count(*) from (select from sync.parked p
     where p.tenant_id = %(tenant_id)s limit 1000) x) as parked,
  (select count(*) from (select from sync.drift d
     where d.tenant_id = %(tenant_id)s and d.state = 'open' limit 1000) x) as drift,
  (select count(*) from (select from sync.alerts a
     where a.tenant_id = %(tenant_id)s and a.state = 'open' limit 1000) x) as open_alerts
from app.tenants t where t.tenant_id = %(tenant_id)s
"""


async def read_glance(conn: Conn, *, tenant_id: UUID) -> Glance:
    """Return it in one round trip. Raises `NotFound` for a tenant that is no more."""
    async with conn.cursor(row_factory=class_row(Glance)) as cursor:
        await cursor.execute(READ_GLANCE, {"tenant_id": tenant_id})
        found = await cursor.fetchone()
    if found is None:
        raise NotFound("There is no such tenant.")
    return found
