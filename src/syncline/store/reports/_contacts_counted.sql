    -- Which contacts `c` count, after the filters and what the caller sees.
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
