create or replace function sync.due_pushes(at timestamptz) returns table (tenant_id uuid, connection_id uuid)
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

delete from sync.remote_changes where action = 'merged';
alter table sync.remote_changes drop constraint remote_changes_action;
alter table sync.remote_changes add constraint remote_changes_action check
  (action in ('created', 'updated', 'archived', 'restored', 'associated', 'dissociated'));
delete from sync.writing where scope = 'merge';
alter table sync.writing drop constraint writing_scope;
alter table sync.writing add constraint writing_scope check
  (scope in ('field', 'create', 'archive', 'associate'));
drop table sync.merges, sync.not_duplicates;
drop index sync.links_besides;
drop function crm.host_of(text);
drop function crm.fold_name(text);
