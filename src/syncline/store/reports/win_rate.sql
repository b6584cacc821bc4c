-- name: win_rate
-- number: 5
-- label: Win rate
-- unit: percent
-- shape: rate
-- meaning: Deals won among those that were won or lost in the period.
-- records: Deals closed, by their close time; those that were won count.
-- undated: closed
-- parameters: connection, edges, from_at, owners, pipeline, seen, tenant_id, to_at
with facts as (
  select 'deal' as record_type, d.id, d.name, d.closed_at as at, null::numeric as amount, null as currency,
    null::numeric as value,
    d.status = 'won' as counted,
    null as label
  from crm.deals d
  where d.tenant_id = %(tenant_id)s and d.status in ('won', 'lost')
    and d.closed_at >= %(from_at)s and d.closed_at < %(to_at)s
    -- Include _deals_counted.sql
)
-- Number
select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, f.label,
  count(*) filter (where f.counted) as part, count(*) as whole
from facts f
group by 1, 2
