"""What may be written to a connection's CRM, as a person allowed it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be written of one object. Nothing, unless somebody said so."""

    #: True: every mapped field.
    all_fields: bool = False
    fields: frozenset[str] = frozenset()
    create: bool = False
    archive: bool = False
    associate: bool = False
    merge: bool = False

    def allows(self, field: str) -> bool:
        return self.all_fields or field in self.fields

    @property
    def is_nothing(self) -> bool:
        return self == Allowance()


@dataclass(frozen=True, slots=True)
class _Row:
    scope: str
    field: str


FIND = """
select w.scope, w.field from sync.writing w
where w.tenant_id = %(tenant_id)s and w.connection_id = %(connection_id)s and w.object = %(object)s
"""


async def find_allowance(conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str) -> Allowance:
    """Return what may be written of an object. Whether it is sent now is another question."""
    async with conn.cursor(row_factory=class_row(_Row)) as cursor:
        await cursor.execute(
            FIND, {"tenant_id": tenant_id, "connection_id": connection_id, "object": object_name}
        )
        rows = await cursor.fetchall()
    scopes = {row.scope for row in rows}
    fields = {row.field for row in rows if row.scope == "field"}
    return Allowance(
        "" in fields,
        frozenset(fields - {""}),
        "create" in scopes,
        "archive" in scopes,
        "associate" in scopes,
        "merge" in scopes,
    )


FIND_STOP = """
select case when t.writing_stopped_at is not null
              then 'All writing to CRMs is stopped (by ' || coalesce(t.writing_stopped_by, 'somebody') || ').'
            when t.status <> 'active' then 'The tenant is suspended.'
            when c.status <> 'active' then 'The connection is paused: ' || c.paused_reason
            when not c.writes_enabled then 'Writing to this connection is switched off.' end
from sync.connections c join app.tenants t on t.tenant_id = c.tenant_id
where c.tenant_id = %(tenant_id)s and t.tenant_id = %(tenant_id)s and c.id = %(connection_id)s
"""


async def find_stop(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> str | None:
    """Return why nothing may be sent to a connection now, in a sentence; None when it may."""
    cursor = await conn.execute(FIND_STOP, {"tenant_id": tenant_id, "connection_id": connection_id})
    row = await cursor.fetchone()
    return "The connection is no more." if row is None else row[0]
