"""The tables beside the metrics, compared with plain Python over the same records."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import time_machine
from measured_rows import insert, insert_world
from measured_truth import Asked as Who
from measured_truth import Truth
from measured_world import ACCOUNT, NOW, SALES, World, make_world

from syncline.actions.hub import Hub
from syncline.actions.metrics import Asked, Filters
from syncline.actions.overview import TABLES, Table, Wanted, read_table
from syncline.domain.callers import Caller
from syncline.engine.snapshot import take_snapshot
from syncline.errors import Forbidden, Invalid, NotFound

pytestmark = pytest.mark.anyio


def manager(hub: Hub) -> Caller:
    return Caller(hub.tenant_id, "manager", "ada@example.com", "cli")


async def read(hub: Hub, name: str, wanted: Wanted | None = None, caller: Caller | None = None) -> Table:
    with time_machine.travel(NOW, tick=False):
        return await read_table(hub, caller or manager(hub), name, wanted)


@pytest.fixture
async def world(hub: Hub) -> World:
    made = make_world(41, "Europe/Berlin", "EUR")
    await insert_world(hub.db, hub.tenant_id, made)
    return made


async def test_the_pipeline_by_stage_is_what_is_open_now(hub: Hub, world: World):
    found = await read(hub, "pipeline_overview")
    truth = Truth(world, Who())
    now = truth.open_at(NOW.date() + timedelta(days=30)) or []
    deals = Counter((pipeline, stage) for _, pipeline, stage, _, _ in now)
    assert {(row["pipeline"], row["stage"]): row["deals"] for row in found.rows} == deals
    values: dict[Any, Decimal] = defaultdict(Decimal)
    for deal, pipeline, stage, amount, _ in now:
        values[pipeline, stage] += truth.convert(amount, truth.currency_of(deal), truth.day(NOW)) or 0
    assert {(r["pipeline"], r["stage"]): r["value"] or 0 for r in found.rows} == values
    places = [stage.label for stage in world.stages if stage.pipeline == SALES]
    shown = [row["stage"] for row in found.rows if row["pipeline"] == "Sales"]
    assert shown == [label for label in places if label in shown]


async def test_win_rates_go_by_month_of_the_tenants_zone(hub: Hub, world: World):
    found = await read(hub, "win_rate_by_month", Wanted(limit=14))
    truth = Truth(world, Who())
    closed = [d for d in truth.my_deals() if d.status != "open" and d.closed_at]
    assert [row["month"] for row in found.rows][:2] == [date(2026, 11, 1), date(2026, 10, 1)]
    assert len(found.rows) == 14
    for row in found.rows:
        own = [
            d.status for d in closed if d.closed_at and truth.day(d.closed_at).replace(day=1) == row["month"]
        ]
        assert (row["won"], row["lost"]) == (own.count("won"), own.count("lost"))
        wanted = Decimal(100 * row["won"]) / len(own) if own else None
        assert row["win_rate"] == wanted


async def test_a_week_is_counted_by_owner(hub: Hub, world: World):
    truth = Truth(world, Who())
    for asked, begin, end in (
        (None, date(2026, 11, 15), date(2026, 11, 22)),
        (Asked(from_on=date(2026, 1, 1), to_on=date(2026, 11, 2)), date(2026, 1, 1), date(2026, 11, 2)),
    ):
        found = await read(hub, "weekly_activity", Wanted(asked))
        own = [a for a in world.activities if truth.counts(a) and truth.within(a.occurred_at, begin, end)]
        for row in found.rows:
            mine = [a for a in own if a.owner == row["owner_id"]]
            kinds = Counter(a.type for a in mine)
            shown = (row["calls"], row["emails"], row["meetings"], row["notes"], row["contacts"])
            people = {a.contact for a in mine} - {None}
            assert shown == (*(kinds[k] for k in ("call", "email", "meeting", "note")), len(people))
        assert {row["owner_id"] for row in found.rows} == {a.owner for a in own}


def forecast(truth: Truth, months: list[date]) -> dict[date, dict[str, Decimal]]:
    """Add up what is open now by the month it is expected in."""
    found = {
        month: dict.fromkeys(("committed", "upside", "pipeline", "weighted"), Decimal()) for month in months
    }
    for deal, _, _, amount, chance in truth.open_at(NOW.date() + timedelta(days=30)) or []:
        month = deal.expected_on and deal.expected_on.replace(day=1)
        value = truth.convert(amount, truth.currency_of(deal), truth.day(NOW))
        if month not in found or value is None or chance is None:
            continue
        band = "committed" if chance >= 90 else "upside" if chance >= 50 else "pipeline"
        found[month][band] += value
        found[month]["weighted"] += value * chance / 100
    return found


async def test_the_forecast_covers_six_months_in_three_bands(hub: Hub, world: World):
    found = await read(hub, "revenue_forecast")
    months = [date(2026, 11, 1), date(2026, 12, 1), *(date(2027, month, 1) for month in range(1, 5))]
    assert [row["month"] for row in found.rows] == months
    truth = Truth(world, Who())
    for row in found.rows:
        wanted = forecast(truth, months)[row["month"]]
        assert {key: row[key] for key in wanted} == wanted
    now = truth.open_at(NOW.date() + timedelta(days=30)) or []
    overdue = sum(1 for each in now if each[0].expected_on and each[0].expected_on < months[0])
    assert any(note.startswith(f"{overdue} overdue, worth ") for note in found.notes)
    undated = sum(1 for each in now if each[0].expected_on is None)
    assert any(note.startswith(f"{undated} without an expected close date") for note in found.notes)


async def test_past_forecasts_stand_beside_what_was_won(hub: Hub, world: World):
    with time_machine.travel(NOW, tick=False):
        await take_snapshot(hub.db, hub.tenant_id, datetime.fromisoformat("2026-11-03T00:00:04+00:00"))
    found = await read(hub, "forecast_history")
    truth = Truth(world, Who())
    assert found.rows[0]["month"] == date(2026, 11, 1)
    assert len(found.rows) == 6
    latest, *others = found.rows
    assert (latest["snapshot_on"], latest["source"]) == (date(2026, 11, 3), "snapshot")
    wanted = forecast_of(truth, date(2026, 11, 3))
    assert {key: latest[key] for key in wanted} == wanted
    assert all(row["weighted"] is None for row in others)
    for row in found.rows:
        end = (row["month"] + timedelta(days=32)).replace(day=1)
        assert row["actual"] == truth.answer("total_sales", row["month"], end).value
    assert any("not known" in note for note in found.notes)


def forecast_of(truth: Truth, day: date) -> dict[str, Decimal]:
    """As `forecast`, of one month, with the rates of the day that was kept."""
    found = dict.fromkeys(("committed", "upside", "pipeline", "weighted"), Decimal())
    for deal, _, _, amount, chance in truth.open_at(NOW.date() + timedelta(days=30)) or []:
        if deal.expected_on is None or deal.expected_on.replace(day=1) != day.replace(day=1):
            continue
        value = truth.convert(amount, truth.currency_of(deal), day)
        if value is not None and chance is not None:
            band = "committed" if chance >= 90 else "upside" if chance >= 50 else "pipeline"
            found[band] += value
            found["weighted"] += value * chance / 100
    return found


async def test_companies_are_ranked_by_what_is_open_and_named_to_who_may_see_them(hub: Hub):
    world = make_world(42, "UTC", "EUR", contacts=0, deals=0)
    await insert_world(hub.db, hub.tenant_id, world)
    mine, theirs = world.owners[0], world.owners[1]
    companies = [UUID(int=(6 << 120) + n) for n in range(3)]
    async with hub.db.transaction(tenant_id=hub.tenant_id, bulk=True) as conn:
        await insert(
            conn,
            ("crm", "companies"),
            [
                {"tenant_id": hub.tenant_id, "id": company, "name": f"Company {n}", "owner_id": owner}
                for n, (company, owner) in enumerate(zip(companies, (mine, theirs, None), strict=True))
            ],
        )
        await insert(
            conn,
            ("crm", "deals"),
            [
                {
                    "tenant_id": hub.tenant_id,
                    "id": UUID(int=(7 << 120) + n),
                    "company_id": companies[company],
                    "amount": amount,
                    "owner_id": owner,
                    "status": status,
                }
                for n, (company, amount, owner, status) in enumerate(
                    (
                        (0, 100, mine, "open"),
                        (0, 900, theirs, "open"),
                        (1, 500, None, "open"),
                        (2, 300, mine, "open"),
                        (2, 9000, mine, "won"),
                    )
                )
            ],
        )
    found = await read(hub, "top_companies")
    shown = [(row["name"], row["deals"], row["value"]) for row in found.rows]
    assert shown == [("Company 0", 2, 1000), ("Company 1", 1, 500), ("Company 2", 1, 300)]
    rep = Caller(hub.tenant_id, "rep", "rep@example.com", "web", owner_ids=frozenset({mine}))
    found = await read(hub, "top_companies", caller=rep)
    shown = [(row["name"], row["deals"], row["value"]) for row in found.rows]
    assert shown == [("Company 2", 1, 300), ("Company 0", 1, 100)]
    assert len((await read(hub, "top_companies", Wanted(limit=1))).rows) == 1


async def test_recent_activities_are_the_latest_a_caller_may_see(hub: Hub, world: World):
    rep = Caller(hub.tenant_id, "rep", "rep@example.com", "web", owner_ids=frozenset(world.owners[:1]))
    for caller, who in ((manager(hub), Who()), (rep, Who(seen=set(world.owners[:1])))):
        found = await read(hub, "recent_activities", Wanted(limit=12), caller)
        truth = Truth(world, who)
        own = [a for a in world.activities if truth.counts(a) and a.occurred_at]
        own.sort(key=lambda a: (a.occurred_at, a.id), reverse=True)
        assert [row["id"] for row in found.rows] == [a.id for a in own[:12]]
        visible = {c.id for c in world.contacts if truth.sees(c)}
        for row in found.rows:
            assert (row["contact"] is not None) == (row["contact_id"] in visible)


async def test_runs_are_summed_up_by_object_and_over_time(hub: Hub, world: World):
    rows = [
        ("contacts", "success", 100, 0),
        ("contacts", "success", 300, 1),
        ("contacts", "failed", 2000, 1),
        ("contacts", "cancelled", 5, 1),
        ("deals", "partial", 50, 2),
        ("deals", "success", 70, 30),
    ]
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        for n, (name, status, ms, days) in enumerate(rows):
            started = NOW - timedelta(days=days, hours=1)
            await conn.execute(
                "insert into sync.runs (tenant_id, id, connection_id, object, mode, status, requested_by,"
                " requested_at, started_at, completed_at, updated_at, api_calls) values"
                " (%s, %s, %s, %s, 'incremental', %s, 'test', %s, %s, %s, %s, 7)",
                (
                    *(hub.tenant_id, UUID(int=(8 << 120) + n), ACCOUNT, name, status),
                    *(started, started, started + timedelta(milliseconds=ms), started),
                ),
            )
    contacts, deals = (await read(hub, "sync_performance")).rows
    assert (contacts["object"], contacts["runs"], contacts["failed"]) == ("contacts", 3, 1)
    assert float(contacts["success_rate"]) == pytest.approx(200 / 3)
    assert (contacts["p50_ms"], contacts["api_calls"]) == (300, 21)
    assert float(contacts["p95_ms"]) == pytest.approx(300 + 0.9 * 1700)
    assert (deals["runs"], deals["success_rate"], deals["p99_ms"]) == (1, 100, 50)
    series = await read(hub, "sync_performance_series")
    assert [(row["from_on"].day, row["runs"]) for row in series.rows] == [(19, 1), (20, 2), (21, 1)]
    assert "4 runs" in series.notes[0]


async def test_what_does_not_exist_or_is_not_allowed_is_said(hub: Hub, world: World):
    with pytest.raises(NotFound, match="pipeline_overview"):
        await read(hub, "no_such_table")
    for name, filters in (
        ("pipeline", Filters(pipeline="nowhere")),
        ("owner", Filters(owner="nobody@example.com")),
        ("connection", Filters(connection="third")),
        ("currency", Filters(currency="EURO")),
    ):
        with pytest.raises(Invalid) as refused:
            await read(hub, "pipeline_overview", Wanted(filters=filters))
        assert name in refused.value.fields
    with pytest.raises(Invalid, match="not kept by connection"):
        await read(hub, "forecast_history", Wanted(filters=Filters(connection="first")))
    with pytest.raises(Invalid):
        await read(hub, "top_companies", Wanted(limit=100_000))
    key = Caller(hub.tenant_id, "manager", "key:x", "api", scopes=frozenset({"records:read"}))
    for name, (permission, _) in TABLES.items():
        if permission == "records:read":
            await read(hub, name, caller=key)
        else:
            with pytest.raises(Forbidden):
                await read(hub, name, caller=key)
