-- name: five_minute_rate
-- number: 19
-- label: Calls of five minutes
-- unit: percent
-- shape: long_calls
-- meaning: Calls of five minutes and longer among those of the period that lasted at all.
-- records: Calls longer than nothing, by their time; those of five minutes count.
-- undated: calls
-- parameters: connection, edges, from_at, owners, pipeline, seen, tenant_id, to_at
-- Include _calls_made.sql
-- Records
with facts as (
  select 'activity' as record_type, a.id, a.subject as name, a.occurred_at as at,
    null::numeric as amount, null as currency,
    null::numeric as value,
    a.duration_ms >= 300000 as counted,
    null as label
  from crm.activities a
  where a.tenant_id = %(tenant_id)s and a.type = 'call'
    and a.occurred_at >= %(from_at)s and a.occurred_at < %(to_at)s
    and a.duration_ms > 0
    -- Include _activities_counted.sql
)
