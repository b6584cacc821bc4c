"""Pipelines and their stages, of all connections and the hub's own, as people choose among them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage with the pipeline it is in."""

    id: UUID
    key: str
    label: str
    position: int
    is_closed: bool
    is_won: bool
    #: 0 to 100; None where the CRM has none.
    probability: Decimal | None
    pipeline_id: UUID
    pipeline: str
    pipeline_label: str
    #: The connection it came from; None for the hub's own.
    connection: str | None


LIST_LIVING = """
select s.id, s.key, s.label, s.position, s.is_closed, s.is_won, s.probability, p.id as pipeline_id,
  p.key as pipeline, p.label as pipeline_label, n.name as connection
from crm.pipelines p
join crm.stages s on s.tenant_id = %(tenant_id)s and s.pipeline_id = p.id
left join sync.connections n on n.tenant_id = %(tenant_id)s and n.id = p.connection_id
where p.tenant_id = %(tenant_id)s and p.object = 'deals' and p.archived_at is null and s.archived_at is null
order by p.connection_id is not null, n.name, p.position, p.label, p.id, s.position, s.label, s.id
"""


async def list_living(conn: Conn, *, tenant_id: UUID) -> list[Stage]:
    """Return the stages that a deal can be moved to, in the order in which people see them."""
    async with conn.cursor(row_factory=class_row(Stage)) as cursor:
        await cursor.execute(LIST_LIVING, {"tenant_id": tenant_id})
        return await cursor.fetchall()
