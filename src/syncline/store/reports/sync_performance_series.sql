-- name: sync_performance_series
-- label: Sync performance over time
-- unit: table
-- shape: table
-- meaning: Runs of each part of a period: how many succeeded, how long they took, the calls they
--   cost, and the records they read. Part 0 is the whole.
-- parameters: connection, edges, from_at, tenant_id, to_at
with ended as (
  select width_bucket(r.requested_at, %(edges)s::timestamptz[]) as slot, r.status, r.duration_ms, r.api_calls,
    r.records_read, r.records_failed
  from sync.runs r
  where r.tenant_id = %(tenant_id)s and r.requested_at >= %(from_at)s and r.requested_at < %(to_at)s
    and r.status in ('success', 'partial', 'failed', 'stopped')
    and (%(connection)s::uuid is null or r.connection_id = %(connection)s::uuid)
)
select e.slot, count(*) as runs, count(*) filter (where e.status in ('success', 'partial')) as succeeded,
  avg(e.duration_ms) as average_ms,
  percentile_cont(0.5) within group (order by e.duration_ms)::numeric as p50_ms,
  percentile_cont(0.95) within group (order by e.duration_ms)::numeric as p95_ms,
  percentile_cont(0.99) within group (order by e.duration_ms)::numeric as p99_ms,
  sum(e.api_calls) as api_calls, sum(e.records_read) as records_read, sum(e.records_failed) as records_failed
from ended e
group by e.slot
union all
select 0, count(*), count(*) filter (where e.status in ('success', 'partial')), avg(e.duration_ms),
  percentile_cont(0.5) within group (order by e.duration_ms)::numeric,
  percentile_cont(0.95) within group (order by e.duration_ms)::numeric,
  percentile_cont(0.99) within group (order by e.duration_ms)::numeric, sum(e.api_calls),
  sum(e.records_read), sum(e.records_failed)
from ended e
order by 1
