-- Contacts created in a period: how many bought and how many watched, by version of the sales script; and
-- what was sold to those who have a version. One reading for all metrics that rest on it.
-- Include _buyers.sql
, created as materialized (
  select c.id, width_bucket(c.created_at, %(edges)s::timestamptz[]) as slot,
    coalesce(c.vsl_watched, false) as watched,
    case when btrim(c.sales_script_version) <> '' then btrim(c.sales_script_version) end as label
  from crm.contacts c
  where c.tenant_id = %(tenant_id)s and c.created_at >= %(from_at)s and c.created_at < %(to_at)s
    -- Include _contacts_counted.sql
), bought as materialized (
  select c.slot, c.label, c.id as contact_id, b.deal_id
  from buyers b
  join created c on c.id = b.contact_id
), pairs as (
  select distinct b.slot, b.label, b.deal_id as id from bought b where b.label is not null
  union all
  -- The whole is not the sum of its parts: a deal of two people is one deal.
  select distinct 0, b.label, b.deal_id from bought b where b.label is not null and b.slot > 1
), deals as materialized (
  -- Apart, so that a rate is looked up for these deals only; each by its id, however many may be expected.
  select p.slot, p.label, d.amount,
    (coalesce(d.closed_at, d.created_at) at time zone %(time_zone)s)::date as day,
    case when d.currency <> '' then upper(d.currency) else %(home_currency)s end as currency
  from pairs p
  cross join lateral (
    select x.amount, x.currency, x.closed_at, x.created_at from crm.deals x
    where x.tenant_id = %(tenant_id)s and x.id = p.id
    offset 0) d
), grouped as (
  select c.slot, c.label, c.watched, c.id in (select b.contact_id from bought b) as converted,
    count(*) as contacts
  from created c
  group by 1, 2, 3, 4
), counted as (
  select g.slot, g.label, sum(g.contacts) as contacts,
    sum(g.contacts) filter (where g.converted) as converted,
    sum(g.contacts) filter (where g.watched) as watched,
    sum(g.contacts) filter (where g.watched and g.converted) as watched_converted
  from grouped g
  group by 1, 2
)
select c.slot, c.label, null as currency, c.contacts, c.converted, c.watched, c.watched_converted,
  null::numeric as amount, null::numeric as value, 0::bigint as deals, 0::bigint as left_out
from counted c
union all
select 0, c.label, null, sum(c.contacts), sum(c.converted), sum(c.watched), sum(c.watched_converted), null,
  null, 0, 0
from counted c
where c.slot > 1
group by c.label
union all
select d.slot, d.label, d.currency, 0, 0, 0, 0, sum(d.amount),
  sum(case when d.currency = %(currency)s then d.amount else d.amount * r.rate end),
  count(*), count(*) filter (where d.amount is not null and d.currency <> %(currency)s and r.rate is null)
from deals d
left join lateral (
  select r.rate from crm.exchange_rates r
  where r.tenant_id = %(tenant_id)s and r.from_currency = d.currency and r.to_currency = %(currency)s
    and r.valid_on <= d.day
  order by r.valid_on desc limit 1) r on d.currency <> %(currency)s
group by 1, 2, 3
