-- name: total_calls
-- number: 16
-- label: Calls
-- unit: count
-- shape: calls
-- meaning: How many calls were made in the period, by direction.
-- records: Calls, by their time.
-- undated: calls
-- parameters: connection, edges, from_at, owners, pipeline, seen, tenant_id, to_at
-- Include _calls_made.sql
-- Records
with facts as (
  select 'activity' as record_type, a.id, a.subject as name, a.occurred_at as at,
    null::numeric as amount, null as currency,
    null::numeric as value,
    true as counted,
    a.direction as label
  from crm.activities a
  where a.tenant_id = %(tenant_id)s and a.type = 'call'
    and a.occurred_at >= %(from_at)s and a.occurred_at < %(to_at)s
    -- Include _activities_counted.sql
)
