-- Deals that were open at some moments, by stage: from history for those that have passed, and as they are
-- now for the present. A span is counted at the first moment that it covers and taken off behind the last:
-- what has been counted up to a moment is what was open then.
with anywhere as materialized (
  -- For a deal that has changed its pipeline since: a stage of that name, wherever it is.
  select distinct on (s.key) s.key, s.id, s.label, s.is_closed, s.probability
  from crm.stages s
  where s.tenant_id = %(tenant_id)s
  order by s.key, s.archived_at desc nulls first, s.id
), closed as materialized (
  select s.key from crm.stages s
  where s.tenant_id = %(tenant_id)s
  group by s.key
  having bool_and(s.is_closed)
), opened as materialized (
  -- For how long which deal was in which open stage, and the first and last of the moments within that.
  select h.record_id, coalesce(s.id, w.id) as stage_id,
    case when coalesce(s.id, w.id) is null then h.value end as stage, d.pipeline_id, d.currency,
    case when h.value = d.stage then coalesce(d.probability, s.probability, w.probability)
         else coalesce(s.probability, w.probability) end as probability,
    h.valid_from as from_at, e.to_at,
    width_bucket(h.valid_from - interval '1 microsecond', %(moments)s::timestamptz[]) + 1 as first,
    width_bucket(e.to_at - interval '1 microsecond', %(moments)s::timestamptz[]) as last
  from crm.field_history h
  join crm.deals d on d.tenant_id = %(tenant_id)s and d.id = h.record_id
  left join crm.stages s on s.tenant_id = %(tenant_id)s and s.pipeline_id = d.pipeline_id and s.key = h.value
  left join anywhere w on s.id is null and w.key = h.value
  left join crm.stages n on n.tenant_id = %(tenant_id)s and n.id = d.stage_id
  cross join lateral (select least(coalesce(h.valid_to, 'infinity'::timestamptz),
      case when d.status <> 'open' and not coalesce(n.is_closed, false)
           then coalesce(d.closed_at, '-infinity'::timestamptz) end) as to_at) e
  where h.tenant_id = %(tenant_id)s and h.record_type = 'deal' and h.field = 'stage'
    and case when h.valid_to is null then 'infinity'::timestamptz else h.valid_to end
      > %(first_at)s::timestamptz
    and h.valid_from <= %(last_at)s::timestamptz
    and h.value not in (select each.key from closed each)
    and not coalesce(s.is_closed, w.is_closed, false)
    -- Include _deals_counted.sql
), worth as materialized (
  -- What those deals were worth meanwhile. Materialized, so that no text is read as a number twice.
  select o.stage_id, o.stage, o.pipeline_id, o.currency, o.probability,
    case when h.value ~ '^-?[0-9]+([.][0-9]+)?$' then h.value::numeric end as amount,
    width_bucket(greatest(o.from_at, h.valid_from) - interval '1 microsecond', %(moments)s::timestamptz[]) + 1
      as first,
    width_bucket(least(o.to_at, h.valid_to) - interval '1 microsecond', %(moments)s::timestamptz[]) as last
  from crm.field_history h
  join opened o on o.record_id = h.record_id and o.first <= o.last and h.valid_from < o.to_at
    and (h.valid_to is null or h.valid_to > o.from_at)
  where h.tenant_id = %(tenant_id)s and h.record_type = 'deal' and h.field = 'amount'
    and case when h.valid_to is null then 'infinity'::timestamptz else h.valid_to end
      > %(first_at)s::timestamptz
    and h.valid_from <= %(last_at)s::timestamptz and h.value is not null
), cells as (
  select o.first, o.last, o.pipeline_id, o.stage_id, o.stage, o.currency, count(*) as deals,
    0 as valued, 0::numeric as amount, 0::numeric as weighted
  from opened o where o.first <= o.last
  group by 1, 2, 3, 4, 5, 6
  union all
  select v.first, v.last, v.pipeline_id, v.stage_id, v.stage, v.currency, 0,
    count(v.amount), coalesce(sum(v.amount), 0), coalesce(sum(v.amount * v.probability), 0) / 100
  from worth v where v.first <= v.last
  group by 1, 2, 3, 4, 5, 6
), steps as (
  select e.slot, c.pipeline_id, c.stage_id, c.stage,
    case when c.currency <> '' then upper(c.currency) else %(home_currency)s end as currency,
    sum(e.sign * c.deals) as deals, sum(e.sign * c.valued) as valued,
    sum(e.sign * c.amount) as amount, sum(e.sign * c.weighted) as weighted
  from cells c
  cross join lateral (values (c.first, 1), (c.last + 1, -1)) as e (slot, sign)
  group by 1, 2, 3, 4, 5
), held as (
  select m.slot::integer as slot, m.at, c.pipeline_id, c.stage_id, c.stage, c.currency,
    sum(c.deals) as deals, sum(c.valued) as valued, sum(c.amount) as amount, sum(c.weighted) as weighted
  from unnest(%(moments)s::timestamptz[]) with ordinality as m (at, slot)
  join steps c on c.slot <= m.slot
  group by 1, 2, 3, 4, 5, 6
  having sum(c.deals) > 0
  union all
  -- The present is what stands here, not what history has heard of it.
  select cardinality(%(moments)s::timestamptz[]) + 1, %(now_at)s::timestamptz, d.pipeline_id, d.stage_id,
    d.stage, case when d.currency <> '' then upper(d.currency) else %(home_currency)s end,
    count(*), count(d.amount),
    coalesce(sum(d.amount), 0), coalesce(sum(d.amount * coalesce(d.probability, s.probability) / 100), 0)
  from crm.deals d
  left join crm.stages s on s.tenant_id = %(tenant_id)s and s.id = d.stage_id
  where d.tenant_id = %(tenant_id)s and d.status = 'open' and %(is_now)s::boolean
    -- Include _deals_counted.sql
  group by 3, 4, 5, 6
)
select h.slot, p.label as pipeline, coalesce(s.label, h.stage) as stage, coalesce(s.position, 0) as place,
  h.currency, h.deals, h.valued, h.amount, h.weighted,
  case when h.valued = 0 then 0 when h.currency = %(currency)s then h.amount else h.amount * r.rate end
    as value,
  case when h.valued = 0 then 0 when h.currency = %(currency)s then h.weighted else h.weighted * r.rate end
    as weighted_value
