-- What the API and the web application keep: idempotency, limits, subscriptions, saved views.
drop table app.saved_views;
drop function sync.outgoing_tenants();
drop table sync.outgoing_places;
drop table sync.deliveries;
drop table sync.subscriptions;
drop table app.tenant_calls;
drop function app.read_request_count(uuid);
drop function app.count_request(uuid, uuid);
drop table app.request_counts;
drop table app.tenant_limits;
drop table app.idempotency;
drop index sync.conflicts_found;
drop index sync.runs_requested;
drop index sync.runs_updated;
alter table sync.runs drop column cancel_requested_by;
alter table sync.runs drop column cancel_requested_at;
