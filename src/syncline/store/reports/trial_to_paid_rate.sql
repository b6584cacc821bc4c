-- name: trial_to_paid_rate
-- number: 12
-- label: Trial to paid
-- unit: percent
-- shape: rate
-- meaning: Deals that were won, until today, among those with a trial created in the period.
-- records: Deals with a trial, by their creation; those that were won count.
-- parameters: connection, edges, from_at, no_trial, owners, pipeline, seen, tenant_id, to_at
with facts as (
  select 'deal' as record_type, d.id, d.name, d.created_at as at, null::numeric as amount, null as currency,
    null::numeric as value,
    d.status = 'won' as counted,
    null as label
  from crm.deals d
  cross join lateral (select nullif(lower(btrim(d.trial_status)), '') as status) k
  where d.tenant_id = %(tenant_id)s and coalesce(k.status <> all (%(no_trial)s::text[]), false)
    and d.created_at >= %(from_at)s and d.created_at < %(to_at)s
    -- Include _deals_counted.sql
)
-- Number
select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, f.label,
  count(*) filter (where f.counted) as part, count(*) as whole
from facts f
group by 1, 2
