"""Whoever is more urgent goes first, in one process and among several, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from limited_server import Client, LimitedServer
from simulated import Mirror, mirror
from test_quota import acquire, start_process

from syncline.actions.work import Runner
from syncline.clock import now
from syncline.connectors.transport import Quota
from syncline.engine.lanes import LANES, Lane
from syncline.engine.pull import Order, pull
from syncline.engine.quota import Governor
from syncline.engine.remotes import Remotes
from syncline.engine.slots import Slot
from syncline.engine.work import RunJob
from syncline.errors import RateLimited
from syncline.store import connections, runs
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

__all__ = ["mirror"]

pytestmark = pytest.mark.anyio

BURST = "burst"


def govern(db: Database, limit: int, seconds: float, *, daily_limit: int | None = None) -> Governor:
    quota = Quota(BURST, limit, timedelta(seconds=seconds), has_headers=False, daily_limit=daily_limit)
    return Governor(db, platform="test", account_id="a", quotas=[quota])


async def is_served(governor: Governor, lane: Lane, seconds: float = 0.3) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await acquire(governor, lane=lane)
    except TimeoutError:
        return False
    return True


async def wants(db: Database) -> list[list[int]]:
    """What every process waits for, as the others see it."""
    async with db.statement() as conn:
        rows = await conn.execute("select wants from sync.quota_holders where wanted > 0")
        return [row[0] for row in await rows.fetchall()]


async def until_waiting(db: Database, *expected: list[int]) -> None:
    async with asyncio.timeout(10):
        while sorted(await wants(db)) != sorted(expected):
            await asyncio.sleep(0.01)


async def test_higher_lanes_go_first_and_in_a_lane_who_came_first(db: Database) -> None:
    order: list[str] = []

    async def call(lane: Lane, number: int) -> None:
        slot = await acquire(governor, lane=lane)
        order.append(f"{lane} {number}")
        slot.passed()

    async with govern(db, 1, 0.05) as governor:
        first = await acquire(governor, lane="backfill")
        async with asyncio.TaskGroup() as group:
            for number in (1, 2):
                for lane in reversed(LANES):
                    group.create_task(call(lane, number))
            await until_waiting(db, [2, 2, 2, 2, 2])
            first.passed()
    assert order == [f"{lane} {number}" for lane in LANES for number in (1, 2)]


async def test_what_comes_free_goes_to_the_process_with_the_higher_lane(db: Database) -> None:
    async with govern(db, 2, 0.4) as reading, govern(db, 2, 0.4) as serving:
        held = [await acquire(reading, lane="backfill") for _ in range(2)]
        low = [asyncio.create_task(acquire(reading, lane="backfill")) for _ in range(4)]
        await until_waiting(db, [0, 0, 0, 0, 4])
        high = [asyncio.create_task(acquire(serving, lane="webhook")) for _ in range(3)]
        await until_waiting(db, [0, 0, 0, 0, 4], [0, 3, 0, 0, 0])
        for slot in held:
            slot.passed()
        async with asyncio.timeout(10):
            done, _ = await asyncio.wait([*low, *high], return_when=asyncio.FIRST_COMPLETED)
            assert done <= set(high)
            while len(done) < 3:  # each stays two to a window
                for task in done:
                    task.result().passed()
                done, _ = await asyncio.wait(high)
        for task in high:
            task.result().passed()
        async with asyncio.timeout(10):
            for slot in await asyncio.gather(*low[:2]):
                slot.passed()
            await asyncio.gather(*low[2:])


async def take(governor: Governor, lane: Lane, taken: Counter[str], slots: int) -> None:
    """Take slots in a lane until all lanes together have had so many."""
    while sum(taken.values()) < slots:
        slot = await acquire(governor, lane=lane)
        taken[lane] += 1
        slot.passed()


@pytest.mark.parametrize("processes", [1, 2])
async def test_the_lowest_lane_gets_one_slot_in_twenty_however_busy_the_others_are(
    db: Database, processes: int
) -> None:
    taken: Counter[str] = Counter()
    async with govern(db, 40, 0.1) as one, govern(db, 40, 0.1) as other:
        reading = other if processes == 2 else one
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for _ in range(60):
                group.create_task(take(one, "person", taken, 1200))
            for _ in range(5):
                group.create_task(take(reading, "backfill", taken, 1200))
    assert 0.03 <= taken["backfill"] / taken.total() <= 0.1


async def test_every_lane_that_waits_is_served(db: Database) -> None:
    taken: Counter[str] = Counter()
    async with (
        govern(db, 40, 0.1) as one,
        govern(db, 40, 0.1) as other,
        asyncio.timeout(60),
        asyncio.TaskGroup() as group,
    ):
        for governor in (one, other):
            for lane in LANES:
                for _ in range(60 if lane == "person" else 10):
                    group.create_task(take(governor, lane, taken, 1200))
    shares = {lane: taken[lane] / taken.total() for lane in LANES}
    assert shares["person"] >= 0.65
    assert min(shares.values()) >= 0.03


async def test_a_busy_higher_lane_leaves_another_process_next_to_nothing_within_the_limit(
    db: Database, database_urls: DatabaseUrls
) -> None:
    persons: list[int] = []

    async def call(governor: Governor, server: LimitedServer) -> None:
        async with Client.connect(server.port) as client:
            while len(persons) < 300:
                slot = await acquire(governor, lane="person")
                status, _ = await client.get()
                assert status == 200
                slot.passed()
                persons.append(len(server.passed))

    async with LimitedServer(limit=40, window=0.3).serve() as server:
        process = await start_process(
            database_urls.app, server, guess=40, seconds=60, tasks=20, lane="backfill"
        )
        while len(server.passed) < 40:
            await asyncio.sleep(0.01)
        async with govern(db, 40, 0.3) as governor:
            await asyncio.gather(*(call(governor, server) for _ in range(80)))
        process.kill()
        await process.communicate()
    assert server.refused == []
    assert server.most_in_a_window() <= 40
    # From when the first of them was served.
    assert 250 <= persons[299] - persons[0] <= 350


async def test_what_a_dead_process_waited_for_is_soon_forgotten(db: Database) -> None:
    async with govern(db, 10, 30) as governor:
        (await acquire(governor)).unsent()
        async with db.transaction(tenant_id=None) as conn:
            await conn.execute(
                "insert into sync.quota_holders (platform, account_id, bucket, holder, held, seen_at, wants, "
                "wanted) values ('test', 'a', 'burst', %s, 0, clock_timestamp(), '{10,0,0,0,0}', 10)",
                [uuid4()],
            )
        assert not await is_served(governor, "backfill")
        assert await is_served(governor, "person")
        async with asyncio.timeout(20):
            await acquire(governor, lane="backfill")


async def test_who_leaves_the_line_keeps_nobody_waiting(db: Database) -> None:
    async with govern(db, 1, 0.2) as one, govern(db, 1, 0.2) as other:
        slot = await acquire(one, lane="person")
        leaving = asyncio.create_task(acquire(one, lane="person"))
        await until_waiting(db, [1, 0, 0, 0, 0])
        leaving.cancel()
        await until_waiting(db)
        slot.passed()
        assert await is_served(other, "backfill", seconds=20)


async def test_a_backfill_takes_every_slot_while_nobody_else_is_about(db: Database) -> None:
    async with govern(db, 100, 30) as reading:
        async with asyncio.timeout(10):
            await asyncio.gather(*(acquire(reading, lane="backfill") for _ in range(100)))


async def test_a_backfill_leaves_a_few_slots_to_who_comes_next(db: Database) -> None:
    async with govern(db, 100, 30) as reading, govern(db, 100, 30) as serving:
        (await acquire(serving, lane="push")).unsent()  # somebody is about
        slots = [asyncio.create_task(acquire(reading, lane="backfill")) for _ in range(100)]
        async with asyncio.timeout(10):
            while sum(each.done() for each in slots) < 98:
                await asyncio.sleep(0.01)
        await until_waiting(db, [0, 0, 0, 0, 2])
        assert await is_served(serving, "push", seconds=5)
        assert await is_served(serving, "push", seconds=5)
        assert not await is_served(serving, "person")
        for each in slots:
            each.cancel()
        await asyncio.gather(*slots, return_exceptions=True)


async def test_who_comes_to_a_process_that_waits_for_less_is_served_without_waiting_along(
    db: Database,
) -> None:
    async with govern(db, 1000, 60) as governor:
        (await acquire(governor, lane="person")).unsent()
        low = [asyncio.create_task(acquire(governor, lane="backfill")) for _ in range(990)]
        await until_waiting(db, [0, 0, 0, 0, 10])
        async with asyncio.timeout(10):  # the others look again once a second
            for _ in range(15):
                await acquire(governor, lane="person")
        assert sum(not each.done() for each in low) == 10
        for each in low:
            each.cancel()
        await asyncio.gather(*low, return_exceptions=True)


@pytest.mark.parametrize("lane", LANES[1:])
async def test_only_a_waiting_person_spends_what_is_kept_of_the_day(db: Database, lane: Lane) -> None:
    async with govern(db, 1000, 1, daily_limit=20) as governor:
        for _ in range(19):  # eighteen, and the one that looks for a new day
            (await acquire(governor, lane=lane)).passed()
    async with govern(db, 1000, 1, daily_limit=20) as governor:
        both: list[Lane] = [lane, "person", lane]
        ended = await asyncio.gather(*(acquire(governor, lane=each) for each in both), return_exceptions=True)
        assert isinstance(ended[1], Slot)
        ended[1].passed()
        for refusal in (ended[0], ended[2]):
            assert isinstance(refusal, RateLimited)
            assert refusal.daily


async def test_a_refused_bucket_is_tried_by_the_highest_lane_first(db: Database) -> None:
    async with govern(db, 100, 2) as one, govern(db, 100, 2) as other:
        (await acquire(other)).passed()
        (await acquire(one)).refused(after_seconds=0.5, daily=False)
        low = asyncio.create_task(acquire(one, lane="backfill"))
        await until_waiting(db, [0, 0, 0, 0, 1])
        high = asyncio.create_task(acquire(other, lane="person"))
        async with asyncio.timeout(20):
            done, _ = await asyncio.wait([low, high], return_when=asyncio.FIRST_COMPLETED)
            assert done == {high}
            high.result().passed()
            (await low).passed()


SHARES = """
select free, kept, wants, others, s.granted, s.passed_over
from (select (random() * 60)::int - 5 as free, (random() * 4)::int as kept,
        array(select greatest(0, (random() * 20)::int - 8) from generate_series(1, 5 + n * 0)) as wants,
        array(select greatest(0, (random() * 20)::int - 8) from generate_series(1, 5 + n * 0)) as others,
        0 || array(select greatest(0, (random() * 80)::int - 40)
                   from generate_series(1, 4 + n * 0)) as passed_over
      from (select setseed(%s)) seeded, generate_series(1, 2000) n) made
