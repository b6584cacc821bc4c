delete from sync.schedules where mode = 'reconcile';
delete from sync.cursors where kind in ('reconcile', 'reconcile_round');
drop view sync.latest_source_counts;
drop table sync.source_counts, sync.drift;
