-- Alert rules, alerts, and where notifications go.

-- Since when staleness is counted, beside the last good run: what was off until now is not late.
alter table sync.connections add column resumed_at timestamptz;
alter table sync.schedules add column changed_at timestamptz;

-- Rules -------------------------------------------------------------------------------------------

-- A tenant's rules as a person wrote them, in YAML. Without a row the shipped ones hold.
create table app.alert_rules (
  tenant_id   uuid not null,
  document    text not null,
  changed_at  timestamptz not null,
  changed_by  text not null,
  constraint alert_rules_pkey primary key (tenant_id),
  constraint alert_rules_tenant foreign key (tenant_id) references app.tenants (tenant_id)
);
select app.distribute('app.alert_rules');
select app.protect('app.alert_rules');

-- When a tenant's rules were last looked at. Whoever looks holds the row: two workers never look at once.
create table sync.alert_looks (
  tenant_id  uuid not null,
  looked_at  timestamptz not null,
  constraint alert_looks_pkey primary key (tenant_id),
  constraint alert_looks_tenant foreign key (tenant_id) references app.tenants (tenant_id)
);
select app.distribute('sync.alert_looks');
select app.protect('sync.alert_looks');

-- Alerts ------------------------------------------------------------------------------------------

-- One row for each time a rule held for one connection and object, or for the tenant as a whole.
create table sync.alerts (
  tenant_id        uuid not null,
  id               uuid not null,
  -- As they were when it began: rules may be changed while an alert is open.
  rule             text not null,
  severity         text not null,
  condition        text not null,
  metric           text not null,
  -- Null for the tenant as a whole. No foreign key: the history outlives a connection.
  connection_id    uuid,
  connection       text,
  -- '' for the connection as a whole.
  object           text not null default '',
  -- 'waiting': the rule holds, but not yet for as long as it says. Nobody is told.
  state            text not null,
  since_at         timestamptz not null,
  opened_at        timestamptz,
  -- Since when the rule does not hold any more, while it may hold again.
  clear_since      timestamptz,
  closed_at        timestamptz,
  -- 'recovered', or 'unwatched': the rule, the connection or the schedule is no more, or is switched off.
  ended_by         text,
  -- When it opened, the worst since, and the last that was seen.
  value            double precision not null,
  worst            double precision not null,
  latest           double precision not null,
  -- Who was told of the opening, and is told of the end: 'role:admin', 'slack:ops', …
  told             text[] not null default '{}',
  acknowledged_at  timestamptz,
  acknowledged_by  text,
  constraint alerts_pkey primary key (tenant_id, id),
  constraint alerts_tenant foreign key (tenant_id) references app.tenants (tenant_id),
  constraint alerts_severity check (severity in ('info', 'warning', 'critical')),
  constraint alerts_state check (state in ('waiting', 'open', 'closed')),
  constraint alerts_ended_by check (ended_by in ('recovered', 'unwatched')),
  constraint alerts_opened_or_not check ((state = 'waiting') = (opened_at is null)),
  constraint alerts_closed_or_not check ((state = 'closed') = (closed_at is not null)),
  constraint alerts_closed_by_something check ((closed_at is null) = (ended_by is null)),
  constraint alerts_acknowledged_by_somebody check ((acknowledged_at is null) = (acknowledged_by is null))
);
select app.distribute('sync.alerts');
select app.protect('sync.alerts');
-- One at a time of each rule and place.
create unique index alerts_one_open on sync.alerts
  (tenant_id, rule, (coalesce(connection_id, '00000000-0000-0000-0000-000000000000'::uuid)), object)
  where state <> 'closed';
create index alerts_latest on sync.alerts (tenant_id, since_at desc, id desc);

-- Where notifications go --------------------------------------------------------------------------

create table app.channels (
  tenant_id   uuid not null,
  id          uuid not null,
  kind        text not null,
  name        text not null,
  -- Sealed: whoever knows the address may write there.
  url         bytea not null,
  -- What is shown of it.
  host        text not null,
  -- Sealed; what is sent to a webhook is signed with it.
  secret      bytea,
  created_by  text not null,
  created_at  timestamptz not null,
  updated_at  timestamptz not null,
  constraint channels_pkey primary key (tenant_id, id),
  constraint channels_name_taken unique (tenant_id, kind, name),
  constraint channels_tenant foreign key (tenant_id) references app.tenants (tenant_id),
  constraint channels_kind check (kind in ('slack', 'webhook')),
  constraint channels_signed_or_not check ((kind = 'webhook') = (secret is not null))
);
select app.distribute('app.channels');
select app.protect('app.channels');
revoke select on app.channels from syncline_reader;
grant select (tenant_id, id, kind, name, host, created_by, created_at, updated_at)
  on app.channels to syncline_reader;

alter table crm.notifications
  -- The alert it is about, where it is about one.
  add column alert_id uuid,
  -- Not delivered before; and, while it is being sent, when another may take it over.
  add column not_before timestamptz not null default now(),
  add column claimed_until timestamptz,
  -- The same thing is told to the same recipient once.
  add column dedupe_key text,
  -- In a channel: the role whose members are called by their names there.
  add column mention text;
create unique index notifications_once on crm.notifications (tenant_id, dedupe_key)
  where dedupe_key is not null;
-- What is due, over all tenants, and what of one alert comes first.
create index notifications_due on crm.notifications (not_before) where status = 'pending';
create index notifications_of_alert on crm.notifications (tenant_id, alert_id) where alert_id is not null;

-- Tenants that have something to be delivered. The worker serves them one by one, each under its own policy.
create function crm.notified_tenants(at timestamptz) returns setof uuid
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select distinct n.tenant_id
  from crm.notifications n
  join app.tenants t on t.tenant_id = n.tenant_id
  where n.status = 'pending' and n.not_before <= notified_tenants.at and t.status = 'active';
end;
revoke all on function crm.notified_tenants(timestamptz) from public;
grant execute on function crm.notified_tenants(timestamptz) to syncline_app;
