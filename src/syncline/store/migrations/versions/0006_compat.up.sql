-- Views and functions under the names that existing dashboards and queries use. They read the tables of
-- crm, sync and raw with the rights of whoever asks (security_invoker), so a tenant sees its own rows only.
-- Living records only. Outside migrations no SQL names a platform; here it is the point.

-- HubSpot's ids of our records. A record that two HubSpot accounts know has two rows here, and takes its id
-- from the account that was connected first: account_rank 1.
create view compat.hubspot_links with (security_invoker = true) as
select
  l.tenant_id,
  l.record_type,
  l.record_id,
  l.connection_id,
  l.object,
  l.remote_id as hubspot_id,
  array_position(a.ids, l.connection_id) as account_rank
from sync.links l
cross join (
  select array(select n.id from sync.connections n where n.platform = 'hubspot'
               order by n.created_at, n.id) as ids
) a
where l.is_primary and l.connection_id = any (a.ids);

-- The id of each owner, once. To be joined: there are few. DISTINCT ON proves to the planner that a join
-- adds no row, so that it leaves the join out where no id is asked for.
create view compat.hubspot_owner_ids with (security_invoker = true) as
select distinct on (h.record_id) h.tenant_id, h.record_id, h.hubspot_id
from compat.hubspot_links h
where h.record_type = 'owner'
order by h.record_id, h.account_rank;

-- What HubSpot said -------------------------------------------------------------------------------

-- One row per record of an account. raw_json offers each property at the top level and under
-- "properties"; the record's own keys (id, archived, associations, …) win over a property of their name.
-- synced_at and updated_at both say when the row last changed here: an unchanged record is not rewritten.
-- OFFSET 0 makes raw_json once per row, however often a query names it; unnamed, it costs nothing.
create view compat.hubspot_contacts_raw with (security_invoker = true) as
select
  r.remote_id as hubspot_id,
  r.email,
  r.phone,
  r.firstname,
  r.lastname,
  r.createdate at time zone 'UTC' as createdate,
  r.lifecyclestage,
  r.vsl_watched,
  r.sales_script_version,
  j.raw_json,
  r.synced_at at time zone 'UTC' as synced_at,
  r.synced_at at time zone 'UTC' as updated_at,
  r.hubspot_owner_id,
  r.connection_id
from raw.hubspot_contacts r
cross join lateral (
  select coalesce(nullif(r.raw -> 'properties', 'null'), '{}') || r.raw as raw_json offset 0
) j
where r.archived_at is null;

create view compat.hubspot_deals_raw with (security_invoker = true) as
select
  r.remote_id as hubspot_id,
  r.amount,
  r.dealstage,
  r.createdate at time zone 'UTC' as createdate,
  r.closedate at time zone 'UTC' as closedate,
  r.qualified_status,
  r.trial_status,
  r.payment_status,
  case when r.number_of_installments__months between -2147483648 and 2147483647
       then r.number_of_installments__months::integer end as number_of_installments__months,
  j.raw_json,
  r.synced_at at time zone 'UTC' as synced_at,
  r.synced_at at time zone 'UTC' as updated_at,
  r.dealname,
  r.pipeline,
  r.phone_number,
  r.hubspot_owner_id,
  r.connection_id
from raw.hubspot_deals r
cross join lateral (
  select coalesce(nullif(r.raw -> 'properties', 'null'), '{}') || r.raw as raw_json offset 0
) j
where r.archived_at is null;

-- call_duration is in milliseconds, as HubSpot gives it.
create view compat.hubspot_calls_raw with (security_invoker = true) as
select
  r.remote_id as hubspot_id,
  case when r.call_duration between -2147483648 and 2147483647
       then r.call_duration::integer end as call_duration,
  r.call_direction,
  r.call_to_number,
  r.call_from_number,
  r.call_timestamp at time zone 'UTC' as call_timestamp,
  j.raw_json,
  r.synced_at at time zone 'UTC' as synced_at,
  r.synced_at at time zone 'UTC' as updated_at,
  r.hubspot_owner_id,
  r.connection_id
from raw.hubspot_calls r
cross join lateral (
  select coalesce(nullif(r.raw -> 'properties', 'null'), '{}') || r.raw as raw_json offset 0
) j
where r.archived_at is null;

