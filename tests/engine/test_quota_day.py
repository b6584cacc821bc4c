"""A whole day of Pipedrive's tokens goes through the governor's functions, with a clock of the test's own.

What each scheduled run costs is measured at the simulated account, by the calls that it made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from croniter import croniter
from psycopg.rows import dict_row
from test_pipedrive_sync import NONE, mirror_of, world_behind, world_of

from syncline.config import Settings
from syncline.connectors.pipedrive.objects import CAPABILITIES, OBJECTS, quotas
from syncline.engine.lanes import LANES, Lane
from syncline.store.db import Conn, Database

pytestmark = pytest.mark.anyio

MIDNIGHT = datetime(2026, 3, 10, tzinfo=UTC)
DAY = timedelta(days=1)
(BURST, _) = quotas({"plan": "lite"})
BUDGET = BURST.daily_limit or 0
RESERVE = BUDGET // 10
#: Tokens of a whole reading of 20,000 persons, 5,000 organizations and 5,000 deals, in calls of ten.
RECONCILE_CALLS = 80
OPEN = """
insert into sync.quota_days (platform, account_id, budget, started_at, max_calls)
values ('test', 'a', 'burst', %s, %s)
"""
ASK = """
select x.granted from sync.quota_days d cross join lateral sync.keep_quota_day(d, %s, %s::int[], 0, %s, 0) x
where d.platform = 'test'
"""
COUNT = "select d.used from sync.count_quota_day('test', 'a', 'burst', %s, %s, %s, %s, 0, %s) d"
FORECAST = """
select f.forecast, (f.d).used from sync.quota_days d cross join lateral sync.forecast_quota_day(d, %s) f
where d.platform = 'test'
"""


@dataclass(frozen=True, order=True)
class Call:
    at: datetime
    cost: int
    lane: Lane = "incremental"


@dataclass
class Day:
    """One day of an account that counts for itself, and refuses what goes beyond its budget."""

    conn: Conn
    tells: bool
    #: What the account itself has counted.
    used: int = 0
    refused: int = 0
    spent: dict[Lane, int] = field(default_factory=lambda: dict.fromkeys(LANES, 0))
    denied: dict[Lane, int] = field(default_factory=lambda: dict.fromkeys(LANES, 0))
    #: When a forecast was asked for → what it was.
    told: dict[datetime, int] = field(default_factory=dict[datetime, int])

    async def live(self, calls: Iterable[Call], looks: Iterable[datetime] = ()) -> None:
        """Make calls in the order of their times, and ask for forecasts between them."""
        await self.conn.execute(OPEN, [MIDNIGHT, BUDGET])
        waiting = sorted(looks, reverse=True)
        for call in sorted(calls):
            while waiting and waiting[-1] < call.at:
                await self._look(waiting.pop())
            await self._make(call)
        while waiting:
            await self._look(waiting.pop())

    async def _make(self, call: Call) -> None:
        wants = [int(each == call.lane) for each in LANES]
        cursor = await self.conn.execute(ASK, [call.at, wants, BURST.dearest])
        row = await cursor.fetchone()
        assert row is not None
        if not sum(row[0]):
            self.denied[call.lane] += 1
            return
        is_refused = self.used + call.cost > BUDGET
        cost = 0 if is_refused else call.cost
        self.used += cost
        self.refused += is_refused
        self.spent[call.lane] += cost
        said = [BUDGET, BUDGET - self.used] if self.tells else [None, None]
        await self.conn.execute(COUNT, [call.at, cost, *said, int(is_refused)])

    async def _look(self, at: datetime) -> None:
        async with self.conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(FORECAST, [at])
            found = await cursor.fetchone()
        assert found is not None
        assert found["used"] == self.used
        self.told[at] = found["forecast"]


def plan_runs(schedule: str) -> Iterator[datetime]:
    """Yield when a schedule begins a run in the day."""
    times = croniter(schedule, MIDNIGHT - timedelta(seconds=1))
    while (at := times.get_next(datetime)) < MIDNIGHT + DAY:
        yield at


def spread(at: datetime, costs: Iterable[int], lane: Lane = "incremental") -> list[Call]:
    """Return calls that follow each other, a third of a second apart."""
    return [Call(at + number * timedelta(seconds=0.3), cost, lane) for number, cost in enumerate(costs)]


@pytest.fixture
async def idle_day(db: Database, settings: Settings, tenant_id: UUID) -> list[Call]:
    """Return what an account costs on a day on which nothing happens, but for reconcile."""
    world = world_of(**(dict.fromkeys(NONE, 0) | {"contacts": 5, "organizations": 2, "deals": 3, "notes": 2}))
    calls: list[Call] = []
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        for each in OBJECTS:
            await mirror.pull(each.name)

        async def measure(name: str) -> list[int]:
            world_behind(mirror).calls.clear()
            run = await mirror.pull(name)
            assert run.status == "success"
            return [call.cost for call in world_behind(mirror).calls]

        for each in OBJECTS:
            usual = await measure(each.name)
            # Definitions are read anew when they are an hour old.
            await mirror.execute(
                "delete from sync.cursors where kind = 'definitions' and object = %(name)s", name=each.name
            )
            hourly = await measure(each.name)
            for at in plan_runs(each.default_schedule):
                calls += spread(at, hourly if at.minute == 0 else usual)
    return calls


@pytest.mark.parametrize("tells", [True, False], ids=["told by headers", "counted by us"])
async def test_an_idle_day_fits_in_the_smallest_budget_and_is_foretold(
    db: Database, idle_day: list[Call], tells: bool
) -> None:
    reconcile = spread(MIDNIGHT + timedelta(minutes=1), [10] * RECONCILE_CALLS, "backfill")
    # Not while the hourly runs begin: for this minute they are twice in the last hour.
    looks = [MIDNIGHT + timedelta(minutes=each) for each in range(70, 24 * 60, 7) if each % 60]
    async with db.transaction(tenant_id=None) as conn:
        day = Day(conn, tells)
        await day.live([*idle_day, *reconcile], looks)
    assert sum(day.denied.values()) == day.refused == 0
    assert 9_000 < sum(each.cost for each in idle_day) < 11_000
    assert day.used <= BUDGET - RESERVE
    assert len(day.told) > 180
    wrong = {at: told / day.used for at, told in day.told.items() if not 0.9 <= told / day.used <= 1.1}
    assert not wrong


@pytest.mark.parametrize("tells", [True, False], ids=["told by headers", "counted by us"])
async def test_a_day_with_more_to_do_than_its_budget_leaves_the_reserve_to_a_person(
    db: Database, idle_day: list[Call], tells: bool
) -> None:
    pushes = [Call(MIDNIGHT + number * timedelta(seconds=20), 5, "push") for number in range(4_300)]
    person = [Call(MIDNIGHT + timedelta(hours=23, seconds=number), 10, "person") for number in range(400)]
    async with db.transaction(tenant_id=None) as conn:
        day = Day(conn, tells)
        await day.live([*idle_day, *pushes, *person])
    assert day.used <= BUDGET
    others = day.used - day.spent["person"]
    # Once it is used up, one call in a quarter of an hour looks whether there is more.
    assert BUDGET - RESERVE - 2 * BURST.dearest < others <= BUDGET - RESERVE + 2 * BURST.dearest
    assert day.denied["push"] > 100
    assert day.spent["person"] > RESERVE * 0.8
    assert day.refused <= 1


def test_the_budget_is_that_of_the_smallest_plan() -> None:
    assert (BUDGET, CAPABILITIES.quotas[0].daily_limit) == (30_000, 30_000)
