-- name: weekly_activity
-- label: Activity by owner
-- unit: table
-- shape: table
-- meaning: Calls, e-mails, meetings and notes of a period, and how many different contacts they
--   were with, by owner.
-- parameters: connection, from_at, owners, pipeline, seen, tenant_id, to_at
select o.id as owner_id, o.name as owner,
  count(*) filter (where a.type = 'call') as calls, count(*) filter (where a.type = 'email') as emails,
  count(*) filter (where a.type = 'meeting') as meetings, count(*) filter (where a.type = 'note') as notes,
  count(distinct a.contact_id) as contacts
from crm.activities a
left join crm.owners o on o.tenant_id = %(tenant_id)s and o.id = a.owner_id
where a.tenant_id = %(tenant_id)s and a.occurred_at >= %(from_at)s and a.occurred_at < %(to_at)s
    -- Include _activities_counted.sql
group by o.id, o.name
order by count(*) desc, o.name, o.id
