-- What the company knows. No foreign key to the tenant: policies let nobody write for a tenant other than
-- the transaction's own, and a check of one and the same row for each row loaded took a tenth of a load.
-- created_at is when the thing came to be (at the CRM, where it came from one);
-- updated_at and version move with every change of the row.

create table crm.owners (
  tenant_id    uuid not null,
  id           uuid not null,
  email        text,
  email_norm   text generated always as (lower(btrim(email))) stored,
  first_name   text,
  last_name    text,
  name         text generated always as
                 (coalesce(nullif(btrim(coalesce(first_name, '') || ' ' || coalesce(last_name, '')), ''), email)) stored,
  custom_fields jsonb not null default '{}',
  field_times  jsonb not null default '{}',
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now(),
  version      bigint not null default 1,
  archived_at  timestamptz,
  merged_into  uuid,
  constraint owners_pkey primary key (tenant_id, id)
);
select app.distribute('crm.owners');
select app.protect('crm.owners');
create index owners_email on crm.owners (tenant_id, email_norm);

create table crm.pipelines (
  tenant_id      uuid not null,
  id             uuid not null,
  -- The connection it came from and its id there; both null for the hub's own pipelines.
  connection_id  uuid,
  remote_id      text,
  object         text not null default 'deals',
  key            text not null,
  label          text not null,
  position       integer not null default 0,
  archived_at    timestamptz,
  constraint pipelines_pkey primary key (tenant_id, id),
  constraint pipelines_remote unique (tenant_id, connection_id, object, remote_id),
  constraint pipelines_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id)
);
select app.distribute('crm.pipelines');
select app.protect('crm.pipelines');

create table crm.stages (
  tenant_id    uuid not null,
  id           uuid not null,
  pipeline_id  uuid not null,
  remote_id    text,
  key          text not null,
  label        text not null,
  position     integer not null default 0,
  is_closed    boolean not null default false,
  is_won       boolean not null default false,
  -- 0 to 100.
  probability  numeric,
  archived_at  timestamptz,
  constraint stages_pkey primary key (tenant_id, id),
  constraint stages_key unique (tenant_id, pipeline_id, key),
  constraint stages_pipeline foreign key (tenant_id, pipeline_id)
    references crm.pipelines (tenant_id, id) on delete cascade,
  constraint stages_won_is_closed check (is_closed or not is_won),
  constraint stages_probability check (probability between 0 and 100)
);
select app.distribute('crm.stages');
select app.protect('crm.stages');

create table crm.companies (
  tenant_id        uuid not null,
  id               uuid not null,
  name             text,
  domain           text,
  domain_norm      text generated always as (lower(btrim(domain))) stored,
  website          text,
  phone            text,
  phone_e164       text,
  address          text,
  city             text,
  state            text,
  zip              text,
  country          text,
  industry         text,
  employee_count   numeric,
  annual_revenue   numeric,
  description      text,
  lifecycle_stage  text,
  owner_id         uuid,
  source           text,
  uei              text,
  cage_code        text,
  primary_naics    text,
  sam_registered   boolean,
  readiness_score  numeric,
  qualification_status text,
  contractor_id    uuid,
  custom_fields    jsonb not null default '{}',
  field_times      jsonb not null default '{}',
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now(),
  version          bigint not null default 1,
  archived_at      timestamptz,
  merged_into      uuid,
  constraint companies_pkey primary key (tenant_id, id),
  constraint companies_owner foreign key (tenant_id, owner_id) references crm.owners (tenant_id, id),
  constraint companies_phone_e164 check (phone_e164 ~ '^\+[0-9]{4,17}$')
);
select app.distribute('crm.companies');
select app.protect('crm.companies');
create index companies_domain on crm.companies (tenant_id, domain_norm);
create index companies_owner on crm.companies (tenant_id, owner_id);
create index companies_created on crm.companies (tenant_id, created_at, id);

