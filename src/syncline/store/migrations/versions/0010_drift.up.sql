-- What reconcile found: fields in which a CRM and we differ, and how many records either side has.

create table sync.drift (
  tenant_id      uuid not null,
  connection_id  uuid not null,
  object         text not null,
  remote_id      text not null,
  -- '' where the record as a whole is what differs.
  field          text not null,
  -- Null for an object that is mirrored only, and for a record that is not here.
  record_type    text,
  record_id      uuid,
  -- 'open': found, and not mended; 'healed': mended by the run that found it, or on its way;
  -- 'kept': explained by a rule, and no drift.
  state          text not null,
  -- Why they differ; docs/concepts.md says what each means.
  cause          text not null,
  -- In our form; JSON null is nothing. `theirs` as it was read by the run that checked last.
  ours           jsonb not null default 'null',
  theirs         jsonb not null default 'null',
  -- Our half of what both last agreed on.
  base           jsonb not null default 'null',
  -- Since when, by the run that found it; and when it was last seen to hold.
  found_at       timestamptz not null,
  run_id         uuid not null,
  checked_at     timestamptz not null,
  constraint drift_pkey primary key (tenant_id, connection_id, object, remote_id, field),
  constraint drift_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade,
  constraint drift_state check (state in ('open', 'healed', 'kept')),
  constraint drift_cause check (cause in
    ('unread', 'unmerged', 'unqueued', 'undisputed', 'unwritable', 'unreadable',
     'missing_there', 'missing_here', 'archived_there', 'restored_here', 'record_lost'))
);
select app.distribute('sync.drift');
select app.protect('sync.drift');
create index drift_of_record on sync.drift (tenant_id, record_id) where record_id is not null;

-- How many records an object has at the source and here, by the run that counted them.
create table sync.source_counts (
  tenant_id      uuid not null,
  connection_id  uuid not null,
  object         text not null,
  run_id         uuid not null,
  counted_at     timestamptz not null,
  -- Living records as the CRM says; null where it does not tell.
  at_source      bigint,
  -- Living records that its list holds, read from end to end in this run or right after it; null when it
  -- was not read to the end.
  listed         bigint,
  -- Living records of the mirror, and records of ours that they are.
  mirrored       bigint not null,
  records        bigint,
  -- Records that were found to differ, and of those how many could not be mended.
  drifted        bigint not null,
  open           bigint not null,
  constraint source_counts_pkey primary key (tenant_id, connection_id, object, run_id),
  constraint source_counts_connection foreign key (tenant_id, connection_id)
    references sync.connections (tenant_id, id) on delete cascade
);
select app.distribute('sync.source_counts');
select app.protect('sync.source_counts');
create index source_counts_latest on sync.source_counts (tenant_id, connection_id, object, counted_at desc);

-- Of each object the counts of the latest run.
create view sync.latest_source_counts with (security_invoker = true) as
select distinct on (c.tenant_id, c.connection_id, c.object)
  c.tenant_id, c.connection_id, n.name as connection, c.object, c.at_source, c.listed, c.mirrored, c.records,
  c.drifted, c.open, c.counted_at, c.run_id
from sync.source_counts c
join sync.connections n on n.tenant_id = c.tenant_id and n.id = c.connection_id
order by c.tenant_id, c.connection_id, c.object, c.counted_at desc;
grant select on sync.latest_source_counts to syncline_app, syncline_reader;
