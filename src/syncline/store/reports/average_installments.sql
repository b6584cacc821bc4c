-- name: average_installments
-- number: 13
-- label: Average installments
-- unit: months
-- shape: mean
-- meaning: The mean number of monthly installments of the deals won in the period that have it.
-- records: Deals won with installments, by their close time.
-- undated: won
-- parameters: connection, edges, from_at, owners, pipeline, seen, tenant_id, to_at
with facts as (
  select 'deal' as record_type, d.id, d.name, d.closed_at as at, null::numeric as amount, null as currency,
    d.installments as value,
    true as counted,
    null as label
  from crm.deals d
  where d.tenant_id = %(tenant_id)s and d.status = 'won' and d.installments is not null
    and d.closed_at >= %(from_at)s and d.closed_at < %(to_at)s
    -- Include _deals_counted.sql
)
-- Number
select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, sum(f.value) as part, count(*) as whole
from facts f
group by 1
