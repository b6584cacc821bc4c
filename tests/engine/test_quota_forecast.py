"""How long the day's budget lasts is told from what the last hour cost, with a clock of the test's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.rows import dict_row

from syncline.connectors.transport import Quota, QuotaFacts
from syncline.engine.quota import Governor, usage
from syncline.store.db import Database

pytestmark = pytest.mark.anyio

MIDNIGHT = datetime(2026, 3, 10, tzinfo=UTC)
HALF_A_MINUTE = timedelta(seconds=30)
OPEN = """
insert into sync.quota_days (platform, account_id, budget, started_at, max_calls)
values ('test', 'a', 'burst', %s, %s)
"""
#: One report after the other, in the order of their times.
COUNT = """
select count(sync.count_quota_day('test', 'a', 'burst', at, calls, limited, remaining, 0, 0))
from (select * from unnest(%s::timestamptz[], %s::int[], %s::bigint[], %s::bigint[]) as r (at, calls, limited,
        remaining) order by at) r
"""
FORECAST = """
select (f.d).used, f.ends_at, f.calls_per_hour, f.forecast, f.enough_until
from sync.quota_days d cross join lateral sync.forecast_quota_day(d, %s) f
"""


def at(hours: float) -> datetime:
    return MIDNIGHT + timedelta(hours=hours)


@dataclass
class Day:
    """One day's budget, on which reports of calls come in at any time."""

    db: Database

    async def begin(self, limit: int | None) -> None:
        async with self.db.statement() as conn:
            await conn.execute(OPEN, [MIDNIGHT, limit])

    async def count(
        self, since: float, until: float, calls_per_hour: float, *, used: Sequence[float] | None = None
    ) -> None:
        """Report calls of a steady pace; `used` is what headers say everybody used, first and last."""
        reports = round((until - since) * 120)
        times = [at(since) + HALF_A_MINUTE * number for number in range(reports)]
        calls = [round(calls_per_hour / 120)] * reports
        said: list[int | None] = [None] * reports
        if used is not None:
            step = (used[1] - used[0]) / reports
            said = [1_000_000 - int(used[0] + step * number) for number in range(reports)]
        limits = [None if each is None else 1_000_000 for each in said]
        async with self.db.transaction(tenant_id=None) as conn:
            await conn.execute(COUNT, [times, calls, limits, said])

    async def forecast(self, now: float) -> dict[str, Any]:
        async with self.db.statement() as conn, conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(FORECAST, [at(now)])
            found = await cursor.fetchone()
            assert found is not None
            return found


@pytest.fixture
def day(db: Database) -> Day:
    return Day(db)


async def test_a_steady_pace_is_told_exactly_enough(day: Day) -> None:
    await day.begin(250_000)
    await day.count(0, 14.5, 2400)
    told = await day.forecast(14.5)
    assert told["calls_per_hour"] == pytest.approx(2400, rel=0.03)
    assert told["forecast"] == pytest.approx(24 * 2400, rel=0.03)
    assert told["enough_until"] is None
    assert told["ends_at"] == at(24)


async def test_the_pace_is_that_of_the_last_hour(day: Day) -> None:
    await day.begin(250_000)
    await day.count(0, 10, 240)
    await day.count(10, 12, 12_000)
    told = await day.forecast(12)
    assert told["calls_per_hour"] == pytest.approx(12_000, rel=0.03)
    assert told["forecast"] == pytest.approx(2400 + 24_000 + 12 * 12_000, rel=0.03)


async def test_a_day_younger_than_an_hour_is_taken_whole(day: Day) -> None:
    await day.begin(250_000)
    await day.count(0, 0.25, 6000)
    assert (await day.forecast(0.25))["calls_per_hour"] == pytest.approx(6000, rel=0.03)


async def test_calls_before_a_long_pause_do_not_count_into_the_last_hour(day: Day) -> None:
    await day.begin(250_000)
    await day.count(9, 9.1, 60_000)
    assert (await day.forecast(9.9))["calls_per_hour"] == pytest.approx(6000, rel=0.03)
    assert (await day.forecast(11))["calls_per_hour"] == 0
    await day.count(12, 12.05, 12_000)
    assert (await day.forecast(12.05))["calls_per_hour"] == pytest.approx(600, rel=0.03)
    assert (await day.forecast(12.05))["used"] == 6600


async def test_where_it_is_not_enough_the_time_is_told_and_a_tenth_is_left_to_others(day: Day) -> None:
    await day.begin(100_000)
    await day.count(0, 10, 6000)
    told = await day.forecast(10)
    end = 10 + (90_000 - 60_000) / 6000
    assert abs(told["enough_until"] - at(end)) < timedelta(minutes=10)
    assert told["forecast"] == pytest.approx(144_000, rel=0.03)


async def test_what_is_used_up_has_been_enough_until_some_time_ago(day: Day) -> None:
    await day.begin(1000)
    await day.count(0, 8, 120)
    told = await day.forecast(9)
    assert told["enough_until"] == at(8) - HALF_A_MINUTE
    assert (await day.forecast(24.5))["enough_until"] is None


async def test_an_account_without_a_daily_limit_is_never_out_of_calls(day: Day) -> None:
    await day.begin(None)
    await day.count(0, 2, 60_000)
    told = await day.forecast(2)
    assert told["enough_until"] is None
    assert told["forecast"] == pytest.approx(24 * 60_000, rel=0.03)


async def test_others_calls_count_into_the_pace_also_before_ours_began(day: Day) -> None:
    await day.begin(1_000_000)
    # Others take 10,000 an hour all day; we come at half past ten and take little.
    await day.count(10.5, 11, 120, used=(105_000, 110_000))
    told = await day.forecast(11)
    assert told["calls_per_hour"] == pytest.approx(10_000, rel=0.03)
    assert told["forecast"] == pytest.approx(240_000, rel=0.03)


async def test_a_new_day_begins_without_the_calls_of_the_last(day: Day) -> None:
    await day.begin(250_000)
    await day.count(20, 24, 12_000)
    told = await day.forecast(24.2)
    assert (told["used"], told["calls_per_hour"], told["ends_at"]) == (0, 0, at(48))
    await day.count(24.2, 24.5, 2400)
    told = await day.forecast(24.5)
    assert told["used"] == 720
    assert told["calls_per_hour"] == pytest.approx(720 / 0.5, rel=0.03)


async def test_a_day_of_many_calls_leaves_about_an_hour_of_marks(day: Day) -> None:
    await day.begin(250_000)
    await day.count(0, 12, 240)
    async with day.db.statement() as conn:
        cursor = await conn.execute("select count(*), min(marked_at) from sync.quota_marks")
        row = await cursor.fetchone()
    assert row is not None
    assert 55 <= row[0] <= 70
    assert at(10.9) <= row[1] <= at(11)


async def test_the_governors_calls_are_what_is_reckoned_with(db: Database) -> None:
    quota = Quota("burst", 1000, timedelta(seconds=1), daily_limit=1_000_000)
    async with Governor(db, platform="test", account_id="a", quotas=[quota]) as governor:
        for remaining in range(899, 799, -1):
            slot = await governor.acquire("burst", lane="push")
            assert slot is not None
            facts = QuotaFacts(limit=1000, remaining=999, daily_limit=1000, daily_remaining=remaining)
            slot.passed(facts)
    (state,) = await usage(db, "test", "a")
    assert (state.day_used, state.day_ours, state.day_limit) == (200, 100, 1000)
    assert state.day_ends_at == state.day_started_at + timedelta(days=1)
    assert state.day_pace > 0
    assert state.day_forecast >= 200
