"""Records of ours whose remote record is gone: archived here, or so already."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from psycopg import sql
from psycopg.rows import scalar_row

from syncline.domain.records import RecordType
from syncline.store.db import Conn

AGREE_ON_ARCHIVE = sql.SQL("""
update sync.links l set base = l.base || jsonb_build_object('archived_at', jsonb_build_array(c.archived_at))
from {table} c
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
  and l.remote_id = any(%(remote_ids)s::text[]) and l.is_primary and l.base -> 'archived_at' ->> 0 is null
  and c.tenant_id = %(tenant_id)s and c.id = l.record_id and c.archived_at is not null
""")


async def agree_on_archive(
    conn: Conn,
    kind: RecordType,
    remote_ids: Sequence[str],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
) -> None:
    """Note that both sides archived what is gone there and was archived here before that was known.

    Whoever brings it back there from now on is the only one who changed something.
    """
    await conn.execute(
        AGREE_ON_ARCHIVE.format(table=sql.Identifier("crm", kind.table)),
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "remote_ids": list(remote_ids),
        },
    )


# The base learns it too, so that a record that comes back is seen as a change of theirs.
ARCHIVE = sql.SQL("""
with before as (
  select c.id, l.remote_id from sync.links l
  join {table} c on c.tenant_id = %(tenant_id)s and c.id = l.record_id
  where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
    and l.remote_id = any(%(remote_ids)s::text[]) and l.is_primary and c.archived_at is null
  order by c.id
  for update of c
), written as (
  update {table} c set archived_at = %(now)s, version = c.version + 1, updated_at = %(now)s
  from before b where c.tenant_id = %(tenant_id)s and c.id = b.id
  returning c.id, to_jsonb(c.archived_at) as at
), agreed as (
  update sync.links l
  set base = l.base || jsonb_build_object('archived_at', jsonb_build_array(w.at, w.at))
  from before b join written w on w.id = b.id
  where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
    and l.remote_id = b.remote_id
  returning l.record_id
)
insert into crm.change_log (tenant_id, id, changed_at, record_type, record_id, action, changes, source,
  connection_id, actor, run_id)
select %(tenant_id)s, gen_random_uuid(), %(now)s, %(record_type)s, w.id, 'archived',
  jsonb_build_object('archived_at', jsonb_build_array(null, w.at)), 'pull', %(connection_id)s, %(actor)s,
  %(run_id)s
from written w join agreed a on a.record_id = w.id
on conflict (tenant_id, changed_at, id) do nothing
""")


async def archive_records(
    conn: Conn,
    kind: RecordType,
    remote_ids: Sequence[str],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    run_id: UUID,
    actor: str,
    now: datetime,
) -> int:
    """Archive the living records that `remote_ids` are primary for; returns how many."""
    await agree_on_archive(
        conn,
        kind,
        remote_ids,
        tenant_id=tenant_id,
        connection_id=connection_id,
        object_name=object_name,
    )
    cursor = await conn.execute(
        ARCHIVE.format(table=sql.Identifier("crm", kind.table)),
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "remote_ids": list(remote_ids),
            "record_type": kind.name,
            "run_id": run_id,
            "actor": actor,
            "now": now,
        },
    )
    return cursor.rowcount


FILTER_ARCHIVED = sql.SQL("""
select c.id from {table} c
where c.tenant_id = %(tenant_id)s and c.id = any(%(ids)s::uuid[]) and c.archived_at is not null
""")


async def filter_archived(conn: Conn, kind: RecordType, ids: Sequence[UUID], *, tenant_id: UUID) -> set[UUID]:
    """Return those of `ids` that are archived here."""
    if not ids:
        return set()
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            FILTER_ARCHIVED.format(table=sql.Identifier("crm", kind.table)),
            {"tenant_id": tenant_id, "ids": list(ids)},
        )
        return set(await cursor.fetchall())
