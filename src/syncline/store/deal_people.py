"""The people of a deal beside its contact: what CRMs' associations name, by our own records' ids."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from syncline.store.associations import Pair
from syncline.store.db import Conn

# Lateral, and so by index for each record, whatever the planner believes of tables that were just filled.
# What came with a merge here stays until that is undone.
BRING_UP = sql.SQL("""
with deals as materialized (
  select l.remote_id, l.record_id from sync.links l
  where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(deal_object)s
    and l.remote_id = any(%(remote_ids)s::text[]) and l.record_type = 'deal' and l.is_primary
), named as materialized (
  select distinct d.id as deal_id, c.record_id as contact_id
  from deals
  join crm.deals d on d.tenant_id = %(tenant_id)s and d.id = deals.record_id
  cross join lateral (
    select a.{contact_id} as remote_id from raw.associations a
    where a.tenant_id = %(tenant_id)s and a.connection_id = %(connection_id)s
      and a.from_object = %(from_object)s and a.to_object = %(to_object)s and a.{deal_id} = deals.remote_id
    offset 0) a
  cross join lateral (
    select l.record_id from sync.links l
    where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s
      and l.object = %(contact_object)s and l.remote_id = a.remote_id and l.record_type = 'contact'
    offset 0) c
  where c.record_id is distinct from d.contact_id
), gone as (
  delete from crm.deal_contacts p using deals
  where p.tenant_id = %(tenant_id)s and p.connection_id = %(connection_id)s and p.deal_id = deals.record_id
    and p.merged_id is null
    and not exists (select from named n where n.deal_id = p.deal_id and n.contact_id = p.contact_id)
)
insert into crm.deal_contacts (tenant_id, deal_id, contact_id, connection_id)
select %(tenant_id)s, n.deal_id, n.contact_id, %(connection_id)s from named n
order by n.deal_id, n.contact_id
on conflict on constraint deal_contacts_pkey do nothing
""")


async def bring_up(conn: Conn, pair: Pair, remote_ids: Sequence[str], *, deal_is_from: bool) -> None:
    """Make the people of the deals behind `remote_ids` those that their associations name.

    Comes after the deals' own contact was set, which is not among them. Running it again changes nothing.
    """
    statement = BRING_UP.format(
        deal_id=sql.Identifier("from_id" if deal_is_from else "to_id"),
        contact_id=sql.Identifier("to_id" if deal_is_from else "from_id"),
    )
    values = pair.parameters() | {
        "remote_ids": list(remote_ids),
        "deal_object": pair.from_object if deal_is_from else pair.to_object,
        "contact_object": pair.to_object if deal_is_from else pair.from_object,
    }
    await conn.execute(statement, values, prepare=False)