create view compat.deals_with_contacts with (security_invoker = true) as
select
  r.remote_id as deal_id,
  r.amount,
  r.dealstage,
  r.closedate at time zone 'UTC' as closedate,
  r.raw -> 'associations' -> 'contacts' -> 'results' -> 0 ->> 'id' as contact_id,
  r.raw -> 'properties' ->> 'dealname' as dealname,
  r.connection_id
from raw.hubspot_deals r
where r.archived_at is null;

-- What the company knows --------------------------------------------------------------------------

-- hubspot_sync_status: 'pending' while a local change waits to be pushed, 'failed' when HubSpot refused
-- it, 'synced' otherwise; null for a record that HubSpot does not know. last_hubspot_sync is when
-- something was last read from there. Ids are subqueries and not joins: nobody pays for what he does not
-- select, LIMIT comes first, and no plan made without statistics (just after a first load) can be worse
-- than one look-up in an index per row; the join took minutes then.

create view compat.staff with (security_invoker = true) as
select
  coalesce(h.hubspot_id, o.id::text) as id,
  o.name,
  o.email,
  case when h.hubspot_id is not null then 'coach' end as role,
  o.created_at,
  o.updated_at,
  o.first_name,
  o.last_name,
  o.id as owner_uuid
from crm.owners o
left join compat.hubspot_owner_ids h on h.tenant_id = o.tenant_id and h.record_id = o.id
where o.archived_at is null;

create view compat.companies with (security_invoker = true) as
select
  c.id,
  c.name,
  c.domain,
  c.website,
  c.phone,
  c.address,
  c.city,
  c.state,
  c.zip,
  c.country,
  c.industry,
  c.employee_count,
  c.annual_revenue,
  c.description,
  c.lifecycle_stage,
  c.qualification_status,
  c.readiness_score,
  c.source,
  c.contractor_id,
  c.uei,
  c.cage_code,
  c.primary_naics,
  c.sam_registered,
  coalesce(o.hubspot_id, c.owner_id::text) as owner_id,
  (select h.hubspot_id from compat.hubspot_links h
   where h.tenant_id = c.tenant_id and h.record_type = 'company' and h.record_id = c.id
   order by h.account_rank limit 1) as hubspot_company_id,
  coalesce((select min(case q.state when 'parked' then 'failed' else 'pending' end)
            from sync.queue q
            join sync.connections n on n.tenant_id = q.tenant_id and n.id = q.connection_id
            where q.tenant_id = c.tenant_id and q.record_type = 'company' and q.record_id = c.id
              and n.platform = 'hubspot'),
           (select 'synced' from compat.hubspot_links h
            where h.tenant_id = c.tenant_id and h.record_type = 'company' and h.record_id = c.id
            limit 1)) as hubspot_sync_status,
  (select r.synced_at
   from compat.hubspot_links h
   join raw.hubspot_companies r
     on r.tenant_id = h.tenant_id and r.connection_id = h.connection_id and r.remote_id = h.hubspot_id
   where h.tenant_id = c.tenant_id and h.record_type = 'company' and h.record_id = c.id
   order by h.account_rank limit 1) as last_hubspot_sync,
  c.custom_fields,
  c.created_at,
  c.updated_at
from crm.companies c
left join compat.hubspot_owner_ids o on o.tenant_id = c.tenant_id and o.record_id = c.owner_id
where c.archived_at is null;

