-- What the API and the web application keep: idempotency, limits, subscriptions, saved views.

-- Runs --------------------------------------------------------------------------------------------

-- Somebody's word that a run is to end. The process that runs it looks for it at each commit, and between.
alter table sync.runs add column cancel_requested_at timestamptz;
alter table sync.runs add column cancel_requested_by text;
-- What moved since somebody looked.
create index runs_updated on sync.runs (tenant_id, updated_at);
create index runs_requested on sync.runs (tenant_id, requested_at desc, id desc);
create index conflicts_found on sync.conflicts (tenant_id, found_at);

-- Idempotency -------------------------------------------------------------------------------------

-- Answers to requests that came with an Idempotency-Key, for a day.
create table app.idempotency (
  tenant_id     uuid not null,
  -- 'key:…' or 'user:…': the same key of somebody else is another one.
  caller        text not null,
  key           text not null,
  -- SHA-256 of method, path, query and body.
  request_hash  bytea not null,
  state         text not null,
  status        integer,
  content_type  text,
  location      text,
  -- Null for an answer that is not kept, since it holds a secret or is too long.
  body          bytea,
  created_at    timestamptz not null,
  -- A running request is given up then: its process has died.
  expires_at    timestamptz not null,
  constraint idempotency_pkey primary key (tenant_id, caller, key),
  constraint idempotency_tenant foreign key (tenant_id) references app.tenants (tenant_id),
  constraint idempotency_state check (state in ('running', 'done'))
);
select app.distribute('app.idempotency');
select app.protect('app.idempotency');
-- Answers are nobody's to analyse.
revoke select on app.idempotency from syncline_reader;
create index idempotency_expired on app.idempotency (tenant_id, expires_at);

-- Limits ------------------------------------------------------------------------------------------

-- What a tenant may use. Null is no limit; a tenant without a row has the defaults of `app.count_request`.
-- The application reads them: they are set by whoever runs the installation.
create table app.tenant_limits (
  tenant_id                    uuid not null,
  -- Of the whole tenant, and of each key or session.
  requests_per_minute          integer default 60000,
  requests_per_minute_per_key  integer default 12000,
  -- Calls to CRMs over all connections, by the day in UTC.
  crm_calls_per_day            bigint,
  -- Companies, contacts, deals, activities and tasks, archived ones too.
  stored_records               bigint,
  changed_at                   timestamptz not null,
  constraint tenant_limits_pkey primary key (tenant_id),
  constraint tenant_limits_tenant foreign key (tenant_id) references app.tenants (tenant_id),
  constraint tenant_limits_positive check (least(requests_per_minute, requests_per_minute_per_key,
    crm_calls_per_day, stored_records) > 0)
);
select app.distribute('app.tenant_limits');
select app.protect('app.tenant_limits', false);
grant select on app.tenant_limits to syncline_app;

-- Requests of this minute, by tenant and by key or session: gone after a crash, which does no harm, and
-- written without the log of what was written. On one node, like the quotas of CRM accounts.
create unlogged table app.request_counts (
  subject     uuid not null,
  minute      timestamptz not null,
  requests    integer not null,
  constraint request_counts_pkey primary key (subject)
) with (fillfactor = 50);

-- Counts a request, and says by which limit it is one too many; then it is counted nowhere. Exact over any
-- number of processes: the two rows are locked in one order, caller before tenant.
create function app.count_request(
  tenant uuid, caller uuid,
  out refused_by text, out most integer, out used integer, out wait_seconds double precision)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  at timestamptz := clock_timestamp();
  this_minute timestamptz := date_trunc('minute', at);
  of_tenant integer := 60000;
  of_caller integer := 12000;
  by_caller integer;
  by_tenant integer;
begin
  select l.requests_per_minute, l.requests_per_minute_per_key into of_tenant, of_caller
  from app.tenant_limits l where l.tenant_id = tenant;
  if not found then
    of_tenant := 60000;
    of_caller := 12000;
  end if;
  insert into app.request_counts as c (subject, minute, requests) values (caller, this_minute, 1)
  on conflict on constraint request_counts_pkey do update
    set requests = case when c.minute >= excluded.minute then c.requests + 1 else 1 end,
        minute = greatest(c.minute, excluded.minute)
  returning c.requests into by_caller;
  insert into app.request_counts as c (subject, minute, requests) values (tenant, this_minute, 1)
  on conflict on constraint request_counts_pkey do update
    set requests = case when c.minute >= excluded.minute then c.requests + 1 else 1 end,
        minute = greatest(c.minute, excluded.minute)
  returning c.requests into by_tenant;
  wait_seconds := extract(epoch from this_minute + interval '1 minute' - at);
  if by_caller > of_caller then
    refused_by := 'requests_per_minute_per_key'; most := of_caller; used := of_caller;
  elsif by_tenant > of_tenant then
    refused_by := 'requests_per_minute'; most := of_tenant; used := of_tenant;
  else
    most := of_caller; used := by_caller;
    return;
  end if;
  update app.request_counts c set requests = c.requests - 1 where c.subject = caller;
  update app.request_counts c set requests = c.requests - 1 where c.subject = tenant;
end $$;
revoke all on function app.count_request(uuid, uuid) from public;
grant execute on function app.count_request(uuid, uuid) to syncline_app;

-- How many requests somebody has made in this minute.
create function app.read_request_count(of_subject uuid) returns integer
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((select c.requests from app.request_counts c
                   where c.subject = of_subject and c.minute = date_trunc('minute', now())), 0);
end;
revoke all on function app.read_request_count(uuid) from public;
grant execute on function app.read_request_count(uuid) to syncline_app;

