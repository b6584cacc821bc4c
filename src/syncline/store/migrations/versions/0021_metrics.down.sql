drop index crm.field_history_until;
drop index crm.activities_outbound;
drop index crm.activities_type;
create index activities_type on crm.activities (tenant_id, type, occurred_at);
drop index crm.deals_status;
create index deals_status on crm.deals (tenant_id, status, closed_at);
drop index crm.contacts_created;
create index contacts_created on crm.contacts (tenant_id, created_at, id) where archived_at is null;

drop view compat.crm_pipeline_history;
drop table crm.pipeline_history, crm.pipeline_days;
drop view crm.deal_people;
drop trigger follow_merge on crm.contacts;
drop function crm.follow_merge();
drop table crm.deal_contacts, crm.exchange_rates, app.metric_settings;
