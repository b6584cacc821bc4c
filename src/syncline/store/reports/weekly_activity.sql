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
    and a.archived_at is null and a.merged_into is null
    and (%(seen)s::uuid[] is null or a.owner_id is null or a.owner_id = any(%(seen)s::uuid[]))
    and (%(owners)s::uuid[] is null or a.owner_id = any(%(owners)s::uuid[]))
    and (%(pipeline)s::uuid is null or exists (
      select from crm.deals x
      where x.tenant_id = %(tenant_id)s and x.pipeline_id = %(pipeline)s::uuid
        and x.archived_at is null and x.merged_into is null
        and (%(seen)s::uuid[] is null or x.owner_id is null or x.owner_id = any(%(seen)s::uuid[]))
        and (x.id = a.deal_id or exists (
          select from crm.deal_people p
          where p.tenant_id = %(tenant_id)s and p.deal_id = x.id and p.contact_id = a.contact_id))))
    and (%(connection)s::uuid is null or exists (
      select from sync.links l
      where l.tenant_id = %(tenant_id)s and l.record_id = a.id and l.connection_id = %(connection)s::uuid
        and l.record_type = 'activity' and l.is_primary))
group by o.id, o.name
order by count(*) desc, o.name, o.id