create view compat.contacts with (security_invoker = true) as
select
  c.id,
  (select h.hubspot_id from compat.hubspot_links h
   where h.tenant_id = c.tenant_id and h.record_type = 'contact' and h.record_id = c.id
   order by h.account_rank limit 1) as hubspot_contact_id,
  c.email,
  c.first_name,
  c.last_name,
  c.full_name,
  c.phone,
  c.job_title,
  c.company_id,
  coalesce(o.hubspot_id, c.owner_id::text) as owner_id,
  c.lifecycle_stage,
  c.status,
  c.lead_source,
  c.lead_score,
  c.vsl_watched,
  c.sales_script_version,
  coalesce((select min(case q.state when 'parked' then 'failed' else 'pending' end)
            from sync.queue q
            join sync.connections n on n.tenant_id = q.tenant_id and n.id = q.connection_id
            where q.tenant_id = c.tenant_id and q.record_type = 'contact' and q.record_id = c.id
              and n.platform = 'hubspot'),
           (select 'synced' from compat.hubspot_links h
            where h.tenant_id = c.tenant_id and h.record_type = 'contact' and h.record_id = c.id
            limit 1)) as hubspot_sync_status,
  (select r.synced_at
   from compat.hubspot_links h
   join raw.hubspot_contacts r
     on r.tenant_id = h.tenant_id and r.connection_id = h.connection_id and r.remote_id = h.hubspot_id
   where h.tenant_id = c.tenant_id and h.record_type = 'contact' and h.record_id = c.id
   order by h.account_rank limit 1) as last_hubspot_sync,
  c.custom_fields,
  c.created_at,
  c.updated_at
from crm.contacts c
left join compat.hubspot_owner_ids o on o.tenant_id = c.tenant_id and o.record_id = c.owner_id
where c.archived_at is null;

-- stage says closed_won or closed_lost for every closed deal, whatever the pipeline calls its last
-- stages; crm_deals has the pipeline's own word.
create view compat.deals with (security_invoker = true) as
select
  d.id,
  (select h.hubspot_id from compat.hubspot_links h
   where h.tenant_id = d.tenant_id and h.record_type = 'deal' and h.record_id = d.id
   order by h.account_rank limit 1) as hubspot_deal_id,
  d.name as deal_name,
  d.amount as deal_value,
  d.currency,
  d.pipeline,
  case d.status when 'won' then 'closed_won' when 'lost' then 'closed_lost' else d.stage end as stage,
  d.status,
  d.probability,
  case when d.status = 'open' then d.expected_close_date::timestamp at time zone 'UTC'
       else coalesce(d.closed_at, d.expected_close_date::timestamp at time zone 'UTC') end as close_date,
  d.expected_close_date,
  d.closed_at,
  coalesce(o.hubspot_id, d.owner_id::text) as closer_id,
  d.company_id,
  d.contact_id,
  d.opportunity_id,
  d.match_id,
  d.match_score,
  d.win_probability,
  d.priority,
  d.deal_type,
  d.qualified_status,
  d.trial_status,
  d.payment_status,
  d.installments,
  d.phone,
  coalesce((select min(case q.state when 'parked' then 'failed' else 'pending' end)
            from sync.queue q
            join sync.connections n on n.tenant_id = q.tenant_id and n.id = q.connection_id
            where q.tenant_id = d.tenant_id and q.record_type = 'deal' and q.record_id = d.id
              and n.platform = 'hubspot'),
           (select 'synced' from compat.hubspot_links h
            where h.tenant_id = d.tenant_id and h.record_type = 'deal' and h.record_id = d.id
            limit 1)) as hubspot_sync_status,
  (select r.synced_at
   from compat.hubspot_links h
   join raw.hubspot_deals r
     on r.tenant_id = h.tenant_id and r.connection_id = h.connection_id and r.remote_id = h.hubspot_id
   where h.tenant_id = d.tenant_id and h.record_type = 'deal' and h.record_id = d.id
   order by h.account_rank limit 1) as last_hubspot_sync,
  d.custom_fields,
  d.created_at,
  d.updated_at
from crm.deals d
left join compat.hubspot_owner_ids o on o.tenant_id = d.tenant_id and o.record_id = d.owner_id
where d.archived_at is null;

-- activity_date is when it took place, created_at when it was entered.
create view compat.activities with (security_invoker = true) as
select
  a.id,
  a.type as activity_type,
  a.subject,
  a.body as description,
  a.company_id,
  a.contact_id,
  a.deal_id,
  coalesce(o.hubspot_id, a.owner_id::text) as owner_id,
  a.occurred_at as activity_date,
  a.duration_ms,
  a.direction,
  a.status,
  a.outcome,
  (select h.hubspot_id from compat.hubspot_links h
   where h.tenant_id = a.tenant_id and h.record_type = 'activity' and h.record_id = a.id
   order by h.account_rank limit 1) as hubspot_activity_id,
  a.contact_link,
  a.custom_fields,
  a.created_at,
  a.updated_at
