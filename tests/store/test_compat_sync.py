"""Runs as logs, and the latest state of each sync, compared with plain Python."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from compat_rows import connect_accounts, insert, open_compat, select
from compat_world import MAIN, OTHER, SECOND
from psycopg.types.json import Jsonb

from syncline.clock import new_id
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

NAMES = {MAIN: ("hubspot", "main"), SECOND: ("hubspot", "second"), OTHER: ("pipedrive", "other")}


def make_runs(tenant_id: UUID, now: datetime) -> list[dict[str, Any]]:
    """Make runs of three connections over three days, one of them still waiting and one never started."""
    random = Random(2)
    runs: list[dict[str, Any]] = []
    for n in range(120):
        connection = random.choice([MAIN, MAIN, SECOND, OTHER])
        requested = now - timedelta(minutes=n * 36 + 5)
        status = random.choice(["success", "success", "partial", "failed", "stopped"])
        status = {0: "pending", 1: "running", 2: "cancelled"}.get(n, status)
        started = None if status in {"pending", "cancelled"} else requested + timedelta(seconds=2)
        ended = None if status in {"pending", "running"} else requested + timedelta(seconds=2 + n % 7)
        runs.append(
            {
                "tenant_id": tenant_id,
                "id": new_id(),
                "connection_id": connection,
                "object": random.choice(["deals", "contacts", "owners"]),
                "mode": "incremental",
                "status": status,
                "requested_by": "schedule",
                "requested_at": requested,
                "started_at": started,
                "completed_at": ended,
                "records_read": n * 3,
                "records_failed": n % 4,
                "error_details": Jsonb({"error": f"reason {n}"}) if status == "failed" else None,
                "updated_at": now,
            }
        )
    return runs


def began(run: dict[str, Any]) -> datetime:
    return run["started_at"] or run["requested_at"]


def duration_ms(run: dict[str, Any]) -> int | None:
    if run["started_at"] is None or run["completed_at"] is None:
        return None
    return int((run["completed_at"] - run["started_at"]).total_seconds() * 1000)


@pytest.fixture
async def runs(db: Database, tenant_id: UUID) -> list[dict[str, Any]]:
    made = make_runs(tenant_id, datetime.now(UTC))
    async with db.transaction(tenant_id=tenant_id) as conn:
        await connect_accounts(conn, tenant_id)
        await insert(conn, "sync", "runs", made)
    return made


@pytest.fixture
async def connected(db: Database, tenant_id: UUID) -> None:
    async with db.transaction(tenant_id=tenant_id) as conn:
        await connect_accounts(conn, tenant_id)


async def test_the_newest_log_of_a_type_comes_first(
    db: Database, tenant_id: UUID, runs: list[dict[str, Any]]
):
    async with open_compat(db, tenant_id) as conn:
        one = await select(
            conn, "SELECT * FROM sync_logs WHERE sync_type = 'deals' ORDER BY started_at DESC LIMIT 1"
        )
        five = await select(
            conn, "SELECT id FROM sync_logs WHERE sync_type = 'deals' ORDER BY started_at DESC LIMIT 5"
        )
    expected = sorted((r for r in runs if r["object"] == "deals"), key=began, reverse=True)
    assert [row[0] for row in one] == [expected[0]["id"]]
    assert [row[0] for row in five] == [run["id"] for run in expected[:5]]


async def test_logs_show_what_each_run_did(db: Database, tenant_id: UUID, runs: list[dict[str, Any]]):
    async with open_compat(db, tenant_id) as conn:
        rows = await select(
            conn,
            "SELECT id, platform, sync_type, status, started_at, completed_at, duration_ms, "
            "records_processed, records_failed, error_details ->> 'error', created_at, connection "
            "FROM sync_logs",
        )
    expected = [
        (
            r["id"],
            NAMES[r["connection_id"]][0],
            *(r["object"], r["status"], began(r), r["completed_at"], duration_ms(r)),
            *(r["records_read"], r["records_failed"]),
            r["error_details"].obj["error"] if r["error_details"] else None,
            r["requested_at"],
            NAMES[r["connection_id"]][1],
        )
        for r in runs
    ]
    assert Counter(rows) == Counter(expected)


async def test_logs_of_the_last_hour(db: Database, tenant_id: UUID, runs: list[dict[str, Any]]):
    async with open_compat(db, tenant_id) as conn:
        rows = await select(conn, "SELECT * FROM sync_logs WHERE created_at > NOW() - INTERVAL '1 hour'")
    assert {row[0] for row in rows} == {r["id"] for r in runs[:2]}


async def test_health_of_the_last_day_by_type(db: Database, tenant_id: UUID, runs: list[dict[str, Any]]):
    async with open_compat(db, tenant_id) as conn:
        rows = await select(
            conn,
            """
            SELECT
              sync_type,
              COUNT(*) as total_syncs,
              COUNT(*) FILTER (WHERE status = 'success') as successful,
              COUNT(*) FILTER (WHERE status = 'failed') as failed,
              AVG(duration_ms) as avg_duration_ms,
              SUM(records_processed) as total_records_synced
            FROM sync_logs
            WHERE started_at > NOW() - INTERVAL '24 hours'
              AND platform = 'hubspot'
            GROUP BY sync_type
            """,
        )
    recent = [r for r in runs[:40] if NAMES[r["connection_id"]][0] == "hubspot"]
    expected: list[tuple[Any, ...]] = []
    for kind in {r["object"] for r in recent}:
        of_kind = [r for r in recent if r["object"] == kind]
        status = Counter(r["status"] for r in of_kind)
        times = [ms for ms in map(duration_ms, of_kind) if ms is not None]
        average = round(Decimal(sum(times)) / len(times), 6)
        read = sum(r["records_read"] for r in of_kind)
        expected.append((kind, len(of_kind), status["success"], status["failed"], average, read))
    assert Counter((*r[:4], round(r[4], 6), r[5]) for r in rows) == Counter(expected)


async def test_the_last_failures_and_their_reasons(db: Database, tenant_id: UUID, runs: list[dict[str, Any]]):
    async with open_compat(db, tenant_id) as conn:
        rows = await select(
            conn,
            """
            SELECT
              sync_type,
              error_details,
              started_at
            FROM sync_logs
            WHERE status = 'failed'
            ORDER BY started_at DESC
            LIMIT 10
            """,
        )
    failed = sorted((r for r in runs if r["status"] == "failed"), key=began, reverse=True)[:10]
    assert rows == [(r["object"], r["error_details"].obj, began(r)) for r in failed]


async def test_the_latest_status_is_of_the_last_finished_hubspot_run_of_each_type(
    db: Database, tenant_id: UUID, runs: list[dict[str, Any]]
):
    async with open_compat(db, tenant_id) as conn:
        rows = await select(conn, "SELECT * FROM get_latest_sync_status()")
    expected: dict[str, tuple[Any, ...]] = {}
    finished = [r for r in runs if r["status"] not in {"pending", "running", "cancelled"}]
    for r in sorted(finished, key=lambda r: r["completed_at"]):
        platform, name = NAMES[r["connection_id"]]
        if platform == "hubspot":
            counts = (r["records_read"], r["records_failed"], duration_ms(r))
            expected[r["object"]] = (r["object"], r["completed_at"], r["status"], *counts, name)
    assert rows == [expected[kind] for kind in sorted(expected)]


MANY_RUNS: LiteralString = """
insert into sync.runs (tenant_id, id, connection_id, object, mode, status, requested_by, requested_at,
                       started_at, completed_at, updated_at)
select %(tenant_id)s, gen_random_uuid(), %(connection)s, 'deals', 'incremental', 'success', 'schedule',
  t, t, t + interval '1 second', t
from generate_series(1, 5000) n, lateral (select now() - n * interval '15 minutes') as at (t)
"""


async def test_the_logs_of_a_day_are_found_through_an_index_however_many_runs_there_were(
    db: Database, database_urls: DatabaseUrls, tenant_id: UUID, connected: None
):
    assert database_urls.superuser
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        await conn.execute(MANY_RUNS, {"tenant_id": tenant_id, "connection": MAIN})
        await conn.execute("analyze sync.runs")
    async with open_compat(db, tenant_id) as conn:
        day = await select(
            conn, "explain SELECT * FROM sync_logs WHERE started_at > NOW() - INTERVAL '24 hours'"
        )
        latest = await select(conn, "explain SELECT * FROM sync_logs ORDER BY started_at DESC LIMIT 5")
    for plan in (day, latest):
        assert "runs_by_start" in "\n".join(row[0] for row in plan)
