-- name: sales_script_performance
-- number: 22
-- label: Sales scripts
-- unit: table
-- shape: scripts
-- meaning: For each version of the sales script the contacts created in the period, their
--   conversion rate and the average size of the deals they won, and whether the best version beats
--   the next with 95 % confidence.
-- records: Contacts created that have a version, by version; those with a won deal count.
-- parameters: connection, currency, edges, from_at, home_currency, owners, pipeline, seen,
--   tenant_id, time_zone, to_at
with buyers as (
  -- Who bought which deal. One deal may have several people, and a person be named twice.
  select d.id as deal_id, d.contact_id
  from crm.deals d
  where d.tenant_id = %(tenant_id)s and d.status = 'won' and d.contact_id is not null
    and d.archived_at is null and d.merged_into is null
    and (%(seen)s::uuid[] is null or d.owner_id is null or d.owner_id = any(%(seen)s::uuid[]))
    and (%(pipeline)s::uuid is null or d.pipeline_id = %(pipeline)s::uuid)
  union all
  select d.id, p.contact_id
  from crm.deals d
  join crm.deal_contacts p on p.tenant_id = %(tenant_id)s and p.deal_id = d.id
  where d.tenant_id = %(tenant_id)s and d.status = 'won' and p.contact_id is distinct from d.contact_id
    and d.archived_at is null and d.merged_into is null
    and (%(seen)s::uuid[] is null or d.owner_id is null or d.owner_id = any(%(seen)s::uuid[]))
    and (%(pipeline)s::uuid is null or d.pipeline_id = %(pipeline)s::uuid)
), facts as not materialized (
  select 'contact' as record_type, c.id, coalesce(c.full_name, c.email) as name, c.created_at as at,
    null::numeric as amount, null as currency,
    null::numeric as value, c.id in (select b.contact_id from buyers b) as counted,
    btrim(c.sales_script_version) as label
  from crm.contacts c
  where c.tenant_id = %(tenant_id)s and c.created_at >= %(from_at)s and c.created_at < %(to_at)s
    and btrim(c.sales_script_version) <> ''
    and c.archived_at is null and c.merged_into is null
    and (%(seen)s::uuid[] is null or c.owner_id is null or c.owner_id = any(%(seen)s::uuid[]))
    and (%(owners)s::uuid[] is null or c.owner_id = any(%(owners)s::uuid[]))
    and (%(pipeline)s::uuid is null or exists (
      select from crm.deal_people p
      join crm.deals x on x.tenant_id = %(tenant_id)s and x.id = p.deal_id
      where p.tenant_id = %(tenant_id)s and p.contact_id = c.id and x.pipeline_id = %(pipeline)s::uuid
        and x.archived_at is null and x.merged_into is null
        and (%(seen)s::uuid[] is null or x.owner_id is null or x.owner_id = any(%(seen)s::uuid[]))))
    and (%(connection)s::uuid is null or exists (
      select from sync.links l
      where l.tenant_id = %(tenant_id)s and l.record_id = c.id and l.connection_id = %(connection)s::uuid
        and l.record_type = 'contact' and l.is_primary))
)
-- Number
, created as (
  select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, f.label, count(*) as contacts
  from facts f
  group by 1, 2
), apart as (
  select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, f.id as contact_id, f.label, b.deal_id
  from facts f
  join buyers b on b.contact_id = f.id
), matched as (
  select a.slot, a.label, a.contact_id, a.deal_id from apart a
  union all
  -- The whole is not the sum of its parts: a deal of two people is one deal.
  select 0, a.label, a.contact_id, a.deal_id from apart a where a.slot > 1
), pairs as (
  select distinct m.slot, m.label, m.deal_id as id from matched m
), bought as materialized (
  -- Apart, so that a rate is looked up for these deals only.
  select p.slot, p.label, d.amount,
    (coalesce(d.closed_at, d.created_at) at time zone %(time_zone)s)::date as day,
    case when d.currency <> '' then upper(d.currency) else %(home_currency)s end as currency
  from pairs p
  join crm.deals d on d.tenant_id = %(tenant_id)s and d.id = p.id
), sold as (
  select b.slot, b.label, b.currency, sum(b.amount) as amount,
    sum(case when b.currency = %(currency)s then b.amount else b.amount * r.rate end) as value,
    count(*) as deals,
    count(*) filter (where b.amount is not null and b.currency <> %(currency)s and r.rate is null) as left_out
  from bought b
  left join lateral (
    select r.rate from crm.exchange_rates r
    where r.tenant_id = %(tenant_id)s and r.from_currency = b.currency and r.to_currency = %(currency)s
      and r.valid_on <= b.day
    order by r.valid_on desc limit 1) r on b.currency <> %(currency)s
  group by 1, 2, 3
)
select c.slot, c.label, null as currency, 0::bigint as part, c.contacts as whole,
  null::numeric as amount, null::numeric as value, 0::bigint as deals, 0::bigint as left_out
from created c
union all
select 0, c.label, null, 0, sum(c.contacts), null, null, 0, 0
from created c
where c.slot > 1
group by c.label
union all
select m.slot, m.label, null, count(distinct m.contact_id), 0, null, null, 0, 0
from matched m
group by 1, 2
union all
select s.slot, s.label, s.currency, 0, 0, s.amount, s.value, s.deals, s.left_out from sold s
