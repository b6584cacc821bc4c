"""What people call the records that others refer to: many at once, as far as somebody may see them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg import sql

from syncline.domain.records import RecordType
from syncline.store.db import Conn

_NAMES = {
    "owner": sql.SQL("c.name"),
    "company": sql.SQL("coalesce(nullif(c.name, ''), c.domain)"),
    "contact": sql.SQL("coalesce(c.full_name, c.email)"),
    "deal": sql.SQL("c.name"),
    "activity": sql.SQL("c.subject"),
    "task": sql.SQL("c.subject"),
}
_SEEN = sql.SQL(" and (c.owner_id is null or c.owner_id = any(%(owners)s::uuid[]))")


def list_names(kind: RecordType, *, sees_all: bool) -> sql.Composed:
    return sql.SQL(
        "select c.id, coalesce({name}, '') from {table} c"
        " where c.tenant_id = %(tenant_id)s and c.id = any(%(ids)s::uuid[]){seen}"
    ).format(
        name=_NAMES[kind.name],
        table=sql.Identifier("crm", kind.table),
        seen=sql.SQL("") if sees_all or kind.name == "owner" else _SEEN,
    )


async def list_labels(
    conn: Conn,
    kind: RecordType,
    ids: Sequence[UUID],
    *,
    tenant_id: UUID,
    owner_ids: Sequence[UUID] | None,
) -> dict[UUID, str]:
    """Return id → what people call it, of those that may be seen; `owner_ids` None: of all."""
    if not ids:
        return {}
    cursor = await conn.execute(
        list_names(kind, sees_all=owner_ids is None),
        {"tenant_id": tenant_id, "ids": list(ids), "owners": list(owner_ids or ())},
        prepare=False,
    )
    return {row[0]: str(row[1]) for row in await cursor.fetchall()}


LIST_STAGE_NAMES = """
select s.id, s.label from crm.stages s where s.tenant_id = %(tenant_id)s and s.id = any(%(ids)s::uuid[])
union all
select p.id, p.label from crm.pipelines p where p.tenant_id = %(tenant_id)s and p.id = any(%(ids)s::uuid[])
"""


async def list_stage_labels(conn: Conn, ids: Sequence[UUID], *, tenant_id: UUID) -> dict[UUID, str]:
    """Return id → label, of pipelines and stages."""
    if not ids:
        return {}
    cursor = await conn.execute(LIST_STAGE_NAMES, {"tenant_id": tenant_id, "ids": list(ids)})
    return {row[0]: str(row[1]) for row in await cursor.fetchall()}
