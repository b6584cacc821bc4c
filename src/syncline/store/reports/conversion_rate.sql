-- name: conversion_rate
-- number: 4
-- label: Conversion rate
-- unit: percent
-- shape: conversion
-- meaning: Contacts with a deal that was won, until today, among those created in the period.
-- records: Contacts created; those with a won deal count.
-- parameters: connection, currency, edges, from_at, home_currency, owners, pipeline, seen,
--   tenant_id, time_zone, to_at
-- Include _contacts_created.sql
-- Records
-- Include _buyers.sql
, facts as (
  select 'contact' as record_type, c.id, coalesce(c.full_name, c.email) as name, c.created_at as at,
    null::numeric as amount, null as currency,
    null::numeric as value, c.id in (select b.contact_id from buyers b) as counted, null as label
  from crm.contacts c
  where c.tenant_id = %(tenant_id)s and c.created_at >= %(from_at)s and c.created_at < %(to_at)s
    -- Include _contacts_counted.sql
)
