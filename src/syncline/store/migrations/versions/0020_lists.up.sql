-- Lists of records that answer quickly: indexes and search; edits of many records, imports.

-- Sorting ---------------------------------------------------------------------------------------------
-- Under row-level security an index is asked only by operators that are leakproof, which rules out lower(),
-- LIKE and comparisons of numeric, and so what lists are sorted by stands in a column. In collation "C" the
-- order is the same in every database, and names that begin alike lie side by side.

alter table crm.companies add column sort_name text collate "C" generated always as
  (left(lower(btrim(coalesce(nullif(btrim(name), ''), domain))), 100)) stored;
alter table crm.contacts add column sort_name text collate "C" generated always as
  (left(lower(coalesce(nullif(btrim(coalesce(first_name, '') || ' ' || coalesce(last_name, '')), ''),
                       btrim(email))), 100)) stored;
alter table crm.deals
  add column sort_name text collate "C" generated always as (left(lower(btrim(name)), 100)) stored,
  add column sort_amount double precision generated always as (amount::double precision) stored;

-- Keys of a row that are bookkeeping, not content. Each custom field is a key of its own.
create or replace function crm.content_of(record jsonb) returns jsonb
language sql immutable parallel safe
return (record - array['tenant_id', 'id', 'version', 'updated_at', 'field_times', 'email_norm',
                       'domain_norm', 'full_name', 'phone_e164', 'contact_candidates', 'custom_fields',
                       'sort_name', 'sort_amount'])
  || coalesce((select jsonb_object_agg('custom_fields.' || f.key, f.value)
               from jsonb_each(case when jsonb_typeof(record -> 'custom_fields') = 'object'
                                    then record -> 'custom_fields' end) f), '{}');

-- What lists show are records that live; those that do not are few, and have the list's usual order only.
drop index crm.companies_created;
drop index crm.companies_owner;
create index companies_created on crm.companies (tenant_id, created_at, id) where archived_at is null;
create index companies_updated on crm.companies (tenant_id, updated_at, id) where archived_at is null;
create index companies_name on crm.companies (tenant_id, sort_name, id) where archived_at is null;
create index companies_owner on crm.companies (tenant_id, owner_id, created_at, id);
create index companies_qualification on crm.companies (tenant_id, qualification_status, created_at, id)
  where archived_at is null and qualification_status is not null;
create index companies_archived on crm.companies (tenant_id, created_at, id) where archived_at is not null;

drop index crm.contacts_created;
drop index crm.contacts_updated;
create index contacts_created on crm.contacts (tenant_id, created_at, id) where archived_at is null;
create index contacts_updated on crm.contacts (tenant_id, updated_at, id);
create index contacts_name on crm.contacts (tenant_id, sort_name, id) where archived_at is null;
create index contacts_address on crm.contacts (tenant_id, (email_norm collate "C"), id)
  where archived_at is null;
create index contacts_owner on crm.contacts (tenant_id, owner_id, created_at, id);
create index contacts_owner_name on crm.contacts (tenant_id, owner_id, sort_name, id)
  where archived_at is null;
create index contacts_archived on crm.contacts (tenant_id, created_at, id) where archived_at is not null;

drop index crm.deals_created;
drop index crm.deals_owner;
create index deals_created on crm.deals (tenant_id, created_at, id) where archived_at is null;
create index deals_updated on crm.deals (tenant_id, updated_at, id) where archived_at is null;
create index deals_name on crm.deals (tenant_id, sort_name, id) where archived_at is null;
create index deals_amount on crm.deals (tenant_id, sort_amount, id) where archived_at is null;
create index deals_expected on crm.deals (tenant_id, expected_close_date, id) where archived_at is null;
create index deals_closed on crm.deals (tenant_id, closed_at, id) where archived_at is null;
create index deals_stage_key on crm.deals (tenant_id, stage, created_at, id) where archived_at is null;
create index deals_owner on crm.deals (tenant_id, owner_id, created_at, id);
-- The pipeline at first sight is counted from this alone.
create index deals_open on crm.deals (tenant_id, stage_id, stage) include (company_id, amount, owner_id)
  where status = 'open' and archived_at is null;
create index deals_archived on crm.deals (tenant_id, created_at, id) where archived_at is not null;

drop index crm.activities_updated;
create index activities_occurred on crm.activities (tenant_id, occurred_at, id) where archived_at is null;
create index activities_updated on crm.activities (tenant_id, updated_at, id);
create index activities_archived on crm.activities (tenant_id, occurred_at, id) where archived_at is not null;