create table crm.contacts (
  tenant_id        uuid not null,
  id               uuid not null,
  email            text,
  email_norm       text generated always as (lower(btrim(email))) stored,
  first_name       text,
  last_name        text,
  full_name        text generated always as
                     (nullif(btrim(coalesce(first_name, '') || ' ' || coalesce(last_name, '')), '')) stored,
  phone            text,
  phone_e164       text,
  job_title        text,
  company_id       uuid,
  owner_id         uuid,
  lifecycle_stage  text,
  status           text,
  lead_source      text,
  lead_score       numeric,
  vsl_watched      boolean,
  sales_script_version text,
  custom_fields    jsonb not null default '{}',
  field_times      jsonb not null default '{}',
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now(),
  version          bigint not null default 1,
  archived_at      timestamptz,
  merged_into      uuid,
  constraint contacts_pkey primary key (tenant_id, id),
  constraint contacts_company foreign key (tenant_id, company_id) references crm.companies (tenant_id, id),
  constraint contacts_owner foreign key (tenant_id, owner_id) references crm.owners (tenant_id, id),
  constraint contacts_phone_e164 check (phone_e164 ~ '^\+[0-9]{4,17}$')
);
select app.distribute('crm.contacts');
select app.protect('crm.contacts');
create index contacts_email on crm.contacts (tenant_id, email_norm);
create index contacts_phone on crm.contacts (tenant_id, phone_e164);
create index contacts_company on crm.contacts (tenant_id, company_id);
create index contacts_created on crm.contacts (tenant_id, created_at, id);
-- What changed since a run began: calls are joined again by the numbers of these.
create index contacts_updated on crm.contacts (tenant_id, updated_at);

create table crm.deals (
  tenant_id            uuid not null,
  id                   uuid not null,
  name                 text,
  amount               numeric,
  currency             text,
  pipeline             text,
  stage                text,
  pipeline_id          uuid,
  stage_id             uuid,
  status               text not null default 'open',
  -- 0 to 100.
  probability          numeric,
  expected_close_date  date,
  closed_at            timestamptz,
  owner_id             uuid,
  company_id           uuid,
  contact_id           uuid,
  priority             text,
  deal_type            text,
  phone                text,
  phone_e164           text,
  qualified_status     text,
  trial_status         text,
  payment_status       text,
  installments         numeric,
  match_score          numeric,
  win_probability      numeric,
  opportunity_id       uuid,
  match_id             uuid,
  custom_fields        jsonb not null default '{}',
  field_times          jsonb not null default '{}',
  created_at           timestamptz not null default now(),
  updated_at           timestamptz not null default now(),
  version              bigint not null default 1,
  archived_at          timestamptz,
  merged_into          uuid,
  constraint deals_pkey primary key (tenant_id, id),
  constraint deals_pipeline foreign key (tenant_id, pipeline_id) references crm.pipelines (tenant_id, id),
  constraint deals_stage foreign key (tenant_id, stage_id) references crm.stages (tenant_id, id),
  constraint deals_owner foreign key (tenant_id, owner_id) references crm.owners (tenant_id, id),
  constraint deals_company foreign key (tenant_id, company_id) references crm.companies (tenant_id, id),
  constraint deals_contact foreign key (tenant_id, contact_id) references crm.contacts (tenant_id, id),
  constraint deals_status check (status in ('open', 'won', 'lost')),
  constraint deals_probability check (probability between 0 and 100),
  constraint deals_phone_e164 check (phone_e164 ~ '^\+[0-9]{4,17}$')
);
select app.distribute('crm.deals');
select app.protect('crm.deals');
create index deals_stage on crm.deals (tenant_id, pipeline_id, stage_id);
create index deals_status on crm.deals (tenant_id, status, closed_at);
create index deals_owner on crm.deals (tenant_id, owner_id);
create index deals_company on crm.deals (tenant_id, company_id);
create index deals_contact on crm.deals (tenant_id, contact_id);
create index deals_phone on crm.deals (tenant_id, phone_e164);
create index deals_created on crm.deals (tenant_id, created_at, id);

