drop function compat.trigger_hubspot_sync(text);
drop function compat.get_latest_sync_status();
drop index sync.runs_by_start;
drop view compat.app_settings, compat.sync_queue, compat.sync_logs;
drop view compat.crm_monthly_revenue_forecast, compat.crm_weekly_activity_summary,
  compat.crm_daily_pipeline_snapshot, compat.crm_audit_log, compat.crm_activities, compat.crm_deals,
  compat.crm_companies, compat.crm_contacts;
drop view compat.v_company_engagement, compat.v_active_deals;
drop view compat.activities, compat.deals, compat.contacts, compat.companies, compat.staff;
drop view compat.deals_with_contacts, compat.hubspot_calls_raw, compat.hubspot_deals_raw,
  compat.hubspot_contacts_raw;
drop view compat.hubspot_owner_ids, compat.hubspot_links;