create index tasks_due on crm.tasks (tenant_id, due_at, id) where archived_at is null;
create index tasks_created on crm.tasks (tenant_id, created_at, id) where archived_at is null;
create index tasks_updated on crm.tasks (tenant_id, updated_at, id) where archived_at is null;
create index tasks_archived on crm.tasks (tenant_id, due_at, id) where archived_at is not null;

-- Search ----------------------------------------------------------------------------------------------
-- Words of names, each found by how it begins. Made of nothing but built-in functions: whoever may write a
-- record then needs no right to call one of ours.

create index companies_words on crm.companies using gin ((
  array_to_tsvector(array_remove(string_to_array(lower(translate(left(coalesce(name, '') || ' ' || coalesce(domain, ''), 300), '@.,;:()[]{}<>"''/\|+-_&!?#%*=~`',
    '                              ')), ' '), ''))));
create index contacts_words on crm.contacts using gin ((
  array_to_tsvector(array_remove(string_to_array(lower(translate(left(coalesce(first_name, '') || ' ' || coalesce(last_name, ''), 300), '@.,;:()[]{}<>"''/\|+-_&!?#%*=~`',
    '                              ')), ' '), ''))));
create index deals_words on crm.deals using gin ((
  array_to_tsvector(array_remove(string_to_array(lower(translate(left(coalesce(name, ''), 300), '@.,;:()[]{}<>"''/\|+-_&!?#%*=~`',
    '                              ')), ' '), ''))));
create index activities_words on crm.activities using gin ((
  array_to_tsvector(array_remove(string_to_array(lower(translate(left(coalesce(subject, ''), 300), '@.,;:()[]{}<>"''/\|+-_&!?#%*=~`',
    '                              ')), ' '), ''))));
create index tasks_words on crm.tasks using gin ((
  array_to_tsvector(array_remove(string_to_array(lower(translate(left(coalesce(subject, ''), 300), '@.,;:()[]{}<>"''/\|+-_&!?#%*=~`',
    '                              ')), ' '), ''))));

-- Ids of records in whose name each of some words begins a word, at most so many and in no order; `owners`
-- leaves those that belong to one of them or to nobody. With its owner's rights, since the index is asked by
-- an operator that is not leakproof; of a tenant that is not the transaction's own it says nothing.
-- EXECUTE, so that each search is planned for its own words, and by bitmaps only: whoever hopes to meet a few
-- matches soon by going through all records goes through all of them for a word that nobody has.
create function crm.find_by_words(
  tenant uuid, kind text, words text[], owners uuid[], archived boolean, at_most integer) returns setof uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_indexscan = off as $$
declare
  wanted tsquery;
