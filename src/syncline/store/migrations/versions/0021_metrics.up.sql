-- History of the pipeline, and what the numbers stand on.

-- What counts, and what it is worth -------------------------------------------------------------------

-- Which values of a field count as what, in lower case. A tenant without a row has the defaults of its columns.
create table app.metric_settings (
  tenant_id     uuid not null,
  -- deals.qualified_status
  qualified     text[] not null default '{yes}',
  unqualified   text[] not null default '{no}',
  -- deals.trial_status: what is none of these is a trial.
  no_trial      text[] not null default '{none}',
  -- deals.payment_status
  retained      text[] not null default '{active,completed}',
  cancelled     text[] not null default '{cancelled,failed,refunded}',
  changed_at    timestamptz not null,
  changed_by    text not null,
  constraint metric_settings_pkey primary key (tenant_id)
);
select app.distribute('app.metric_settings');
select app.protect('app.metric_settings');

-- What one unit of a currency was worth in another on a day. It holds until the next day that has one.
create table crm.exchange_rates (
  tenant_id      uuid not null,
  from_currency  text not null,
  to_currency    text not null,
  valid_on       date not null,
  rate           numeric not null,
  given_at       timestamptz not null,
  given_by       text not null,
  constraint exchange_rates_pkey primary key (tenant_id, from_currency, to_currency, valid_on),
  constraint exchange_rates_rate check (rate > 0),
  constraint exchange_rates_from_shape check (from_currency ~ '^[A-Z]{3}$'),
  constraint exchange_rates_to_shape check (to_currency ~ '^[A-Z]{3}$'),
  constraint exchange_rates_of_two check (from_currency <> to_currency)
);
select app.distribute('crm.exchange_rates');
select app.protect('crm.exchange_rates');

-- The people of a deal --------------------------------------------------------------------------------

-- The contacts that a CRM associates with a deal beside the one in deals.contact_id, which is the first of them.
-- Worked out when associations are read: to go through links and associations for each number is what takes
-- most time at 100,000 deals.
create table crm.deal_contacts (
  tenant_id      uuid not null,
  deal_id        uuid not null,
  contact_id     uuid not null,
  connection_id  uuid not null,
  -- The contact that the CRM names, where it was merged into contact_id here.
  merged_id      uuid,
  constraint deal_contacts_pkey primary key (tenant_id, deal_id, contact_id, connection_id),
  constraint deal_contacts_deal foreign key (tenant_id, deal_id)
    references crm.deals (tenant_id, id) on delete cascade,
  constraint deal_contacts_contact foreign key (tenant_id, contact_id)
    references crm.contacts (tenant_id, id) on delete cascade,
  constraint deal_contacts_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade
);
select app.distribute('crm.deal_contacts');
select app.protect('crm.deal_contacts');
create index deal_contacts_contact on crm.deal_contacts (tenant_id, contact_id, deal_id);
create index deal_contacts_connection on crm.deal_contacts (tenant_id, connection_id);

insert into crm.deal_contacts (tenant_id, deal_id, contact_id, connection_id)
select distinct a.tenant_id, d.record_id, c.record_id, a.connection_id
from raw.associations a
cross join lateral (values (a.from_object, a.from_id, a.to_object, a.to_id),
                           (a.to_object, a.to_id, a.from_object, a.from_id))
  as e (deal_object, deal_remote_id, contact_object, contact_remote_id)
join sync.links d on d.tenant_id = a.tenant_id and d.connection_id = a.connection_id
  and d.object = e.deal_object and d.remote_id = e.deal_remote_id and d.record_type = 'deal' and d.is_primary
join sync.links c on c.tenant_id = a.tenant_id and c.connection_id = a.connection_id
  and c.object = e.contact_object and c.remote_id = e.contact_remote_id and c.record_type = 'contact'
join crm.deals x on x.tenant_id = d.tenant_id and x.id = d.record_id
  and x.contact_id is distinct from c.record_id
on conflict on constraint deal_contacts_pkey do nothing;

-- A contact that was merged hands its deals to the survivor, and gets them back when that is undone.
create function crm.follow_merge() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if new.merged_into is null then
    delete from crm.deal_contacts p where p.tenant_id = new.tenant_id and p.merged_id = new.id
      and p.contact_id = old.merged_into;
  else
    insert into crm.deal_contacts (tenant_id, deal_id, contact_id, connection_id, merged_id)
    select p.tenant_id, p.deal_id, new.merged_into, p.connection_id, new.id
    from crm.deal_contacts p
    where p.tenant_id = new.tenant_id and p.contact_id = new.id
    on conflict on constraint deal_contacts_pkey do nothing;
  end if;
  return null;
