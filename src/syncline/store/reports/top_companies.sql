-- name: top_companies
-- label: Top companies
-- unit: table
-- shape: table
-- meaning: The companies whose open deals are worth most.
-- parameters: connection, currency, home_currency, limit, now_at, owners, pipeline, seen,
--   tenant_id, time_zone
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
    and d.archived_at is null and d.merged_into is null
    and (%(seen)s::uuid[] is null or d.owner_id is null or d.owner_id = any(%(seen)s::uuid[]))
    and (%(owners)s::uuid[] is null or d.owner_id = any(%(owners)s::uuid[]))
    and (%(pipeline)s::uuid is null or d.pipeline_id = %(pipeline)s::uuid)
    and (%(connection)s::uuid is null or exists (
      select from sync.links l
      where l.tenant_id = %(tenant_id)s and l.record_id = d.id and l.connection_id = %(connection)s::uuid
        and l.record_type = 'deal' and l.is_primary))
), worth as (
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
