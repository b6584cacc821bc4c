from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from limited_server import Client, LimitedServer
from quota_process import call_until, read_facts

from syncline.connectors.transport import Quota, QuotaFacts
from syncline.engine.lanes import Lane
from syncline.engine.quota import Governor, Governors, usage
from syncline.engine.slots import Slot
from syncline.errors import RateLimited
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def govern(db: Database, *quotas: Quota, forget_after_seconds: float = 120.0) -> Governor:
    return Governor(
        db,
        platform="test",
        account_id="a",
        quotas=quotas,
        forget_after_seconds=forget_after_seconds,
    )


async def acquire(governor: Governor, bucket: str = "burst", *, lane: Lane = "incremental") -> Slot:
    slot = await governor.acquire(bucket, lane=lane)
    assert slot is not None
    return slot


async def gets_one_soon(governor: Governor, seconds: float = 0.3) -> bool:
    try:
        async with asyncio.timeout(seconds):
            (await acquire(governor)).unsent()
    except TimeoutError:
        return False
    return True


async def start_process(
    url: str,
    server: LimitedServer,
    *,
    guess: int,
    seconds: float,
    has_headers: bool = False,
    tasks: int = 10,
    forget_after: float = 120.0,
    lane: Lane = "incremental",
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("quota_process.py")),
        *(url, str(server.port), str(server.window), str(guess), str(tasks), str(seconds)),
        *("yes" if has_headers else "no", str(forget_after), lane),
        stdout=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def calling(
    governor: Governor, server: LimitedServer, tasks: int, seconds: float
) -> AsyncGenerator[None]:
    end = asyncio.get_running_loop().time() + seconds
    callers = [asyncio.create_task(call_until(governor, server.port, end)) for _ in range(tasks)]
    yield
    await asyncio.gather(*callers)


async def test_processes_together_keep_the_limit_exactly_and_use_nearly_all_of_it(
    database_urls: DatabaseUrls,
) -> None:
    async with LimitedServer(limit=190, window=1.0).serve() as server:
        processes = [await start_process(database_urls.app, server, guess=190, seconds=4.2) for _ in range(3)]
        for process in processes:
            await process.communicate()
            assert process.returncode == 0
    assert server.refused == []
    assert server.most_in_a_window() <= 190
    first = server.passed[0]
    reached = sum(at < first + 4 for at in server.passed)
    assert reached >= 0.95 * 4 * 190


async def test_slots_of_a_killed_process_come_back(db: Database, database_urls: DatabaseUrls) -> None:
    async with LimitedServer(limit=20, window=0.2, latency=60.0).serve() as server:
        process = await start_process(
            database_urls.app, server, guess=20, seconds=60, tasks=20, forget_after=1.0
        )
        while len(server.passed) < 20:
            await asyncio.sleep(0.01)
        quota = Quota("burst", 20, timedelta(seconds=0.2), has_headers=False)
        async with govern(db, quota, forget_after_seconds=1.0) as governor:
            assert not await gets_one_soon(governor)
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            async with asyncio.timeout(10):
                slots = await asyncio.gather(*(acquire(governor) for _ in range(20)))
            assert len(slots) == 20


async def test_a_live_process_keeps_the_slots_of_slow_calls(db: Database) -> None:
    quota = Quota("burst", 1, timedelta(seconds=0.05), has_headers=False)
    async with (
        govern(db, quota, forget_after_seconds=0.4) as one,
        govern(db, quota, forget_after_seconds=0.4) as other,
    ):
        slot = await acquire(one)
        assert not await gets_one_soon(other, seconds=1.0)
        slot.passed()
        assert await gets_one_soon(other, seconds=5)


@pytest.mark.parametrize("guess", [10, 400])
async def test_headers_correct_the_first_guess_either_way(db: Database, guess: int) -> None:
    async with LimitedServer(limit=100, window=1.0, tells=True).serve() as server:
        async with govern(db, Quota("burst", guess, SECOND)) as governor, calling(governor, server, 5, 2.1):
            pass
        (state,) = await usage(db, "test", "a")
    assert (state.limit, state.source) == (100, "stated")
    assert len(server.refused) == 0
    assert sum(at < server.passed[0] + 2 for at in server.passed) >= 190


async def test_what_others_use_is_left_to_them(db: Database) -> None:
    # A window so long that nothing leaves it before the end
    async with LimitedServer(limit=100, window=30.0, tells=True).serve() as server:
        server.use(60)
        async with govern(db, Quota("burst", 20, timedelta(seconds=30))) as governor:
            end = asyncio.get_running_loop().time() + 60
            callers = [asyncio.create_task(call_until(governor, server.port, end)) for _ in range(5)]
            async with asyncio.timeout(20):
                while len(server.passed) < 20 or not any(
                    each.others for each in await usage(db, "test", "a")
                ):
                    await asyncio.sleep(0.05)
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
    assert server.refused == []
    assert 20 <= len(server.passed) <= 40


