-- name: trial_rate
-- number: 11
-- label: Trial rate
-- unit: percent
-- shape: rate
-- meaning: Deals with a trial among those created in the period. Which values of trial_status mean
--   none is a setting.
-- records: Deals created; those with a trial count.
-- parameters: connection, edges, from_at, no_trial, owners, pipeline, seen, tenant_id, to_at
with facts as (
  select 'deal' as record_type, d.id, d.name, d.created_at as at, null::numeric as amount, null as currency,
    null::numeric as value,
    coalesce(k.status <> all (%(no_trial)s::text[]), false) as counted,
    null as label
  from crm.deals d
  cross join lateral (select nullif(lower(btrim(d.trial_status)), '') as status) k
  where d.tenant_id = %(tenant_id)s
    and d.created_at >= %(from_at)s and d.created_at < %(to_at)s
    -- Include _deals_counted.sql
)
-- Number
select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, f.label,
  count(*) filter (where f.counted) as part, count(*) as whole
from facts f
group by 1, 2
