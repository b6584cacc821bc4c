-- What CRMs tell of their own accord, as it came, and the mere fact of what was refused.

create table sync.inbox (
  tenant_id      uuid not null,
  id             uuid not null,
  connection_id  uuid not null,
  received_at    timestamptz not null,
  -- As received. Null once it has been worked off: what it was about is in the records by then, and nothing
  -- of a person must lie here for longer than it is needed.
  body           text,
  events         integer not null,
  state          text not null default 'pending',
  attempts       integer not null default 0,
  last_error     text,
  -- Not worked off before: events that follow on each other are worked off together.
  not_before     timestamptz not null,
  ended_at       timestamptz,
  constraint inbox_pkey primary key (tenant_id, id),
  constraint inbox_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade,
  constraint inbox_state check (state in ('pending', 'done', 'failed')),
  constraint inbox_ended_or_not check ((state = 'pending') = (ended_at is null)),
  constraint inbox_pending_has_body check (state <> 'pending' or body is not null)
);
select app.distribute('sync.inbox');
select app.protect('sync.inbox');
create index inbox_pending on sync.inbox (tenant_id, connection_id, not_before) where state = 'pending';
-- Rows change once and go a week later; without this their room would come back late.
alter table sync.inbox set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);

-- Bodies are personal data in transit; analysts need none of them.
revoke select on sync.inbox from syncline_reader;
grant select (tenant_id, id, connection_id, received_at, events, state, attempts, last_error, not_before,
              ended_at)
  on sync.inbox to syncline_reader;

-- Deliveries that were refused: whose they are is mostly not known, so they are the installation's. One row
-- stands for all of one kind within a moment, and the oldest go: nobody can fill the disk by knocking.
create table sync.refused_webhooks (
  id             uuid not null,
  platform       text not null,
  -- Null where the delivery led to none, or to several.
  connection_id  uuid,
  -- Which check failed, in words; nothing of the delivery itself.
  reason         text not null,
  -- Where it came from, cut to its network; empty where many are counted together.
  network        text not null,
  first_at       timestamptz not null,
  last_at        timestamptz not null,
  count          bigint not null,
  constraint refused_webhooks_pkey primary key (id)
);
grant select, insert, update, delete on sync.refused_webhooks to syncline_app;

-- Which connections a delivery may be for. The API serves all tenants, and a delivery names an account or a
-- connection; whose it is, is proven by its signature afterwards.
create index connections_of_account on sync.connections (platform, account_id);

create function sync.find_receivers(kind text, account text, called text, of_tenant text)
returns table (tenant_id uuid, connection_id uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select c.tenant_id, c.id
  from sync.connections c
  join app.tenants t on t.tenant_id = c.tenant_id
  where c.platform = kind and t.status = 'active'
    and case when called is null then c.account_id = account
             else (c.name = called or c.id::text = called) and (of_tenant is null or t.slug = of_tenant) end
  order by c.tenant_id, c.id
  limit 50;
end;
revoke all on function sync.find_receivers(text, text, text, text) from public;
grant execute on function sync.find_receivers(text, text, text, text) to syncline_app;

-- Connections with deliveries to be worked off, over all tenants, and in how many seconds the first is due.
-- A paused connection keeps its inbox until somebody has acted.
create function sync.waiting_inboxes()
returns table (tenant_id uuid, connection_id uuid, due_in_seconds double precision)
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select c.tenant_id, c.id, extract(epoch from f.not_before - now())::double precision
  from sync.connections c
  join app.tenants t on t.tenant_id = c.tenant_id
  cross join lateral (
    select i.not_before from sync.inbox i
    where i.tenant_id = c.tenant_id and i.connection_id = c.id and i.state = 'pending'
    order by i.not_before limit 1) f
  where c.status = 'active' and t.status = 'active'
  order by f.not_before;
end;
revoke all on function sync.waiting_inboxes() from public;
grant execute on function sync.waiting_inboxes() to syncline_app;
