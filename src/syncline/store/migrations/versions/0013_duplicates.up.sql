-- Records that may be one: what people said of pairs, and merging at a CRM.

-- A name as it is compared: without accents, marks, case and doubled spaces; null where nothing is left.
-- Marks are those of ASCII: what else is no letter depends on the locale.
create function crm.fold_name(name text) returns text
language sql immutable parallel safe
return nullif(btrim(regexp_replace(lower(
  case when octet_length(name) = length(name) then name
       else regexp_replace(normalize(name, nfkd), '[\u0300-\u036f]+', '', 'g') end),
  '[\x01-/:-@\[-`{-\x7f]+', ' ', 'g')), '');

-- The host of a web address or domain as it is compared: lower case, without www. and what stands around it.
create function crm.host_of(address text) returns text
language sql immutable parallel safe
return nullif(regexp_replace(lower(btrim(address)), '^([a-z]+://)?([^/@]*@)?(www\.)?|[:/?#].*$', '', 'g'), '');
revoke all on function crm.fold_name(text), crm.host_of(text) from public;
grant execute on function crm.fold_name(text), crm.host_of(text) to syncline_app, syncline_reader;

-- Remote records that are not their record's own: few, and looked for by the record when that is merged.
create index links_besides on sync.links (tenant_id, record_id) where not is_primary;

-- Pairs of which a person said that they are not the same; the smaller id first.
create table sync.not_duplicates (
  tenant_id    uuid not null,
  record_type  text not null,
  first_id     uuid not null,
  second_id    uuid not null,
  said_at      timestamptz not null,
  said_by      text not null,
  constraint not_duplicates_pkey primary key (tenant_id, record_type, first_id, second_id),
  constraint not_duplicates_order check (first_id < second_id)
);
select app.distribute('sync.not_duplicates');
select app.protect('sync.not_duplicates');

-- Two remote records of one connection that are one record of ours, and are to be merged at the CRM as well.
create table sync.merges (
  tenant_id      uuid not null,
  -- Also the id of what is written down of it in sync.remote_changes.
  id             uuid not null,
  connection_id  uuid not null,
  object         text not null,
  record_type    text not null,
  -- The record of ours that both are, and the one that was merged into it.
  record_id      uuid not null,
  merged_record  uuid not null,
  -- Their ids at the CRM; the survivor's is looked up anew before the call.
  survivor_id    text not null,
  merged_id      text not null,
  -- 'here': nobody asked for it; 'review': a person has to say so; 'wanted': to be done; 'sent': no answer yet.
  state          text not null,
  reason         text,
  -- Null where it follows a merge in another CRM.
  wanted_by      text,
  wanted_at      timestamptz not null,
  not_before     timestamptz not null,
  attempts       integer not null default 0,
  run_id         uuid,
  answered_at    timestamptz,
  constraint merges_pkey primary key (tenant_id, id),
  constraint merges_once unique (tenant_id, connection_id, object, merged_id),
  constraint merges_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade,
  constraint merges_state check (state in ('here', 'review', 'wanted', 'sent', 'done', 'refused'))
);
select app.distribute('sync.merges');
select app.protect('sync.merges');
create index merges_open on sync.merges (tenant_id, connection_id, not_before)
  where state in ('wanted', 'sent');
create index merges_of_record on sync.merges (tenant_id, record_id);

alter table sync.writing drop constraint writing_scope;
alter table sync.writing add constraint writing_scope check
  (scope in ('field', 'create', 'archive', 'associate', 'merge'));
alter table sync.remote_changes drop constraint remote_changes_action;
alter table sync.remote_changes add constraint remote_changes_action check
  (action in ('created', 'updated', 'archived', 'restored', 'associated', 'dissociated', 'merged'));

-- Connections to which something may be sent now, over all tenants: the worker serves them all.
create or replace function sync.due_pushes(at timestamptz) returns table (tenant_id uuid, connection_id uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select c.tenant_id, c.id
  from sync.connections c
  join app.tenants t on t.tenant_id = c.tenant_id
  where c.writes_enabled and c.status = 'active' and t.status = 'active' and t.writing_stopped_at is null
    and (exists (select from sync.queue q
                 where q.tenant_id = c.tenant_id and q.connection_id = c.id and q.state = 'pending'
                   and q.not_before <= at)
         or exists (select from sync.merges m
                    where m.tenant_id = c.tenant_id and m.connection_id = c.id
                      and m.state in ('wanted', 'sent') and m.not_before <= at));
end;
