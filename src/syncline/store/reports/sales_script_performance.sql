-- name: sales_script_performance
-- number: 22
-- label: Sales scripts
-- unit: table
-- shape: scripts
-- meaning: For each version of the sales script the contacts created in the period, their
--   conversion rate and the average size of the deals they won, and whether the best version beats
--   the next with 95 % confidence.
-- records: Contacts created that have a version, by version; those with a won deal count.
-- parameters: connection, currency, edges, from_at, home_currency, owners, pipeline, seen,
--   tenant_id, time_zone, to_at
-- Include _contacts_created.sql
-- Records
-- Include _buyers.sql
, facts as (
  select 'contact' as record_type, c.id, coalesce(c.full_name, c.email) as name, c.created_at as at,
    null::numeric as amount, null as currency,
    null::numeric as value, c.id in (select b.contact_id from buyers b) as counted,
    btrim(c.sales_script_version) as label
  from crm.contacts c
  where c.tenant_id = %(tenant_id)s and c.created_at >= %(from_at)s and c.created_at < %(to_at)s
    and btrim(c.sales_script_version) <> ''
    -- Include _contacts_counted.sql
)
