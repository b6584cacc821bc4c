-- name: average_deal_size
-- number: 3
-- label: Average deal size
-- unit: money
-- shape: mean_money
-- meaning: Total sales divided by the number of deals won. A deal without an amount counts as
--   nothing.
-- records: Deals won, by their close time.
-- undated: won
-- parameters: connection, currency, edges, from_at, home_currency, owners, pipeline, seen,
--   tenant_id, time_zone, to_at
-- Include _deals_sold.sql
-- Number
select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, f.currency,
  sum(f.amount) as amount, sum(f.value) as value, count(*) as whole,
  count(*) filter (where f.amount is not null and f.value is null) as left_out
from facts f
group by 1, 2