async def test_a_server_that_states_no_limit_is_called_without_one_until_it_refuses(db: Database) -> None:
    async with LimitedServer(limit=300, window=1.0).serve() as server:
        async with govern(db, Quota("burst", 50, SECOND)) as governor, calling(governor, server, 5, 3.0):
            pass
        (state,) = await usage(db, "test", "a")
    first_window = sum(at < server.passed[0] + 1 for at in server.passed)
    assert first_window == 300
    assert 1 <= len(server.refused) <= 10
    assert state.source == "found"
    assert state.limit is not None
    assert 250 <= state.limit <= 300
    assert state.rate_limit_hits == len(server.refused)


async def test_a_server_without_any_limit_costs_few_calls_to_the_database(db: Database) -> None:
    async with govern(db, Quota("burst", 10, timedelta(seconds=60))) as governor:
        for _ in range(3):
            (await acquire(governor)).passed(QuotaFacts())
        async with asyncio.timeout(20):
            while True:  # until it is known that the server states no limit
                slots = [await acquire(governor) for _ in range(3)]
                for slot in slots:
                    slot.passed(QuotaFacts())
                (state,) = await usage(db, "test", "a")
                if state.limit is None:
                    break
        for _ in range(2000):
            (await acquire(governor)).passed(QuotaFacts())
    (state,) = await usage(db, "test", "a")
    assert state.limit is None
    assert state.day_ours >= 2000


async def test_a_refusal_closes_the_bucket_for_everybody_and_is_counted(db: Database) -> None:
    quota = Quota("burst", 100, timedelta(seconds=30))
    async with govern(db, quota) as one, govern(db, quota) as other:
        (await acquire(one)).passed(QuotaFacts(limit=100, remaining=99))
        (await acquire(one)).refused(after_seconds=1.0, daily=False)
        loop = asyncio.get_running_loop()
        refused_at = loop.time()
        (await acquire(one)).unsent()
        assert loop.time() - refused_at >= 0.9
        (state,) = await usage(db, "test", "a")
        assert state.rate_limit_hits == 1
        assert await gets_one_soon(other, seconds=40)


async def test_after_a_refusal_one_call_tries_before_the_others_go(db: Database) -> None:
    async with govern(db, Quota("burst", 100, timedelta(seconds=2))) as governor:
        (await acquire(governor)).passed(QuotaFacts(limit=100, remaining=99))
        (await acquire(governor)).refused(after_seconds=0.1, daily=False)
        waiting = [asyncio.create_task(acquire(governor)) for _ in range(5)]
        done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1
        _, still = await asyncio.wait(rest, timeout=0.5)
        assert len(still) == 4
        done.pop().result().passed(QuotaFacts(limit=100, remaining=98))
        async with asyncio.timeout(5):
            await asyncio.gather(*rest)


async def test_a_long_closure_is_told_instead_of_waited_for(db: Database) -> None:
    async with govern(db, Quota("burst", 100, SECOND)) as governor:
        (await acquire(governor)).refused(after_seconds=3600, daily=False)
        with pytest.raises(RateLimited) as caught:
            await acquire(governor)
    assert not caught.value.daily
    assert caught.value.after_seconds is not None
    assert caught.value.after_seconds > 3500


async def test_the_last_tenth_of_the_day_is_kept_for_other_tools(db: Database) -> None:
    quota = Quota("burst", 1000, SECOND, has_headers=False, daily_limit=50)
    async with govern(db, quota) as governor:
        for _ in range(45):
            (await acquire(governor)).passed()
        (await acquire(governor)).passed()  # one call now and then looks whether a new day has begun
        with pytest.raises(RateLimited) as caught:
            await acquire(governor)
        assert caught.value.daily
        (await acquire(governor, lane="person")).passed()
    (state,) = await usage(db, "test", "a")
    assert (state.day_limit, state.day_used) == (50, 47)
    assert state.day_forecast >= 47


async def test_the_day_counts_what_headers_say_others_have_used(db: Database) -> None:
    async with govern(db, Quota("burst", 1000, SECOND, daily_limit=1_000_000)) as governor:
        (await acquire(governor)).passed(
            QuotaFacts(limit=1000, remaining=999, daily_limit=1000, daily_remaining=50)
        )
        (await acquire(governor)).passed()
        with pytest.raises(RateLimited) as caught:
            await acquire(governor)
        assert caught.value.daily
    (state,) = await usage(db, "test", "a")
    assert (state.day_limit, state.day_ours) == (1000, 2)
    assert state.day_used == 951


async def test_a_new_day_of_the_account_begins_when_headers_say_so(db: Database) -> None:
    async with govern(db, Quota("burst", 1000, SECOND, daily_limit=1_000_000)) as governor:
        for remaining in (400, 999):
            (await acquire(governor)).passed(
                QuotaFacts(limit=1000, remaining=999, daily_limit=1000, daily_remaining=remaining)
            )
            await governor.aclose()
        (state,) = await usage(db, "test", "a")
    assert state.day_used == 1


