-- name: cancellation_rate
-- number: 15
-- label: Cancellation rate
-- unit: percent
-- shape: rate
-- meaning: Deals that are cancelled, refunded, or failed to pay, among those won in the period that
--   have a payment status. Which values say so is a setting.
-- records: Deals won with a payment status, by their close time; those meant count.
-- undated: won
-- parameters: cancelled, connection, edges, from_at, owners, pipeline, retained, seen, tenant_id,
--   to_at
with facts as (
  select 'deal' as record_type, d.id, d.name, d.closed_at as at, null::numeric as amount, null as currency,
    null::numeric as value,
    k.status = any (%(cancelled)s::text[]) as counted,
    case when k.status <> all (%(retained)s::text[] || %(cancelled)s::text[]) then k.status end as label
  from crm.deals d
  cross join lateral (select nullif(lower(btrim(d.payment_status)), '') as status) k
  where d.tenant_id = %(tenant_id)s and d.status = 'won' and k.status is not null
    and d.closed_at >= %(from_at)s and d.closed_at < %(to_at)s
    -- Include _deals_counted.sql
)
-- Number
select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, f.label,
  count(*) filter (where f.counted) as part, count(*) as whole
from facts f
group by 1, 2
