-- name: deals_won
-- number: 2
-- label: Deals won
-- unit: count
-- shape: sum
-- meaning: How many deals were won in the period.
-- records: Deals won, by their close time.
-- undated: won
-- parameters: connection, edges, from_at, owners, pipeline, seen, tenant_id, to_at
with facts as (
  select 'deal' as record_type, d.id, d.name, d.closed_at as at, null::numeric as amount, null as currency,
    null::numeric as value,
    true as counted,
    null as label
  from crm.deals d
  where d.tenant_id = %(tenant_id)s and d.status = 'won'
    and d.closed_at >= %(from_at)s and d.closed_at < %(to_at)s
    -- Include _deals_counted.sql
)
-- Number
select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, count(*) as value
from facts f
group by 1