from held h
left join crm.pipelines p on p.tenant_id = %(tenant_id)s and p.id = h.pipeline_id
left join crm.stages s on s.tenant_id = %(tenant_id)s and s.id = h.stage_id
left join lateral (
  select r.rate from crm.exchange_rates r
  where r.tenant_id = %(tenant_id)s and r.from_currency = h.currency and r.to_currency = %(currency)s
    and r.valid_on <= (h.at at time zone %(time_zone)s)::date
  order by r.valid_on desc limit 1) r on h.currency <> %(currency)s
order by h.slot, p.position, p.label, coalesce(s.position, 0), 3, h.currency
-- Records
with anywhere as materialized (
  -- For a deal that has changed its pipeline since: a stage of that name, wherever it is.
  select distinct on (s.key) s.key, s.id, s.label, s.is_closed, s.probability
  from crm.stages s
  where s.tenant_id = %(tenant_id)s
  order by s.key, s.archived_at desc nulls first, s.id
), closed as materialized (
  select s.key from crm.stages s
  where s.tenant_id = %(tenant_id)s
  group by s.key
  having bool_and(s.is_closed)
), held as (
  select d.id, d.name, d.created_at, d.amount,
    case when d.currency <> '' then upper(d.currency) else %(home_currency)s end as currency,
    coalesce(s.label, d.stage) as stage
  from crm.deals d
  left join crm.stages s on s.tenant_id = %(tenant_id)s and s.id = d.stage_id
  where d.tenant_id = %(tenant_id)s and d.status = 'open' and %(is_now)s::boolean
    -- Include _deals_counted.sql
  union all
  select d.id, d.name, d.created_at, v.value::numeric,
    case when d.currency <> '' then upper(d.currency) else %(home_currency)s end,
    coalesce(s.label, w.label, h.value)
  from crm.field_history h
  join crm.deals d on d.tenant_id = %(tenant_id)s and d.id = h.record_id
  left join crm.stages s on s.tenant_id = %(tenant_id)s and s.pipeline_id = d.pipeline_id and s.key = h.value
  left join anywhere w on s.id is null and w.key = h.value
  left join crm.stages n on n.tenant_id = %(tenant_id)s and n.id = d.stage_id
  left join crm.field_history v on v.tenant_id = %(tenant_id)s and v.record_type = 'deal'
    and v.record_id = d.id and v.field = 'amount' and v.valid_from <= %(now_at)s
    and coalesce(v.valid_to, 'infinity'::timestamptz) > %(now_at)s and v.value ~ '^-?[0-9]+([.][0-9]+)?$'
  where h.tenant_id = %(tenant_id)s and h.record_type = 'deal' and h.field = 'stage'
    and not %(is_now)s::boolean
    and case when h.valid_to is null then 'infinity'::timestamptz else h.valid_to end > %(now_at)s
    and h.valid_from <= %(now_at)s
    and h.value not in (select each.key from closed each)
    and not coalesce(s.is_closed, w.is_closed, false)
    and least(coalesce(h.valid_to, 'infinity'::timestamptz),
      case when d.status <> 'open' and not coalesce(n.is_closed, false)
           then coalesce(d.closed_at, '-infinity'::timestamptz) end) > %(now_at)s
    -- Include _deals_counted.sql
), facts as (
  select 'deal' as record_type, h.id, h.name, h.created_at as at, h.amount, h.currency,
    case when h.currency = %(currency)s then h.amount else h.amount * r.rate end as value,
    true as counted, h.stage as label
  from held h
  left join lateral (
    select r.rate from crm.exchange_rates r
    where r.tenant_id = %(tenant_id)s and r.from_currency = h.currency and r.to_currency = %(currency)s
      and r.valid_on <= (%(now_at)s::timestamptz at time zone %(time_zone)s)::date
    order by r.valid_on desc limit 1) r on h.currency <> %(currency)s
)
