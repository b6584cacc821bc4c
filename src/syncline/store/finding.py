"""Finding the record somebody means: by our id, by its address, by what a CRM calls it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from syncline.domain.records import RECORD_TYPES
from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Found:
    """A record of ours, by its kind."""

    record_type: str
    record_id: UUID


def find_by_id() -> sql.Composed:
    return sql.SQL(" union all ").join(
        sql.SQL(
            "select {kind} as record_type, c.id as record_id from {table} c"
            " where c.tenant_id = %(tenant_id)s and c.id = %(record_id)s"
        ).format(kind=sql.Literal(kind.name), table=sql.Identifier("crm", kind.table))
        for kind in RECORD_TYPES.values()
    )


# Gone, and yet somebody still knows what it was.
FIND_TRACE = """
select l.record_type, l.record_id from sync.links l
where l.tenant_id = %(tenant_id)s and l.record_id = %(record_id)s
union
select t.record_type, t.record_id from sync.tombstones t
where t.tenant_id = %(tenant_id)s and t.record_id = %(record_id)s
union
select h.record_type, h.record_id from crm.change_log h
where h.tenant_id = %(tenant_id)s and h.record_id = %(record_id)s
limit 1
"""


async def find_record(conn: Conn, record_id: UUID, *, tenant_id: UUID) -> Found | None:
    """Return what kind of record an id is of, also of one that is gone; None for one that never was."""
    values = {"tenant_id": tenant_id, "record_id": record_id}
    async with conn.cursor(row_factory=class_row(Found)) as cursor:
        await cursor.execute(find_by_id(), values)
        found = await cursor.fetchone()
        if found is None:
            await cursor.execute(FIND_TRACE, values)
            found = await cursor.fetchone()
    return found


LIST_BY_EMAIL = """
select 'contact' as record_type, c.id as record_id from crm.contacts c
where c.tenant_id = %(tenant_id)s and c.email_norm = lower(btrim(%(email)s)) and c.merged_into is null
union all
select 'owner', o.id from crm.owners o
where o.tenant_id = %(tenant_id)s and o.email_norm = lower(btrim(%(email)s)) and o.merged_into is null
limit 20
"""


async def list_by_email(conn: Conn, email: str, *, tenant_id: UUID) -> list[Found]:
    """Return contacts, then owners, with an address."""
    async with conn.cursor(row_factory=class_row(Found)) as cursor:
        await cursor.execute(LIST_BY_EMAIL, {"tenant_id": tenant_id, "email": email})
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class FoundRemote:
    """A remote record that something is known of here; `record_id` None where it is no record of ours."""

    connection_id: UUID
    object: str
    remote_id: str
    record_type: str | None
    record_id: UUID | None


LIST_BY_REMOTE = """
select distinct on (f.connection_id, f.object) f.connection_id, f.object, f.remote_id, f.record_type,
  f.record_id
from (
  select 1 as rank, l.connection_id, l.object, l.remote_id, l.record_type, l.record_id from sync.links l
  where l.tenant_id = %(tenant_id)s and l.remote_id = %(remote_id)s
  union all
  select 2, t.connection_id, t.object, t.remote_id, t.record_type,
    nullif(t.record_id, '00000000-0000-0000-0000-000000000000') from sync.tombstones t
  where t.tenant_id = %(tenant_id)s and t.remote_id = %(remote_id)s
  union all
  select 3, p.connection_id, p.object, p.remote_id, null, null from sync.parked p
  where p.tenant_id = %(tenant_id)s and p.remote_id = %(remote_id)s
) f
where (%(connection_id)s::uuid is null or f.connection_id = %(connection_id)s)
  and (%(object)s::text is null or f.object = %(object)s)
order by f.connection_id, f.object, f.rank
"""


async def list_by_remote(
    conn: Conn,
    remote_id: str,
    *,
    tenant_id: UUID,
    connection_id: UUID | None = None,
    object_name: str | None = None,
) -> list[FoundRemote]:
    """Return what is known of a remote id, of one connection or object where they are named."""
    async with conn.cursor(row_factory=class_row(FoundRemote)) as cursor:
        await cursor.execute(
            LIST_BY_REMOTE,
            {
                "tenant_id": tenant_id,
                "remote_id": remote_id,
                "connection_id": connection_id,
                "object": object_name,
            },
        )
        return await cursor.fetchall()
