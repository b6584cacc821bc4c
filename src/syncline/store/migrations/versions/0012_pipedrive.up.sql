-- What Pipedrive said, as its API v2 writes it (notes, leads and users: v1). Fields of an account's own are under
-- `custom_fields` by their keys, options as {"id", "label"}.

-- The primary entry of a person's addresses or phones, else the first.
create function raw.primary_value(entries jsonb) returns text
language sql immutable parallel safe
return raw.to_text(coalesce(
  jsonb_path_query_first(entries, '$[*] ? (@.primary == true)') ->> 'value',
  entries -> 0 ->> 'value'));

-- Reads v1's times, `YYYY-MM-DD HH:MM:SS` in UTC, besides what `raw.to_time` reads.
create function raw.to_utc_time(value text) returns timestamptz
language sql immutable
return raw.to_time(case when value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$'
                        then replace(value, ' ', 'T') || 'Z' else value end);

revoke all on function raw.primary_value(jsonb), raw.to_utc_time(text) from public;
grant execute on function raw.primary_value(jsonb), raw.to_utc_time(text) to syncline_app, syncline_reader;

select raw.create_table('pipedrive', 'persons', $columns$
  name                 text generated always as (raw.to_text(raw ->> 'name')) stored,
  email                text generated always as (raw.primary_value(raw -> 'emails')) stored,
  phone                text generated always as (raw.primary_value(raw -> 'phones')) stored,
  org_id               numeric generated always as (raw.to_number(raw ->> 'org_id')) stored,
  owner_id             numeric generated always as (raw.to_number(raw ->> 'owner_id')) stored,
  add_time             timestamptz generated always as (raw.to_time(raw ->> 'add_time')) stored,
  update_time          timestamptz generated always as (raw.to_time(raw ->> 'update_time')) stored,
$columns$);
create index pipedrive_persons_email on raw.pipedrive_persons (tenant_id, email);
create index pipedrive_persons_phone on raw.pipedrive_persons (tenant_id, phone);

select raw.create_table('pipedrive', 'organizations', $columns$
  name                 text generated always as (raw.to_text(raw ->> 'name')) stored,
  website              text generated always as (raw.to_text(raw ->> 'website')) stored,
  address              text generated always as (raw.to_text(raw -> 'address' ->> 'value')) stored,
  employee_count       numeric generated always as (raw.to_number(raw ->> 'employee_count')) stored,
  annual_revenue       numeric generated always as (raw.to_number(raw ->> 'annual_revenue')) stored,
  owner_id             numeric generated always as (raw.to_number(raw ->> 'owner_id')) stored,
  add_time             timestamptz generated always as (raw.to_time(raw ->> 'add_time')) stored,
  update_time          timestamptz generated always as (raw.to_time(raw ->> 'update_time')) stored,
$columns$);
create index pipedrive_organizations_name on raw.pipedrive_organizations (tenant_id, name);

select raw.create_table('pipedrive', 'deals', $columns$
  title                text generated always as (raw.to_text(raw ->> 'title')) stored,
  value                numeric generated always as (raw.to_number(raw ->> 'value')) stored,
  currency             text generated always as (raw.to_text(raw ->> 'currency')) stored,
  status               text generated always as (raw.to_text(raw ->> 'status')) stored,
  pipeline_id          numeric generated always as (raw.to_number(raw ->> 'pipeline_id')) stored,
  stage_id             numeric generated always as (raw.to_number(raw ->> 'stage_id')) stored,
  probability          numeric generated always as (raw.to_number(raw ->> 'probability')) stored,
  person_id            numeric generated always as (raw.to_number(raw ->> 'person_id')) stored,
  org_id               numeric generated always as (raw.to_number(raw ->> 'org_id')) stored,
  owner_id             numeric generated always as (raw.to_number(raw ->> 'owner_id')) stored,
  expected_close_date  timestamptz generated always as (raw.to_time(raw ->> 'expected_close_date')) stored,
  close_time           timestamptz generated always as (raw.to_time(raw ->> 'close_time')) stored,
  add_time             timestamptz generated always as (raw.to_time(raw ->> 'add_time')) stored,
  update_time          timestamptz generated always as (raw.to_time(raw ->> 'update_time')) stored,
$columns$);
create index pipedrive_deals_stage on raw.pipedrive_deals (tenant_id, stage_id);
create index pipedrive_deals_status on raw.pipedrive_deals (tenant_id, status);
create index pipedrive_deals_value on raw.pipedrive_deals (tenant_id, value);

do $$
declare
  name text;
begin
  -- One list at Pipedrive: what happened, and what is to be done.
  foreach name in array array['activities', 'tasks'] loop
    perform raw.create_table('pipedrive', name, $columns$
      subject            text generated always as (raw.to_text(raw ->> 'subject')) stored,
      type               text generated always as (raw.to_text(raw ->> 'type')) stored,
      done               boolean generated always as (raw.to_bool(raw ->> 'done')) stored,
      due_date           timestamptz generated always as (raw.to_time(raw ->> 'due_date')) stored,
      person_id          numeric generated always as (raw.to_number(raw ->> 'person_id')) stored,
      org_id             numeric generated always as (raw.to_number(raw ->> 'org_id')) stored,
      deal_id            numeric generated always as (raw.to_number(raw ->> 'deal_id')) stored,
      owner_id           numeric generated always as (raw.to_number(raw ->> 'owner_id')) stored,
      add_time           timestamptz generated always as (raw.to_time(raw ->> 'add_time')) stored,
      update_time        timestamptz generated always as (raw.to_time(raw ->> 'update_time')) stored,
    $columns$);
  end loop;
end $$;
create index pipedrive_activities_due on raw.pipedrive_activities (tenant_id, due_date);
create index pipedrive_tasks_due on raw.pipedrive_tasks (tenant_id, due_date);

select raw.create_table('pipedrive', 'notes', $columns$
  person_id            numeric generated always as (raw.to_number(raw ->> 'person_id')) stored,
  org_id               numeric generated always as (raw.to_number(raw ->> 'org_id')) stored,
  deal_id              numeric generated always as (raw.to_number(raw ->> 'deal_id')) stored,
  user_id              numeric generated always as (raw.to_number(raw ->> 'user_id')) stored,
  add_time             timestamptz generated always as (raw.to_utc_time(raw ->> 'add_time')) stored,
  update_time          timestamptz generated always as (raw.to_utc_time(raw ->> 'update_time')) stored,
$columns$);

select raw.create_table('pipedrive', 'leads', $columns$
  title                text generated always as (raw.to_text(raw ->> 'title')) stored,
  value                numeric generated always as (raw.to_number(raw -> 'value' ->> 'amount')) stored,
  currency             text generated always as (raw.to_text(raw -> 'value' ->> 'currency')) stored,
  person_id            numeric generated always as (raw.to_number(raw ->> 'person_id')) stored,
  organization_id      numeric generated always as (raw.to_number(raw ->> 'organization_id')) stored,
  owner_id             numeric generated always as (raw.to_number(raw ->> 'owner_id')) stored,
  add_time             timestamptz generated always as (raw.to_time(raw ->> 'add_time')) stored,
  update_time          timestamptz generated always as (raw.to_time(raw ->> 'update_time')) stored,
$columns$);

select raw.create_table('pipedrive', 'users', $columns$
  name                 text generated always as (raw.to_text(raw ->> 'name')) stored,
  email                text generated always as (raw.to_text(raw ->> 'email')) stored,
  active_flag          boolean generated always as (raw.to_bool(raw ->> 'active_flag')) stored,
$columns$);
