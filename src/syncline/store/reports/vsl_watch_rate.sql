-- name: vsl_watch_rate
-- number: 21
-- label: VSL watch rate
-- unit: percent
-- shape: watched
-- meaning: Contacts that watched the VSL among those created in the period; beside it the
--   conversion rate of those who did and of those who did not.
-- records: Contacts created; those that watched count, and the value is 1 where a deal was won.
-- parameters: connection, currency, edges, from_at, home_currency, owners, pipeline, seen,
--   tenant_id, time_zone, to_at
-- Include _contacts_created.sql
-- Records
-- Include _buyers.sql
, facts as (
  select 'contact' as record_type, c.id, coalesce(c.full_name, c.email) as name, c.created_at as at,
    null::numeric as amount, null as currency,
    case when c.id in (select b.contact_id from buyers b) then 1 else 0 end::numeric as value,
    coalesce(c.vsl_watched, false) as counted, null as label
  from crm.contacts c
  where c.tenant_id = %(tenant_id)s and c.created_at >= %(from_at)s and c.created_at < %(to_at)s
    -- Include _contacts_counted.sql
)
