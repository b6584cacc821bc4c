drop function sync.due_tenants(timestamptz);
drop schema jobs cascade;
drop table sync.workers;
drop table sync.schedules;
drop table sync.leases;
