-- Deals won in a period, what they are worth converted at the rate of the day they were closed.
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
    -- Include _deals_counted.sql
)
