-- name: win_rate_by_month
-- label: Win rate by month
-- unit: table
-- shape: table
-- meaning: Deals won and lost, month by month, and the share that was won.
-- parameters: connection, edges, from_at, owners, pipeline, seen, tenant_id, to_at
select width_bucket(d.closed_at, %(edges)s::timestamptz[]) as slot,
  count(*) filter (where d.status = 'won') as won, count(*) filter (where d.status = 'lost') as lost
from crm.deals d
where d.tenant_id = %(tenant_id)s and d.status in ('won', 'lost')
    and d.closed_at >= %(from_at)s and d.closed_at < %(to_at)s
    and d.archived_at is null and d.merged_into is null
    and (%(seen)s::uuid[] is null or d.owner_id is null or d.owner_id = any(%(seen)s::uuid[]))
    and (%(owners)s::uuid[] is null or d.owner_id = any(%(owners)s::uuid[]))
    and (%(pipeline)s::uuid is null or d.pipeline_id = %(pipeline)s::uuid)
    and (%(connection)s::uuid is null or exists (
      select from sync.links l
      where l.tenant_id = %(tenant_id)s and l.record_id = d.id and l.connection_id = %(connection)s::uuid
        and l.record_type = 'deal' and l.is_primary))
group by 1
