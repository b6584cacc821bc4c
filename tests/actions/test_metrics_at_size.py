"""The numbers of a company's three years are what plain Python counts over its rows, and are soon found."""

from __future__ import annotations

import importlib.util
import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import pytest
from psycopg.rows import dict_row

from syncline import clock
from syncline.actions.hub import Hub
from syncline.actions.metrics import Asked, Reading, read_metrics
from syncline.domain.callers import Caller
from syncline.store.reports import REPORTS
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

BENCH = Path(__file__).resolve().parents[2] / "bench"
#: Seconds since 1970 keep a million rows small.
ROWS = {
    "contacts": "select id, extract(epoch from created_at)::float8 as at,"
    " coalesce(vsl_watched, false) as watched, sales_script_version as version from crm.contacts",
    "deals": "select id, status, extract(epoch from created_at)::float8 as at,"
    " extract(epoch from closed_at)::float8 as closed, amount, currency, contact_id, qualified_status"
    " from crm.deals",
    "people": "select deal_id, contact_id from crm.deal_contacts",
    "calls": "select extract(epoch from occurred_at)::float8 as at, direction, duration_ms::float8 as ms,"
    " contact_id from crm.activities",
    "spans": "select record_id, extract(epoch from valid_from)::float8 as since,"
    " coalesce(extract(epoch from valid_to)::float8, 'infinity') as until from crm.field_history"
    " where field = 'stage' and value not in ('stage6', 'stage7')",
}


