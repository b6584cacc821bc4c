"""Calls joined to contacts by telephone number, where the CRM gives no association."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from syncline.store.db import Conn

# A call belongs to the oldest contact with the number; how many share it is kept beside, so that the
# ambiguity can be seen. Where no contact has it, to the deal with the number, and that deal's contact.
JOIN_BY_PHONE = """
with touched as (
  select c.phone_e164 from crm.contacts c
  where c.tenant_id = %(tenant_id)s and c.updated_at >= %(since)s and c.phone_e164 is not null
  union
  select d.phone_e164 from crm.deals d
  where d.tenant_id = %(tenant_id)s and d.updated_at >= %(since)s and d.phone_e164 is not null
), calls as (
  select a.id, a.phone_e164, a.contact_id, a.contact_link, a.contact_candidates, a.deal_id
  from crm.activities a
  where a.tenant_id = %(tenant_id)s and a.type = 'call' and a.updated_at >= %(since)s
    and a.contact_link is distinct from 'association'
  union
  select a.id, a.phone_e164, a.contact_id, a.contact_link, a.contact_candidates, a.deal_id
  from crm.activities a
  join touched t on t.phone_e164 = a.phone_e164
  where a.tenant_id = %(tenant_id)s and a.type = 'call' and a.contact_link is distinct from 'association'
  union
  select a.id, a.phone_e164, a.contact_id, a.contact_link, a.contact_candidates, a.deal_id
  from crm.contacts c
  join crm.activities a on a.tenant_id = %(tenant_id)s and a.contact_id = c.id
  where c.tenant_id = %(tenant_id)s and c.updated_at >= %(since)s
    and a.type = 'call' and a.contact_link in ('phone', 'deal_phone')
), by_contact as (
  select distinct on (k.phone_e164) k.phone_e164, c.id as contact_id,
         count(*) over (partition by k.phone_e164) as candidates
  from (select distinct phone_e164 from calls where phone_e164 is not null) k
  join crm.contacts c on c.tenant_id = %(tenant_id)s and c.phone_e164 = k.phone_e164
  where c.archived_at is null and c.merged_into is null
  order by k.phone_e164, c.created_at, c.id
), by_deal as (
  select distinct on (k.phone_e164) k.phone_e164, d.id as deal_id, d.contact_id
  from (select distinct phone_e164 from calls where phone_e164 is not null) k
  join crm.deals d on d.tenant_id = %(tenant_id)s and d.phone_e164 = k.phone_e164
  where d.archived_at is null and d.merged_into is null
  order by k.phone_e164, d.created_at, d.id
), wanted as (
  select a.id, a.contact_id as old_contact, a.contact_link as old_link, a.deal_id as old_deal,
         coalesce(c.contact_id, d.contact_id) as new_contact,
         case when c.contact_id is not null then 'phone' when d.deal_id is not null then 'deal_phone' end
           as new_link,
         case when c.contact_id is null and d.deal_id is not null then d.deal_id
              when a.contact_link = 'deal_phone' then null else a.deal_id end as new_deal,
         c.candidates::integer as candidates
  from calls a
  left join by_contact c on c.phone_e164 = a.phone_e164
  left join by_deal d on d.phone_e164 = a.phone_e164
), different as (
  select w.* from wanted w
  join crm.activities a on a.tenant_id = %(tenant_id)s and a.id = w.id
  where (a.contact_id, a.contact_link, a.deal_id, a.contact_candidates)
        is distinct from (w.new_contact, w.new_link, w.new_deal, w.candidates)
  order by a.id
  for update of a
), written as (
  update crm.activities a
  set contact_id = w.new_contact, contact_link = w.new_link, deal_id = w.new_deal,
      contact_candidates = w.candidates, version = a.version + 1, updated_at = %(now)s
  from different w
  where a.tenant_id = %(tenant_id)s and a.id = w.id
  returning a.id
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
from different w join written on written.id = w.id
where (w.old_contact, w.old_link, w.old_deal) is distinct from (w.new_contact, w.new_link, w.new_deal)
on conflict (tenant_id, changed_at, id) do nothing
"""


async def join_by_phone(
    conn: Conn, *, tenant_id: UUID, since: datetime, run_id: UUID | None, actor: str, now: datetime
) -> int:
    """Join calls to contacts by number where calls, contacts or deals changed since `since`.

    Real associations are left alone. Running it again changes nothing. Returns how many calls changed.
    """
    cursor = await conn.execute(
        JOIN_BY_PHONE,
        {"tenant_id": tenant_id, "since": since, "run_id": run_id, "actor": actor, "now": now},
        prepare=False,
    )
    return cursor.rowcount
