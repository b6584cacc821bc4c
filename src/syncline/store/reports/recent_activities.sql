-- name: recent_activities
-- label: Recent activities
-- unit: table
-- shape: table
-- meaning: The latest calls, e-mails, meetings and notes, with whom they were about.
-- parameters: connection, limit, now_at, owners, pipeline, seen, tenant_id
select a.id, a.type, a.subject, a.occurred_at, a.contact_id, coalesce(p.full_name, p.email) as contact,
  a.company_id, coalesce(c.name, c.domain) as company, a.owner_id, o.name as owner
from (
  select a.*
  from crm.activities a
  where a.tenant_id = %(tenant_id)s and a.occurred_at <= %(now_at)s
    -- Include _activities_counted.sql
  order by a.occurred_at desc, a.id desc
  limit %(limit)s) a
left join crm.contacts p on p.tenant_id = %(tenant_id)s and p.id = a.contact_id
  and p.archived_at is null and p.merged_into is null
  and (%(seen)s::uuid[] is null or p.owner_id is null or p.owner_id = any(%(seen)s::uuid[]))
left join crm.companies c on c.tenant_id = %(tenant_id)s and c.id = a.company_id
  and c.archived_at is null and c.merged_into is null
  and (%(seen)s::uuid[] is null or c.owner_id is null or c.owner_id = any(%(seen)s::uuid[]))
left join crm.owners o on o.tenant_id = %(tenant_id)s and o.id = a.owner_id
order by a.occurred_at desc, a.id desc
