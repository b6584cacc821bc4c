-- name: total_calls
-- number: 16
-- label: Calls
-- unit: count
-- shape: calls
-- meaning: How many calls were made in the period, by direction.
-- records: Calls, by their time.
-- undated: calls
-- parameters: connection, edges, from_at, owners, pipeline, seen, tenant_id, to_at
with facts as (
  select 'activity' as record_type, a.id, a.subject as name, a.occurred_at as at,
    null::numeric as amount, null as currency,
    null::numeric as value,
    true as counted,
    a.direction as label
  from crm.activities a
  where a.tenant_id = %(tenant_id)s and a.type = 'call'
    and a.occurred_at >= %(from_at)s and a.occurred_at < %(to_at)s
    and a.archived_at is null and a.merged_into is null
    and (%(seen)s::uuid[] is null or a.owner_id is null or a.owner_id = any(%(seen)s::uuid[]))
    and (%(owners)s::uuid[] is null or a.owner_id = any(%(owners)s::uuid[]))
    and (%(pipeline)s::uuid is null or exists (
      select from crm.deals x
      where x.tenant_id = %(tenant_id)s and x.pipeline_id = %(pipeline)s::uuid
        and x.archived_at is null and x.merged_into is null
        and (%(seen)s::uuid[] is null or x.owner_id is null or x.owner_id = any(%(seen)s::uuid[]))
        and (x.id = a.deal_id or exists (
          select from crm.deal_people p
          where p.tenant_id = %(tenant_id)s and p.deal_id = x.id and p.contact_id = a.contact_id))))
    and (%(connection)s::uuid is null or exists (
      select from sync.links l
      where l.tenant_id = %(tenant_id)s and l.record_id = a.id and l.connection_id = %(connection)s::uuid
        and l.record_type = 'activity' and l.is_primary))
)
-- Number
select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, f.label, count(*) as value
from facts f
group by 1, 2
