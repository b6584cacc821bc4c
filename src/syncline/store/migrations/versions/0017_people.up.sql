-- People who sign in, their roles, sessions and keys, and who did what.

-- Users belong to no tenant: somebody may work for several, with a role in each. These tables stay on one
-- node; nothing that is spread by tenant refers to them by a foreign key.
create table app.users (
  id                   uuid not null,
  email                text not null,
  email_norm           text not null generated always as (lower(btrim(email))) stored,
  full_name            text not null,
  phone                text,
  slack_user_id        text,
  -- argon2id; null for somebody who has none yet, or signs in elsewhere.
  password_hash        text,
  password_changed_at  timestamptz,
  is_active            boolean not null default true,
  -- May make tenants, suspend them and let them go on: whoever runs the installation.
  is_operator          boolean not null default false,
  created_at           timestamptz not null,
  updated_at           timestamptz not null,
  last_login_at        timestamptz,
  constraint users_pkey primary key (id),
  constraint users_email unique (email_norm),
  constraint users_full_name_is_there check (btrim(full_name) <> '')
);
grant select, insert, update on app.users to syncline_app;

create table app.memberships (
  tenant_id         uuid not null,
  user_id           uuid not null,
  role              text not null,
  is_active         boolean not null default true,
  -- Whose records are "own", beside those of owners with the same address. No foreign key: an owner who is
  -- taken away must not take the membership along, nor be kept by it.
  owner_id          uuid,
  max_active_leads  integer not null default 20,
  notify_email      boolean not null default true,
  notify_slack      boolean not null default true,
  notify_sms        boolean not null default false,
  created_at        timestamptz not null,
  updated_at        timestamptz not null,
  constraint memberships_pkey primary key (tenant_id, user_id),
  constraint memberships_tenant foreign key (tenant_id) references app.tenants (tenant_id),
  constraint memberships_role check (role in ('rep', 'manager', 'admin')),
  constraint memberships_max_active_leads check (max_active_leads >= 0)
);
select app.distribute('app.memberships');
select app.protect('app.memberships');
-- In which tenants somebody is, asked once per request.
create index memberships_of_user on app.memberships (user_id, tenant_id);

-- Analysts see who works for their tenant, and of nobody the password.
grant select (id, email, email_norm, full_name, phone, slack_user_id, is_active, created_at, updated_at,
              last_login_at) on app.users to syncline_reader;
alter table app.users enable row level security;
create policy application on app.users to syncline_app using (true) with check (true);
create policy colleagues on app.users for select to syncline_reader
  using (id in (select m.user_id from app.memberships m where m.tenant_id =
    (select nullif(current_setting('app.current_tenant_id', true), '')::uuid)));

create table app.sessions (
  -- SHA-256 of what the browser holds.
  token_hash         bytea not null,
  user_id            uuid not null,
  -- The tenant that is looked at; it is another one after a switch.
  current_tenant_id  uuid not null,
  created_at         timestamptz not null,
  seen_at            timestamptz not null,
  address            text,
  user_agent         text,
  constraint sessions_pkey primary key (token_hash),
  constraint sessions_user foreign key (user_id) references app.users (id) on delete cascade
);
grant select, insert, update, delete on app.sessions to syncline_app;
create index sessions_of_user on app.sessions (user_id);
create index sessions_seen on app.sessions (seen_at);

-- Attempts that count against whoever guesses, until they succeed or are too long ago.
create table app.attempts (
  id       uuid not null,
  purpose  text not null,
  -- SHA-256 of the account as it was given: people type passwords into the wrong field.
  account  bytea not null,
  address  text not null,
  tried_at timestamptz not null,
  -- Null while it is being looked at.
  failed_at timestamptz,
  constraint attempts_pkey primary key (id),
  constraint attempts_purpose check (purpose in ('sign_in', 'reset'))
);
grant select, insert, delete on app.attempts to syncline_app;
grant update (failed_at) on app.attempts to syncline_app;
create index attempts_of_account on app.attempts (purpose, account, address, tried_at);
create index attempts_of_address on app.attempts (purpose, address, tried_at);
create index attempts_tried on app.attempts (tried_at);

-- Links by which somebody sets a password, once.
create table app.password_links (
  token_hash  bytea not null,
  user_id     uuid not null,
  created_at  timestamptz not null,
  expires_at  timestamptz not null,
  used_at     timestamptz,
  constraint password_links_pkey primary key (token_hash),
  constraint password_links_user foreign key (user_id) references app.users (id) on delete cascade
);
grant select, insert, update, delete on app.password_links to syncline_app;
create index password_links_of_user on app.password_links (user_id);

create table app.invitations (
  tenant_id    uuid not null,
  id           uuid not null,
  email        text not null,
  email_norm   text not null generated always as (lower(btrim(email))) stored,
  role         text not null,
  token_hash   bytea not null,
  -- Who invited, as the audit names them.
  invited_by   text not null,
  created_at   timestamptz not null,
  sent_at      timestamptz,
  expires_at   timestamptz not null,
  accepted_at  timestamptz,
  revoked_at   timestamptz,
  constraint invitations_pkey primary key (tenant_id, id),
  constraint invitations_token unique (tenant_id, token_hash),
  constraint invitations_tenant foreign key (tenant_id) references app.tenants (tenant_id),
  constraint invitations_role check (role in ('rep', 'manager', 'admin'))
);
select app.distribute('app.invitations');
select app.protect('app.invitations');
revoke select on app.invitations from syncline_reader;
-- One open invitation for each address.
create unique index invitations_open on app.invitations (tenant_id, email_norm)
  where accepted_at is null and revoked_at is null;

