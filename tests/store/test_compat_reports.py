"""The views that report: open deals, engagement, pipeline, week and forecast, compared with plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from compat_rows import insert_world, open_compat, select
from compat_world import Record, World, full_name, living, make_world, month_of, open_deals, sum_of

from syncline.store.db import Conn, Database

pytestmark = pytest.mark.anyio

SEED = 20_261_121


@pytest.fixture
def world() -> World:
    # The views ask for the time themselves.
    return make_world(SEED, datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
async def conn(db: Database, tenant_id: UUID, world: World) -> AsyncGenerator[Conn]:
    async with db.transaction(tenant_id=tenant_id, bulk=True) as writer:
        await insert_world(writer, tenant_id, world)
    async with open_compat(db, tenant_id) as reader:
        yield reader


async def test_active_deals_name_the_people_and_the_last_activity(conn: Conn, world: World):
    rows = await select(
        conn,
        "SELECT id, deal_name, stage, deal_value, company_name, contact_name, owner_name, last_activity_at "
        "FROM v_active_deals",
    )
    companies = {c.id: c.columns["name"] for c in living(world.companies)}
    contacts = {c.id: full_name(c) for c in living(world.contacts)}
    owners = {o.id: f"{o.columns['first_name']} Miller" for o in world.owners}
    last: dict[UUID | None, datetime] = {}
    for activity in sorted(living(world.activities), key=lambda a: a.columns["occurred_at"]):
        if activity.columns["occurred_at"] <= world.now:
            last[activity.columns["deal_id"]] = activity.columns["occurred_at"]
    expected = [
        (
            d.id,
            d.columns["name"],
            d.columns["stage"],
            d.columns["amount"],
            companies.get(d.columns["company_id"]),
            contacts.get(d.columns["contact_id"]),
            owners.get(d.columns["owner_id"]),
            last.get(d.id),
        )
        for d in open_deals(world)
    ]
    assert Counter(rows) == Counter(expected)


async def test_company_engagement_counts_each_thing_once(conn: Conn, world: World):
    rows = await select(
        conn,
        "SELECT company_id, contact_count, active_deals, won_deals, lost_deals, pipeline_value, "
        "activity_count, last_activity_at FROM v_company_engagement",
    )
    expected: list[tuple[Any, ...]] = []
    for company in living(world.companies):
        contacts, deals, activities = (
            [r for r in living(records) if r.columns["company_id"] == company.id]
            for records in (world.contacts, world.deals, world.activities)
        )
        status = Counter(d.columns["status"] for d in deals)
        times = [a.columns["occurred_at"] for a in activities if a.columns["occurred_at"] <= world.now]
        value = sum_of([d for d in deals if d.columns["status"] == "open"])
        counts = (status["open"], status["won"], status["lost"], value, len(times), max(times, default=None))
        expected.append((company.id, len(contacts), *counts))
    assert Counter(rows) == Counter(expected)


async def test_the_daily_snapshot_sums_open_deals_by_stage(conn: Conn, world: World):
    rows = await select(
        conn,
        "SELECT stage, deal_count, total_value, avg_deal_size, weighted_value "
        "FROM crm_daily_pipeline_snapshot",
    )
    expected: dict[str, tuple[int, Decimal, Decimal, Decimal]] = {}
    for stage in {d.columns["stage"] for d in open_deals(world)}:
        deals = [d for d in open_deals(world) if d.columns["stage"] == stage]
        amounts = [d.columns["amount"] for d in deals if d.columns["amount"] is not None]
        average = round(sum(amounts, Decimal()) / len(amounts), 6)
        expected[stage] = (len(deals), sum(amounts, Decimal()), average, weighted(deals))
    assert {r[0]: (r[1], r[2], round(r[3], 6), r[4]) for r in rows} == expected


def weighted(deals: list[Record]) -> Decimal:
    pairs = [(d.columns["amount"], d.columns["probability"]) for d in deals]
    return sum((a * p / 100 for a, p in pairs if a is not None and p is not None), Decimal())


async def test_the_weekly_summary_counts_activities_by_owner(conn: Conn, world: World):
    rows = await select(
        conn, "SELECT owner_id, calls, emails, meetings, contacts_engaged FROM crm_weekly_activity_summary"
    )
    since = world.now - timedelta(days=7)
    recent = [a for a in living(world.activities) if a.columns["occurred_at"] > since]
    expected: list[tuple[Any, ...]] = []
    for owner in {a.columns["owner_id"] for a in recent}:
        own = [a for a in recent if a.columns["owner_id"] == owner]
        kinds = Counter(a.columns["type"] for a in own)
        people = {a.columns["contact_id"] for a in own} - {None}
        expected.append((owner, kinds["call"], kinds["email"], kinds["meeting"], len(people)))
    assert Counter(rows) == Counter(expected)


async def test_the_forecast_covers_six_months_and_its_parts_add_up(conn: Conn, world: World):
    rows = await select(
        conn,
        "SELECT forecast_month, committed, upside, pipeline, weighted_total "
        "FROM crm_monthly_revenue_forecast",
    )
    first = month_of(world.now)
    years, months = divmod(first.month - 1 + 6, 12)
    last = first.replace(year=first.year + years, month=months + 1)
    due = [d for d in open_deals(world) if d.columns["expected_close_date"] is not None]
    due = [d for d in due if first <= month_of(d.columns["expected_close_date"]) < last]
    expected: list[tuple[Any, ...]] = []
    for month in sorted({month_of(d.columns["expected_close_date"]) for d in due}):
        deals = [d for d in due if month_of(d.columns["expected_close_date"]) == month]
        rated = [d for d in deals if d.columns["probability"] is not None and d.columns["amount"] is not None]
        parts: list[Decimal | None] = []
        for low, high in ((90, 101), (50, 90), (0, 50)):
            part = [d.columns["amount"] for d in rated if low <= d.columns["probability"] < high]
            parts.append(sum(part, Decimal()) if part else None)
        expected.append((month, *parts, weighted(rated) if rated else None))
    assert rows == expected
