    -- Which deals `d` count, after the filters and what the caller sees.
    and d.archived_at is null and d.merged_into is null
    and (%(seen)s::uuid[] is null or d.owner_id is null or d.owner_id = any(%(seen)s::uuid[]))
    and (%(owners)s::uuid[] is null or d.owner_id = any(%(owners)s::uuid[]))
    and (%(pipeline)s::uuid is null or d.pipeline_id = %(pipeline)s::uuid)
    and (%(connection)s::uuid is null or exists (
      select from sync.links l
      where l.tenant_id = %(tenant_id)s and l.record_id = d.id and l.connection_id = %(connection)s::uuid
        and l.record_type = 'deal' and l.is_primary))