-- Calls, e-mails, meetings and notes. A to-do is a task.
create table crm.activities (
  tenant_id      uuid not null,
  id             uuid not null,
  type           text not null,
  subject        text,
  body           text,
  occurred_at    timestamptz,
  ends_at        timestamptz,
  duration_ms    numeric,
  direction      text,
  status         text,
  outcome        text,
  from_number    text,
  to_number      text,
  -- The other party's number: who was called, or who called us.
  phone_e164     text,
  location       text,
  owner_id       uuid,
  contact_id     uuid,
  company_id     uuid,
  deal_id        uuid,
  -- How contact_id was found: 'association', 'phone' (oldest contact with the number), 'deal_phone'.
  contact_link   text,
  -- How many contacts share the number, when the link is by phone.
  contact_candidates integer,
  custom_fields  jsonb not null default '{}',
  field_times    jsonb not null default '{}',
  created_at     timestamptz not null default now(),
  updated_at     timestamptz not null default now(),
  version        bigint not null default 1,
  archived_at    timestamptz,
  merged_into    uuid,
  constraint activities_pkey primary key (tenant_id, id),
  constraint activities_owner foreign key (tenant_id, owner_id) references crm.owners (tenant_id, id),
  constraint activities_contact foreign key (tenant_id, contact_id) references crm.contacts (tenant_id, id),
  constraint activities_company foreign key (tenant_id, company_id) references crm.companies (tenant_id, id),
  constraint activities_deal foreign key (tenant_id, deal_id) references crm.deals (tenant_id, id),
  constraint activities_type check (type in ('call', 'email', 'meeting', 'note')),
  constraint activities_direction check (direction in ('inbound', 'outbound')),
  constraint activities_contact_link check (contact_link in ('association', 'phone', 'deal_phone')),
  constraint activities_phone_e164 check (phone_e164 ~ '^\+[0-9]{4,17}$')
);
select app.distribute('crm.activities');
select app.protect('crm.activities');
create index activities_contact on crm.activities (tenant_id, contact_id, occurred_at);
create index activities_company on crm.activities (tenant_id, company_id, occurred_at);
create index activities_deal on crm.activities (tenant_id, deal_id, occurred_at);
create index activities_owner on crm.activities (tenant_id, owner_id, occurred_at);
create index activities_type on crm.activities (tenant_id, type, occurred_at);
create index activities_phone on crm.activities (tenant_id, phone_e164) where type = 'call';
create index activities_updated on crm.activities (tenant_id, updated_at);

create table crm.tasks (
  tenant_id      uuid not null,
  id             uuid not null,
  subject        text,
  body           text,
  due_at         timestamptz,
  status         text,
  priority       text,
  type           text,
  owner_id       uuid,
  contact_id     uuid,
  company_id     uuid,
  deal_id        uuid,
  custom_fields  jsonb not null default '{}',
  field_times    jsonb not null default '{}',
  created_at     timestamptz not null default now(),
  updated_at     timestamptz not null default now(),
  version        bigint not null default 1,
  archived_at    timestamptz,
  merged_into    uuid,
  constraint tasks_pkey primary key (tenant_id, id),
  constraint tasks_owner foreign key (tenant_id, owner_id) references crm.owners (tenant_id, id),
  constraint tasks_contact foreign key (tenant_id, contact_id) references crm.contacts (tenant_id, id),
  constraint tasks_company foreign key (tenant_id, company_id) references crm.companies (tenant_id, id),
  constraint tasks_deal foreign key (tenant_id, deal_id) references crm.deals (tenant_id, id)
);
select app.distribute('crm.tasks');
select app.protect('crm.tasks');
create index tasks_owner on crm.tasks (tenant_id, owner_id, due_at);
create index tasks_contact on crm.tasks (tenant_id, contact_id);
create index tasks_company on crm.tasks (tenant_id, company_id);
create index tasks_deal on crm.tasks (tenant_id, deal_id);

-- The change log ----------------------------------------------------------------------------------

create table crm.change_log (
  tenant_id      uuid not null,
  id             uuid not null,
  changed_at     timestamptz not null,
  record_type    text not null,
  record_id      uuid not null,
  action         text not null,
  -- {field: [old, new]}; values over 64 kB are left out and named in "left_out".
  changes        jsonb not null,
  -- 'sql', 'cli', 'api', 'web', 'pull', …; connection_id says from which CRM a pull came.
  source         text not null,
  connection_id  uuid,
  actor          text,
  run_id         uuid,
  constraint change_log_pkey primary key (tenant_id, changed_at, id),
  constraint change_log_action check
    (action in ('created', 'updated', 'archived', 'restored', 'merged', 'deleted', 'erased'))
) partition by range (changed_at);
select app.distribute('crm.change_log');
alter table crm.change_log enable row level security;
create policy tenant_isolation on crm.change_log
  using (tenant_id = (select nullif(current_setting('app.current_tenant_id', true), '')::uuid))
  with check (tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid);
