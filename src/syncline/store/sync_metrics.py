"""The nine figures that tell how a tenant's syncs fare. Judges nothing; alerts and pages do.

A run counts by the time of its end, and by what it is known to have moved; reads rows of one day at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn

#: What has no period in its name is of the last hour, so that it tells of recovery as soon as of failure.
RECENT = timedelta(hours=1)
DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class SyncMetrics:
    """How the syncs of one tenant fare. None where nothing happened that could be measured."""

    #: Of runs that follow changes (incremental, webhook, push) and ended well within the last hour, the mean
    #: from when each was asked for until all it found was stored. Reading everything (a backfill, a
    #: reconcile) takes as long as there is data, and says nothing about how late changes arrive.
    avg_sync_latency_ms: float | None
    #: Of all runs that ended within the last hour, the share (0 to 1) that did well; partly counts as well,
    #: since what could be read was. Runs that somebody cancelled are in neither number.
    sync_success_rate: float | None
    #: Of deliveries worked off within the last hour, the mean from their arrival to their end.
    webhook_processing_time_ms: float | None
    #: Records made, changed or archived by runs that moved within 24 hours, here and in CRMs. A run that is
    #: still going counts with what it has done. None where no such run was of these records.
    contacts_synced_24h: int | None
    deals_synced_24h: int | None
    #: Calls, e-mails, meetings and notes.
    activities_synced_24h: int | None
    #: Runs that failed or were stopped within 24 hours; None where none ended.
    sync_failures_24h: int | None
    #: Conflicts found within 24 hours, whether they stand or not; None where none ended and none was found.
    conflict_count_24h: int | None
    #: Calls that the accounts of the tenant's connections refused within the last hour for their rate; None
    #: where no call has been made yet.
    api_rate_limit_hits: int | None


# Which records an object is of, the first of its links tells. `updated_at` moves with every chunk and at the
# end, and has an index.
READ = """
with runs as materialized (
  select r.connection_id, r.object,
    sum(r.records_created + r.records_updated + r.records_archived)::int8 as records,
    count(*) filter (where e.is_counted) as ended,
    count(*) filter (where e.is_counted and r.status in ('failed', 'stopped')) as failed,
    count(*) filter (where e.is_counted and e.is_recent) as recent,
    count(*) filter (where e.is_counted and e.is_recent and r.status in ('success', 'partial')) as good,
    sum(e.latency_ms) filter (where e.is_recent) as latency_ms,
    count(e.latency_ms) filter (where e.is_recent) as measured
  from sync.runs r
  cross join lateral (
    select r.status in ('success', 'partial', 'failed', 'stopped') and r.completed_at > %(since)s
        as is_counted,
      r.completed_at > %(recent)s as is_recent,
      case when r.status in ('success', 'partial') and r.mode in ('incremental', 'webhook', 'push')
        then extract(epoch from r.completed_at - r.requested_at) * 1000 end as latency_ms
  ) e
  where r.tenant_id = %(tenant_id)s and r.updated_at > %(since)s
  group by r.connection_id, r.object
), moved as (
  select k.record_type, sum(r.records)::int8 as records
  from runs r
  cross join lateral (
    select l.record_type from sync.links l
    where l.tenant_id = %(tenant_id)s and l.connection_id = r.connection_id and l.object = r.object
    -- In the order of the key: whoever expects to meet one soon goes through all where there is none.
    order by l.remote_id limit 1
  ) k
  group by k.record_type
), ended as (
  select sum(r.ended)::int8 as ended, sum(r.failed)::int8 as failed, sum(r.recent)::int8 as recent,
    sum(r.good)::int8 as good, sum(r.latency_ms) as latency_ms, sum(r.measured) as measured
  from runs r
), found as (
  select count(*) as conflicts from sync.conflicts c
  where c.tenant_id = %(tenant_id)s and c.found_at > %(since)s
)
select (e.latency_ms / nullif(e.measured, 0))::float8 as avg_sync_latency_ms,
  (e.good::numeric / nullif(e.recent, 0))::float8 as sync_success_rate,
  (select avg(extract(epoch from i.ended_at - i.received_at) * 1000)::float8 from sync.inbox i
   where i.tenant_id = %(tenant_id)s and i.state = 'done' and i.ended_at > %(recent)s)
    as webhook_processing_time_ms,
  (select m.records from moved m where m.record_type = 'contact') as contacts_synced_24h,
  (select m.records from moved m where m.record_type = 'deal') as deals_synced_24h,
  (select m.records from moved m where m.record_type = 'activity') as activities_synced_24h,
  case when e.ended > 0 then e.failed end as sync_failures_24h,
  case when e.ended > 0 or f.conflicts > 0 then f.conflicts end as conflict_count_24h,
  (select case when count(b.bucket) > 0 then coalesce(sum(
      (select sum(q.refusals) from sync.quota_refusals q
       where q.platform = b.platform and q.account_id = b.account_id and q.bucket = b.bucket
         and q.minute > %(recent)s)), 0)::int8 end
   from sync.quota_buckets b
   where exists (select from sync.connections n
                 where n.tenant_id = %(tenant_id)s and n.platform = b.platform
                   and n.account_id = b.account_id)) as api_rate_limit_hits
from ended e, found f
"""


async def read(conn: Conn, *, tenant_id: UUID, now: datetime) -> SyncMetrics:
    """Return the figures as they stand at `now`."""
    values = {"tenant_id": tenant_id, "since": now - DAY, "recent": now - RECENT}
    async with conn.cursor(row_factory=class_row(SyncMetrics)) as cursor:
        await cursor.execute(READ, values, prepare=False)
        found = await cursor.fetchone()
    assert found is not None  # noqa: S101 - sums over nothing are a row as well
    return found
