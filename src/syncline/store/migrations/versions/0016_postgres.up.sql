-- What a CRM kept in another Postgres said: one table per object, whatever its own tables are called. A payload
-- is the row itself, its columns at the top.

select raw.create_table('postgres', 'companies', $columns$
  name                 text generated always as (raw.to_text(raw ->> 'name')) stored,
  domain               text generated always as (raw.to_text(raw ->> 'domain')) stored,
  industry             text generated always as (raw.to_text(raw ->> 'industry')) stored,
  employee_count       numeric generated always as (raw.to_number(raw ->> 'employee_count')) stored,
  annual_revenue       numeric generated always as (raw.to_number(raw ->> 'annual_revenue')) stored,
  website              text generated always as (raw.to_text(raw ->> 'website')) stored,
  created_at           timestamptz generated always as (raw.to_time(raw ->> 'created_at')) stored,
  updated_at           timestamptz generated always as (raw.to_time(raw ->> 'updated_at')) stored,
$columns$);
create index postgres_companies_domain on raw.postgres_companies (tenant_id, domain);

select raw.create_table('postgres', 'contacts', $columns$
  email                text generated always as (raw.to_text(raw ->> 'email')) stored,
  first_name           text generated always as (raw.to_text(raw ->> 'first_name')) stored,
  last_name            text generated always as (raw.to_text(raw ->> 'last_name')) stored,
  phone                text generated always as (raw.to_text(raw ->> 'phone')) stored,
  company_id           text generated always as (raw.to_text(raw ->> 'company_id')) stored,
  lifecycle_stage      text generated always as (raw.to_text(raw ->> 'lifecycle_stage')) stored,
  source               text generated always as (raw.to_text(raw ->> 'source')) stored,
  owner_id             text generated always as (raw.to_text(raw ->> 'owner_id')) stored,
  created_at           timestamptz generated always as (raw.to_time(raw ->> 'created_at')) stored,
  updated_at           timestamptz generated always as (raw.to_time(raw ->> 'updated_at')) stored,
$columns$);
create index postgres_contacts_email on raw.postgres_contacts (tenant_id, email);
create index postgres_contacts_company on raw.postgres_contacts (tenant_id, company_id);

select raw.create_table('postgres', 'deals', $columns$
  name                 text generated always as (raw.to_text(raw ->> 'name')) stored,
  amount               numeric generated always as (raw.to_number(raw ->> 'amount')) stored,
  stage                text generated always as (raw.to_text(raw ->> 'stage')) stored,
  probability          numeric generated always as (raw.to_number(raw ->> 'probability')) stored,
  close_date           timestamptz generated always as (raw.to_time(raw ->> 'close_date')) stored,
  owner_id             text generated always as (raw.to_text(raw ->> 'owner_id')) stored,
  contact_id           text generated always as (raw.to_text(raw ->> 'contact_id')) stored,
  company_id           text generated always as (raw.to_text(raw ->> 'company_id')) stored,
  created_at           timestamptz generated always as (raw.to_time(raw ->> 'created_at')) stored,
  updated_at           timestamptz generated always as (raw.to_time(raw ->> 'updated_at')) stored,
$columns$);
create index postgres_deals_stage on raw.postgres_deals (tenant_id, stage);
create index postgres_deals_close_date on raw.postgres_deals (tenant_id, close_date);

select raw.create_table('postgres', 'activities', $columns$
  type                 text generated always as (raw.to_text(raw ->> 'type')) stored,
  subject              text generated always as (raw.to_text(raw ->> 'subject')) stored,
  occurred_at          timestamptz generated always as (raw.to_time(raw ->> 'timestamp')) stored,
  contact_id           text generated always as (raw.to_text(raw ->> 'contact_id')) stored,
  company_id           text generated always as (raw.to_text(raw ->> 'company_id')) stored,
  deal_id              text generated always as (raw.to_text(raw ->> 'deal_id')) stored,
  owner_id             text generated always as (raw.to_text(raw ->> 'owner_id')) stored,
$columns$);
create index postgres_activities_contact on raw.postgres_activities (tenant_id, contact_id, occurred_at);

select raw.create_table('postgres', 'users', $columns$
  email                text generated always as (raw.to_text(raw ->> 'email')) stored,
  first_name           text generated always as (raw.to_text(raw ->> 'first_name')) stored,
  last_name            text generated always as (raw.to_text(raw ->> 'last_name')) stored,
$columns$);