from crm.activities a
left join compat.hubspot_owner_ids o on o.tenant_id = a.tenant_id and o.record_id = a.owner_id
where a.archived_at is null;

create view compat.v_active_deals with (security_invoker = true) as
select
  d.id,
  d.name as deal_name,
  d.amount as deal_value,
  d.currency,
  d.pipeline,
  d.stage,
  d.probability,
  d.amount * d.probability / 100 as weighted_value,
  d.expected_close_date,
  d.expected_close_date - (now() at time zone 'UTC')::date as days_to_close,
  (now() at time zone 'UTC')::date - (d.created_at at time zone 'UTC')::date as days_open,
  d.priority,
  d.match_score,
  d.win_probability,
  d.company_id,
  c.name as company_name,
  d.contact_id,
  p.full_name as contact_name,
  p.email as contact_email,
  d.owner_id as owner_uuid,
  w.name as owner_name,
  (select max(a.occurred_at) from crm.activities a
   where a.tenant_id = d.tenant_id and a.deal_id = d.id and a.archived_at is null
     and a.occurred_at <= now()) as last_activity_at,
  d.created_at,
  d.updated_at
from crm.deals d
left join crm.companies c on c.tenant_id = d.tenant_id and c.id = d.company_id and c.archived_at is null
left join crm.contacts p on p.tenant_id = d.tenant_id and p.id = d.contact_id and p.archived_at is null
left join crm.owners w on w.tenant_id = d.tenant_id and w.id = d.owner_id
where d.archived_at is null and d.status = 'open';

-- An activity counts for the companies it is filed under, not for those of its contact or deal.
create view compat.v_company_engagement with (security_invoker = true) as
select
  c.id as company_id,
  c.name as company_name,
  c.lifecycle_stage,
  c.readiness_score,
  coalesce(p.contacts, 0) as contact_count,
  coalesce(d.active_deals, 0) as active_deals,
  coalesce(d.won_deals, 0) as won_deals,
  coalesce(d.lost_deals, 0) as lost_deals,
  coalesce(d.pipeline_value, 0) as pipeline_value,
  coalesce(d.won_value, 0) as won_value,
  coalesce(a.activities, 0) as activity_count,
  coalesce(a.activities_30d, 0) as activities_30d,
  a.last_activity_at
from crm.companies c
left join (
  select tenant_id, company_id, count(*) as contacts
  from crm.contacts where archived_at is null group by tenant_id, company_id
) p on p.tenant_id = c.tenant_id and p.company_id = c.id
left join (
  select tenant_id, company_id,
    count(*) filter (where status = 'open') as active_deals,
    count(*) filter (where status = 'won') as won_deals,
    count(*) filter (where status = 'lost') as lost_deals,
    sum(amount) filter (where status = 'open') as pipeline_value,
    sum(amount) filter (where status = 'won') as won_value
  from crm.deals where archived_at is null group by tenant_id, company_id
) d on d.tenant_id = c.tenant_id and d.company_id = c.id
left join (
  select tenant_id, company_id,
    count(*) as activities,
    count(*) filter (where occurred_at > now() - interval '30 days') as activities_30d,
    max(occurred_at) as last_activity_at
  from crm.activities where archived_at is null and occurred_at <= now() group by tenant_id, company_id
) a on a.tenant_id = c.tenant_id and a.company_id = c.id
where c.archived_at is null;

-- The same records under a CRM-neutral schema -----------------------------------------------------

create view compat.crm_contacts with (security_invoker = true) as
select id, tenant_id, email, first_name, last_name, full_name, phone, company_id, owner_id, job_title,
  lifecycle_stage, status, lead_source, lead_source as source, lead_score, custom_fields, created_at, updated_at
from crm.contacts
where archived_at is null;

create view compat.crm_companies with (security_invoker = true) as
select id, tenant_id, name, domain, industry, employee_count, annual_revenue, website, phone, owner_id,
  lifecycle_stage, source, custom_fields, created_at, updated_at
from crm.companies
where archived_at is null;

create view compat.crm_deals with (security_invoker = true) as
select id, tenant_id, name, amount, currency, pipeline, stage, status, probability,
  case when status = 'open' then expected_close_date
       else coalesce((closed_at at time zone 'UTC')::date, expected_close_date) end as close_date,
  owner_id, contact_id, company_id, custom_fields, created_at, updated_at
