"""The pipeline is kept as each day began: once, for each tenant, and made up for where nobody was there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from syncline.engine.snapshot import Snapshots, take_snapshot
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
PIPELINE = UUID(int=(1 << 120) + 1)


def number(n: int) -> UUID:
    return UUID(int=(2 << 120) + n)


async def add_deals(
    db: Database, tenant_id: UUID, deals: Sequence[tuple[int, str, int | None, int | None]]
) -> None:
    """Add open deals: number, stage, amount, probability; with the stages there are."""
    async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        await conn.execute(
            "insert into crm.pipelines (tenant_id, id, key, label) values (%s, %s, 'sales', 'Sales')"
            " on conflict do nothing",
            (tenant_id, PIPELINE),
        )
        for position, (key, closed, chance) in enumerate((("new", False, 20), ("won", True, 100))):
            await conn.execute(
                "insert into crm.stages (tenant_id, id, pipeline_id, key, label, position, is_closed, is_won,"
                " probability) values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
                (tenant_id, number(1000 + position), PIPELINE, key, key, position, closed, closed, chance),
            )
        for n, stage, amount, chance in deals:
            await conn.execute(
                "insert into crm.deals (tenant_id, id, name, amount, currency, stage, pipeline_id, stage_id,"
                " probability, expected_close_date)"
                " values (%s, %s, %s, %s, 'EUR', %s, %s, %s, %s, '2026-12-24')",
                (tenant_id, number(n), f"Deal {n}", amount, stage, PIPELINE, number(1000), chance),
            )


async def days_of(db: Database, tenant_id: UUID) -> list[tuple[date, str]]:
    async with db.transaction(tenant_id=tenant_id) as conn:
        cursor = await conn.execute("select snapshot_on, source from crm.pipeline_days order by 1")
        return [(row[0], row[1]) for row in await cursor.fetchall()]


async def history_of(db: Database, tenant_id: UUID) -> list[tuple[Any, ...]]:
    async with db.transaction(tenant_id=tenant_id) as conn:
        cursor = await conn.execute(
            "select snapshot_date, stage, deal_count, total_value, avg_deal_size, weighted_value"
            " from compat.crm_pipeline_history order by 1, 2"
        )
        return await cursor.fetchall()


async def test_a_day_is_kept_as_it_began_and_only_once(db: Database, tenant_id: UUID):
    await add_deals(db, tenant_id, [(1, "new", 100, 90), (2, "new", 50, None), (3, "new", None, 50)])
    assert await take_snapshot(db, tenant_id, MIDNIGHT + timedelta(seconds=2)) == 1
    kept = [(MIDNIGHT.date(), "new", 3, Decimal(150), Decimal(75), Decimal(100))]
    assert await history_of(db, tenant_id) == kept
    await add_deals(db, tenant_id, [(4, "new", 999, 10)])
    assert await take_snapshot(db, tenant_id, MIDNIGHT + timedelta(hours=3)) == 0
    assert await history_of(db, tenant_id) == kept
    assert await take_snapshot(db, tenant_id, MIDNIGHT + timedelta(days=1)) == 1
    assert [row[2] for row in await history_of(db, tenant_id)] == [3, 4]
    assert [source for _, source in await days_of(db, tenant_id)] == ["snapshot", "snapshot"]


async def test_bands_months_and_owners_are_kept_apart(db: Database, tenant_id: UUID):
    await add_deals(
        db, tenant_id, [(1, "new", 100, 90), (2, "new", 50, 89), (3, "new", 7, 49), (4, "new", 5, None)]
    )
    await take_snapshot(db, tenant_id, MIDNIGHT)
    async with db.transaction(tenant_id=tenant_id) as conn:
        cursor = await conn.execute(
            "select close_month, currency, deal_count, committed_value, upside_value, early_value"
            " from crm.pipeline_history"
        )
        assert await cursor.fetchall() == [(date(2026, 12, 1), "EUR", 4, 100, 50, 12)]


async def test_workers_that_come_at_once_keep_a_day_once(db: Database, tenant_id: UUID):
    await add_deals(db, tenant_id, [(1, "new", 100, 90)])
    added = await asyncio.gather(*(Snapshots(db).take(MIDNIGHT) for _ in range(5)))
    assert sum(added) == 1
    assert [row[2] for row in await history_of(db, tenant_id)] == [1]


async def test_a_day_without_deals_is_known_too(db: Database, tenant_id: UUID):
    assert await take_snapshot(db, tenant_id, MIDNIGHT) == 1
    assert await history_of(db, tenant_id) == []
    assert await days_of(db, tenant_id) == [(MIDNIGHT.date(), "snapshot")]


async def test_who_comes_after_midnight_says_so(db: Database, tenant_id: UUID):
    await take_snapshot(db, tenant_id, MIDNIGHT + timedelta(hours=9))
    assert await days_of(db, tenant_id) == [(MIDNIGHT.date(), "late")]


async def test_missed_days_are_worked_out_as_far_as_history_goes(db: Database, tenant_id: UUID):
    await add_deals(db, tenant_id, [(1, "new", 300, 60)])
    began = MIDNIGHT - timedelta(days=2, hours=6)
    past = [
        ("stage", began, None, "new"),
        ("amount", began, MIDNIGHT - timedelta(hours=12), "200"),
        ("amount", MIDNIGHT - timedelta(hours=12), None, "300"),
        ("close_date", began, None, "2026-12-24"),
    ]
    async with db.transaction(tenant_id=tenant_id) as conn:
        for name, start, end, value in past:
            await conn.execute(
                "insert into crm.field_history values (%s, 'deal', %s, %s, %s, %s, %s, 'crm')",
                (tenant_id, number(1), name, start, end, value),
            )
        await conn.execute(
            "insert into crm.pipeline_days values (%s, %s, 'snapshot', %s)",
            (tenant_id, (MIDNIGHT - timedelta(days=5)).date(), MIDNIGHT),
        )
    assert await take_snapshot(db, tenant_id, MIDNIGHT + timedelta(minutes=1)) == 3
    day = MIDNIGHT.date()
    assert await days_of(db, tenant_id) == [
        (day - timedelta(days=5), "snapshot"),
        (day - timedelta(days=2), "history"),
        (day - timedelta(days=1), "history"),
        (day, "snapshot"),
    ]
    worth = [(row[0], row[3], row[5]) for row in await history_of(db, tenant_id)]
    assert worth == [
        (day - timedelta(days=2), 200, 120),
        (day - timedelta(days=1), 200, 120),
        (day, 300, 180),
    ]


async def test_each_tenant_has_its_own_and_one_in_trouble_stops_no_other(
    db: Database, tenant_id: UUID, database_urls: DatabaseUrls
):
    other, suspended = UUID(int=(9 << 120) + 1), UUID(int=(9 << 120) + 2)
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        for tenant, name, status in ((other, "a-first", "active"), (suspended, "b-second", "suspended")):
            await conn.execute(
                "insert into app.tenants (tenant_id, slug, label, status) values (%s, %s, %s, %s)",
                (tenant, name, name, status),
            )
        # A tenant whose snapshot cannot be written.
        await conn.execute(
            "create function public.refuse() returns trigger language plpgsql as"
            " $$ begin raise exception 'no'; end $$"
        )
        await conn.execute(
            "create trigger refuse before insert on crm.pipeline_days for each row"
            f" when (new.tenant_id = '{other}') execute function public.refuse()"
        )
        keeping = Snapshots(db)
        assert await keeping.take(MIDNIGHT) == 1
        assert await days_of(db, tenant_id) == [(MIDNIGHT.date(), "snapshot")]
        assert await days_of(db, other) == []
        await conn.execute("drop trigger refuse on crm.pipeline_days")
        assert await keeping.take(MIDNIGHT + timedelta(seconds=30)) == 0  # not before a minute has passed
        assert await keeping.take(MIDNIGHT + timedelta(seconds=61)) == 1
        assert await days_of(db, other) == [(MIDNIGHT.date(), "snapshot")]
        assert await days_of(db, suspended) == []
