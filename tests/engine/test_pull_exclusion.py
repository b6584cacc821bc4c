"""One run of an object at a time; one that lost its right writes nothing more; one that is told ends soon."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from uuid import UUID

import pytest
from simulated import LIST, Watch, assert_mirrors, mirror_of, reopened, world_of

from syncline.config import Settings
from syncline.engine.lease import hold_lease
from syncline.engine.write import lease_purpose
from syncline.errors import Busy, LeaseLost, RetryLater
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio


async def test_of_two_workers_at_one_object_one_reads_it_and_the_other_finds_it_busy(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
):
    world = world_of(contacts=150, deals=5)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        async with reopened(mirror, database_urls.app) as other:
            await mirror.pull("owners")
            found = await asyncio.gather(
                mirror.pull("contacts"), other.pull("contacts"), return_exceptions=True
            )
            busy = [each for each in found if isinstance(each, BaseException)]
            assert [type(each) for each in busy] == [Busy]
            assert "being synced by another process" in str(busy[0])
            # Another object is nobody's hindrance.
            await asyncio.gather(mirror.pull("contacts"), other.pull("deals"))
        runs = await mirror.select("select status from sync.runs where object = 'contacts'")
        assert [run["status"] for run in runs] == ["success", "success"]
        await assert_mirrors(mirror, "contacts")


async def test_a_run_that_lost_its_lease_writes_nothing_more(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=900)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("owners")
        lists, taken = 0, asyncio.Event()

        def seen(route: str) -> None:
            nonlocal lists
            lists += route == LIST
            if lists == 6:
                taken.set()

        Watch(world, seen)
        running = asyncio.create_task(mirror.pull("contacts", chunk_rows=100))
        await taken.wait()
        # Given somebody else who takes the run over, as after a long stall of this process
        async with AsyncExitStack() as stack:
            while True:
                await mirror.execute("update sync.leases set expires_at = now() - interval '1 hour'")
                with suppress(Busy):  # while a chunk is being written nobody can take the lease
                    await stack.enter_async_context(
                        hold_lease(
                            db,
                            tenant_id=tenant_id,
                            connection_id=mirror.connection_id,
                            purpose=lease_purpose("contacts"),
                            seconds=30,
                        )
                    )
                    break
            before = await mirror.select("select count(*), max(synced_at) from raw.hubspot_contacts")
            with pytest.raises(LeaseLost):
                await running
            after = await mirror.select("select count(*), max(synced_at) from raw.hubspot_contacts")
        assert before == after
        assert before[0]["count"] < 900
        run = await mirror.pull("contacts", chunk_rows=100)
        assert (run.status, run.mode) == ("success", "backfill")
        await assert_mirrors(mirror, "contacts")
        runs = await mirror.select("select sum(records_created) from sync.runs where object = 'contacts'")
        assert runs[0]["sum"] == 900


@pytest.mark.parametrize("what", ["contacts", "associations"])
async def test_a_run_that_is_told_to_stop_ends_behind_a_commit_and_the_next_goes_on(
    db: Database, settings: Settings, tenant_id: UUID, what: str
):
    world = world_of(contacts=300, companies=20, deals=10)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        if what == "associations":
            await mirror.sync("contacts", "companies", "deals")
        stop = asyncio.Event()
        stop.set()
        with pytest.raises(RetryLater) as caught:
            await mirror.pull(what, stop=stop, chunk_rows=100)
        assert caught.value.after_seconds == 0
        runs = await mirror.select("select * from sync.runs where object = %(what)s", what=what)
        assert [run["status"] for run in runs] == ["cancelled"]
        assert runs[0]["records_read"] > 0
        leases = await mirror.select("select holder from sync.leases where purpose like 'pull:%%'")
        assert {row["holder"] for row in leases} == {None}
        run = await mirror.pull(what)
        assert run.status == "success"
        await assert_mirrors(mirror, "contacts")


async def test_runs_that_change_one_anothers_records_at_once_all_end_well(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=120, companies=15, deals=40, calls=40, meetings=20)
    names = ("contacts", "companies", "deals", "calls", "meetings")
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("owners")
        for _ in range(3):
            found = await asyncio.gather(*(mirror.pull(name) for name in (*names, "associations")))
            assert {run.status for run in found} == {"success"}
            for name in names:
                for record_id in world.store(name).living[::2]:
                    world.touch(name, [record_id], {"hubspot_owner_id": None})
            for number, contact in enumerate(world.store("contacts").living[:60]):
                world.associate("deals", world.store("deals").living[number % 40], "contacts", contact)
        await mirror.sync(*names)
        for name in names:
            await assert_mirrors(mirror, name)
