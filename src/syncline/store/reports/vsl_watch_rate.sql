-- name: vsl_watch_rate
-- number: 21
-- label: VSL watch rate
-- unit: percent
-- shape: watched
-- meaning: Contacts that watched the VSL among those created in the period; beside it the
--   conversion rate of those who did and of those who did not.
-- records: Contacts created; those that watched count, and the value is 1 where a deal was won.
-- parameters: connection, edges, from_at, owners, pipeline, seen, tenant_id, to_at
with buyers as (
  -- Who bought which deal. One deal may have several people, and a person be named twice.
  select d.id as deal_id, d.contact_id
  from crm.deals d
  where d.tenant_id = %(tenant_id)s and d.status = 'won' and d.contact_id is not null
    and d.archived_at is null and d.merged_into is null
    and (%(seen)s::uuid[] is null or d.owner_id is null or d.owner_id = any(%(seen)s::uuid[]))
    and (%(pipeline)s::uuid is null or d.pipeline_id = %(pipeline)s::uuid)
  union all
  select d.id, p.contact_id
  from crm.deals d
  join crm.deal_contacts p on p.tenant_id = %(tenant_id)s and p.deal_id = d.id
  where d.tenant_id = %(tenant_id)s and d.status = 'won' and p.contact_id is distinct from d.contact_id
    and d.archived_at is null and d.merged_into is null
    and (%(seen)s::uuid[] is null or d.owner_id is null or d.owner_id = any(%(seen)s::uuid[]))
    and (%(pipeline)s::uuid is null or d.pipeline_id = %(pipeline)s::uuid)
), facts as (
  select 'contact' as record_type, c.id, coalesce(c.full_name, c.email) as name, c.created_at as at,
    null::numeric as amount, null as currency,
    case when c.id in (select b.contact_id from buyers b) then 1 else 0 end::numeric as value,
    coalesce(c.vsl_watched, false) as counted, null as label
  from crm.contacts c
  where c.tenant_id = %(tenant_id)s and c.created_at >= %(from_at)s and c.created_at < %(to_at)s
    and c.archived_at is null and c.merged_into is null
    and (%(seen)s::uuid[] is null or c.owner_id is null or c.owner_id = any(%(seen)s::uuid[]))
    and (%(owners)s::uuid[] is null or c.owner_id = any(%(owners)s::uuid[]))
    and (%(pipeline)s::uuid is null or exists (
      select from crm.deal_people p
      join crm.deals x on x.tenant_id = %(tenant_id)s and x.id = p.deal_id
      where p.tenant_id = %(tenant_id)s and p.contact_id = c.id and x.pipeline_id = %(pipeline)s::uuid
        and x.archived_at is null and x.merged_into is null
        and (%(seen)s::uuid[] is null or x.owner_id is null or x.owner_id = any(%(seen)s::uuid[]))))
    and (%(connection)s::uuid is null or exists (
      select from sync.links l
      where l.tenant_id = %(tenant_id)s and l.record_id = c.id and l.connection_id = %(connection)s::uuid
        and l.record_type = 'contact' and l.is_primary))
)
-- Number
, grouped as (
  select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, f.counted, f.value, count(*) as contacts
  from facts f
  group by 1, 2, 3
)
select g.slot, sum(g.contacts) filter (where g.counted) as part, sum(g.contacts) as whole,
  sum(g.contacts) filter (where g.counted and g.value = 1) as part_converted,
  sum(g.contacts) filter (where not g.counted and g.value = 1) as rest_converted
from grouped g
group by 1
