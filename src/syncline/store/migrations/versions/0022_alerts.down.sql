drop function crm.notified_tenants(timestamptz);
drop index crm.notifications_of_alert;
drop index crm.notifications_due;
drop index crm.notifications_once;
alter table crm.notifications
  drop column mention,
  drop column dedupe_key,
  drop column claimed_until,
  drop column not_before,
  drop column alert_id;
drop table app.channels, sync.alerts, sync.alert_looks, app.alert_rules;
alter table sync.schedules drop column changed_at;
alter table sync.connections drop column resumed_at;