async def test_a_refusal_for_the_day_stops_everybody(db: Database) -> None:
    async with govern(db, Quota("burst", 1000, timedelta(seconds=0.1), daily_limit=1000)) as governor:
        (await acquire(governor)).refused(None, daily=True)
        async with asyncio.timeout(5):
            with pytest.raises(RateLimited) as caught:
                await acquire(governor, lane="person")
    assert caught.value.daily


async def test_a_guessed_daily_limit_is_dropped_when_headers_name_none(db: Database) -> None:
    async with govern(db, Quota("burst", 100, SECOND, daily_limit=10)) as governor:
        for _ in range(3):
            (await acquire(governor)).passed(QuotaFacts(limit=110, remaining=100))
    (state,) = await usage(db, "test", "a")
    assert state.day_limit is None


async def test_buckets_are_apart_and_share_the_day(db: Database) -> None:
    quotas = [
        Quota("burst", 1, HOUR, has_headers=False, daily_limit=1000),
        Quota("search", 1, HOUR, has_headers=False),
        Quota("associations", 1, HOUR, has_headers=False, daily_limit=500),
    ]
    async with govern(db, *quotas) as governor:
        for quota in quotas:
            (await acquire(governor, quota.bucket)).passed()
    states = {state.bucket: state for state in await usage(db, "test", "a")}
    assert {name: (s.used, s.day_ours, s.day_limit) for name, s in states.items()} == {
        "burst": (1, 2, 1000),
        "search": (1, 2, 1000),
        "associations": (1, 1, 500),
    }


async def test_waiters_are_served_in_the_order_they_came(db: Database) -> None:
    order: list[int] = []
    quota = Quota("burst", 2, timedelta(seconds=0.1), has_headers=False)
    async with govern(db, quota) as governor:

        async def call(number: int) -> None:
            slot = await acquire(governor)
            order.append(number)
            slot.passed()

        await asyncio.gather(*(call(number) for number in range(9)))
    assert order == list(range(9))


async def test_a_cancelled_waiter_takes_no_slot_with_it(db: Database) -> None:
    quota = Quota("burst", 1, timedelta(seconds=0.2), has_headers=False)
    async with govern(db, quota) as governor:
        slot = await acquire(governor)
        waiting = [asyncio.create_task(acquire(governor)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[1].cancel()
        slot.passed()
        async with asyncio.timeout(5):
            await waiting[2]
        assert waiting[0].cancelled()


async def test_an_unsent_call_frees_its_slot_at_once_for_another_process(db: Database) -> None:
    quota = Quota("burst", 1, HOUR, has_headers=False)
    async with govern(db, quota) as one, govern(db, quota) as other:
        (await acquire(one)).unsent()
        async with asyncio.timeout(10):
            await acquire(other)


async def test_closing_gives_everything_back(db: Database) -> None:
    quota = Quota("burst", 5, HOUR, has_headers=False)
    async with govern(db, quota) as one:
        for _ in range(3):
            (await acquire(one)).unsent()
    (state,) = await usage(db, "test", "a")
    assert state.used == 0


async def test_counters_lost_in_a_crash_are_begun_anew(db: Database, database_urls: DatabaseUrls) -> None:
    quota = Quota("burst", 5, timedelta(seconds=0.1), has_headers=False)
    async with govern(db, quota) as governor:
        (await acquire(governor)).passed()
        async with db.statement() as conn:
            await conn.execute("delete from sync.quota_buckets")
            await conn.execute("delete from sync.quota_holders")
            await conn.execute("delete from sync.quota_days")
        for _ in range(20):
            (await acquire(governor)).passed()
    (state,) = await usage(db, "test", "a")
    assert state.limit == 5


async def test_an_unknown_bucket_has_no_quota(db: Database) -> None:
    async with govern(db, Quota("burst", 5, SECOND)) as governor:
        assert await governor.acquire("other") is None


async def test_one_process_has_one_governor_per_account(db: Database) -> None:
    quotas = [Quota("burst", 5, SECOND)]
    async with Governors(db) as governors:
        one = governors.of_account("test", "a", quotas)
        assert governors.of_account("test", "a", quotas) is one
        assert governors.of_account("test", "b", quotas) is not one


async def test_a_client_sees_the_headers_the_server_sends() -> None:
    async with (
        LimitedServer(limit=3, window=5.0, tells=True).serve() as server,
        Client.connect(server.port) as client,
    ):
        answers = [await client.get() for _ in range(4)]
    assert [status for status, _ in answers] == [200, 200, 200, 429]
    assert read_facts(answers[0][1]) == QuotaFacts(limit=3, remaining=2, window=timedelta(seconds=5))
