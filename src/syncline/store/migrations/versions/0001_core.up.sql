-- The ground: tenants, connections, what was agreed with each CRM, and what runs did.
-- Roles syncline_owner (runs this), syncline_app and syncline_reader exist beforehand.

create schema if not exists app;
create schema crm;
create schema sync;
create schema raw;
create schema compat;

grant usage on schema app, crm, sync, raw, compat to syncline_app, syncline_reader;

-- The tenant of a transaction, by SET LOCAL: nothing is left behind after COMMIT, also behind a
-- pooler that hands the session to somebody else. Takes a bind parameter, which SET itself does not.
create function app.set_tenant(tenant uuid) returns void
language plpgsql as $$
begin
  execute format('set local app.current_tenant_id = %L', tenant);
end $$;

create function app.current_tenant() returns uuid
language sql stable parallel safe
return nullif(current_setting('app.current_tenant_id', true), '')::uuid;

-- True inside the set-based writers, whose rows the row triggers pass over.
create function app.in_bulk() returns boolean
language sql stable parallel safe
return coalesce(current_setting('app.bulk', true), '') = 'on';

-- Row-level security and grants, the same for every tenant table. The setting is read once a statement,
-- not once a row: that is what the inner select is for. ENABLE, not FORCE: the owner runs
-- migrations only, and FORCE would stop a distributed table from being moved between nodes.
create function app.protect(target regclass, writable boolean default true) returns void
language plpgsql as $$
begin
  execute format('alter table %s enable row level security', target);
  execute format(
    'create policy tenant_isolation on %s '
    'using (tenant_id = (select nullif(current_setting(''app.current_tenant_id'', true), '''')::uuid)) '
    'with check (tenant_id = nullif(current_setting(''app.current_tenant_id'', true), '''')::uuid)', target);
  if writable then
    execute format('grant select, insert, update, delete on %s to syncline_app', target);
  end if;
  execute format('grant select on %s to syncline_reader', target);
end $$;

-- On one Postgres this does nothing; on Citus it spreads the table by tenant.
create function app.distribute(target text, colocate text default 'app.tenants') returns void
language plpgsql as $$
begin
  if exists (select from pg_catalog.pg_extension where extname = 'citus') then
    execute format('select create_distributed_table(%L, ''tenant_id'', colocate_with => %L)', target, colocate);
  end if;
end $$;

-- Of all our functions anybody may call these three only: what a role that was given tables needs to set its
-- tenant, and what row triggers ask as whoever edits a record. They do nothing that a setting does not.
revoke all on function app.protect(regclass, boolean), app.distribute(text, text) from public;

-- Tenants -----------------------------------------------------------------------------------------

create table app.tenants (
  tenant_id      uuid not null,
  slug           text not null,
  label          text not null,
  time_zone      text not null default 'UTC',
  currency       text not null default 'USD',
  -- Region that a phone number without country code is read in.
  default_region text not null default 'US',
  status         text not null default 'active',
  created_at     timestamptz not null default now(),
  constraint tenants_pkey primary key (tenant_id),
  constraint tenants_status check (status in ('active', 'suspended')),
  constraint tenants_slug_shape check (slug ~ '^[a-z0-9][a-z0-9_-]{0,62}$')
);
select app.distribute('app.tenants', 'none');
alter table app.tenants enable row level security;
create policy tenant_isolation on app.tenants
  using (tenant_id = (select nullif(current_setting('app.current_tenant_id', true), '')::uuid));
grant select, update on app.tenants to syncline_app;
grant select on app.tenants to syncline_reader;

insert into app.tenants (tenant_id, slug, label)
values ('00000000-0000-7000-8000-000000000001', 'default', 'Default');

-- Which tenants there are is not itself a tenant's secret to the program that serves them all:
-- the worker goes through them one by one, and the command line turns a name into an id.
create function app.list_tenants()
returns table (tenant_id uuid, slug text, label text, status text, time_zone text)
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select t.tenant_id, t.slug, t.label, t.status, t.time_zone from app.tenants t order by t.slug;
end;
revoke all on function app.list_tenants() from public;
grant execute on function app.list_tenants() to syncline_app;

-- Connections -------------------------------------------------------------------------------------

create table sync.connections (
  tenant_id       uuid not null,
  id              uuid not null,
  platform        text not null,
  name            text not null,
  base_url        text not null,
  -- The account at the CRM, as the CRM names it; quotas are shared by account.
  account_id      text,
  account_name    text,
  account_url     text,
  status          text not null default 'active',
  paused_reason   text,
  -- Sealed; readable only with the installation's key.
  credentials     bytea,
  settings        jsonb not null default '{}',
  -- Off until a person switches it on: a new connection only pulls.
  writes_enabled  boolean not null default false,
  created_at      timestamptz not null,
  updated_at      timestamptz not null,
  constraint connections_pkey primary key (tenant_id, id),
  constraint connections_name_taken unique (tenant_id, name),
  constraint connections_tenant foreign key (tenant_id) references app.tenants (tenant_id),
  constraint connections_status check (status in ('active', 'paused')),
  constraint connections_paused_has_reason check (status <> 'paused' or paused_reason is not null)
);
select app.distribute('sync.connections');
select app.protect('sync.connections');
-- Analysts have no use for credentials, sealed or not.
revoke select on sync.connections from syncline_reader;
grant select (tenant_id, id, platform, name, base_url, account_id, account_name, account_url, status,
              paused_reason, settings, writes_enabled, created_at, updated_at)
  on sync.connections to syncline_reader;

-- Runs --------------------------------------------------------------------------------------------

