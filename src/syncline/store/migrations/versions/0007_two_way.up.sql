-- Writing to CRMs: what is allowed, what is on its way, what was decided, what must not come back.

-- The kill switch: while it is set nothing of the tenant is written to any CRM.
alter table app.tenants
  add column writing_stopped_at timestamptz,
  add column writing_stopped_by text;

-- A connection's own mapping as a person wrote it; null follows the platform's default.
alter table sync.connections
  add column mapping jsonb,
  add column mapping_version integer not null default 1;
grant select (mapping, mapping_version) on sync.connections to syncline_reader;

-- What may be written, per connection, object and field. Without a row nothing may: a new connection only
-- pulls. What is allowed is queued; whether it is sent now is the connection's writes_enabled.
create table sync.writing (
  tenant_id      uuid not null,
  connection_id  uuid not null,
  object         text not null,
  record_type    text not null,
  -- 'field': values, of one field or (field '') of all that are mapped; 'create': records that the CRM does
  -- not have; 'archive': those archived or deleted here; 'associate': what belongs to what.
  scope          text not null,
  field          text not null default '',
  allowed_at     timestamptz not null,
  allowed_by     text not null,
  constraint writing_pkey primary key (tenant_id, connection_id, object, scope, field),
  constraint writing_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade,
  constraint writing_scope check (scope in ('field', 'create', 'archive', 'associate')),
  constraint writing_field check (scope = 'field' or field = '')
);
select app.distribute('sync.writing');
select app.protect('sync.writing');
-- What a changed record's type may set in motion.
create index writing_of_type on sync.writing (tenant_id, record_type);

-- The queue ---------------------------------------------------------------------------------------

-- Whoever writes what was queued takes the row away only if its revision is the one that was written: an
-- edit meanwhile stays queued. 'held': a brake or a person has to let it go on.
alter table sync.queue
  add column revision bigint not null default 1,
  -- 'changed', or 'deleted' when the record is no more.
  add column what text not null default 'changed',
  drop constraint queue_state;
alter table sync.queue add constraint queue_state check (state in ('pending', 'parked', 'held'));
alter table sync.queue add constraint queue_what check (what in ('changed', 'deleted'));

-- What was written to CRMs, from before the call on: what undo takes back, and what an audit asks for.
create table sync.remote_changes (
  tenant_id      uuid not null,
  id             uuid not null,
  run_id         uuid not null,
  connection_id  uuid not null,
  object         text not null,
  -- Null until the answer to a create tells it.
  remote_id      text,
  record_type    text not null,
  record_id      uuid not null,
  action         text not null,
  -- {field: [what the CRM was read to have, what it was sent]}, in our form.
  changes        jsonb not null,
  -- {field: what the CRM keeps instead}, where its answer differs from what was sent.
  kept           jsonb,
  state          text not null default 'sent',
  reason         text,
  sent_at        timestamptz not null,
  answered_at    timestamptz,
  constraint remote_changes_pkey primary key (tenant_id, id),
  constraint remote_changes_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade,
  constraint remote_changes_action check
    (action in ('created', 'updated', 'archived', 'restored', 'associated', 'dissociated')),
  constraint remote_changes_state check (state in ('sent', 'done', 'refused'))
);
select app.distribute('sync.remote_changes');
select app.protect('sync.remote_changes');
create index remote_changes_of_run on sync.remote_changes (tenant_id, run_id);
create index remote_changes_of_record on sync.remote_changes (tenant_id, record_id, sent_at desc);

alter table sync.runs drop constraint runs_mode;
alter table sync.runs add constraint runs_mode check
  (mode in ('backfill', 'incremental', 'webhook', 'manual', 'reconcile', 'push', 'undo'));

-- Conflicts and decisions -------------------------------------------------------------------------

create table sync.conflicts (
  tenant_id      uuid not null,
  id             uuid not null,
  connection_id  uuid not null,
  object         text not null,
  remote_id      text not null,
  record_type    text not null,
  record_id      uuid not null,
  field          text not null,
  -- Our half of what was agreed on; JSON null when nothing ever was.
  base           jsonb not null,
  ours           jsonb not null,
  theirs         jsonb not null,
  -- The property as read, which may be more than `theirs` could take.
  read           jsonb not null,
  -- The pair that becomes the base once it is decided.
  seen           jsonb not null,
  -- Both records as they stood when it was found.
  our_record     jsonb not null,
  their_record   jsonb not null,
  ours_at        timestamptz,
  theirs_at      timestamptz,
  -- 'settled': both sides came to agree without a decision.
  status         text not null default 'open',
  resolution     text,
  value          jsonb,
  run_id         uuid,
  found_at       timestamptz not null,
  seen_at        timestamptz not null,
  notified_at    timestamptz,
  resolved_at    timestamptz,
  resolved_by    text,
  constraint conflicts_pkey primary key (tenant_id, id),
  constraint conflicts_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade,
  constraint conflicts_status check (status in ('open', 'resolved', 'settled')),
  constraint conflicts_resolution check (resolution in ('ours', 'theirs', 'custom')),
  constraint conflicts_resolved check ((status = 'resolved') = (resolution is not null))
);
select app.distribute('sync.conflicts');
select app.protect('sync.conflicts');
create unique index conflicts_one_open
  on sync.conflicts (tenant_id, connection_id, record_type, record_id, field) where status = 'open';
