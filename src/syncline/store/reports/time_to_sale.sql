-- name: time_to_sale
-- number: 6
-- label: Time to sale
-- unit: days
-- shape: median
-- meaning: The median of the days from a deal's creation to its close, over deals won in the
--   period; the mean beside it.
-- records: Deals won, by their close time, each with its days.
-- undated: won
-- parameters: connection, edges, from_at, owners, pipeline, seen, tenant_id, to_at
with facts as (
  select 'deal' as record_type, d.id, d.name, d.closed_at as at, null::numeric as amount, null as currency,
    extract(epoch from d.closed_at - d.created_at) / 86400 as value,
    true as counted,
    null as label
  from crm.deals d
  where d.tenant_id = %(tenant_id)s and d.status = 'won'
    and d.closed_at >= %(from_at)s and d.closed_at < %(to_at)s
    and d.archived_at is null and d.merged_into is null
    and (%(seen)s::uuid[] is null or d.owner_id is null or d.owner_id = any(%(seen)s::uuid[]))
    and (%(owners)s::uuid[] is null or d.owner_id = any(%(owners)s::uuid[]))
    and (%(pipeline)s::uuid is null or d.pipeline_id = %(pipeline)s::uuid)
    and (%(connection)s::uuid is null or exists (
      select from sync.links l
      where l.tenant_id = %(tenant_id)s and l.record_id = d.id and l.connection_id = %(connection)s::uuid
        and l.record_type = 'deal' and l.is_primary))
)
-- Number
, placed as (
  select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, f.value from facts f
)
select p.slot, percentile_cont(0.5) within group (order by p.value)::numeric as value,
  avg(p.value) as mean, count(*) as whole
from placed p
group by p.slot
union all
select 0, percentile_cont(0.5) within group (order by p.value)::numeric, avg(p.value), count(*)
from placed p
where p.slot > 1
