-- Who bought which deal. One deal may have several people, and a person be named twice.
with won as materialized (
  select d.id, d.contact_id
  from crm.deals d
  where d.tenant_id = %(tenant_id)s and d.status = 'won'
    and d.archived_at is null and d.merged_into is null
    and (%(seen)s::uuid[] is null or d.owner_id is null or d.owner_id = any(%(seen)s::uuid[]))
    and (%(pipeline)s::uuid is null or d.pipeline_id = %(pipeline)s::uuid)
), buyers as (
  select w.id as deal_id, w.contact_id from won w where w.contact_id is not null
  union all
  select w.id, p.contact_id
  from crm.deal_contacts p
  join won w on w.id = p.deal_id
  where p.tenant_id = %(tenant_id)s and p.contact_id is distinct from w.contact_id
)
