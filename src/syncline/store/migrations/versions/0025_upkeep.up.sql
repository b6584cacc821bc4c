-- What keeps creates, imports and erasures exact.

-- Edits and imports ---------------------------------------------------------------------------------

-- Batches that were begun and have not moved for a while, over all tenants: whatever did them has ended, and a
-- worker goes on with them.
create function app.left_batches(quiet interval) returns table (tenant_id uuid, batch_id uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select b.tenant_id, b.id
  from app.batches b
  join app.tenants t on t.tenant_id = b.tenant_id
  where b.state = 'running' and b.moved_at < now() - quiet and t.status = 'active'
  order by b.moved_at;
end;
revoke all on function app.left_batches(interval) from public;
grant execute on function app.left_batches(interval) to syncline_app;
create index batches_running on app.batches (tenant_id, moved_at) where state = 'running';

-- Erasures ------------------------------------------------------------------------------------------

-- What each connection was to be asked when the erasure was ordered: {connection: state}. What is found of the
-- person later is asked for in the same way.
alter table sync.erasures add column wanted jsonb not null default '{}';
update sync.erasures e set wanted = coalesce((
  select jsonb_object_agg(r.connection_id, r.state)
  from (select distinct on (o.connection_id) o.connection_id,
          case when o.state in ('done', 'refused') then 'wanted' else o.state end as state
        from sync.remote_erasures o
        where o.tenant_id = e.tenant_id and o.erasure_id = e.id
        order by o.connection_id, array_position(array['done', 'wanted', 'refused', 'review', 'kept'], o.state)) r
  ), '{}');

-- Our own record by which somebody is looked for who was being made at a CRM when they were erased.
alter table sync.remote_erasures add column record_id uuid;
alter table sync.remote_erasures drop constraint remote_erasures_gone;
alter table sync.remote_erasures add constraint remote_erasures_gone
  check ((state = 'done') = (remote_id is null and record_id is null));

-- Ids of records here are kept out as well: nothing more is sent of them, and nothing that carries one comes
-- back.
alter table sync.erased_identities drop constraint erased_identities_kind;
alter table sync.erased_identities add constraint erased_identities_kind
  check (kind in ('email', 'phone', 'remote', 'record'));