def bench_rows() -> ModuleType:
    """Return what the benchmarks are filled by, so that the same company is counted here."""
    spec = importlib.util.spec_from_file_location("metric_rows", BENCH / "metric_rows.py")
    assert spec is not None
    assert spec.loader is not None
    # Its dataclasses look their module up.
    module = sys.modules["metric_rows"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MADE = bench_rows()
SIZES = [
    pytest.param(MADE.Size(3_000, 800, 3_000), id="small"),
    pytest.param(MADE.LARGE, id="1,000,000", marks=[pytest.mark.nightly, pytest.mark.timeout(3_000)]),
]


def share(part: int, whole: int) -> float:
    return part * 100 / whole


def count(rows: Mapping[str, list[dict[str, Any]]], begin: float, end: float) -> dict[str, float]:
    """Return what metrics come to between two moments."""
    deals, calls = rows["deals"], [each for each in rows["calls"] if begin <= each["at"] < end]
    won = [each for each in deals if each["status"] == "won" and begin <= each["closed"] < end]
    lost = [each for each in deals if each["status"] == "lost" and begin <= each["closed"] < end]
    made = [each for each in deals if begin <= each["at"] < end]
    created = [each for each in rows["contacts"] if begin <= each["at"] < end]
    bought = {each["id"]: each["contact_id"] for each in deals if each["status"] == "won"}
    buyers = {*bought.values(), *(each["contact_id"] for each in rows["people"] if each["deal_id"] in bought)}
    lasted = [each["ms"] for each in calls if each["ms"] > 0]
    return {
        "deals_won": len(won),
        "win_rate": share(len(won), len(won) + len(lost)),
        "qualified_rate": share(sum(each["qualified_status"] == "yes" for each in made), len(made)),
        "new_contacts": len(created),
        "conversion_rate": share(sum(each["id"] in buyers for each in created), len(created)),
        "vsl_watch_rate": share(sum(each["watched"] for each in created), len(created)),
        "total_calls": len(calls),
        "average_call_time": sum(lasted) / len(lasted) / 1000,
        "total_call_time": sum(lasted) / 3_600_000,
        "five_minute_rate": share(sum(each >= 300_000 for each in lasted), len(lasted)),
        "deals_by_stage": sum(each["since"] <= end < each["until"] for each in rows["spans"]),
        "time_to_first_contact": minutes_until_called(rows, created),
    }


def minutes_until_called(rows: Mapping[str, list[dict[str, Any]]], created: list[dict[str, Any]]) -> float:
    wanted = {each["id"]: each["at"] for each in created}
    called: dict[Any, list[float]] = defaultdict(list)
    for each in rows["calls"]:
        if each["direction"] == "outbound" and each["contact_id"] in wanted:
            called[each["contact_id"]].append(each["at"])
    waits: list[float] = []
    for contact, moments in called.items():
        moments.sort()
        place = bisect_left(moments, wanted[contact])
        if place < len(moments):
            waits.append((moments[place] - wanted[contact]) / 60)
    return median(waits)


def check_money(found: Reading, rows: Mapping[str, list[dict[str, Any]]], begin: float, end: float) -> None:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for each in rows["deals"]:
        if each["status"] == "won" and begin <= each["closed"] < end and each["amount"] is not None:
            sums[each["currency"]] += each["amount"]
    assert found.by_currency == dict(sums)


def check_scripts(found: Reading, rows: Mapping[str, list[dict[str, Any]]], begin: float, end: float) -> None:
    counts: dict[str, int] = defaultdict(int)
    for each in rows["contacts"]:
        if begin <= each["at"] < end and each["version"] is not None:
            counts[each["version"]] += 1
    assert {row["version"]: row["contacts"] for row in found.rows} == counts


@pytest.mark.parametrize("size", SIZES)
async def test_numbers_at_size_are_counted_right(
    hub: Hub, admin: Any, database_urls: DatabaseUrls, size: Any
):
    today = clock.now().date()
    await MADE.fill(database_urls.superuser, str(hub.tenant_id), size, today.isoformat())
    asked = Asked(from_on=today - timedelta(days=60), to_on=today - timedelta(days=20))
    caller = Caller(hub.tenant_id, "manager", "ada@example.com", "cli")
    readings = {each.metric.name: each for each in await read_metrics(hub, caller, asked)}
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, statement in ROWS.items():
        async with admin.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(statement)
            rows[name] = await cursor.fetchall()
    assert asked.from_on is not None
    assert asked.to_on is not None
    first, last = (datetime.combine(each, time(), UTC) for each in (asked.from_on, asked.to_on))
    begin, end = first.timestamp(), last.timestamp()
    for name, wanted in count(rows, begin, end).items():
        assert float(readings[name].value or 0) == pytest.approx(wanted, rel=1e-6), name
    check_money(readings["total_sales"], rows, begin, end)
    check_scripts(readings["sales_script_performance"], rows, begin, end)
    if size == MADE.LARGE:  # of few rows all are read at once
        plans = await list_plans(hub, first, last)
        assert {name: plan for name, plan in plans.items() if scans_all(plan)} == {}


async def list_plans(hub: Hub, begin: datetime, end: datetime) -> dict[str, str]:
    """Return how the database would come to each number."""
    values: dict[str, Any] = {
        **dict.fromkeys(("seen", "owners", "pipeline", "connection")),
        **{each: ["x"] for each in ("qualified", "unqualified", "no_trial", "retained", "cancelled")},
        "tenant_id": hub.tenant_id,
        "time_zone": "UTC",
        "currency": "USD",
        "home_currency": "USD",
        "now_at": end,
        "is_now": False,
        "first_at": begin,
        "last_at": end,
        "from_at": begin,
        "to_at": end,
        "edges": [begin, end],
        "moments": [begin, end],
    }
    plans: dict[str, str] = {}
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        for report in REPORTS.values():
            if report.number is not None:
                given = {name: values[name] for name in report.parameters}
                statement = f"explain (costs off) {report.statement}".encode()
                cursor = await conn.execute(statement, given, prepare=False)
                plans[report.name] = "\n".join(str(row[0]) for row in await cursor.fetchall())
    return plans


def scans_all(plan: str) -> bool:
    """Tell whether a month is looked for among all contacts, calls, or spans of history."""
    return any(f"Seq Scan on {table}" in plan for table in ("contacts", "activities", "field_history"))
