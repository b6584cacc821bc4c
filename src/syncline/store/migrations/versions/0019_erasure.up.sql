-- Erasure, retention and their receipts.

-- Finding and removing what speaks of a person -------------------------------------------------------

-- Whether a text holds one of `needles` (lower case), as `patterns` say it stands there: first the quick look.
create function app.mentions(told text, needles text[], patterns text[]) returns boolean
language plpgsql immutable parallel safe as $$
declare
  small text := lower(told);
begin
  for i in 1..cardinality(needles) loop
    if strpos(small, needles[i]) > 0 and told ~* patterns[i] then
      return true;
    end if;
  end loop;
  return false;
end $$;

create function app.redact_text(told text, patterns text[]) returns text
language plpgsql immutable parallel safe as $$
declare
  pattern text;
begin
  foreach pattern in array patterns loop
    told := regexp_replace(told, pattern, '[erased]', 'gi');
  end loop;
  return told;
end $$;

-- The same document without what `patterns` find in its texts; a number that is one becomes null.
create function app.redact_json(told jsonb, patterns text[]) returns jsonb
language plpgsql immutable parallel safe as $$
begin
  return case jsonb_typeof(told)
    when 'string' then to_jsonb(app.redact_text(told #>> '{}', patterns))
    when 'number' then case when app.redact_text(told::text, patterns) = told::text then told else 'null' end
    when 'array' then coalesce((
      select jsonb_agg(app.redact_json(e.value, patterns) order by e.place)
      from jsonb_array_elements(told) with ordinality e (value, place)), '[]')
    when 'object' then coalesce((
      select jsonb_object_agg(app.redact_text(e.key, patterns), app.redact_json(e.value, patterns))
      from jsonb_each(told) e), '{}')
    else told end;
end $$;

-- The change log's values, blanked: which fields were changed stays.
create function app.blank_changes(changes jsonb) returns jsonb
language sql immutable parallel safe
return coalesce((select jsonb_object_agg(c.key, '[null, null]'::jsonb) from jsonb_each(changes) c), '{}');

revoke all on function app.mentions(text, text[], text[]), app.redact_text(text, text[]),
  app.redact_json(jsonb, text[]), app.blank_changes(jsonb) from public;
grant execute on function app.mentions(text, text[], text[]), app.redact_text(text, text[]),
  app.redact_json(jsonb, text[]), app.blank_changes(jsonb) to syncline_app;

-- Erasures -----------------------------------------------------------------------------------------

-- One row for each person who was erased, and the receipt of it: nothing in it says who that was, but for
-- `subject`, which is sealed, and goes as soon as nothing is left here.
create table sync.erasures (
  tenant_id     uuid not null,
  id            uuid not null,
  requested_at  timestamptz not null,
  requested_by  text not null,
  -- The door: 'cli', 'api', 'web', or 'webhook' for what a CRM told.
  source        text not null,
  state         text not null default 'removing',
  subject       bytea,
  -- Keyed hashes of the person's identifiers, as `kind:hex`.
  proof         text[] not null,
  -- {table: rows that were removed, blanked or redacted}.
  removed       jsonb not null default '{}',
  attempts      integer not null default 0,
  not_before    timestamptz not null,
  -- Why it waits.
  problem       text,
  removed_at    timestamptz,
  completed_at  timestamptz,
  -- When the person's data was let in again, and by whom.
  lifted_at     timestamptz,
  lifted_by     text,
  constraint erasures_pkey primary key (tenant_id, id),
  constraint erasures_state check (state in ('removing', 'sending', 'done')),
  constraint erasures_subject check ((state = 'removing') = (subject is not null)),
  constraint erasures_removed check ((state = 'removing') = (removed_at is null)),
  constraint erasures_completed check ((state = 'done') = (completed_at is not null))
);
select app.distribute('sync.erasures');
select app.protect('sync.erasures');
revoke select on sync.erasures from syncline_reader;
create index erasures_open on sync.erasures (not_before) where state <> 'done';
create index erasures_latest on sync.erasures (tenant_id, requested_at desc, id desc);

-- What is asked of each CRM, from before the call on. No foreign key to the connection: it may be ended, and
-- the receipt says so.
create table sync.remote_erasures (
  tenant_id      uuid not null,
  id             uuid not null,
  erasure_id     uuid not null,
  connection_id  uuid not null,
  connection     text not null,
  platform       text not null,
  object         text not null,
  -- Null once it is gone there.
  remote_id      text,
  state          text not null,
  reason         text,
  -- What the CRM keeps all the same, in words.
  left_behind    text,
  attempts       integer not null default 0,
  not_before     timestamptz not null,
  answered_at    timestamptz,
  constraint remote_erasures_pkey primary key (tenant_id, id),
  constraint remote_erasures_erasure foreign key (tenant_id, erasure_id)
    references sync.erasures (tenant_id, id) on delete cascade,
  constraint remote_erasures_state check (state in ('review', 'wanted', 'done', 'refused', 'kept')),
  constraint remote_erasures_gone check ((state = 'done') = (remote_id is null))
);
select app.distribute('sync.remote_erasures');
select app.protect('sync.remote_erasures');
revoke select on sync.remote_erasures from syncline_reader;
create index remote_erasures_of_erasure on sync.remote_erasures (tenant_id, erasure_id);

-- The key that identifiers are hashed with, one for each tenant, sealed with the installation's.
create table sync.erasure_keys (
  tenant_id  uuid not null,
  sealed     bytea not null,
  made_at    timestamptz not null,
  constraint erasure_keys_pkey primary key (tenant_id)
);
select app.distribute('sync.erasure_keys');
select app.protect('sync.erasure_keys');
revoke select on sync.erasure_keys from syncline_reader;

-- Identifiers that must not come back, hashed.
create table sync.erased_identities (
  tenant_id        uuid not null,
  kind             text not null,
  hash             bytea not null,
  erasure_id       uuid not null,
  erased_at        timestamptz not null,
  -- When it was last kept out, and what had brought it.
  seen_at          timestamptz,
  seen_connection  uuid,
  constraint erased_identities_pkey primary key (tenant_id, kind, hash),
  constraint erased_identities_kind check (kind in ('email', 'phone', 'remote')),
  constraint erased_identities_erasure foreign key (tenant_id, erasure_id)
    references sync.erasures (tenant_id, id) on delete cascade
);
select app.distribute('sync.erased_identities');
select app.protect('sync.erased_identities');
revoke select on sync.erased_identities from syncline_reader;
create index erased_identities_of_erasure on sync.erased_identities (tenant_id, erasure_id);

-- Whoever writes what a CRM said asks this first, in the same transaction: nobody who began before an erasure
-- was asked for commits after it was carried out, for that waits for all of them (see close_gate). Returns the
-- key that identifiers are hashed with, and null where nobody has been erased. Each statement of a volatile
-- function has its own snapshot, so that the second sees what was committed while the first waited.
create function sync.pass_gate(tenant uuid) returns bytea
language plpgsql volatile as $$
begin
  perform pg_advisory_xact_lock_shared(7263019, hashtext(tenant::text));
  return (select k.sealed from sync.erasure_keys k
          where k.tenant_id = tenant
            and exists (select from sync.erased_identities i where i.tenant_id = tenant));
end $$;

-- Returns once everybody has ended who had passed the gate before.
create function sync.close_gate(tenant uuid) returns void
language sql volatile
return pg_advisory_xact_lock(7263019, hashtext(tenant::text));
revoke all on function sync.pass_gate(uuid), sync.close_gate(uuid) from public;
grant execute on function sync.pass_gate(uuid), sync.close_gate(uuid) to syncline_app;

-- Erasures that are to be gone on with, over all tenants: the worker serves them all.
create function sync.open_erasures(at timestamptz) returns table (tenant_id uuid, erasure_id uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select e.tenant_id, e.id from sync.erasures e
  where e.state <> 'done' and e.not_before <= at
  order by e.not_before;
end;
revoke all on function sync.open_erasures(timestamptz) from public;
grant execute on function sync.open_erasures(timestamptz) to syncline_app;

-- Retention ----------------------------------------------------------------------------------------

-- How long a tenant keeps what; without a row the default holds, null is for ever.
create table app.retention (
  tenant_id  uuid not null,
  subject    text not null,
  keep_days  integer,
  set_at     timestamptz not null,
  set_by     text not null,
  constraint retention_pkey primary key (tenant_id, subject),
  constraint retention_keep_days check (keep_days >= 1),
  constraint retention_tenant foreign key (tenant_id) references app.tenants (tenant_id)
);
select app.distribute('app.retention');
select app.protect('app.retention');

-- One row for each night and tenant: whoever puts it there does the work.
create table app.retention_runs (
  tenant_id   uuid not null,
  night       date not null,
  started_at  timestamptz not null,
  ended_at    timestamptz,
  -- {subject: rows removed}.
  removed     jsonb not null default '{}',
  -- What could not be done, in words.
  problem     text,
  constraint retention_runs_pkey primary key (tenant_id, night),
  constraint retention_runs_tenant foreign key (tenant_id) references app.tenants (tenant_id)
);
select app.distribute('app.retention_runs');
select app.protect('app.retention_runs');
