-- Calls of a period by direction: how many, how many lasted at all or five minutes, and how long all of them.
-- One reading of them for all metrics that rest on it.
select width_bucket(a.occurred_at, %(edges)s::timestamptz[]) as slot, a.direction as label, count(*) as calls,
  count(*) filter (where a.duration_ms > 0) as lasted,
  count(*) filter (where a.duration_ms >= 300000) as long,
  sum(a.duration_ms) filter (where a.duration_ms > 0) as duration_ms
from crm.activities a
where a.tenant_id = %(tenant_id)s and a.type = 'call'
    and a.occurred_at >= %(from_at)s and a.occurred_at < %(to_at)s
    -- Include _activities_counted.sql
group by 1, 2