end $$;
revoke all on function crm.follow_merge() from public;
create trigger follow_merge after update of merged_into on crm.contacts for each row
  when (new.merged_into is distinct from old.merged_into) execute function crm.follow_merge();

-- All people of a deal, whoever says so; a pair may be there twice.
create view crm.deal_people with (security_invoker = true) as
select d.tenant_id, d.id as deal_id, d.contact_id from crm.deals d where d.contact_id is not null
union all
select p.tenant_id, p.deal_id, p.contact_id from crm.deal_contacts p;
grant select on crm.deal_people to syncline_app, syncline_reader;

-- The pipeline, day by day ----------------------------------------------------------------------------

-- Which days are known, so that a day without any deal is no missing one.
create table crm.pipeline_days (
  tenant_id    uuid not null,
  -- The day that began, in UTC, when the pipeline stood so.
  snapshot_on  date not null,
  source       text not null,
  taken_at     timestamptz not null,
  constraint pipeline_days_pkey primary key (tenant_id, snapshot_on),
  constraint pipeline_days_source check (source in ('snapshot', 'late', 'history'))
);
select app.distribute('crm.pipeline_days');
select app.protect('crm.pipeline_days');

-- Open deals as a day began. Currencies are kept apart; a deal without one has the tenant's.
create table crm.pipeline_history (
  tenant_id        uuid not null,
  snapshot_on      date not null,
  id               uuid not null,
  pipeline_id      uuid,
  stage            text,
  owner_id         uuid,
  currency         text not null,
  -- The first of the month in which they are expected to close.
  close_month      date,
  deal_count       bigint not null,
  -- How many of them have an amount.
  valued_count     bigint not null,
  total_value      numeric not null,
  weighted_value   numeric not null,
  -- By probability: 90 and more, 50 and more, less. What has none is in total_value only.
  committed_value  numeric not null,
  upside_value     numeric not null,
  early_value      numeric not null,
  constraint pipeline_history_pkey primary key (tenant_id, snapshot_on, id),
  constraint pipeline_history_day foreign key (tenant_id, snapshot_on)
    references crm.pipeline_days (tenant_id, snapshot_on) on delete cascade
);
select app.distribute('crm.pipeline_history');
select app.protect('crm.pipeline_history');

-- The documents' table: one row a day and stage. Amounts are added up as they stand, whatever their currency.
create view compat.crm_pipeline_history with (security_invoker = true) as
select
  h.snapshot_on as snapshot_date,
  h.stage,
  sum(h.deal_count)::bigint as deal_count,
  case when sum(h.valued_count) > 0 then sum(h.total_value) end as total_value,
  sum(h.total_value) / nullif(sum(h.valued_count), 0) as avg_deal_size,
  case when sum(h.valued_count) > 0 then sum(h.weighted_value) end as weighted_value,
  h.tenant_id,
  d.source,
  d.taken_at
from crm.pipeline_history h
join crm.pipeline_days d on d.tenant_id = h.tenant_id and d.snapshot_on = h.snapshot_on
group by h.tenant_id, h.snapshot_on, h.stage, d.source, d.taken_at;
grant select on compat.crm_pipeline_history to syncline_app, syncline_reader;

-- What reports look for -------------------------------------------------------------------------------
-- The same keys as before; what is counted stands beside them, so that counting reads the index alone.

drop index crm.contacts_created;
create index contacts_created on crm.contacts (tenant_id, created_at, id)
  include (owner_id, merged_into, vsl_watched, sales_script_version) where archived_at is null;
drop index crm.deals_status;
create index deals_status on crm.deals (tenant_id, status, closed_at)
  include (id, archived_at, merged_into, owner_id, pipeline_id, contact_id, amount, currency, created_at, stage,
           stage_id, probability);
drop index crm.activities_type;
create index activities_type on crm.activities (tenant_id, type, occurred_at)
  include (id, archived_at, merged_into, owner_id, contact_id, deal_id, direction, duration_ms);
create index activities_outbound on crm.activities (tenant_id, occurred_at, contact_id)
  include (owner_id) where type = 'call' and direction = 'outbound' and archived_at is null
  and merged_into is null;
-- Spans that had not ended by a moment. CASE, since to row-level security coalesce is not known to be leakproof,
-- and the index would not be asked.
create index field_history_until on crm.field_history
  (tenant_id, record_type, field,
   (case when valid_to is null then 'infinity'::timestamptz else valid_to end))
  include (valid_to, valid_from, record_id, value);
