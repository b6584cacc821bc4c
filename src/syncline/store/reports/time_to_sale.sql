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
    -- Include _deals_counted.sql
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
