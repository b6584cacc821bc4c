drop table app.batch_rows;
drop table app.batches;
drop function app.set_run(uuid);
drop function crm.find_by_words(uuid, text, text[], uuid[], boolean, integer);

drop index crm.companies_words;
drop index crm.contacts_words;
drop index crm.deals_words;
drop index crm.activities_words;
drop index crm.tasks_words;

drop index crm.tasks_archived;
drop index crm.tasks_updated;
drop index crm.tasks_created;
drop index crm.tasks_due;
drop index crm.activities_archived;
drop index crm.activities_updated;
drop index crm.activities_occurred;
create index activities_updated on crm.activities (tenant_id, updated_at);

drop index crm.deals_archived;
drop index crm.deals_open;
drop index crm.deals_owner;
drop index crm.deals_stage_key;
drop index crm.deals_closed;
drop index crm.deals_expected;
drop index crm.deals_amount;
drop index crm.deals_name;
drop index crm.deals_updated;
drop index crm.deals_created;
create index deals_owner on crm.deals (tenant_id, owner_id);
create index deals_created on crm.deals (tenant_id, created_at, id);

drop index crm.contacts_archived;
drop index crm.contacts_owner_name;
drop index crm.contacts_owner;
drop index crm.contacts_address;
drop index crm.contacts_name;
drop index crm.contacts_updated;
drop index crm.contacts_created;
create index contacts_created on crm.contacts (tenant_id, created_at, id);
create index contacts_updated on crm.contacts (tenant_id, updated_at);

drop index crm.companies_archived;
drop index crm.companies_qualification;
drop index crm.companies_owner;
drop index crm.companies_name;
drop index crm.companies_updated;
drop index crm.companies_created;
create index companies_owner on crm.companies (tenant_id, owner_id);
create index companies_created on crm.companies (tenant_id, created_at, id);

alter table crm.deals drop column sort_name, drop column sort_amount;
alter table crm.contacts drop column sort_name;
alter table crm.companies drop column sort_name;

create or replace function crm.content_of(record jsonb) returns jsonb
language sql immutable parallel safe
return (record - array['tenant_id', 'id', 'version', 'updated_at', 'field_times', 'email_norm',
                       'domain_norm', 'full_name', 'phone_e164', 'contact_candidates', 'custom_fields'])
  || coalesce((select jsonb_object_agg('custom_fields.' || f.key, f.value)
               from jsonb_each(case when jsonb_typeof(record -> 'custom_fields') = 'object'
                                    then record -> 'custom_fields' end) f), '{}');
