"""The nine figures of how syncs fare, over rows of known times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from syncline.clock import new_id
from syncline.store import sync_metrics
from syncline.store.db import Database
from syncline.store.sync_metrics import SyncMetrics
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OTHER = UUID("00000000-0000-7000-8000-0000000000aa")
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

RUN = """insert into sync.runs (tenant_id, id, connection_id, object, mode, status, requested_by,
  requested_at, started_at, completed_at, records_created, records_updated, updated_at)
values (%s, %s, %s, %s, %s, %s, 'schedule', %s, %s, %s, %s, %s, %s)"""


class Rows:
    """Writes rows of the machinery as a superuser."""

    def __init__(self, conn: psycopg.AsyncConnection[Any], tenant_id: UUID) -> None:
        self.conn = conn
        self.tenant_id = tenant_id
        self.connection_id = new_id()

    async def connect(self, account: str) -> None:
        await self.conn.execute(
            """insert into sync.connections (tenant_id, id, platform, name, base_url, account_id, created_at,
                 updated_at) values (%s, %s, 'hubspot', 'acme', 'https://crm.test', %s, %s, %s)""",
            [self.tenant_id, self.connection_id, account, NOW, NOW],
        )
        for name, kind in (("contacts", "contact"), ("deals", "deal"), ("calls", "activity")):
            await self.conn.execute(
                """insert into sync.links (tenant_id, connection_id, object, remote_id, record_type,
                     record_id, base, linked_at) values (%s, %s, %s, '1', %s, %s, '{}', %s)""",
                [self.tenant_id, self.connection_id, name, kind, new_id(), NOW],
            )

    async def run(
        self,
        name: str,
        ended_at: datetime | None,
        *,
        mode: str = "incremental",
        status: str = "success",
        took: timedelta = timedelta(seconds=4),
        moved: int = 0,
    ) -> None:
        asked_at = (ended_at or NOW) - took
        await self.conn.execute(
            RUN,
            [
                self.tenant_id, new_id(), self.connection_id, name, mode, status, asked_at, asked_at,
                ended_at, moved, moved, ended_at or NOW,
            ],
        )  # fmt: skip

    async def delivery(self, ended_at: datetime, took: timedelta) -> None:
        await self.conn.execute(
            """insert into sync.inbox (tenant_id, id, connection_id, received_at, events, state, not_before,
                 ended_at) values (%s, %s, %s, %s, 1, 'done', %s, %s)""",
            [self.tenant_id, new_id(), self.connection_id, ended_at - took, ended_at, ended_at],
        )


@pytest.fixture
async def rows(database_urls: DatabaseUrls, tenant_id: UUID) -> Any:
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        made = Rows(conn, tenant_id)
        await made.connect("1")
        yield made


async def read(db: Database, tenant_id: UUID) -> SyncMetrics:
    async with db.transaction(tenant_id=tenant_id) as conn:
        return await sync_metrics.read(conn, tenant_id=tenant_id, now=NOW)


@pytest.mark.usefixtures("rows")
async def test_where_nothing_happened_nothing_is_claimed(db: Database, tenant_id: UUID) -> None:
    assert await read(db, tenant_id) == SyncMetrics(None, None, None, None, None, None, None, None, None)


async def test_latency_is_of_runs_that_follow_changes_and_went_well(
    db: Database, tenant_id: UUID, rows: Rows
) -> None:
    await rows.run("contacts", NOW - MINUTE, took=timedelta(seconds=2))
    await rows.run("deals", NOW - MINUTE, mode="webhook", took=timedelta(seconds=6))
    await rows.run("deals", NOW - MINUTE, mode="backfill", took=timedelta(minutes=40))
    await rows.run("deals", NOW - MINUTE, status="failed", took=timedelta(minutes=9))
    await rows.run("deals", NOW - 2 * HOUR, took=timedelta(minutes=9))

    assert (await read(db, tenant_id)).avg_sync_latency_ms == 4000


async def test_the_rate_of_success_recovers_within_the_hour(
    db: Database, tenant_id: UUID, rows: Rows
) -> None:
    for _ in range(3):
        await rows.run("contacts", NOW - 2 * HOUR, status="failed")
    await rows.run("contacts", NOW - 3 * MINUTE, status="cancelled")
    await rows.run("contacts", NOW - 3 * MINUTE, status="stopped")
    await rows.run("contacts", NOW - 2 * MINUTE, status="partial")
    await rows.run("contacts", NOW - MINUTE)
    await rows.run("contacts", None, status="running")

    found = await read(db, tenant_id)

    assert found.sync_success_rate == pytest.approx(2 / 3)
    assert found.sync_failures_24h == 4


async def test_volumes_are_of_what_moved_within_a_day_by_kind_of_record(
    db: Database, tenant_id: UUID, rows: Rows
) -> None:
    await rows.run("contacts", NOW - HOUR, moved=5)
    await rows.run("contacts", None, status="running", mode="backfill", moved=100)
    await rows.run("contacts", NOW - 25 * HOUR, moved=1000)
    await rows.run("calls", NOW - HOUR, mode="push", moved=2)
    await rows.run("owners", NOW - HOUR, moved=7)

    found = await read(db, tenant_id)

    assert (found.contacts_synced_24h, found.deals_synced_24h, found.activities_synced_24h) == (210, None, 4)


async def test_deliveries_conflicts_and_refused_calls_are_counted(
    db: Database, tenant_id: UUID, rows: Rows
) -> None:
    await rows.delivery(NOW - MINUTE, timedelta(milliseconds=300))
    await rows.delivery(NOW - MINUTE, timedelta(milliseconds=500))
    await rows.delivery(NOW - 3 * HOUR, timedelta(minutes=30))
    await rows.conn.execute(
        """insert into sync.conflicts (tenant_id, id, connection_id, object, remote_id, record_type,
             record_id, field, base, ours, theirs, read, seen, our_record, their_record, found_at, seen_at)
           select %s, gen_random_uuid(), %s, 'contacts', '1', 'contact', gen_random_uuid(), 'email', 'null',
             '1', '2', '2', '[]', '{}', '{}', f.at, f.at
           from unnest(%s::timestamptz[]) f (at)""",
        [tenant_id, rows.connection_id, [NOW - HOUR, NOW - 30 * HOUR]],
    )
    await rows.conn.execute(
        """insert into sync.quota_buckets (platform, account_id, bucket, budget, guess_calls, guess_window_ms,
             has_headers, max_calls, window_ms)
           values ('hubspot', '1', 'burst', 'day', 100, 10000, true, 100, 10000),
             ('hubspot', '2', 'burst', 'day', 100, 10000, true, 100, 10000)"""
    )
    await rows.conn.execute(
        """insert into sync.quota_refusals (platform, account_id, bucket, minute, refusals)
           values ('hubspot', '1', 'burst', %s, 3), ('hubspot', '1', 'burst', %s, 50),
             ('hubspot', '2', 'burst', %s, 9)""",
        [NOW - 5 * MINUTE, NOW - 2 * HOUR, NOW - MINUTE],
    )

    found = await read(db, tenant_id)

    assert found.webhook_processing_time_ms == 400
    assert found.conflict_count_24h == 1
    assert found.api_rate_limit_hits == 3


async def test_a_refused_call_is_kept_by_the_minute_and_forgotten_after_two_days(rows: Rows) -> None:
    await rows.conn.execute(
        """insert into sync.quota_buckets (platform, account_id, bucket, budget, guess_calls, guess_window_ms,
             has_headers, max_calls, window_ms)
           values ('hubspot', '1', 'burst', 'day', 100, 10000, true, 100, 10000)"""
    )
    await rows.conn.execute(
        "insert into sync.quota_refusals values ('hubspot', '1', 'burst', now() - interval '3 days', 8)"
    )
    for hits in (2, 2, 5):
        await rows.conn.execute("update sync.quota_buckets set rate_limit_hits = %s, others = 1", [hits])

    cursor = await rows.conn.execute("select sum(refusals) from sync.quota_refusals")
    assert (await cursor.fetchone()) == (5,)


async def test_another_tenants_runs_count_for_nothing(db: Database, tenant_id: UUID, rows: Rows) -> None:
    await rows.conn.execute(
        "insert into app.tenants (tenant_id, slug, label) values (%s, 'other', 'Other')", [OTHER]
    )
    other = Rows(rows.conn, OTHER)
    await other.connect("2")
    await other.run("contacts", NOW - MINUTE, moved=9)

    assert (await read(db, tenant_id)).contacts_synced_24h is None
    assert (await read(db, OTHER)).contacts_synced_24h == 18
