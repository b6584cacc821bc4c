-- name: total_call_time
-- number: 18
-- label: Total call time
-- unit: hours
-- shape: call_hours
-- meaning: How long the calls of the period lasted together.
-- records: Calls with a duration, by their time.
-- undated: calls
-- parameters: connection, edges, from_at, owners, pipeline, seen, tenant_id, to_at
-- Include _calls_made.sql
-- Records
with facts as (
  select 'activity' as record_type, a.id, a.subject as name, a.occurred_at as at,
    null::numeric as amount, null as currency,
    a.duration_ms / 3600000 as value,
    true as counted,
    null as label
  from crm.activities a
  where a.tenant_id = %(tenant_id)s and a.type = 'call'
    and a.occurred_at >= %(from_at)s and a.occurred_at < %(to_at)s
    and a.duration_ms > 0
    -- Include _activities_counted.sql
)
