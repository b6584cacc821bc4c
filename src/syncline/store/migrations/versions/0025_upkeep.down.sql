-- What keeps creates, imports and erasures exact.
drop index app.batches_running;
drop function app.left_batches(interval);

delete from sync.erased_identities where kind = 'record';
alter table sync.erased_identities drop constraint erased_identities_kind;
alter table sync.erased_identities add constraint erased_identities_kind
  check (kind in ('email', 'phone', 'remote'));
update sync.remote_erasures set state = 'done', record_id = null where remote_id is null;
alter table sync.remote_erasures drop constraint remote_erasures_gone;
alter table sync.remote_erasures add constraint remote_erasures_gone
  check ((state = 'done') = (remote_id is null));
alter table sync.remote_erasures drop column record_id;
alter table sync.erasures drop column wanted;
