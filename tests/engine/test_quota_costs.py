"""Where calls cost different amounts, a day's budget is kept by what they cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from syncline.connectors.transport import Quota, QuotaFacts
from syncline.engine.lanes import Lane
from syncline.engine.quota import Governor, usage
from syncline.errors import RateLimited
from syncline.store.db import Database

pytestmark = pytest.mark.anyio

BUDGET, DEAREST = 1_000, 20
QUOTAS = (
    Quota("burst", 10_000, timedelta(seconds=1), has_headers=False, daily_limit=BUDGET, dearest=DEAREST),
    Quota("search", 10_000, timedelta(seconds=1), has_headers=False, dearest=DEAREST),
)


@asynccontextmanager
async def governor_of(db: Database) -> AsyncGenerator[Governor]:
    async with Governor(db, platform="test", account_id="a", quotas=QUOTAS) as governor:
        yield governor


async def spend(governor: Governor, cost: int, *, bucket: str = "burst", lane: Lane = "incremental") -> int:
    """Make one call; returns what it cost, 0 when the budget did not allow it."""
    try:
        slot = await governor.acquire(bucket, lane=lane)
    except RateLimited:
        return 0
    assert slot is not None
    slot.cost = cost
    await asyncio.sleep(0)  # it is under way while others are let out
    slot.passed()
    return cost


async def used(db: Database) -> int:
    return max(each.day_used or 0 for each in await usage(db, "test", "a"))


async def test_a_budget_is_counted_by_what_calls_cost(db: Database):
    async with governor_of(db) as governor:
        for cost in (1, 10, 5):
            assert await spend(governor, cost) == cost
    assert await used(db) == 16


async def test_calls_side_by_side_in_several_processes_and_buckets_leave_the_reserve_alone(db: Database):
    async with governor_of(db) as one, governor_of(db) as two:
        spent = await asyncio.gather(
            *(
                spend(governor, DEAREST if number % 2 else 3, bucket=bucket)
                for number in range(60)
                for governor in (one, two)
                for bucket in ("burst", "search")
            )
        )
    total = sum(spent)
    assert await used(db) == total
    # One call every quarter of an hour looks whether the budget has come back.
    assert BUDGET * 0.9 - 2 * DEAREST <= total <= BUDGET * 0.9 + DEAREST


async def test_a_person_may_spend_the_reserve_and_one_call_that_looks_whether_there_is_more(db: Database):
    async with governor_of(db) as governor:
        spent = await asyncio.gather(*(spend(governor, DEAREST, lane="person") for _ in range(80)))
    assert BUDGET - DEAREST < sum(spent) <= BUDGET + DEAREST


async def test_what_headers_say_of_the_budget_is_believed(db: Database):
    async with governor_of(db) as governor:
        slot = await governor.acquire("burst")
        assert slot is not None
        slot.cost = 10
        slot.passed(QuotaFacts(daily_limit=5_000, daily_remaining=4_200))
    assert await used(db) == 800


async def test_a_call_that_was_never_made_costs_nothing(db: Database):
    async with governor_of(db) as governor:
        slot = await governor.acquire("burst")
        assert slot is not None
        slot.cost = 10
        slot.unsent()
        assert await spend(governor, 2) == 2
    assert await used(db) == 2
