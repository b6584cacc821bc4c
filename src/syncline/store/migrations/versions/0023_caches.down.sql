drop index sync.inbox_done;
drop trigger note_refusals on sync.quota_buckets;
drop function sync.note_refusals();
drop table sync.quota_refusals;
drop function app.watch_changes(regclass);
drop function app.note_change() cascade;
drop table sync.generations;
