-- name: pipeline_overview
-- label: Pipeline
-- unit: table
-- shape: table
-- meaning: How many deals are open now and what they are worth, by stage in the order of the
--   pipeline.
-- parameters: connection, currency, home_currency, now_at, owners, pipeline, seen, tenant_id,
--   time_zone
-- Include _open_deals.sql
select p.label as pipeline, coalesce(s.label, o.stage) as stage, count(*) as deals,
  sum(o.value) as value,
  sum(o.value * o.chance / 100) as weighted,
  count(*) filter (where o.is_left_out) as left_out
from opened o
left join crm.pipelines p on p.tenant_id = %(tenant_id)s and p.id = o.pipeline_id
left join crm.stages s on s.tenant_id = %(tenant_id)s and s.id = o.stage_id
group by p.position, p.label, p.id, s.position, coalesce(s.label, o.stage)
order by p.position, p.label, p.id, s.position, 2
