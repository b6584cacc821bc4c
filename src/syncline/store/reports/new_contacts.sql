-- name: new_contacts
-- number: 9
-- label: New contacts
-- unit: count
-- shape: sum
-- meaning: How many contacts were created in the period.
-- records: Contacts created.
-- parameters: connection, edges, from_at, owners, pipeline, seen, tenant_id, to_at
with facts as (
  select 'contact' as record_type, c.id, coalesce(c.full_name, c.email) as name, c.created_at as at,
    null::numeric as amount, null as currency,
    null::numeric as value, true as counted, null as label
  from crm.contacts c
  where c.tenant_id = %(tenant_id)s and c.created_at >= %(from_at)s and c.created_at < %(to_at)s
    -- Include _contacts_counted.sql
)
-- Number
select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, count(*) as value
from facts f
group by 1
