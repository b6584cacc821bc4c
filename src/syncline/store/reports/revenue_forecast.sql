-- name: revenue_forecast
-- label: Revenue forecast
-- unit: table
-- shape: table
-- meaning: Open deals by the month in which they are expected to close: committed from 90 % on,
--   upside from 50 %, pipeline below, and all weighted by probability.
-- parameters: behind_month, connection, currency, first_month, home_currency, now_at, owners,
--   pipeline, seen, tenant_id, time_zone
-- Include _open_deals.sql
select case when o.expected_close_date < %(first_month)s::date then null
            else date_trunc('month', o.expected_close_date::timestamp)::date end as month,
  o.expected_close_date is not null as dated, o.currency, count(*) as deals,
  sum(o.amount) as amount,
  sum(o.value) as value,
  sum(o.value) filter (where o.chance >= 90) as committed,
  sum(o.value) filter (where o.chance >= 50 and o.chance < 90) as upside,
  sum(o.value) filter (where o.chance < 50) as pipeline,
  sum(o.value * o.chance / 100) as weighted,
  count(*) filter (where o.chance is null) as chanceless,
  count(*) filter (where o.is_left_out) as left_out
from opened o
where o.expected_close_date is null or o.expected_close_date < %(behind_month)s::date
group by 1, 2, 3
order by 1 nulls first, 2, 3
