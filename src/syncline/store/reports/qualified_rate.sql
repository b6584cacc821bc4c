-- name: qualified_rate
-- number: 10
-- label: Qualified rate
-- unit: percent
-- shape: rate
-- meaning: Deals that are qualified among those created in the period. Which values of
--   qualified_status say so is a setting.
-- records: Deals created; those that are qualified count.
-- parameters: connection, edges, from_at, owners, pipeline, qualified, seen, tenant_id, to_at,
--   unqualified
with facts as (
  select 'deal' as record_type, d.id, d.name, d.created_at as at, null::numeric as amount, null as currency,
    null::numeric as value,
    coalesce(k.status = any (%(qualified)s::text[]), false) as counted,
    case when k.status <> all (%(qualified)s::text[] || %(unqualified)s::text[]) then k.status end as label
  from crm.deals d
  cross join lateral (select nullif(lower(btrim(d.qualified_status)), '') as status) k
  where d.tenant_id = %(tenant_id)s
    and d.created_at >= %(from_at)s and d.created_at < %(to_at)s
    -- Include _deals_counted.sql
)
-- Number
select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, f.label,
  count(*) filter (where f.counted) as part, count(*) as whole
from facts f
group by 1, 2
