-- name: top_companies
-- label: Top companies
-- unit: table
-- shape: table
-- meaning: The companies whose open deals are worth most.
-- parameters: connection, currency, home_currency, limit, now_at, owners, pipeline, seen,
--   tenant_id, time_zone
-- Include _open_deals.sql
, worth as (
  select o.company_id, count(*) as deals, sum(o.value) as value,
    count(*) filter (where o.is_left_out) as left_out
  from opened o
  where o.company_id is not null
  group by o.company_id
)
select c.id, coalesce(c.name, c.domain) as name, c.readiness_score, w.deals, w.value, w.left_out
from worth w
join crm.companies c on c.tenant_id = %(tenant_id)s and c.id = w.company_id
where c.archived_at is null and c.merged_into is null
  and (%(seen)s::uuid[] is null or c.owner_id is null or c.owner_id = any(%(seen)s::uuid[]))
order by w.value desc nulls last, w.deals desc, c.id
limit %(limit)s