create table sync.runs (
  tenant_id          uuid not null,
  id                 uuid not null,
  connection_id      uuid not null,
  object             text not null,
  mode               text not null,
  status             text not null default 'pending',
  -- Who or what asked: 'schedule', 'cli', 'sql', 'api', …
  requested_by       text not null,
  requested_at       timestamptz not null,
  started_at         timestamptz,
  completed_at       timestamptz,
  duration_ms        bigint generated always as
                       ((extract(epoch from completed_at - started_at) * 1000)::bigint) stored,
  records_expected   bigint,
  records_read       bigint not null default 0,
  records_created    bigint not null default 0,
  records_updated    bigint not null default 0,
  records_unchanged  bigint not null default 0,
  records_archived   bigint not null default 0,
  records_failed     bigint not null default 0,
  api_calls          bigint not null default 0,
  -- The error in words, and up to twenty examples of parked records; no values of records.
  error_details      jsonb,
  updated_at         timestamptz not null,
  constraint runs_pkey primary key (tenant_id, id),
  constraint runs_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade,
  constraint runs_mode check (mode in ('backfill', 'incremental', 'webhook', 'manual', 'reconcile')),
  constraint runs_status check
    (status in ('pending', 'running', 'success', 'partial', 'failed', 'stopped', 'cancelled')),
  constraint runs_ended_or_not check
    ((status in ('pending', 'running')) = (completed_at is null)),
  constraint runs_started_before_running check (status = 'pending' or started_at is not null
    or status in ('failed', 'cancelled'))
);
select app.distribute('sync.runs');
select app.protect('sync.runs');
-- The newest runs of a connection's object: status pages and get_latest_sync_status().
create index runs_latest on sync.runs (tenant_id, connection_id, object, requested_at desc);
-- What waits for a worker.
create index runs_pending on sync.runs (tenant_id, requested_at) where status = 'pending';
create index runs_running on sync.runs (tenant_id, connection_id, object) where status = 'running';

create table sync.cursors (
  tenant_id      uuid not null,
  connection_id  uuid not null,
  object         text not null,
  -- 'backfill' (one part per id range), 'incremental', 'second_pass', 'presence', 'history', …
  kind           text not null,
  part           integer not null default 0,
  state          jsonb not null,
  updated_at     timestamptz not null,
  constraint cursors_pkey primary key (tenant_id, connection_id, object, kind, part),
  constraint cursors_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade
);
select app.distribute('sync.cursors');
select app.protect('sync.cursors');

-- Links -------------------------------------------------------------------------------------------

create table sync.links (
  tenant_id        uuid not null,
  connection_id    uuid not null,
  object           text not null,
  remote_id        text not null,
  record_type      text not null,
  record_id        uuid not null,
  -- Two remote records of one connection may be one record of ours (a merge); only one is ever pushed.
  is_primary       boolean not null default true,
  -- What both sides last agreed on: {field: [ours, theirs as read]}, or {field: [both]} where they are alike.
  base             jsonb not null,
  -- Values on their way to the CRM, committed before the call that carries them.
  sent             jsonb,
  mapping_version  integer not null default 1,
  linked_at        timestamptz not null,
  constraint links_pkey primary key (tenant_id, connection_id, object, remote_id),
  constraint links_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade
);
select app.distribute('sync.links');
select app.protect('sync.links');
-- One primary remote record a connection; and the way from a record to its remote records.
create unique index links_one_primary on sync.links (tenant_id, record_id, connection_id, record_type)
  where is_primary;

create table sync.queue (
  tenant_id      uuid not null,
  connection_id  uuid not null,
  record_type    text not null,
  record_id      uuid not null,
  state          text not null default 'pending',
  fields         text[] not null,
  queued_at      timestamptz not null,
  not_before     timestamptz not null,
  attempts       integer not null default 0,
  last_error     text,
  constraint queue_pkey primary key (tenant_id, connection_id, record_type, record_id),
  constraint queue_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade,
  constraint queue_state check (state in ('pending', 'claimed', 'parked'))
);
select app.distribute('sync.queue');
select app.protect('sync.queue');
create index queue_due on sync.queue (tenant_id, connection_id, not_before) where state = 'pending';

-- Parked: set aside with the reason, never lost ---------------------------------------------------

create table sync.parked (
  tenant_id      uuid not null,
  connection_id  uuid not null,
  object         text not null,
  -- The CRM's id, or 'unknown:' and a hash of the payload where it has none that can be read.
  remote_id      text not null,
  -- 'payload': stored with replacements, or not at all; the original is here.
  -- 'value': stored whole, but a typed field could not take a value.
  kind           text not null,
  reason         text not null,
  -- Field or property → what is wrong with it.
  problems       jsonb not null default '{}',
  -- The record as it came, where raw.* could not keep it so. JSON text, escapes as received.
  original       text,
  run_id         uuid,
  first_seen_at  timestamptz not null,
  last_seen_at   timestamptz not null,
  constraint parked_pkey primary key (tenant_id, connection_id, object, remote_id),
  constraint parked_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade,
  constraint parked_kind check (kind in ('payload', 'value'))
);
select app.distribute('sync.parked');
select app.protect('sync.parked');

-- Property definitions of each connection's objects -----------------------------------------------

create table sync.properties (
  tenant_id      uuid not null,
  connection_id  uuid not null,
  object         text not null,
  name           text not null,
  label          text not null,
  type           text not null,
  read_only      boolean not null,
  calculated     boolean not null,
  definition     jsonb not null,
  first_seen_at  timestamptz not null,
  -- Set when the CRM no longer has it; its values stay in raw until re-read.
  removed_at     timestamptz,
  constraint properties_pkey primary key (tenant_id, connection_id, object, name),
  constraint properties_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade
);
select app.distribute('sync.properties');
select app.protect('sync.properties');
