    -- Which activities `a` count, after the filters and what the caller sees.
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
