-- name: pipeline_history
-- label: Pipeline, day by day
-- unit: table
-- shape: table
-- meaning: The open deals as each day began: how many, what they were worth, and weighted by
--   probability.
-- parameters: currency, first_day, last_day, owners, pipeline, seen, tenant_id
with said as (
  select h.snapshot_on, h.currency, sum(h.deal_count) as deals, sum(h.valued_count) as valued,
    sum(h.total_value) as value, sum(h.weighted_value) as weighted
  from crm.pipeline_history h
  where h.tenant_id = %(tenant_id)s
    and h.snapshot_on >= %(first_day)s::date and h.snapshot_on <= %(last_day)s::date
    and (%(seen)s::uuid[] is null or h.owner_id is null or h.owner_id = any(%(seen)s::uuid[]))
    and (%(owners)s::uuid[] is null or h.owner_id = any(%(owners)s::uuid[]))
    and (%(pipeline)s::uuid is null or h.pipeline_id = %(pipeline)s::uuid)
  group by 1, 2
), told as (
  select s.snapshot_on, sum(s.deals) as deals, sum(s.value * x.rate) as value,
    sum(s.weighted * x.rate) as weighted,
    coalesce(sum(s.valued) filter (where x.rate is null), 0) as left_out
  from said s
  left join lateral (
    select 1::numeric as rate where s.currency = %(currency)s
    union all
    (select r.rate from crm.exchange_rates r
     where r.tenant_id = %(tenant_id)s and r.from_currency = s.currency and r.to_currency = %(currency)s
       and r.valid_on <= s.snapshot_on
     order by r.valid_on desc limit 1)) x on true
  group by s.snapshot_on
)
select d.snapshot_on as day, d.source, coalesce(t.deals, 0) as deals,
  -- What is nothing but left out is not nothing.
  case when t.left_out > 0 then t.value else coalesce(t.value, 0) end as value,
  case when t.left_out > 0 then t.weighted else coalesce(t.weighted, 0) end as weighted,
  coalesce(t.left_out, 0) as left_out
from crm.pipeline_days d
left join told t on t.snapshot_on = d.snapshot_on
where d.tenant_id = %(tenant_id)s
  and d.snapshot_on >= %(first_day)s::date and d.snapshot_on <= %(last_day)s::date
order by d.snapshot_on
