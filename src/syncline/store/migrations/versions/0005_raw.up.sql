-- What the CRMs said: one table per platform and object. Typed columns are generated from the payload,
-- so that a column can never disagree with it. The functions they use give NULL for what they cannot
-- read: no payload can stop a set-based statement.

-- Text that an index can hold: a btree entry has room for about 2,700 bytes.
create function raw.to_text(value text) returns text
language sql immutable parallel safe
return case when octet_length(value) <= 1000 then value end;

create function raw.to_number(value text) returns numeric
language sql immutable parallel safe
return case when value ~ '^\s*[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,2})?\s*$'
            then value::numeric end;

create function raw.to_bool(value text) returns boolean
language sql immutable parallel safe
return case lower(value) when 'true' then true when 't' then true when 'yes' then true when '1' then true
                         when 'false' then false when 'f' then false when 'no' then false when '0' then false end;

-- Reads ISO 8601 with a zone, a bare date (midnight UTC) and milliseconds since 1970.
-- Days above 28 and odd forms take the careful path, since a handler costs about 2 µs a value.
-- Not parallel safe: before Postgres 17 a handler cannot be entered during a parallel query.
create function raw.to_time(value text) returns timestamptz
language plpgsql immutable as $$
declare
  moment timestamptz;
begin
  if value is null then
    return null;
  end if;
  if value ~ '^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?Z$' then
    return value::timestamptz;
  end if;
  if value ~ '^(-[0-9]{10,13}|[0-9]{10,14})$' then
    return 'epoch'::timestamptz + value::bigint * interval '1 millisecond';
  end if;
  if value !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' then
    return null;
  end if;
  begin
    if value ~ '^[0-9-]{10}$' then
      return (value || 'T00:00:00Z')::timestamptz;
    elsif value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,15}(Z|[+-][0-9]{2}(:?[0-9]{2})?)$' then
      moment := value::timestamptz;
      -- A zone may carry it out of the calendar that most programs have: years 1 to 9999.
      if moment >= '0001-01-01 00:00:00+00' and moment < '10000-01-01 00:00:00+00' then
        return moment;
      end if;
    end if;
    return null;
  exception when data_exception then
    return null;
  end;
end $$;

revoke all on all functions in schema raw from public;
grant execute on all functions in schema raw to syncline_app, syncline_reader;

-- Makes raw.<platform>_<object> with the frame every such table has. For migrations.
create function raw.create_table(platform text, object text, columns text default '') returns text
language plpgsql as $$
declare
  name text := platform || '_' || object;
begin
  if name !~ '^[a-z][a-z0-9_]{1,50}$' then
    raise exception 'not a name for a table: %', name using errcode = 'invalid_name';
  end if;
  execute format($frame$
    create table raw.%1$I (
      tenant_id          uuid not null,
      connection_id      uuid not null,
      remote_id          text not null,
      raw                jsonb not null,
      -- Of the whole payload: decides whether this row is rewritten.
      payload_hash       bytea not null,
      -- Of the mapped properties: decides whether anything is merged or logged.
      mapped_hash        bytea,
      remote_updated_at  timestamptz,
      -- When the call that read it began: at equal remote time the later request wins.
      requested_at       timestamptz not null,
      archived_at        timestamptz,
      -- 'archived' at the CRM, 'merged' into another record, or 'missing': neither listed nor archived there.
      archived_reason    text,
      merged_into        text,
      synced_at          timestamptz not null,
      %2$s
      constraint %3$I primary key (tenant_id, connection_id, remote_id),
      constraint %4$I foreign key (tenant_id, connection_id)
        references sync.connections (tenant_id, id) on delete cascade,
      constraint %5$I check (archived_reason in ('archived', 'merged', 'missing')),
      constraint %6$I check ((archived_at is null) = (archived_reason is null))
    )$frame$, name, columns, name || '_pkey', name || '_connection', name || '_archived_reason',
    name || '_archived_has_reason');
  -- Kept as it comes: compressing costs more time than the room is worth.
  execute format('alter table raw.%I alter column raw set storage external', name);
  perform app.distribute('raw.' || name);
  perform app.protect(format('raw.%I', name)::regclass);
  return name;
end $$;
revoke all on function raw.create_table(text, text, text) from public;

