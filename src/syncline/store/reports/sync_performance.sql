-- name: sync_performance
-- label: Sync performance
-- unit: table
-- shape: table
-- meaning: Runs of a period by connection and object: how many succeeded, how long they took, the
--   calls they cost.
-- parameters: connection, from_at, tenant_id, to_at
select c.name as connection, r.object, count(*) as runs,
  count(*) filter (where r.status in ('success', 'partial')) as succeeded,
  count(*) filter (where r.status = 'partial') as partial,
  count(*) filter (where r.status in ('failed', 'stopped')) as failed,
  avg(r.duration_ms) as average_ms,
  percentile_cont(0.5) within group (order by r.duration_ms)::numeric as p50_ms,
  percentile_cont(0.95) within group (order by r.duration_ms)::numeric as p95_ms,
  percentile_cont(0.99) within group (order by r.duration_ms)::numeric as p99_ms,
  max(r.duration_ms) as longest_ms,
  sum(r.api_calls) as api_calls, sum(r.records_read) as records_read, sum(r.records_failed) as records_failed
from sync.runs r
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = r.connection_id
where r.tenant_id = %(tenant_id)s and r.requested_at >= %(from_at)s and r.requested_at < %(to_at)s
  and r.status in ('success', 'partial', 'failed', 'stopped')
  and (%(connection)s::uuid is null or r.connection_id = %(connection)s::uuid)
group by c.name, r.object
order by c.name, r.object
