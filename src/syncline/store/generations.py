"""How often tables of a tenant were changed: what tells whether an answer worked out before still holds.

Whoever reads them first and what they stand for afterwards never takes an old answer for a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from syncline.store.db import Conn

#: The tables whose changes are counted, with their schema; a test compares them with the triggers.
WATCHED: frozenset[str] = frozenset(
    {
        "app.metric_settings",
        "app.tenants",
        "crm.activities",
        "crm.companies",
        "crm.contacts",
        "crm.deal_contacts",
        "crm.deals",
        "crm.exchange_rates",
        "crm.field_history",
        "crm.owners",
        "crm.pipeline_days",
        "crm.pipeline_history",
        "crm.pipelines",
        "crm.stages",
        "sync.connections",
    }
)


@dataclass(frozen=True, slots=True)
class _Generation:
    name: str
    #: Two readings are equal if and only if nothing was committed between them that changed the table.
    token: str
    rows: int


# The file of a table tells of what no trigger sees: TRUNCATE, and a table that was put in its place.
READ = """
select w.name, concat_ws('.', g.changes, g.last_xid, c.relfilenode) as token, g.rows
from unnest(%(names)s::text[]) as w (name)
left join pg_catalog.pg_class c on c.oid = to_regclass(w.name)
cross join lateral (
  select coalesce(sum(s.changes), 0) as changes, coalesce(max(s.last_xid), 0) as last_xid, count(*) as rows
  from sync.generations s
  where s.tenant_id = %(tenant_id)s and s.name = w.name
) g
"""


async def read(conn: Conn, *, tenant_id: UUID) -> tuple[Mapping[str, str], int]:
    """Return a token for each watched table, and how many rows it took to make them.

    A token is another one after each commit that changed the table, whenever the transaction began.
    """
    async with conn.cursor(row_factory=class_row(_Generation)) as cursor:
        await cursor.execute(READ, {"tenant_id": tenant_id, "names": sorted(WATCHED)})
        found = await cursor.fetchall()
    return {each.name: each.token for each in found}, sum(each.rows for each in found)


# Sums stay as they are for whoever reads: one statement takes rows away and adds what they counted. Rows of
# sessions that are counting just now are left for another time, so that nobody waits for anybody.
FOLD = """
with gone as (
  delete from sync.generations g
  using (select s.name, s.backend from sync.generations s
         where s.tenant_id = %(tenant_id)s and s.backend <> 0
         order by s.name, s.backend for update skip locked) f
  where g.tenant_id = %(tenant_id)s and g.name = f.name and g.backend = f.backend
  returning g.name, g.changes, g.last_xid
)
insert into sync.generations (tenant_id, name, backend, changes, last_xid)
select %(tenant_id)s, d.name, 0, sum(d.changes), max(d.last_xid)
from gone d group by d.name order by d.name
on conflict on constraint generations_pkey do update
  set changes = generations.changes + excluded.changes,
    last_xid = greatest(generations.last_xid, excluded.last_xid)
"""
LOCK_FOLDING = "select pg_try_advisory_xact_lock(7263011, hashtext(%(tenant_id)s::uuid::text))"


async def fold(conn: Conn, *, tenant_id: UUID) -> None:
    """Put the counts of many sessions into one row a table; does nothing where somebody is at it already."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(LOCK_FOLDING, {"tenant_id": tenant_id})
        if await cursor.fetchone():
            await cursor.execute(FOLD, {"tenant_id": tenant_id})
