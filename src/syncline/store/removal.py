"""Taking a connection's data away: what only it is linked to, without breaking what others refer to.

Knows references between records; which of the two ways is taken is the caller's matter.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from psycopg import sql
from psycopg.rows import scalar_row

from syncline.domain.records import RECORD_TYPES
from syncline.store.db import Conn

#: Children before their parents, so that no foreign key stands in the way.
ORDER = ("activity", "task", "deal", "contact", "company", "owner")
#: Parent's record type → (the column that names it, the tables that have the column).
_REFERENCES = {
    "deal": ("deal_id", ("activities", "tasks")),
    "contact": ("contact_id", ("activities", "tasks", "deals")),
    "company": ("company_id", ("activities", "tasks", "deals", "contacts")),
    "owner": ("owner_id", ("activities", "tasks", "deals", "contacts", "companies")),
}


LOCK_OUT = "delete from sync.leases where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s"


async def lock_out(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> None:
    """Wait for the chunk that a run is writing; until the transaction ends no run writes another."""
    await conn.execute(LOCK_OUT, {"tenant_id": tenant_id, "connection_id": connection_id})


CREATE_STAGING = "create temp table removal_doomed (record_type text, record_id uuid) on commit drop"
# A record merged into another has lost its links to it; it goes with the one it became.
COLLECT = """
insert into removal_doomed (record_type, record_id)
with recursive linked as (
  select l.record_type, l.record_id from sync.links l
  where l.tenant_id = %(tenant_id)s
  group by l.record_type, l.record_id
  having bool_and(l.connection_id = %(connection_id)s)
), gone as (
  select record_type, record_id from linked
  union
  select m.record_type, m.id from gone g
  join (
    select 'owner' as record_type, id, merged_into from crm.owners where tenant_id = %(tenant_id)s
    union all
    select 'company', id, merged_into from crm.companies where tenant_id = %(tenant_id)s
    union all
    select 'contact', id, merged_into from crm.contacts where tenant_id = %(tenant_id)s
    union all
    select 'deal', id, merged_into from crm.deals where tenant_id = %(tenant_id)s
    union all
    select 'activity', id, merged_into from crm.activities where tenant_id = %(tenant_id)s
    union all
    select 'task', id, merged_into from crm.tasks where tenant_id = %(tenant_id)s
  ) m on m.merged_into = g.record_id and m.record_type = g.record_type
  where not exists (select from sync.links l
                    where l.tenant_id = %(tenant_id)s and l.record_id = m.id
                      and l.connection_id <> %(connection_id)s)
)
select record_type, record_id from gone
"""
COUNT_COLLECTED = "select record_type, count(*) from removal_doomed group by record_type"
ANALYZE = "analyze removal_doomed"


async def collect(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> dict[str, int]:
    """Find the records that would go, and return how many of each type. Once per transaction."""
    await conn.execute(CREATE_STAGING)
    await conn.execute(COLLECT, {"tenant_id": tenant_id, "connection_id": connection_id}, prepare=False)
    await conn.execute(ANALYZE)
    cursor = await conn.execute(COUNT_COLLECTED, prepare=False)
    counts = {str(row[0]): int(row[1]) for row in await cursor.fetchall()}
    return {name: counts[name] for name in reversed(ORDER) if name in counts}


RELEASE_REFERENCES = sql.SQL("""
update {table} c set {column} = null
from removal_doomed d
where c.tenant_id = %(tenant_id)s and d.record_type = %(parent)s and c.{column} = d.record_id
  and not exists (select from removal_doomed x where x.record_id = c.id)
""")
# How a contact was found means nothing without one.
RELEASE_LINKS = """
update crm.activities a set contact_link = null
where a.tenant_id = %(tenant_id)s and a.contact_id is null and a.contact_link is not null
"""
LEAVE_PIPELINES = """
update crm.deals d set pipeline_id = null, stage_id = null
from crm.pipelines p
where d.tenant_id = %(tenant_id)s and p.tenant_id = %(tenant_id)s and p.id = d.pipeline_id
  and p.connection_id = %(connection_id)s
  and not exists (select from removal_doomed x where x.record_id = d.id)
"""


async def release_references(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> None:
    """Free what stays from references to what goes. Logged as any change, so not in a bulk transaction."""
    keys = {"tenant_id": tenant_id, "connection_id": connection_id}
    for parent, (column, tables) in _REFERENCES.items():
        for table in tables:
            statement = RELEASE_REFERENCES.format(
                table=sql.Identifier("crm", table), column=sql.Identifier(column)
            )
            await conn.execute(statement, keys | {"parent": parent}, prepare=False)
    await conn.execute(RELEASE_LINKS, keys)
    await conn.execute(LEAVE_PIPELINES, keys, prepare=False)


SET_BULK = "set local app.bulk = 'on'"
FORGET_HISTORY = """
delete from crm.field_history h using removal_doomed d
where h.tenant_id = %(tenant_id)s and h.record_type = d.record_type and h.record_id = d.record_id
"""
# The log says that they went, not what they held: that was to go.
DELETE_RECORDS = sql.SQL("""
with deleted as (
  delete from {table} r using removal_doomed d
  where r.tenant_id = %(tenant_id)s and d.record_type = %(kind)s and r.id = d.record_id
  returning r.id
)
insert into crm.change_log (tenant_id, id, changed_at, record_type, record_id, action, changes, source,
  connection_id, actor)
select %(tenant_id)s, gen_random_uuid(), %(now)s, %(kind)s, id, 'deleted', '{{}}', 'disconnect',
  %(connection_id)s, %(actor)s
from deleted
on conflict (tenant_id, changed_at, id) do nothing
""")
DELETE_PIPELINES = """
delete from crm.pipelines where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s
"""


async def delete_collected(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, actor: str, now: datetime
) -> None:
    """Delete the collected records and the connection's pipelines. After `release_references`.

    The rest of the transaction passes over the row triggers: the change log is written here.
    """
    keys = {"tenant_id": tenant_id, "connection_id": connection_id, "actor": actor, "now": now}
    await conn.execute(SET_BULK)
    await conn.execute(FORGET_HISTORY, keys, prepare=False)
    for kind in ORDER:
        table = sql.Identifier("crm", RECORD_TYPES[kind].table)
        await conn.execute(DELETE_RECORDS.format(table=table), keys | {"kind": kind}, prepare=False)
    await conn.execute(DELETE_PIPELINES, keys)


DETACH_PIPELINES = """
update crm.pipelines set connection_id = null
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s
"""


async def detach_pipelines(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> None:
    """Make the connection's pipelines the hub's own: the deals that stay are still in them."""
    await conn.execute(DETACH_PIPELINES, {"tenant_id": tenant_id, "connection_id": connection_id})


COUNT_PAYLOADS = sql.SQL("""
select count(*) from {table} r where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s
""")
LIST_RAW_TABLES = """
select c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'raw' and c.relkind = 'r' and starts_with(c.relname, %(prefix)s) order by c.relname
"""


async def count_payloads(
    conn: Conn, platform: str, *, tenant_id: UUID, connection_id: UUID
) -> dict[str, int]:
    """Return how many payloads each raw table of the platform holds of the connection, by table."""
    counts: dict[str, int] = {}
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(LIST_RAW_TABLES, {"prefix": f"{platform}_"})
        for name in await cursor.fetchall():
            await cursor.execute(
                COUNT_PAYLOADS.format(table=sql.Identifier("raw", name)),
                {"tenant_id": tenant_id, "connection_id": connection_id},
            )
            counts[f"raw.{name}"] = await cursor.fetchone() or 0
    return {name: count for name, count in counts.items() if count}