begin
  if tenant is distinct from app.current_tenant() then
    return;
  end if;
  select string_agg('''' || w.word || ''':*', ' & ')::tsquery into wanted
  from (select unnest(string_to_array(lower(translate(each, '@.,;:()[]{}<>"''/\|+-_&!?#%*=~`',
          '                              ')), ' ')) as word
        from unnest(words) each) w
  where w.word <> '';
  if wanted is null then
    return;
  end if;
  if kind = 'company' then
    return query execute $ask$
      select c.id from crm.companies c
      where c.tenant_id = $1 and (c.archived_at is not null) = $5
        and ($3 is null or coalesce(c.owner_id = any($3), true))
        and array_to_tsvector(array_remove(string_to_array(lower(translate(left(coalesce(c.name, '') || ' ' || coalesce(c.domain, ''), 300), '@.,;:()[]{}<>"''/\|+-_&!?#%*=~`',
          '                              ')), ' '), '')) @@ $2
      limit $4 $ask$
    using tenant, wanted, owners, at_most, archived;
  elsif kind = 'contact' then
    return query execute $ask$
      select c.id from crm.contacts c
      where c.tenant_id = $1 and (c.archived_at is not null) = $5
        and ($3 is null or coalesce(c.owner_id = any($3), true))
        and array_to_tsvector(array_remove(string_to_array(lower(translate(left(coalesce(c.first_name, '') || ' ' || coalesce(c.last_name, ''), 300), '@.,;:()[]{}<>"''/\|+-_&!?#%*=~`',
          '                              ')), ' '), '')) @@ $2
      limit $4 $ask$
    using tenant, wanted, owners, at_most, archived;
  elsif kind = 'deal' then
    return query execute $ask$
      select c.id from crm.deals c
      where c.tenant_id = $1 and (c.archived_at is not null) = $5
        and ($3 is null or coalesce(c.owner_id = any($3), true))
        and array_to_tsvector(array_remove(string_to_array(lower(translate(left(coalesce(c.name, ''), 300), '@.,;:()[]{}<>"''/\|+-_&!?#%*=~`',
          '                              ')), ' '), '')) @@ $2
      limit $4 $ask$
    using tenant, wanted, owners, at_most, archived;
  elsif kind = 'activity' then
    return query execute $ask$
      select c.id from crm.activities c
      where c.tenant_id = $1 and (c.archived_at is not null) = $5
        and ($3 is null or coalesce(c.owner_id = any($3), true))
        and array_to_tsvector(array_remove(string_to_array(lower(translate(left(coalesce(c.subject, ''), 300), '@.,;:()[]{}<>"''/\|+-_&!?#%*=~`',
          '                              ')), ' '), '')) @@ $2
      limit $4 $ask$
    using tenant, wanted, owners, at_most, archived;
  elsif kind = 'task' then
    return query execute $ask$
      select c.id from crm.tasks c
      where c.tenant_id = $1 and (c.archived_at is not null) = $5
        and ($3 is null or coalesce(c.owner_id = any($3), true))
        and array_to_tsvector(array_remove(string_to_array(lower(translate(left(coalesce(c.subject, ''), 300), '@.,;:()[]{}<>"''/\|+-_&!?#%*=~`',
          '                              ')), ' '), '')) @@ $2
      limit $4 $ask$
    using tenant, wanted, owners, at_most, archived;
  end if;
end $$;
revoke all on function crm.find_by_words(uuid, text, text[], uuid[], boolean, integer) from public;
grant execute on function crm.find_by_words(uuid, text, text[], uuid[], boolean, integer) to syncline_app;

-- Many records at once --------------------------------------------------------------------------------

-- Says under which run what follows in the transaction is logged, so that it can be taken back as a whole.
create function app.set_run(run uuid) returns void
language plpgsql as $$
begin
  execute format('set local app.run_id = %L', coalesce(run::text, ''));
end $$;
revoke all on function app.set_run(uuid) from public;
grant execute on function app.set_run(uuid) to syncline_app;

-- An edit of many records, an import, or what takes one of them back. Its id is the run in the change log.
create table app.batches (
  tenant_id     uuid not null,
  id            uuid not null,
  kind          text not null,
  record_type   text not null,
  -- 'planned': shown, and nothing done; 'running' until each row has been looked at.
  state         text not null default 'planned',
  -- What is to be done: the changes of an edit, the columns of an import, the batch that an undo takes back.
  terms         jsonb not null,
  rows          integer not null default 0,
  done          integer not null default 0,
  created       integer not null default 0,
  changed       integer not null default 0,
  skipped       integer not null default 0,
  failed        integer not null default 0,
  source        text not null,
  planned_by    text not null,
  planned_at    timestamptz not null,
  started_at    timestamptz,
  -- When it last got on; a batch that has not for a while may be gone on with by anybody.
  moved_at      timestamptz,
  ended_at      timestamptz,
  constraint batches_pkey primary key (tenant_id, id),
  constraint batches_kind check (kind in ('edit', 'import', 'undo')),
  constraint batches_state check (state in ('planned', 'running', 'success', 'partial', 'cancelled'))
);
select app.distribute('app.batches');
select app.protect('app.batches');
create index batches_latest on app.batches (tenant_id, planned_at desc, id);

create table app.batch_rows (
  tenant_id   uuid not null,
  batch_id    uuid not null,
  -- From 1; of an import the line of the file, where its heading is line 1.
  position    integer not null,
  -- Null for one that is to be made.
  record_id   uuid,
  -- What is planned for it, then what became of it.
  state       text not null default 'waiting',
  action      text not null,
  -- Field → value, of an import; forgotten once the row is done.
  "values"    jsonb,
  -- Field → why it cannot be taken, '' for the row as a whole.
  reasons     jsonb,
  constraint batch_rows_pkey primary key (tenant_id, batch_id, position),
  constraint batch_rows_batch foreign key (tenant_id, batch_id)
    references app.batches (tenant_id, id) on delete cascade,
  constraint batch_rows_state check (state in ('waiting', 'done', 'skipped', 'failed')),
  constraint batch_rows_action check (action in ('create', 'change', 'none', 'invalid', 'restore'))
);
select app.distribute('app.batch_rows');
select app.protect('app.batch_rows');
create index batch_rows_record on app.batch_rows (tenant_id, record_id) where record_id is not null;
-- What people import is as personal as what becomes of it: analysts read that.
revoke select on app.batch_rows from syncline_reader;
