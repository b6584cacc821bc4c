-- What tells that something was changed, so that an answer once worked out can be given again; and figures of
-- traffic that nothing kept until now.

-- What was changed ------------------------------------------------------------------------------------

-- How often each table of a tenant was changed: once for each transaction that changed it. Every session of the
-- database counts in a row of its own, so that no writer ever waits for another one. The sum over the rows that
-- a statement sees grows with each commit and with nothing else, whenever the transaction began.
create table sync.generations (
  tenant_id   uuid not null,
  -- The table, with its schema.
  name        text not null,
  -- The session's process; 0 for the sum of those that were folded.
  backend     integer not null,
  changes     bigint not null,
  -- The last transaction that counted here: it tells this database from one that was restored.
  last_xid    bigint not null,
  constraint generations_pkey primary key (tenant_id, name, backend)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
select app.distribute('sync.generations');
select app.protect('sync.generations');

create function app.note_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  tenant uuid := case tg_op when 'DELETE' then old.tenant_id else new.tenant_id end;
begin
  -- Rows of one statement are told of only when all of them are in.
  if current_setting('app.' || tg_argv[1], true) is not distinct from tenant::text then
    return null;
  end if;
  insert into sync.generations (tenant_id, name, backend, changes, last_xid)
  values (tenant, tg_argv[0], pg_backend_pid(), 1, pg_current_xact_id()::text::bigint)
  on conflict on constraint generations_pkey do update
    set changes = generations.changes + excluded.changes, last_xid = excluded.last_xid;
  -- Gone with the transaction, or with the part of it that is taken back: then it was never counted either.
  execute format('set local app.%I = %L', tg_argv[1], tenant);
  return null;
end $$;
revoke all on function app.note_change() from public;

-- Counts the changes of a table, whoever makes them. After the row and not before it: then what is offered and
-- not taken (on conflict do nothing) counts for nothing. The rows behind the first statement of a transaction cost
-- a look at the setting each, which is less than a microsecond.
create function app.watch_changes(target regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  full_name text;
  setting text;
begin
  select n.nspname || '.' || c.relname, 'noted_' || n.nspname || '_' || c.relname into full_name, setting
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = target;
  execute format('create trigger a_note_change after insert or update on %s for each row '
    'when (current_setting(%L, true) is distinct from new.tenant_id::text) '
    'execute function app.note_change(%L, %L)', target, 'app.' || setting, full_name, setting);
  execute format('create trigger a_note_removal after delete on %s for each row '
    'when (current_setting(%L, true) is distinct from old.tenant_id::text) '
    'execute function app.note_change(%L, %L)', target, 'app.' || setting, full_name, setting);
end $$;
revoke all on function app.watch_changes(regclass) from public;

select app.watch_changes(t::regclass)
from unnest(array[
  'app.tenants', 'app.metric_settings', 'sync.connections', 'crm.owners', 'crm.pipelines', 'crm.stages',
  'crm.companies', 'crm.contacts', 'crm.deals', 'crm.activities', 'crm.deal_contacts', 'crm.field_history',
  'crm.exchange_rates', 'crm.pipeline_days', 'crm.pipeline_history']) as t;

-- Traffic ---------------------------------------------------------------------------------------------

-- Calls that a CRM refused for their rate, by the minute, for two days. Of an account, not of a tenant, and
-- worth nothing after a crash, as all that is kept of quotas.
create unlogged table sync.quota_refusals (
  platform    text not null,
  account_id  text not null,
  bucket      text not null,
  minute      timestamptz not null,
  refusals    bigint not null,
  constraint quota_refusals_pkey primary key (platform, account_id, bucket, minute)
);
grant select, insert, update, delete on sync.quota_refusals to syncline_app;
grant select on sync.quota_refusals to syncline_reader;

create function sync.note_refusals() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  this_minute timestamptz := date_trunc('minute', now());
begin
  insert into sync.quota_refusals (platform, account_id, bucket, minute, refusals)
  values (new.platform, new.account_id, new.bucket, this_minute, new.rate_limit_hits - old.rate_limit_hits)
  on conflict on constraint quota_refusals_pkey do update
    set refusals = quota_refusals.refusals + excluded.refusals;
  delete from sync.quota_refusals r
  where r.platform = new.platform and r.account_id = new.account_id and r.bucket = new.bucket
    and r.minute < this_minute - interval '2 days';
  return null;
end $$;
revoke all on function sync.note_refusals() from public;
create trigger note_refusals after update of rate_limit_hits on sync.quota_buckets for each row
  when (new.rate_limit_hits > old.rate_limit_hits) execute function sync.note_refusals();

-- How long deliveries took, of those of the last hour: of a week's that are kept, a few.
create index inbox_done on sync.inbox (tenant_id, ended_at) include (received_at) where state = 'done';
