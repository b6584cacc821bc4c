-- name: time_to_first_contact
-- number: 20
-- label: Time to first contact
-- unit: minutes
-- shape: first_contact
-- meaning: The median of the minutes from a contact's creation to the first outbound call to it
--   since, over contacts created in the period; beside it the share that was never called since.
-- records: Contacts created, each with its minutes; those that were called since count.
-- parameters: connection, edges, from_at, owners, pipeline, seen, tenant_id, to_at
with calls as (
  select a.contact_id, a.occurred_at as at
  from crm.activities a
  where a.tenant_id = %(tenant_id)s and a.type = 'call' and a.direction = 'outbound'
    and a.occurred_at >= %(from_at)s and a.contact_id is not null
    and a.archived_at is null and a.merged_into is null
    and (%(seen)s::uuid[] is null or a.owner_id is null or a.owner_id = any(%(seen)s::uuid[]))
), facts as not materialized (
  select 'contact' as record_type, c.id, coalesce(c.full_name, c.email) as name, c.created_at as at,
    null::numeric as amount, null as currency,
    extract(epoch from k.at - c.created_at) / 60 as value,
    k.at is not null as counted,
    case when k.at is null then 'never called' end as label
  from crm.contacts c
  left join (
    select x.id, min(k.at) as at
    from crm.contacts x
    join calls k on k.contact_id = x.id and k.at >= x.created_at
    where x.tenant_id = %(tenant_id)s and x.created_at >= %(from_at)s and x.created_at < %(to_at)s
      and x.archived_at is null and x.merged_into is null
    group by x.id) k on k.id = c.id
  where c.tenant_id = %(tenant_id)s and c.created_at >= %(from_at)s and c.created_at < %(to_at)s
    -- Include _contacts_counted.sql
)
-- Number
, created as (
  -- Without a look at calls.
  select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, count(*) as contacts
  from facts f
  group by 1
), apart as (
  select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, f.value from facts f where f.counted
), timed as (
  select a.slot, percentile_cont(0.5) within group (order by a.value)::numeric as value,
    avg(a.value) as mean, count(*) as contacts
  from apart a
  group by a.slot
  union all
  select 0, percentile_cont(0.5) within group (order by a.value)::numeric, avg(a.value), count(*)
  from apart a
  where a.slot > 1
), whole as (
  select c.slot, c.contacts from created c
  union all
  select 0, coalesce(sum(c.contacts), 0) from created c where c.slot > 1
)
select w.slot, t.value, t.mean, w.contacts as whole, w.contacts - coalesce(t.contacts, 0) as never
from whole w
left join timed t on t.slot = w.slot
