-- name: forecast_history
-- label: Forecast against actual
-- unit: table
-- shape: table
-- meaning: For each month what was expected to close in it, as its first known day began, and what
--   was won in it.
-- parameters: currency, months, owners, pipeline, seen, tenant_id
with days as (
  -- The first day of each month of which the pipeline is known.
  select distinct on (m.month) m.month, d.snapshot_on, d.source
  from unnest(%(months)s::date[]) as m (month)
  join crm.pipeline_days d on d.tenant_id = %(tenant_id)s and d.snapshot_on >= m.month
    and d.snapshot_on < m.month + interval '1 month'
  order by m.month, d.snapshot_on
), said as (
  select d.month, d.snapshot_on, h.currency, sum(h.deal_count) as deals, sum(h.committed_value) as committed,
    sum(h.upside_value) as upside, sum(h.early_value) as pipeline, sum(h.weighted_value) as weighted
  from days d
  join crm.pipeline_history h on h.tenant_id = %(tenant_id)s and h.snapshot_on = d.snapshot_on
    and h.close_month = d.month
  where (%(seen)s::uuid[] is null or h.owner_id is null or h.owner_id = any(%(seen)s::uuid[]))
    and (%(owners)s::uuid[] is null or h.owner_id = any(%(owners)s::uuid[]))
    and (%(pipeline)s::uuid is null or h.pipeline_id = %(pipeline)s::uuid)
  group by 1, 2, 3
), told as (
  select s.month, sum(s.deals) as deals,
    sum(s.committed * x.rate) as committed, sum(s.upside * x.rate) as upside,
    sum(s.pipeline * x.rate) as pipeline, sum(s.weighted * x.rate) as weighted,
    coalesce(sum(s.deals) filter (where x.rate is null), 0) as left_out
  from said s
  left join lateral (
    select 1::numeric as rate where s.currency = %(currency)s
    union all
    (select r.rate from crm.exchange_rates r
     where r.tenant_id = %(tenant_id)s and r.from_currency = s.currency and r.to_currency = %(currency)s
       and r.valid_on <= s.snapshot_on
     order by r.valid_on desc limit 1)) x on true
  group by s.month
)
select d.month, d.snapshot_on, d.source, coalesce(t.deals, 0) as deals, coalesce(t.committed, 0) as committed,
  coalesce(t.upside, 0) as upside, coalesce(t.pipeline, 0) as pipeline, coalesce(t.weighted, 0) as weighted,
  coalesce(t.left_out, 0) as left_out
from days d
left join told t on t.month = d.month
order by d.month
