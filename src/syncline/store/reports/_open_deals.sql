-- Deals that are open now, what they are worth converted at today's rate.
with rates as materialized (
  select distinct on (r.from_currency) r.from_currency, r.rate
  from crm.exchange_rates r
  where r.tenant_id = %(tenant_id)s and r.to_currency = %(currency)s
    and r.valid_on <= (%(now_at)s::timestamptz at time zone %(time_zone)s)::date
  order by r.from_currency, r.valid_on desc
), opened as (
  select d.id, d.amount, d.pipeline_id, d.stage_id, d.stage, d.company_id, d.expected_close_date, k.currency,
    d.amount * case when k.currency = %(currency)s then 1 else r.rate end as value,
    coalesce(d.probability, s.probability) as chance,
    d.amount is not null and k.currency <> %(currency)s and r.rate is null as is_left_out
  from crm.deals d
  left join crm.stages s on s.tenant_id = %(tenant_id)s and s.id = d.stage_id
  cross join lateral (
    select case when d.currency <> '' then upper(d.currency) else %(home_currency)s end as currency) k
  left join rates r on r.from_currency = k.currency
  where d.tenant_id = %(tenant_id)s and d.status = 'open'
    -- Include _deals_counted.sql
)
