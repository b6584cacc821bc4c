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
    order by l.requested_at desc
    limit 1
  ) r
  order by k.object, r.completed_at desc, r.id desc;
end;

create or replace view compat.sync_queue with (security_invoker = true) as
select
  md5(concat_ws('/', q.connection_id, q.record_type, q.record_id))::uuid as id,
  q.record_type as entity_type,
  q.record_id as entity_id,
  case when case q.record_type
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
  case q.state when 'pending' then 'pending' when 'claimed' then 'in_progress' else 'failed' end as status,
  jsonb_build_object(q.record_type || '_id', q.record_id, 'fields', q.fields) as payload,
  q.attempts as retry_count,
  q.last_error as error_message,
  q.not_before as next_retry_at,
  q.queued_at as created_at,
  n.platform,
  n.name as connection
from sync.queue q
join sync.connections n on n.tenant_id = q.tenant_id and n.id = q.connection_id;

create or replace function crm.stamp_change() returns trigger
language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    new.version := old.version + 1;
    new.updated_at := clock_timestamp();
  end if;
  return new;
end $$;

create or replace function crm.capture_change() returns trigger
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

drop function sync.enqueue_push(uuid, text, uuid, text[], boolean, boolean, uuid, timestamptz);
drop function sync.due_pushes(timestamptz);
drop table sync.overrides, sync.tombstones, sync.decisions, sync.conflicts, sync.remote_changes, sync.writing;
delete from sync.runs where mode in ('push', 'undo');
alter table sync.runs drop constraint runs_mode;
alter table sync.runs add constraint runs_mode check
  (mode in ('backfill', 'incremental', 'webhook', 'manual', 'reconcile'));
update sync.queue set state = 'pending' where state = 'held';
alter table sync.queue
  drop constraint queue_state, drop constraint queue_what, drop column revision, drop column what;
alter table sync.queue add constraint queue_state check (state in ('pending', 'claimed', 'parked'));
alter table sync.connections drop column mapping, drop column mapping_version;
alter table app.tenants drop column writing_stopped_at, drop column writing_stopped_by;
