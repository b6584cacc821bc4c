-- As 0020 made it.
drop index sync.runs_succeeded;
drop index crm.deals_open;
create index deals_open on crm.deals (tenant_id, stage_id, stage) include (company_id, amount, owner_id)
  where status = 'open' and archived_at is null;