-- Append-only for the application.
grant select, insert on crm.change_log to syncline_app;
grant select on crm.change_log to syncline_reader;
create index change_log_of_record on crm.change_log (tenant_id, record_id, changed_at desc);
create index change_log_of_run on crm.change_log (tenant_id, run_id) where run_id is not null;
create table crm.change_log_default partition of crm.change_log default;

-- One partition per month, made ahead by the worker, so that old months leave as a whole.
create function crm.ensure_change_log_partitions(from_month date, months integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  month date := date_trunc('month', from_month)::date;
  name text;
  made integer := 0;
begin
  if months not between 1 and 120 then
    raise exception 'months must be between 1 and 120';
  end if;
  perform pg_advisory_xact_lock(7263001);
  for i in 1..months loop
    name := 'change_log_' || to_char(month, 'YYYY_MM');
    if to_regclass('crm.' || name) is null
       and not exists (select from crm.change_log_default
                       where changed_at >= month::timestamp at time zone 'UTC'
                         and changed_at < (month + interval '1 month') at time zone 'UTC') then
      execute format('create table crm.%I partition of crm.change_log for values from (%L) to (%L)', name,
        month::timestamp at time zone 'UTC', (month + interval '1 month') at time zone 'UTC');
      made := made + 1;
    end if;
    month := (month + interval '1 month')::date;
  end loop;
  return made;
end $$;
revoke all on function crm.ensure_change_log_partitions(date, integer) from public;
grant execute on function crm.ensure_change_log_partitions(date, integer) to syncline_app;
select crm.ensure_change_log_partitions(current_date, 3);

-- Values that fields had over time, where the past matters for numbers.
create table crm.field_history (
  tenant_id      uuid not null,
  record_type    text not null,
  record_id      uuid not null,
  field          text not null,
  valid_from     timestamptz not null,
  -- Null while the value holds.
  valid_to       timestamptz,
  value          text,
  source         text not null,
  constraint field_history_pkey primary key (tenant_id, record_type, record_id, field, valid_from),
  constraint field_history_order check (valid_to >= valid_from)
);
select app.distribute('crm.field_history');
select app.protect('crm.field_history');
create index field_history_at on crm.field_history (tenant_id, record_type, field, valid_from);

-- Change capture ----------------------------------------------------------------------------------

-- Keys of a row that are bookkeeping, not content.
create function crm.content_of(record jsonb) returns jsonb
language sql immutable parallel safe
return record - array['tenant_id', 'id', 'version', 'updated_at', 'field_times', 'email_norm',
                      'domain_norm', 'full_name', 'phone_e164', 'contact_candidates'];

-- Field by field, old beside new; a body over 64 kB is named but not copied.
create function crm.changes_between(old_record jsonb, new_record jsonb) returns jsonb
language sql immutable parallel safe
begin atomic
  select coalesce(jsonb_object_agg(key,
           case when octet_length(coalesce(o.value, 'null')::text) > 65536
                  or octet_length(coalesce(n.value, 'null')::text) > 65536
                then '{"left_out": "over 64 kB"}'::jsonb
                else jsonb_build_array(coalesce(o.value, 'null'), coalesce(n.value, 'null')) end), '{}')
  from jsonb_each(crm.content_of(old_record)) o
  full join jsonb_each(crm.content_of(new_record)) n using (key)
  -- An empty object is no content: custom_fields that nobody has set are no change.
  where coalesce(nullif(o.value, '{}'), 'null') <> coalesce(nullif(n.value, '{}'), 'null');
end;

-- Before: keeps version and updated_at true, and never lets a number outlive the text it was read from.
create function crm.stamp_change() returns trigger
language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    new.version := old.version + 1;
    new.updated_at := clock_timestamp();
  end if;
  return new;
end $$;

create function crm.stamp_phone() returns trigger
language plpgsql as $$
begin
  if new.phone is distinct from old.phone and new.phone_e164 is not distinct from old.phone_e164 then
    new.phone_e164 := case when new.phone ~ '^\+[0-9]{7,15}$' then new.phone end;
  end if;
  return new;
end $$;

-- After: the change log and the queue, in the writer's own transaction, whoever writes. SECURITY
-- DEFINER, since a person in psql may be allowed to edit contacts but not the machinery; the tenant
-- is the row's own. Sends no NOTIFY: workers poll, so that it works through a pooler and on any node.
create function crm.capture_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
  kind text := tg_argv[0];
  tenant uuid;
  record uuid;
  difference jsonb;
  what text;
  at timestamptz := clock_timestamp();
begin
  if tg_op = 'DELETE' then
    tenant := old.tenant_id; record := old.id; what := 'deleted';
    difference := crm.changes_between(to_jsonb(old), '{}');
  elsif tg_op = 'INSERT' then
    tenant := new.tenant_id; record := new.id; what := 'created';
    difference := crm.changes_between('{}', to_jsonb(new));
  else
    tenant := new.tenant_id; record := new.id;
    difference := crm.changes_between(to_jsonb(old), to_jsonb(new));
    if difference = '{}' then
      return null;
    end if;
    what := case when new.merged_into is distinct from old.merged_into then 'merged'
                 when new.archived_at is not null and old.archived_at is null then 'archived'
                 when new.archived_at is null and old.archived_at is not null then 'restored'
                 else 'updated' end;
  end if;

  insert into crm.change_log (tenant_id, id, changed_at, record_type, record_id, action, changes,
                              source, connection_id, actor, run_id)
  values (tenant, gen_random_uuid(), at, kind, record, what, difference,
          coalesce(nullif(current_setting('app.source', true), ''), 'sql'),
          nullif(current_setting('app.connection_id', true), '')::uuid,
          coalesce(nullif(current_setting('app.actor', true), ''), session_user),
          nullif(current_setting('app.run_id', true), '')::uuid);

  insert into sync.queue (tenant_id, connection_id, record_type, record_id, fields, queued_at, not_before)
  select tenant, l.connection_id, kind, record,
         array(select jsonb_object_keys(difference) order by 1), at, at
  from sync.links l
  join sync.connections c on c.tenant_id = l.tenant_id and c.id = l.connection_id
  where l.tenant_id = tenant and l.record_id = record and l.record_type = kind and l.is_primary
    and c.tenant_id = tenant and c.writes_enabled
    and l.connection_id is distinct from nullif(current_setting('app.connection_id', true), '')::uuid
  on conflict (tenant_id, connection_id, record_type, record_id) do update
    set fields = array(select distinct f from unnest(sync.queue.fields || excluded.fields) f order by 1),
        state = 'pending', not_before = excluded.not_before, attempts = 0, last_error = null;
  return null;
end $$;
-- Triggers need no right to call their function.
revoke all on function crm.capture_change(), crm.stamp_change(), crm.stamp_phone(),
  crm.changes_between(jsonb, jsonb), crm.content_of(jsonb) from public;

-- Row triggers serve single edits. The set-based pull writes the same rows itself, many at a time,
-- and sets app.bulk for its transaction: the WHEN clause then costs nothing per row.
create function crm.capture(target regclass, kind text, has_phone boolean) returns void
language plpgsql as $$
begin
  execute format('create trigger stamp_change before update on %s for each row '
                 'when (not app.in_bulk()) execute function crm.stamp_change()', target);
  if has_phone then
    execute format('create trigger stamp_phone before update on %s for each row '
                   'when (not app.in_bulk()) execute function crm.stamp_phone()', target);
  end if;
  execute format('create trigger capture_change after insert or update or delete on %s for each row '
                 'when (not app.in_bulk()) execute function crm.capture_change(%L)', target, kind);
end $$;
revoke all on function crm.capture(regclass, text, boolean) from public;

select crm.capture('crm.owners', 'owner', false);
select crm.capture('crm.companies', 'company', true);
select crm.capture('crm.contacts', 'contact', true);
select crm.capture('crm.deals', 'deal', true);
select crm.capture('crm.activities', 'activity', false);
select crm.capture('crm.tasks', 'task', false);