create index conflicts_latest on sync.conflicts (tenant_id, status, found_at desc);

-- Values that were overruled without asking anybody, kept so that they can be shown and put back.
create table sync.decisions (
  tenant_id      uuid not null,
  id             uuid not null,
  decided_at     timestamptz not null,
  connection_id  uuid not null,
  record_type    text not null,
  record_id      uuid not null,
  field          text not null,
  rule           text not null,
  winner         text not null,
  value          jsonb not null,
  -- JSON null when both went into the value.
  losing         jsonb not null,
  ours           jsonb not null,
  theirs         jsonb not null,
  read           jsonb not null,
  reason         text not null,
  run_id         uuid,
  constraint decisions_pkey primary key (tenant_id, id),
  constraint decisions_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade,
  constraint decisions_winner check (winner in ('ours', 'theirs', 'both'))
);
select app.distribute('sync.decisions');
select app.protect('sync.decisions');
create index decisions_of_record on sync.decisions (tenant_id, record_id, decided_at desc);
create index decisions_latest on sync.decisions (tenant_id, decided_at desc);

-- Remote records that must not come back though the CRM still has them.
create table sync.tombstones (
  tenant_id      uuid not null,
  connection_id  uuid not null,
  object         text not null,
  remote_id      text not null,
  record_type    text not null,
  record_id      uuid not null,
  reason         text not null,
  buried_at      timestamptz not null,
  constraint tombstones_pkey primary key (tenant_id, connection_id, object, remote_id),
  constraint tombstones_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade,
  constraint tombstones_reason check (reason in ('deleted', 'erased'))
);
select app.distribute('sync.tombstones');
select app.protect('sync.tombstones');
create index tombstones_of_record on sync.tombstones (tenant_id, record_id);

-- Change capture ----------------------------------------------------------------------------------

-- When each field of ours changed, so that 'newest' compares fields and not records. '*' stands for all
-- that are not named.
create or replace function crm.stamp_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  at timestamptz := clock_timestamp();
begin
  if tg_op = 'UPDATE' then
    new.version := old.version + 1;
    new.updated_at := at;
    new.field_times := coalesce(old.field_times, '{}') || coalesce((
      select jsonb_object_agg(n.key, (extract(epoch from at) * 1000)::bigint)
      from jsonb_each(crm.content_of(to_jsonb(new))) n
      where n.value is distinct from to_jsonb(old) -> n.key), '{}');
  end if;
  return new;
end $$;

-- Which connections a change of a record is to be written to, and whether it may.
create function sync.enqueue_push(
  tenant uuid, kind text, record uuid, changed text[], is_deleted boolean, is_archived boolean,
  origin uuid, at timestamptz) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  insert into sync.queue (tenant_id, connection_id, record_type, record_id, fields, queued_at, not_before,
                          what)
  select tenant, w.connection_id, kind, record, changed, at, at,
         case when is_deleted then 'deleted' else 'changed' end
  from sync.writing w
  left join sync.links l on l.tenant_id = tenant and l.record_id = record and l.record_type = kind
    and l.connection_id = w.connection_id and l.is_primary
  where w.tenant_id = tenant and w.record_type = kind and w.connection_id is distinct from origin
    and case when l.object is null then w.scope = 'create' and not is_deleted and not is_archived
             when l.object <> w.object then false
             when is_deleted then w.scope = 'archive'
             when w.scope = 'archive' then 'archived_at' = any(changed)
             when is_archived then false
             when w.scope = 'field' then w.field = '' or w.field = any(changed)
             when w.scope = 'associate' then changed && array['contact_id', 'company_id', 'deal_id']
             else false end
  group by w.connection_id
  order by w.connection_id
  on conflict (tenant_id, connection_id, record_type, record_id) do update
    set fields = array(select distinct f from unnest(sync.queue.fields || excluded.fields) f order by 1),
        what = excluded.what, revision = sync.queue.revision + 1,
        state = case sync.queue.state when 'held' then 'held' else 'pending' end,
        not_before = excluded.not_before, attempts = 0, last_error = null;
end;
revoke all on function sync.enqueue_push(uuid, text, uuid, text[], boolean, boolean, uuid, timestamptz)
  from public;

create or replace function crm.capture_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
  kind text := tg_argv[0];
  tenant uuid;
  record uuid;
  difference jsonb;
  what text;
  at timestamptz := clock_timestamp();
  origin uuid := nullif(current_setting('app.connection_id', true), '')::uuid;
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
          coalesce(nullif(current_setting('app.source', true), ''), 'sql'), origin,
          coalesce(nullif(current_setting('app.actor', true), ''), session_user),
          nullif(current_setting('app.run_id', true), '')::uuid);

  perform sync.enqueue_push(tenant, kind, record,
    array(select jsonb_object_keys(difference) order by 1), tg_op = 'DELETE',
    tg_op <> 'DELETE' and new.archived_at is not null, origin, at);

  if tg_op = 'DELETE' then
    insert into sync.tombstones (tenant_id, connection_id, object, remote_id, record_type, record_id, reason,
                                 buried_at)
    select tenant, l.connection_id, l.object, l.remote_id, kind, record, 'deleted', at
    from sync.links l
    where l.tenant_id = tenant and l.record_id = record and l.record_type = kind
    on conflict (tenant_id, connection_id, object, remote_id) do nothing;
    delete from sync.links l where l.tenant_id = tenant and l.record_id = record and l.record_type = kind;
  end if;
  return null;