create table app.api_keys (
  tenant_id     uuid not null,
  id            uuid not null,
  name          text not null,
  -- How the key begins, so that it can be told from others.
  prefix        text not null,
  -- SHA-256 of the whole key; its secret has 32 random bytes, so nothing slower is needed.
  secret_hash   bytea not null,
  role          text not null,
  -- Null for everything that the role may.
  scopes        text[],
  -- Who made it, where that is a user: the key is then never good for more than they are themselves.
  user_id       uuid,
  created_by    text not null,
  created_at    timestamptz not null,
  expires_at    timestamptz,
  revoked_at    timestamptz,
  last_used_at  timestamptz,
  last_address  text,
  constraint api_keys_pkey primary key (tenant_id, id),
  constraint api_keys_secret unique (tenant_id, secret_hash),
  constraint api_keys_tenant foreign key (tenant_id) references app.tenants (tenant_id),
  constraint api_keys_role check (role in ('rep', 'manager', 'admin'))
);
select app.distribute('app.api_keys');
select app.protect('app.api_keys');
revoke select on app.api_keys from syncline_reader;
create unique index api_keys_name on app.api_keys (tenant_id, name) where revoked_at is null;

-- Who did what, from where. Append-only for the application; no foreign key, so that it outlives everybody.
create table app.audit_log (
  tenant_id  uuid not null,
  id         uuid not null,
  at         timestamptz not null,
  actor      text not null,
  user_id    uuid,
  key_id     uuid,
  -- The door: 'web', 'api', 'cli', …
  source     text not null,
  address    text,
  -- What was done to what: 'key.created', 'person.role_changed', …
  action     text not null,
  subject    text,
  -- Neither secrets nor values of records.
  details    jsonb not null default '{}',
  constraint audit_log_pkey primary key (tenant_id, id)
);
select app.distribute('app.audit_log');
select app.protect('app.audit_log', false);
grant select, insert on app.audit_log to syncline_app;
revoke select on app.audit_log from syncline_reader;
create index audit_log_latest on app.audit_log (tenant_id, at desc, id desc);
create index audit_log_of_actor on app.audit_log (tenant_id, actor, at desc);
create index audit_log_of_action on app.audit_log (tenant_id, action, at desc);
create index audit_log_of_subject on app.audit_log (tenant_id, subject, at desc) where subject is not null;

-- Signing in comes before any tenant is known: where somebody is at home, and with which owners' records.
create function app.memberships_of(person uuid)
returns table (tenant_id uuid, slug text, label text, tenant_status text, time_zone text, role text,
               is_active boolean, owner_ids uuid[])
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select t.tenant_id, t.slug, t.label, t.status, t.time_zone, m.role, m.is_active,
    array(select o.id from crm.owners o
          where o.tenant_id = m.tenant_id and (o.id = m.owner_id or o.email_norm = u.email_norm)
          order by o.id)
  from app.memberships m
  join app.tenants t on t.tenant_id = m.tenant_id
  join app.users u on u.id = m.user_id
  where m.user_id = person
  order by t.label, t.slug;
end;

-- The policy of app.tenants lets a tenant's row be changed by whoever acts for it, and none be added.
create function app.add_tenant(added uuid, called text, named text, zone text, money text, region text,
                               at timestamptz) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  insert into app.tenants (tenant_id, slug, label, time_zone, currency, default_region, created_at)
  values (added, called, named, zone, money, region, at);
end;

-- What was tried with an account before anybody was proven is told to each of its tenants. For an address
-- that nobody has, the same statement writes nothing.
create function app.note_for_account(account text, action text, door text, address text, at timestamptz) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  insert into app.audit_log (tenant_id, id, at, actor, user_id, source, address, action)
  select m.tenant_id, gen_random_uuid(), note_for_account.at, u.email, u.id, door, note_for_account.address,
    note_for_account.action
  from app.users u
  join app.memberships m on m.user_id = u.id
  where u.email_norm = note_for_account.account
  on conflict (tenant_id, id) do nothing;
end;

revoke all on function app.memberships_of(uuid),
  app.add_tenant(uuid, text, text, text, text, text, timestamptz),
  app.note_for_account(text, text, text, text, timestamptz) from public;
grant execute on function app.memberships_of(uuid),
  app.add_tenant(uuid, text, text, text, text, text, timestamptz),
  app.note_for_account(text, text, text, text, timestamptz) to syncline_app;

-- The counts are of leads, which are not kept yet.
create view compat.users with (security_invoker = true) as
select u.id, u.full_name, u.email, u.phone, m.role, u.is_active and m.is_active as is_active,
  m.max_active_leads, 0 as current_lead_count, 0 as total_leads_assigned, 0 as total_leads_contacted,
  0 as total_leads_qualified, null::integer as avg_response_time_minutes, u.slack_user_id, m.notify_email,
  m.notify_slack, m.notify_sms, u.created_at, greatest(u.updated_at, m.updated_at) as updated_at,
  u.last_login_at
from app.memberships m
join app.users u on u.id = m.user_id;
grant select on compat.users to syncline_app, syncline_reader;