from crm.deals
where archived_at is null;

create view compat.crm_activities with (security_invoker = true) as
select id, tenant_id, type, subject, body, occurred_at as "timestamp", contact_id, company_id, deal_id, owner_id,
  custom_fields, created_at, updated_at
from crm.activities
where archived_at is null;

-- action is one of created, updated, deleted, gdpr_deleted; event is our own, finer word. source is the
-- CRM a change came from, or 'manual' where a person or a program wrote here.
create view compat.crm_audit_log with (security_invoker = true) as
select
  l.id,
  l.tenant_id,
  l.record_type as entity_type,
  l.record_id as entity_id,
  case l.action when 'created' then 'created'
                when 'archived' then 'deleted'
                when 'deleted' then 'deleted'
                when 'merged' then 'deleted'
                when 'erased' then 'gdpr_deleted'
                else 'updated' end as action,
  l.changes,
  case when l.actor ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then l.actor::uuid end as user_id,
  coalesce(n.platform,
           case when l.source in ('sql', 'cli', 'api', 'web', 'mcp') then 'manual' else l.source end) as source,
  l.changed_at as "timestamp",
  l.action as event,
  l.actor,
  l.run_id
from crm.change_log l
left join sync.connections n on n.tenant_id = l.tenant_id and n.id = l.connection_id;

-- Reports. Amounts are added up as they stand, whatever their currency.
create view compat.crm_daily_pipeline_snapshot with (security_invoker = true) as
select
  (now() at time zone 'UTC')::date as snapshot_date,
  stage,
  count(*) as deal_count,
  sum(amount) as total_value,
  avg(amount) as avg_deal_size,
  sum(amount * probability / 100) as weighted_value,
  tenant_id
from compat.crm_deals
where status = 'open'
group by tenant_id, stage;

create view compat.crm_weekly_activity_summary with (security_invoker = true) as
select
  owner_id,
  count(*) filter (where type = 'call') as calls,
  count(*) filter (where type = 'email') as emails,
  count(*) filter (where type = 'meeting') as meetings,
  count(distinct contact_id) as contacts_engaged,
  tenant_id
from compat.crm_activities
where "timestamp" >= now() - interval '7 days'
group by tenant_id, owner_id;

-- This month and the next five, in UTC. A probability between 89 and 90 is upside, so that the three add up.
create view compat.crm_monthly_revenue_forecast with (security_invoker = true) as
select
  date_trunc('month', close_date::timestamp)::date as forecast_month,
  sum(amount) filter (where probability >= 90) as committed,
  sum(amount) filter (where probability >= 50 and probability < 90) as upside,
  sum(amount) filter (where probability < 50) as pipeline,
  sum(amount * probability / 100) as weighted_total,
  tenant_id
from compat.crm_deals
where status = 'open'
  and close_date >= date_trunc('month', now() at time zone 'UTC')
  and close_date < date_trunc('month', now() at time zone 'UTC') + interval '6 months'
group by tenant_id, date_trunc('month', close_date::timestamp)
order by forecast_month;

-- The machinery -----------------------------------------------------------------------------------

-- sync_type is the object ('deals'). A run that waits has started_at = when it was asked for, so that
-- the newest comes first also in ORDER BY started_at DESC.
create view compat.sync_logs with (security_invoker = true) as
select
  r.id,
  n.platform,
  r.object as sync_type,
  r.status,
  case when r.started_at is null then r.requested_at else r.started_at end as started_at,
  r.completed_at,
  case when r.duration_ms > 2147483647 then 2147483647 else r.duration_ms::integer end as duration_ms,
  least(r.records_read, 2147483647)::integer as records_processed,
  least(r.records_failed, 2147483647)::integer as records_failed,
  r.error_details,
  r.requested_at as created_at,
  n.name as connection,
  r.mode,
  r.requested_by
from sync.runs r
join sync.connections n on n.tenant_id = r.tenant_id and n.id = r.connection_id;
-- CASE and not coalesce(), of which the planner does not know that it leaks nothing: under row-level
-- security an index on it would lie unused. 300,000 runs: 50 ms without, 1 ms with it.
create index runs_by_start on sync.runs
  (tenant_id, (case when started_at is null then requested_at else started_at end));