-- For the application: a table for a custom object, of the same frame. Safe to call again.
create function raw.add_object(platform text, object text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform pg_advisory_xact_lock(7263002);
  if to_regclass(format('raw.%I', platform || '_' || object)) is not null then
    return platform || '_' || object;
  end if;
  return raw.create_table(platform, object);
end $$;
revoke all on function raw.add_object(text, text) from public;
grant execute on function raw.add_object(text, text) to syncline_app;


select raw.create_table('hubspot', 'contacts', $columns$
  email                text generated always as (raw.to_text(raw -> 'properties' ->> 'email')) stored,
  phone                text generated always as (raw.to_text(raw -> 'properties' ->> 'phone')) stored,
  firstname            text generated always as (raw.to_text(raw -> 'properties' ->> 'firstname')) stored,
  lastname             text generated always as (raw.to_text(raw -> 'properties' ->> 'lastname')) stored,
  createdate           timestamptz generated always as (raw.to_time(raw -> 'properties' ->> 'createdate')) stored,
  lifecyclestage       text generated always as (raw.to_text(raw -> 'properties' ->> 'lifecyclestage')) stored,
  hubspot_owner_id     text generated always as (raw.to_text(raw -> 'properties' ->> 'hubspot_owner_id')) stored,
  vsl_watched          boolean generated always as (raw.to_bool(raw -> 'properties' ->> 'vsl_watched')) stored,
  sales_script_version text generated always as (raw.to_text(raw -> 'properties' ->> 'sales_script_version')) stored,
$columns$);
create index hubspot_contacts_email on raw.hubspot_contacts (tenant_id, email);
create index hubspot_contacts_phone on raw.hubspot_contacts (tenant_id, phone);
create index hubspot_contacts_createdate on raw.hubspot_contacts (tenant_id, createdate);

select raw.create_table('hubspot', 'companies', $columns$
  name                 text generated always as (raw.to_text(raw -> 'properties' ->> 'name')) stored,
  domain               text generated always as (raw.to_text(raw -> 'properties' ->> 'domain')) stored,
  phone                text generated always as (raw.to_text(raw -> 'properties' ->> 'phone')) stored,
  industry             text generated always as (raw.to_text(raw -> 'properties' ->> 'industry')) stored,
  lifecyclestage       text generated always as (raw.to_text(raw -> 'properties' ->> 'lifecyclestage')) stored,
  hubspot_owner_id     text generated always as (raw.to_text(raw -> 'properties' ->> 'hubspot_owner_id')) stored,
  createdate           timestamptz generated always as (raw.to_time(raw -> 'properties' ->> 'createdate')) stored,
$columns$);
create index hubspot_companies_domain on raw.hubspot_companies (tenant_id, domain);

select raw.create_table('hubspot', 'deals', $columns$
  dealname             text generated always as (raw.to_text(raw -> 'properties' ->> 'dealname')) stored,
  amount               numeric generated always as (raw.to_number(raw -> 'properties' ->> 'amount')) stored,
  dealstage            text generated always as (raw.to_text(raw -> 'properties' ->> 'dealstage')) stored,
  pipeline             text generated always as (raw.to_text(raw -> 'properties' ->> 'pipeline')) stored,
  createdate           timestamptz generated always as (raw.to_time(raw -> 'properties' ->> 'createdate')) stored,
  closedate            timestamptz generated always as (raw.to_time(raw -> 'properties' ->> 'closedate')) stored,
  hubspot_owner_id     text generated always as (raw.to_text(raw -> 'properties' ->> 'hubspot_owner_id')) stored,
  qualified_status     text generated always as (raw.to_text(raw -> 'properties' ->> 'qualified_status')) stored,
  trial_status         text generated always as (raw.to_text(raw -> 'properties' ->> 'trial_status')) stored,
  payment_status       text generated always as (raw.to_text(raw -> 'properties' ->> 'payment_status')) stored,
  number_of_installments__months numeric generated always as
    (raw.to_number(raw -> 'properties' ->> 'number_of_installments__months')) stored,
  phone_number         text generated always as (raw.to_text(raw -> 'properties' ->> 'phone_number')) stored,
$columns$);
create index hubspot_deals_dealstage on raw.hubspot_deals (tenant_id, dealstage);
create index hubspot_deals_amount on raw.hubspot_deals (tenant_id, amount);
create index hubspot_deals_closedate on raw.hubspot_deals (tenant_id, closedate);
create index hubspot_deals_payment_status on raw.hubspot_deals (tenant_id, payment_status);

select raw.create_table('hubspot', 'calls', $columns$
  call_duration        numeric generated always as (raw.to_number(raw -> 'properties' ->> 'hs_call_duration')) stored,
  call_direction       text generated always as (raw.to_text(raw -> 'properties' ->> 'hs_call_direction')) stored,
  call_to_number       text generated always as (raw.to_text(raw -> 'properties' ->> 'hs_call_to_number')) stored,
  call_from_number     text generated always as (raw.to_text(raw -> 'properties' ->> 'hs_call_from_number')) stored,
  call_timestamp       timestamptz generated always as (raw.to_time(raw -> 'properties' ->> 'hs_timestamp')) stored,
  hubspot_owner_id     text generated always as (raw.to_text(raw -> 'properties' ->> 'hubspot_owner_id')) stored,
$columns$);
create index hubspot_calls_to_number on raw.hubspot_calls (tenant_id, call_to_number);
create index hubspot_calls_timestamp on raw.hubspot_calls (tenant_id, call_timestamp);
create index hubspot_calls_duration on raw.hubspot_calls (tenant_id, call_duration);

select raw.create_table('hubspot', 'meetings', $columns$
  title                text generated always as (raw.to_text(raw -> 'properties' ->> 'hs_meeting_title')) stored,
  starts_at            timestamptz generated always as (raw.to_time(raw -> 'properties' ->> 'hs_meeting_start_time')) stored,
  outcome              text generated always as (raw.to_text(raw -> 'properties' ->> 'hs_meeting_outcome')) stored,
$columns$);

select raw.create_table('hubspot', 'emails', $columns$
  subject              text generated always as (raw.to_text(raw -> 'properties' ->> 'hs_email_subject')) stored,
  direction            text generated always as (raw.to_text(raw -> 'properties' ->> 'hs_email_direction')) stored,
  sent_at              timestamptz generated always as (raw.to_time(raw -> 'properties' ->> 'hs_timestamp')) stored,
$columns$);

select raw.create_table('hubspot', 'notes', $columns$
  noted_at             timestamptz generated always as (raw.to_time(raw -> 'properties' ->> 'hs_timestamp')) stored,
$columns$);

select raw.create_table('hubspot', 'tasks', $columns$
  subject              text generated always as (raw.to_text(raw -> 'properties' ->> 'hs_task_subject')) stored,
  status               text generated always as (raw.to_text(raw -> 'properties' ->> 'hs_task_status')) stored,
  due_at               timestamptz generated always as (raw.to_time(raw -> 'properties' ->> 'hs_timestamp')) stored,
$columns$);

select raw.create_table('hubspot', 'owners', $columns$
  email                text generated always as (raw.to_text(raw ->> 'email')) stored,
  first_name           text generated always as (raw.to_text(raw ->> 'firstName')) stored,
  last_name            text generated always as (raw.to_text(raw ->> 'lastName')) stored,
$columns$);

-- Associations, as rows for joins. Read from the side with fewer records; `raw` holds them too.
create table raw.associations (
  tenant_id      uuid not null,
  connection_id  uuid not null,
  from_object    text not null,
  from_id        text not null,
  to_object      text not null,
  to_id          text not null,
  type_id        bigint not null,
  type           text not null,
  category       text not null,
  label          text,
  synced_at      timestamptz not null,
  constraint associations_pkey primary key
    (tenant_id, connection_id, from_object, to_object, from_id, to_id, type_id),
  constraint associations_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade
);
select app.distribute('raw.associations');
select app.protect('raw.associations');
-- From the other side.
create index associations_reverse on raw.associations
  (tenant_id, connection_id, to_object, from_object, to_id, from_id);

-- Statistics ----------------------------------------------------------------------------------------

-- Looks at the tables that have grown by half since the planner last knew their size, and returns how many
-- those were. A first load fills tables that count as empty until autovacuum comes round a minute later:
-- joining 29,000 contacts to 2,000 calls by phone took 15 s then, and 25 ms after this. Once a few thousand
-- rows are in is enough, for sizes are extrapolated. For the application, which owns no table and so may
-- not ANALYZE; in a transaction of its own. A table that somebody else is looking at is passed over. Sizes
-- and rough shares are what is missing: a sample of 3,000 rows tells them in a tenth of the time that the
-- 30,000 of an ordinary ANALYZE take, which autovacuum does later.
create function app.refresh_statistics(schemas text[] default '{crm,sync,raw}') returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
set default_statistics_target = 10 as $$
declare
  t record;
  done integer := 0;
begin
  for t in
    select c.oid::regclass as name
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = any (schemas) and n.nspname in ('crm', 'sync', 'raw') and c.relkind = 'r'
      and pg_relation_size(c.oid) > greatest(c.relpages, 0) * current_setting('block_size')::bigint * 1.5
    order by c.oid
  loop
    execute format('analyze (skip_locked) %s', t.name);
    done := done + 1;
  end loop;
  return done;
end $$;
revoke all on function app.refresh_statistics(text[]) from public;
grant execute on function app.refresh_statistics(text[]) to syncline_app;