-- Calls to CRMs on behalf of a tenant, by the day in UTC. Accounts have quotas of their own.
create table app.tenant_calls (
  tenant_id  uuid not null,
  day        date not null,
  calls      bigint not null,
  constraint tenant_calls_pkey primary key (tenant_id, day),
  constraint tenant_calls_tenant foreign key (tenant_id) references app.tenants (tenant_id)
) with (fillfactor = 50);
select app.distribute('app.tenant_calls');
select app.protect('app.tenant_calls');

-- Outgoing webhooks -------------------------------------------------------------------------------

create table sync.subscriptions (
  tenant_id      uuid not null,
  id             uuid not null,
  name           text not null,
  url            text not null,
  -- Sealed; what deliveries are signed with.
  secret         bytea not null,
  -- 'record.updated', 'run.ended', …; none means all.
  events         text[] not null default '{}',
  -- 'contact', …; none means all. Events that are about no record are sent all the same.
  record_types   text[] not null default '{}',
  status         text not null default 'active',
  -- When it was made, or resumed: what happened before is not told.
  told_since     timestamptz not null,
  created_by     text not null,
  created_at     timestamptz not null,
  updated_at     timestamptz not null,
  constraint subscriptions_pkey primary key (tenant_id, id),
  constraint subscriptions_name_taken unique (tenant_id, name),
  constraint subscriptions_tenant foreign key (tenant_id) references app.tenants (tenant_id),
  constraint subscriptions_status check (status in ('active', 'paused'))
);
select app.distribute('sync.subscriptions');
select app.protect('sync.subscriptions');
revoke select on sync.subscriptions from syncline_reader;
grant select (tenant_id, id, name, url, events, record_types, status, created_by, created_at, updated_at)
  on sync.subscriptions to syncline_reader;

-- One event for one subscriber. What is sent is read from the change log when it is sent, so that nothing of
-- a person stays here; `body` is for events that are about no record.
create table sync.deliveries (
  tenant_id        uuid not null,
  id               uuid not null,
  subscription_id  uuid not null,
  event            text not null,
  event_id         uuid not null,
  -- When it happened: the change log's time. Deliveries of one record go in this order.
  happened_at      timestamptz not null,
  record_type      text,
  record_id        uuid,
  body             jsonb,
  state            text not null default 'pending',
  attempts         integer not null default 0,
  not_before       timestamptz not null,
  -- While it is being sent: when another may take it over.
  claimed_until    timestamptz,
  -- The latest attempts, each {at, status, ms, error}.
  tries            jsonb not null default '[]',
  reason           text,
  created_at       timestamptz not null,
  ended_at         timestamptz,
  constraint deliveries_pkey primary key (tenant_id, id),
  constraint deliveries_once unique (tenant_id, subscription_id, event, event_id),
  constraint deliveries_subscription foreign key (tenant_id, subscription_id)
    references sync.subscriptions (tenant_id, id) on delete cascade,
  constraint deliveries_state check (state in ('pending', 'delivered', 'dead')),
  constraint deliveries_ended_or_not check ((state = 'pending') = (ended_at is null)),
  constraint deliveries_dead_has_reason check (state <> 'dead' or reason is not null)
);
select app.distribute('sync.deliveries');
select app.protect('sync.deliveries');
create index deliveries_due on sync.deliveries (tenant_id, not_before) where state = 'pending';
create index deliveries_order on sync.deliveries (tenant_id, subscription_id, record_id, happened_at, id)
  where state = 'pending';
create index deliveries_latest on sync.deliveries (tenant_id, subscription_id, created_at desc, id desc);
create index deliveries_ended on sync.deliveries (tenant_id, ended_at) where state <> 'pending';

-- How far the change log has been looked through for subscribers.
create table sync.outgoing_places (
  tenant_id  uuid not null,
  looked_at  timestamptz not null,
  -- Transactions that were under way then → since when at the earliest, in seconds since 1970: what they
  -- commit later has an earlier time than `looked_at`.
  under_way  jsonb not null default '{}',
  constraint outgoing_places_pkey primary key (tenant_id),
  constraint outgoing_places_tenant foreign key (tenant_id) references app.tenants (tenant_id)
);
select app.distribute('sync.outgoing_places');
select app.protect('sync.outgoing_places');

-- Tenants who have told anybody to be told. The worker serves them one by one, each under its own policy.
create function sync.outgoing_tenants() returns setof uuid
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select distinct s.tenant_id
  from sync.subscriptions s
  join app.tenants t on t.tenant_id = s.tenant_id
  where s.status = 'active' and t.status = 'active';
end;
revoke all on function sync.outgoing_tenants() from public;
grant execute on function sync.outgoing_tenants() to syncline_app;

-- Saved views -------------------------------------------------------------------------------------

-- Filters, columns and order of a table that somebody wants to come back to.
create table app.saved_views (
  tenant_id   uuid not null,
  id          uuid not null,
  -- Null for one that everybody of the tenant sees. No foreign key: users belong to no tenant.
  user_id     uuid,
  page        text not null,
  name        text not null,
  query       jsonb not null,
  created_by  text not null,
  created_at  timestamptz not null,
  updated_at  timestamptz not null,
  constraint saved_views_pkey primary key (tenant_id, id),
  constraint saved_views_tenant foreign key (tenant_id) references app.tenants (tenant_id),
  constraint saved_views_name_is_there check (btrim(name) <> '')
);
select app.distribute('app.saved_views');
select app.protect('app.saved_views');
create index saved_views_of_page on app.saved_views (tenant_id, page, name);
