"""Calls joined to contacts by telephone number, where the CRM gives no association.

In two steps, each by index and in time that grows with what changed: first which numbers may have got
another answer, then the answer for each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from psycopg.rows import scalar_row

from syncline.store.db import Conn

#: Numbers answered in one statement.
AT_ONCE = 5000

# Numbers of calls that changed, of contacts and deals that changed and of calls that hang on such a contact.
# Whoever is fewer is looked through: contacts that changed, or (after a load) all numbers that were called.
FIND_NUMBERS_OF_CHANGES = """
select a.phone_e164 from crm.activities a
where a.tenant_id = %(tenant_id)s and a.type = 'call' and a.updated_at >= %(since)s
  and a.phone_e164 is not null
union
select c.phone_e164 from crm.contacts c
where c.tenant_id = %(tenant_id)s and c.updated_at >= %(since)s and c.phone_e164 is not null
  and exists (select from crm.activities a where a.tenant_id = %(tenant_id)s and a.type = 'call'
              and a.phone_e164 = c.phone_e164)
union
select d.phone_e164 from crm.deals d
where d.tenant_id = %(tenant_id)s and d.updated_at >= %(since)s and d.phone_e164 is not null
  and exists (select from crm.activities a where a.tenant_id = %(tenant_id)s and a.type = 'call'
              and a.phone_e164 = d.phone_e164)
union
select a.phone_e164 from crm.contacts c
join crm.activities a on a.tenant_id = %(tenant_id)s and a.contact_id = c.id
where c.tenant_id = %(tenant_id)s and c.updated_at >= %(since)s and a.type = 'call'
  and a.contact_link in ('phone', 'deal_phone') and a.phone_e164 is not null
union
select a.phone_e164 from crm.deals d
join crm.activities a on a.tenant_id = %(tenant_id)s and a.deal_id = d.id
where d.tenant_id = %(tenant_id)s and d.updated_at >= %(since)s and a.type = 'call'
  and a.contact_link = 'deal_phone' and a.phone_e164 is not null
"""
FIND_ALL_NUMBERS = """
select distinct a.phone_e164 from crm.activities a
where a.tenant_id = %(tenant_id)s and a.type = 'call' and a.phone_e164 is not null
"""


async def list_numbers(conn: Conn, *, tenant_id: UUID, since: datetime | None) -> list[str]:
    """Return called numbers whose answer may have changed since `since`, or all of them when it is None."""
    statement = FIND_ALL_NUMBERS if since is None else FIND_NUMBERS_OF_CHANGES
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(statement, {"tenant_id": tenant_id, "since": since}, prepare=False)
        return await cursor.fetchall()


# A call belongs to the oldest contact with the number; how many share it is kept beside, so that the
# ambiguity can be seen. Where no contact has it, to the deal with the number, and that deal's contact.
# A call whose number went away loses what it had by it. Each lookup is lateral, and so by index, whatever
# the planner believes of tables that were empty a moment ago; sorted as a pair, lest it walk the index on
# created_at through all contacts to save itself that sort.
JOIN_BY_PHONE = """
with answers as materialized (
  select n.number, c.id as contact_id, c.candidates, d.id as deal_id, d.contact_id as deal_contact_id
  from unnest(%(numbers)s::text[]) as n (number)
  left join lateral (
    select c.id, count(*) over ()::integer as candidates from crm.contacts c
    where c.tenant_id = %(tenant_id)s and c.phone_e164 = n.number
      and c.archived_at is null and c.merged_into is null
    order by (c.created_at, c.id) limit 1) c on true
  left join lateral (
    select d.id, d.contact_id from crm.deals d
    where d.tenant_id = %(tenant_id)s and d.phone_e164 = n.number and c.id is null
      and d.archived_at is null and d.merged_into is null
    order by (d.created_at, d.id) limit 1) d on true
), wanted as (
  select a.id, a.contact_id as old_contact, a.contact_link as old_link, a.deal_id as old_deal,
         coalesce(s.contact_id, case when real.deal_id is null then s.deal_contact_id end) as new_contact,
         case when s.contact_id is not null then 'phone'
              when s.deal_id is not null and real.deal_id is null then 'deal_phone' end as new_link,
         coalesce(real.deal_id, s.deal_id) as new_deal,
         s.candidates
  from answers s
  cross join lateral (
    select a.* from crm.activities a
    where a.tenant_id = %(tenant_id)s and a.phone_e164 = s.number and a.type = 'call' offset 0) a
  -- A deal the CRM associates the call with is never replaced by one that only shares its number.
  cross join lateral (
    select case when a.contact_link is distinct from 'deal_phone' then a.deal_id end as deal_id) real
  where a.contact_link is distinct from 'association'
  union all
  select a.id, a.contact_id, a.contact_link, a.deal_id, null, null,
         case when a.contact_link = 'deal_phone' then null else a.deal_id end, null
  from crm.activities a
  where a.tenant_id = %(tenant_id)s and a.type = 'call' and a.updated_at >= %(since)s
    and a.phone_e164 is null and a.contact_link in ('phone', 'deal_phone')
), written as (
  update crm.activities a
  set contact_id = w.new_contact, contact_link = w.new_link, deal_id = w.new_deal,
      contact_candidates = w.candidates, version = a.version + 1, updated_at = %(now)s
  from wanted w
  where a.tenant_id = %(tenant_id)s and a.id = w.id
    and (a.contact_id, a.contact_link, a.deal_id, a.contact_candidates)
        is distinct from (w.new_contact, w.new_link, w.new_deal, w.candidates)
  returning a.id, w.old_contact, w.new_contact, w.old_link, w.new_link, w.old_deal, w.new_deal
)
insert into crm.change_log (tenant_id, id, changed_at, record_type, record_id, action, changes, source,
  actor, run_id)
select %(tenant_id)s, gen_random_uuid(), %(now)s, 'activity', w.id, 'updated',
  case when w.old_contact is distinct from w.new_contact
       then jsonb_build_object('contact_id', jsonb_build_array(w.old_contact, w.new_contact)) else '{}' end
  || case when w.old_link is distinct from w.new_link
       then jsonb_build_object('contact_link', jsonb_build_array(w.old_link, w.new_link)) else '{}' end
  || case when w.old_deal is distinct from w.new_deal
       then jsonb_build_object('deal_id', jsonb_build_array(w.old_deal, w.new_deal)) else '{}' end,
  'pull', %(actor)s, %(run_id)s
from written w
where (w.old_contact, w.old_link, w.old_deal) is distinct from (w.new_contact, w.new_link, w.new_deal)
on conflict (tenant_id, changed_at, id) do nothing
"""


# Two runs that join at once would each update what the other has just updated, and Postgres would then
# look the whole join up again for every single row.
ONE_AT_A_TIME = "select pg_advisory_xact_lock(7263005, hashtext(%(tenant_id)s::text))"


async def join_by_phone(
    conn: Conn,
    numbers: Sequence[str],
    *,
    tenant_id: UUID,
    since: datetime,
    run_id: UUID | None,
    actor: str,
    now: datetime,
) -> int:
    """Join the calls of `numbers` to contacts, and free calls changed since `since` that lost their number.

    Real associations are left alone. Running it again changes nothing. Returns how many calls changed.
    """
    await conn.execute(ONE_AT_A_TIME, {"tenant_id": tenant_id})
    cursor = await conn.execute(
        JOIN_BY_PHONE,
        {
            "numbers": list(numbers),
            "tenant_id": tenant_id,
            "since": since,
            "run_id": run_id,
            "actor": actor,
            "now": now,
        },
        prepare=False,
    )
    return cursor.rowcount