-- What waits to be pushed. What has been pushed is in the change log, so no row is ever 'completed'.
create view compat.sync_queue with (security_invoker = true) as
select
  md5(concat_ws('/', q.connection_id, q.record_type, q.record_id))::uuid as id,
  q.record_type as entity_type,
  q.record_id as entity_id,
  case when case q.record_type
              when 'company' then exists (select from crm.companies x where x.tenant_id = q.tenant_id
                                          and x.id = q.record_id and x.archived_at is not null)
              when 'contact' then exists (select from crm.contacts x where x.tenant_id = q.tenant_id
                                          and x.id = q.record_id and x.archived_at is not null)
              when 'deal' then exists (select from crm.deals x where x.tenant_id = q.tenant_id
                                       and x.id = q.record_id and x.archived_at is not null)
              when 'activity' then exists (select from crm.activities x where x.tenant_id = q.tenant_id
                                           and x.id = q.record_id and x.archived_at is not null)
              when 'task' then exists (select from crm.tasks x where x.tenant_id = q.tenant_id
                                       and x.id = q.record_id and x.archived_at is not null)
            end then 'delete'
       when exists (select from sync.links l where l.tenant_id = q.tenant_id and l.record_id = q.record_id
                    and l.connection_id = q.connection_id and l.record_type = q.record_type) then 'update'
       else 'create' end as operation,
  case q.state when 'pending' then 'pending' when 'claimed' then 'in_progress' else 'failed' end as status,
  jsonb_build_object(q.record_type || '_id', q.record_id, 'fields', q.fields) as payload,
  q.attempts as retry_count,
  q.last_error as error_message,
  q.not_before as next_retry_at,
  q.queued_at as created_at,
  n.platform,
  n.name as connection
from sync.queue q
join sync.connections n on n.tenant_id = q.tenant_id and n.id = q.connection_id;

-- Credentials are not here, nor anything whose name sounds like one; nothing can be set through it.
create view compat.app_settings with (security_invoker = true) as
select s.key, s.value
from app.tenants t
cross join lateral (values
  ('tenant', t.slug), ('time_zone', t.time_zone), ('currency', t.currency), ('default_region', t.default_region)
) s (key, value)
union all
select n.platform || '.' || n.name || '.' || s.key, s.value
from sync.connections n
cross join lateral (
  values ('base_url', n.base_url), ('account_id', n.account_id), ('account_name', n.account_name),
         ('status', n.status), ('writes_enabled', n.writes_enabled::text)
  union all
  select 'settings.' || e.key, e.value #>> '{}'
  from jsonb_each(case when jsonb_typeof(n.settings) = 'object' then n.settings else '{}' end) e
  where e.key !~* '(secret|token|password|passphrase|credential|private|(^|_)key)'
) s (key, value);

grant select on all tables in schema compat to syncline_app, syncline_reader;

-- Functions ---------------------------------------------------------------------------------------

-- The last finished run of each object over all HubSpot connections of the tenant: one row per object.
-- With several accounts the latest of them counts; sync_logs shows each. It steps through the index from
-- object to object, since runs pile up and dashboards ask twice a minute.
create function compat.get_latest_sync_status()
returns table (sync_type text, last_sync_time timestamptz, status text, records_processed integer,
               records_failed integer, duration_ms integer, connection text)
language sql stable
begin atomic
  with recursive kinds (tenant_id, connection_id, name, object) as (
    select n.tenant_id, n.id, n.name,
      (select min(r.object) from sync.runs r where r.tenant_id = n.tenant_id and r.connection_id = n.id)
    from sync.connections n
    where n.platform = 'hubspot'
    union all
    select k.tenant_id, k.connection_id, k.name,
      (select min(r.object) from sync.runs r
       where r.tenant_id = k.tenant_id and r.connection_id = k.connection_id and r.object > k.object)
    from kinds k
    where k.object is not null
  )
  select distinct on (k.object)
    k.object, r.completed_at, r.status, least(r.records_read, 2147483647)::integer,
    least(r.records_failed, 2147483647)::integer,
    case when r.duration_ms > 2147483647 then 2147483647 else r.duration_ms::integer end, k.name
  from kinds k
  cross join lateral (
    select l.* from sync.runs l
    where l.tenant_id = k.tenant_id and l.connection_id = k.connection_id and l.object = k.object
      and l.completed_at is not null and l.status <> 'cancelled'
    order by l.requested_at desc
    limit 1
  ) r
  order by k.object, r.completed_at desc, r.id desc;