cross join lateral sync.share_quota(greatest(0, free), kept, 5, wants, others, passed_over) s
"""


async def test_no_share_is_more_than_is_free_or_wanted_and_nothing_is_left_that_nobody_wants(
    db: Database,
) -> None:
    async with db.statement() as conn:
        rows = await (await conn.execute(SHARES, [0.42])).fetchall()
    assert len(rows) == 2000
    for free, kept, wanted, others, granted, passed_over in rows:
        total = sum(granted)
        assert total <= max(0, free)
        assert all(0 <= given <= want for given, want in zip(granted, wanted, strict=True))
        assert total >= min(sum(wanted), free - kept - sum(others))
        assert all(0 <= each <= 19 * 5 for each in passed_over)
        assert passed_over[0] == 0


async def test_a_run_that_reads_everything_makes_way_and_one_for_a_few_changes_does_not(
    mirror: Mirror,
) -> None:
    lanes: dict[str, set[Lane]] = {}

    async def pull_as_person(name: str, of: str) -> None:
        async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
            connection = await connections.get(conn, mirror.connection_id, tenant_id=mirror.tenant_id)
        remote = mirror.remotes.open(connection, lane="person")
        seen = lanes.setdefault(of, set())
        order = Order(name, on_progress=lambda _: seen.add(remote.calls.lane))
        await pull(mirror.db, remote, order, mirror.settings)
        assert remote.calls.lane == "person"

    await pull_as_person("contacts", "the first time")
    contact = mirror.world.store("contacts").living[0]
    mirror.world.update("contacts", contact, {"firstname": "Changed"})
    await pull_as_person("contacts", "then")
    await pull_as_person("history", "history")
    assert lanes == {"the first time": {"backfill"}, "then": {"person"}, "history": {"backfill"}}


async def test_a_scheduled_run_leaves_the_reserve_alone_and_one_that_was_asked_for_does_not(
    mirror: Mirror,
) -> None:
    async with Remotes(mirror.db, mirror.vault) as first:
        await replace(mirror, remotes=first).pull("contacts")
    # What the account said of its day is reported by now, and does not overwrite what follows.
    async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
        await conn.execute(
            "update sync.quota_days set max_calls = 1000000, used = 950000, silent_answers = -1000, "
            "probed_at = now()"
        )
        asked = await runs.request(
            conn,
            tenant_id=mirror.tenant_id,
            connection_id=mirror.connection_id,
            object_name="contacts",
            mode="manual",
            requested_by="test",
            now=now(),
        )
    job = RunJob(mirror.tenant_id, mirror.connection_id, "contacts", "incremental", None, asyncio.Event())
    async with Remotes(mirror.db, mirror.vault) as remotes:
        runner = Runner(mirror.db, remotes, mirror.settings)
        with pytest.raises(RateLimited) as caught:
            await runner.run(job)
        assert caught.value.daily
        await runner.run(replace(job, run_id=asked))
        async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
            assert (await runs.get(conn, asked, tenant_id=mirror.tenant_id)).status == "success"