end $$;

-- Connections to which something may be sent now, over all tenants: the worker serves them all.
create function sync.due_pushes(at timestamptz) returns table (tenant_id uuid, connection_id uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select c.tenant_id, c.id
  from sync.connections c
  join app.tenants t on t.tenant_id = c.tenant_id
  where c.writes_enabled and c.status = 'active' and t.status = 'active' and t.writing_stopped_at is null
    and exists (select from sync.queue q
                where q.tenant_id = c.tenant_id and q.connection_id = c.id and q.state = 'pending'
                  and q.not_before <= at);
end;
revoke all on function sync.due_pushes(timestamptz) from public;
grant execute on function sync.due_pushes(timestamptz) to syncline_app;

-- A person's word that one run may go beyond a brake. Used up by that run, and void after a while.
create table sync.overrides (
  tenant_id      uuid not null,
  connection_id  uuid not null,
  record_type    text not null,
  granted_at     timestamptz not null,
  granted_by     text not null,
  expires_at     timestamptz not null,
  run_id         uuid,
  constraint overrides_pkey primary key (tenant_id, connection_id, record_type),
  constraint overrides_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade
);
select app.distribute('sync.overrides');
select app.protect('sync.overrides');

-- What is held for a person has not failed, and what is no more is to be deleted.
create or replace view compat.sync_queue with (security_invoker = true) as
select
  md5(concat_ws('/', q.connection_id, q.record_type, q.record_id))::uuid as id,
  q.record_type as entity_type,
  q.record_id as entity_id,
  case when q.what = 'deleted' then 'delete'
       when case q.record_type
              when 'company' then exists (select from crm.companies x where x.tenant_id = q.tenant_id
                                          and x.id = q.record_id and x.archived_at is not null)
              when 'contact' then exists (select from crm.contacts x where x.tenant_id = q.tenant_id
                                          and x.id = q.record_id and x.archived_at is not null)
              when 'deal' then exists (select from crm.deals x where x.tenant_id = q.tenant_id
                                       and x.id = q.record_id and x.archived_at is not null)
              when 'activity' then exists (select from crm.activities x where x.tenant_id = q.tenant_id
                                           and x.id = q.record_id and x.archived_at is not null)
              when 'task' then exists (select from crm.tasks x where x.tenant_id = q.tenant_id
                                       and x.id = q.record_id and x.archived_at is not null)
            end then 'delete'
       when exists (select from sync.links l where l.tenant_id = q.tenant_id and l.record_id = q.record_id
                    and l.connection_id = q.connection_id and l.record_type = q.record_type) then 'update'
       else 'create' end as operation,
  case when q.state = 'parked' then 'failed' else 'pending' end as status,
  jsonb_build_object(q.record_type || '_id', q.record_id, 'fields', q.fields) as payload,
  q.attempts as retry_count,
  q.last_error as error_message,
  q.not_before as next_retry_at,
  q.queued_at as created_at,
  n.platform,
  n.name as connection
from sync.queue q
join sync.connections n on n.tenant_id = q.tenant_id and n.id = q.connection_id;

-- How current an object is, its reading runs tell: not what was written there, nor single records read again.
create or replace function compat.get_latest_sync_status()
returns table (sync_type text, last_sync_time timestamptz, status text, records_processed integer,
               records_failed integer, duration_ms integer, connection text)
language sql stable
begin atomic
  with recursive kinds (tenant_id, connection_id, name, object) as (
    select n.tenant_id, n.id, n.name,
      (select min(r.object) from sync.runs r where r.tenant_id = n.tenant_id and r.connection_id = n.id)
    from sync.connections n
    where n.platform = 'hubspot'
    union all
    select k.tenant_id, k.connection_id, k.name,
      (select min(r.object) from sync.runs r
       where r.tenant_id = k.tenant_id and r.connection_id = k.connection_id and r.object > k.object)
    from kinds k
    where k.object is not null
  )
  select distinct on (k.object)
    k.object, r.completed_at, r.status, least(r.records_read, 2147483647)::integer,
    least(r.records_failed, 2147483647)::integer,
    case when r.duration_ms > 2147483647 then 2147483647 else r.duration_ms::integer end, k.name
  from kinds k
  cross join lateral (
    select l.* from sync.runs l
    where l.tenant_id = k.tenant_id and l.connection_id = k.connection_id and l.object = k.object
      and l.completed_at is not null and l.status <> 'cancelled'
      and l.mode in ('backfill', 'incremental', 'manual', 'reconcile')
    order by l.requested_at desc
    limit 1
  ) r
  order by k.object, r.completed_at desc, r.id desc;
end;
