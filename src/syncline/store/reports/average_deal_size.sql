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
with facts as (
  select 'deal' as record_type, d.id, d.name, d.closed_at as at, d.amount, k.currency,
    case when k.currency = %(currency)s then d.amount else d.amount * r.rate end as value,
    true as counted, null as label
  from crm.deals d
  cross join lateral (
    select case when d.currency <> '' then upper(d.currency) else %(home_currency)s end as currency) k
  left join lateral (
    select r.rate from crm.exchange_rates r
    where r.tenant_id = %(tenant_id)s and r.from_currency = k.currency and r.to_currency = %(currency)s
      and r.valid_on <= (d.closed_at at time zone %(time_zone)s)::date
    order by r.valid_on desc limit 1) r on k.currency <> %(currency)s
  where d.tenant_id = %(tenant_id)s and d.status = 'won'
    and d.closed_at >= %(from_at)s and d.closed_at < %(to_at)s
    and d.archived_at is null and d.merged_into is null
    and (%(seen)s::uuid[] is null or d.owner_id is null or d.owner_id = any(%(seen)s::uuid[]))
    and (%(owners)s::uuid[] is null or d.owner_id = any(%(owners)s::uuid[]))
    and (%(pipeline)s::uuid is null or d.pipeline_id = %(pipeline)s::uuid)
    and (%(connection)s::uuid is null or exists (
      select from sync.links l
      where l.tenant_id = %(tenant_id)s and l.record_id = d.id and l.connection_id = %(connection)s::uuid
        and l.record_type = 'deal' and l.is_primary))
)
-- Number
select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, f.currency, 
  sum(f.amount) as amount, sum(f.value) as value, count(*) as whole,
  count(*) filter (where f.amount is not null and f.value is null) as left_out
from facts f
group by 1, 2