end;

-- Asks for an incremental sync of one object ('deals') from every active HubSpot connection of the
-- session's tenant, and returns the ids of the runs; a worker starts them within about a second after
-- COMMIT. Where such a run waits already, its id is returned and nothing is added, so calling this twice
-- costs nothing. SECURITY DEFINER, so that an analyst may ask for fresh data without any right to write:
-- it adds runs to the session's own tenant and nothing else.
create function compat.trigger_hubspot_sync(sync_type text) returns setof uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  tenant uuid := app.current_tenant();
  wanted text := lower(btrim(sync_type));
  standard constant text[] := array['calls', 'companies', 'contacts', 'deals', 'emails', 'meetings', 'notes',
                                    'owners', 'tasks'];
  known text[];
  account record;
  run uuid;
begin
  if tenant is null or not exists (select from app.tenants t where t.tenant_id = tenant) then
    raise exception 'No tenant is set for this session.' using errcode = 'insufficient_privilege',
      hint = 'Connect with `syncline psql`, or call app.set_tenant(…) first in the same transaction.';
  end if;
  select standard || coalesce(array_agg(distinct p.object order by p.object), '{}') into known
  from sync.properties p
  join sync.connections n on n.tenant_id = p.tenant_id and n.id = p.connection_id
  where p.tenant_id = tenant and n.tenant_id = tenant and n.platform = 'hubspot'
    and p.object <> all (standard) and to_regclass(format('raw.%I', 'hubspot_' || p.object)) is not null;
  if wanted is null or wanted <> all (known) then
    raise exception 'HubSpot has nothing to sync under the name %.', coalesce(quote_literal(sync_type), 'NULL')
      using errcode = 'invalid_parameter_value',
      hint = 'Use one of: ' || array_to_string(known, ', ') || '.';
  end if;
  if not exists (select from sync.connections n where n.tenant_id = tenant and n.platform = 'hubspot'
                 and n.status = 'active') then
    raise exception 'No HubSpot connection is active.' using errcode = 'object_not_in_prerequisite_state',
      hint = 'Connect one with `syncline connect hubspot`; `syncline status` says why one is paused.';
  end if;
  if current_setting('transaction_read_only')::boolean then
    raise exception 'This transaction is read-only, so it cannot ask for a sync.'
      using errcode = 'read_only_sql_transaction',
      hint = format('Run `syncline sync --object %s`, or say BEGIN READ WRITE first.', wanted);
  end if;

  -- Two callers at once must not both find that nothing waits.
  perform pg_advisory_xact_lock(7263003, hashtext(tenant::text || wanted));
  for account in
    select n.id from sync.connections n
    where n.tenant_id = tenant and n.platform = 'hubspot' and n.status = 'active'
      and (wanted = any (standard) or exists (
        select from sync.properties p
        where p.tenant_id = tenant and p.connection_id = n.id and p.object = wanted))
    order by n.created_at, n.id
  loop
    select r.id into run from sync.runs r
    where r.tenant_id = tenant and r.connection_id = account.id and r.object = wanted
      and r.status = 'pending' and r.mode in ('backfill', 'incremental', 'manual')
    order by r.requested_at, r.id limit 1;
    if run is null then
      run := gen_random_uuid();
      insert into sync.runs (tenant_id, id, connection_id, object, mode, status, requested_by, requested_at,
                             updated_at)
      values (tenant, run, account.id, wanted, 'incremental', 'pending', 'sql', clock_timestamp(),
              clock_timestamp());
    end if;
    return next run;
  end loop;
end $$;

revoke all on function compat.get_latest_sync_status(), compat.trigger_hubspot_sync(text) from public;
grant execute on function compat.get_latest_sync_status(), compat.trigger_hubspot_sync(text)
  to syncline_app, syncline_reader;
