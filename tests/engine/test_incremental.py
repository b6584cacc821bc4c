"""Incremental: what changed is read in a few calls, what did not is not written, nothing is lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from random import Random
from uuid import UUID

import pytest
from simulated import (
    OBJECTS,
    Mirror,
    assert_mirrors,
    count_writes,
    mirror,
    mirror_of,
    reopened,
    truth,
    world_of,
)

from syncline.config import Settings
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.definitions import Definition
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

__all__ = ["mirror"]

pytestmark = pytest.mark.anyio

#: What every run may write: that it ran, how far it got, and what it spent.
BOOKKEEPING = {"sync.runs", "sync.cursors", "sync.leases"}


async def test_200_changes_cost_at_most_12_requests_and_none_is_lost(mirror: Mirror):
    await mirror.sync("contacts", "companies", "deals", "associations")
    world, rng = mirror.world, Random(1)
    for number, record_id in enumerate(rng.sample(world.store("contacts").living, 200)):
        world.update("contacts", record_id, {"firstname": f"Changed {number}", "hubspotscore": str(number)})
    mirror.forget_requests()
    run = await mirror.pull("contacts")
    assert mirror.requests() <= 12
    assert run.api_calls == mirror.requests()
    assert (run.status, run.mode, run.records_updated) == ("success", "incremental", 200)
    await assert_mirrors(mirror, "contacts")
    contacts = await mirror.records("contacts", "contacts")
    assert {i: row["first_name"] for i, row in contacts.items() if row["archived_at"] is None} == {
        i: p["firstname"] for i, p in truth(world, "contacts").items()
    }
    log = await mirror.select("select changes from crm.change_log where run_id = %(run)s", run=run.id)
    assert len(log) == 200
    assert all(row["changes"].keys() <= {"first_name", "lead_score"} for row in log)


async def test_nothing_changed_writes_nothing(mirror: Mirror, database_urls: DatabaseUrls):
    # Given changes of this very minute, which the overlap reads again, and a record that is parked
    world, everything = mirror.world, (*OBJECTS[:5], "cars", "associations", "history")
    async with reopened(mirror, database_urls.app) as other:
        await other.sync(*everything)
        for name in ("contacts", "deals", "calls", "cars"):
            world.update(name, world.store(name).living[0], {"hubspot_owner_id": "an owner nobody knows"})
        world.plant_defect("bad_date")
        world.plant_defect("lone_surrogate")
        await other.sync("contacts", "deals", "calls", "cars", "associations", "history")
    while not (before := await count_writes(database_urls.superuser))["sync.connections"]:
        # The connection was made by a backend that has not reported it yet.
        await mirror.execute("select pg_stat_force_next_flush()")
    # When
    async with reopened(mirror, database_urls.app) as other:
        runs = await other.sync(*everything)
    # Then
    after = await count_writes(database_urls.superuser)
    written = {table for table, count in after.items() if count != before[table]}
    assert {table for table in written if not table.startswith("sync.quota")} == BOOKKEEPING
    assert all(run.records_created + run.records_updated + run.records_archived == 0 for run in runs.values())
    assert sum(run.records_read for run in runs.values()) > 0


async def test_a_calculated_property_is_mirrored_and_means_nothing_to_records_and_log(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=12)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts")
        before = await mirror.select("select version from crm.contacts")
        contact = world.store("contacts").living[0]
        world.touch("contacts", [contact], {"num_notes": "41"})
        run = await mirror.pull("contacts")
        assert run.records_updated == 1
        assert (await mirror.raw("contacts"))[str(contact)]["raw"]["properties"]["num_notes"] == "41"
        assert await mirror.select("select version from crm.contacts") == before
        assert await mirror.select("select from crm.change_log where run_id = %(r)s", r=run.id) == []


def changing(world: World, rng: Random, count: int) -> set[str]:
    ids = rng.sample(world.store("contacts").living, count)
    for record_id in ids:
        world.update("contacts", record_id, {"jobtitle": f"{rng.random()}"})
    return {str(record_id) for record_id in ids}


async def follow_while_changing(mirror: Mirror, rng: Random, *, ticks: int, per_tick: int) -> None:
    """Change contacts at an even rate, with runs one after another meanwhile."""

    async def change() -> None:
        for _ in range(ticks):
            changing(mirror.world, rng, per_tick)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(change())
    while not task.done():
        await mirror.pull("contacts")
    await task


async def until_index_is_true(world: World) -> None:
    index = world.indexes["0-1"]
    while index._waiting:
        index.state()
        await asyncio.sleep(0.02)


async def test_an_index_that_lags_loses_no_update_that_the_overlap_covers(
    db: Database, settings: Settings, tenant_id: UUID
):
    world, rng = world_of(contacts=150), Random(2)
    async with mirror_of(world, db, settings, tenant_id, overlap=timedelta(seconds=3)) as mirror:
        await mirror.pull("contacts")
        world.settings.index_lag = 0.6
        await follow_while_changing(mirror, rng, ticks=25, per_tick=2)
        await until_index_is_true(world)
        await mirror.pull("contacts")
        await assert_mirrors(mirror, "contacts")


async def test_an_index_that_lags_beyond_the_overlap_is_caught_by_the_second_pass(
    db: Database, settings: Settings, tenant_id: UUID
):
    world, rng = world_of(contacts=60), Random(3)
    times = {"overlap": timedelta(0), "second_pass_after": timedelta(seconds=1.5)}
    async with mirror_of(world, db, settings, tenant_id, **times) as mirror:
        await mirror.pull("contacts")
        world.settings.index_lag = 1.2
        changed = changing(world, rng, 10)
        for _ in range(2):
            run = await mirror.pull("contacts")
            assert run.records_updated == 0
        # Once the index has them, they lie behind the watermark of every run.
        await until_index_is_true(world)
        world.settings.index_lag = 0
        found: set[str] = set()
        async with asyncio.timeout(20):
            while not found >= changed:
                await mirror.pull("contacts")
                rows = await mirror.raw("contacts")
                expected = truth(world, "contacts")
                found = {i for i, row in rows.items() if row["raw"]["properties"] == expected[i]}


async def assert_moment_is_followed(mirror: Mirror, ids: list[int]) -> None:
    await mirror.pull("contacts")
    mirror.world.touch("contacts", ids, {"jobtitle": "All at once"})
    run = await mirror.pull("contacts")
    assert (run.status, run.records_updated) == ("success", len(ids))
    await assert_mirrors(mirror, "contacts")
    run = await mirror.pull("contacts")
    assert (run.status, run.records_updated) == ("success", 0)


async def test_more_changes_within_one_millisecond_than_a_page_holds_are_all_found(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=460)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await assert_moment_is_followed(mirror, world.store("contacts").living[:450])


async def test_a_new_property_is_asked_for_within_the_hour_and_at_once_by_a_full_sync(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=12)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts")
        world.define_property("contacts", Definition("shoe_size", "Shoe size"))
        for record_id in world.store("contacts").living:
            world.recalculate("contacts", record_id, {"shoe_size": "44"})
        await mirror.pull("contacts", full=True)
        await assert_mirrors(mirror, "contacts")
        world.remove_property("contacts", "shoe_size")
        await mirror.pull("contacts", full=True)
        rows = await mirror.select("select removed_at from sync.properties where name = 'shoe_size'")
        assert rows[0]["removed_at"] is not None
        assert "shoe_size" not in (await mirror.raw("contacts")).popitem()[1]["raw"]["properties"]


@pytest.mark.nightly
@pytest.mark.timeout(1200)
async def test_12000_records_changed_within_one_millisecond_are_all_found(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=14_000)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await assert_moment_is_followed(mirror, world.store("contacts").living[:12_000])


@pytest.mark.nightly
@pytest.mark.timeout(1200)
async def test_more_than_10000_changes_in_a_window_are_all_found(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=14_000)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts")
        now = world.now_ms()
        for number, record_id in enumerate(world.store("contacts").living[:13_000]):
            world.update("contacts", record_id, {"jobtitle": f"T{number}"}, now_ms=now - 20_000 + number)
        run = await mirror.pull("contacts")
        assert run.records_updated == 13_000
        await assert_mirrors(mirror, "contacts")


@pytest.mark.nightly
@pytest.mark.timeout(1200)
async def test_an_index_lagging_4_seconds_with_30_changes_a_second_loses_none_of_them(
    db: Database, settings: Settings, tenant_id: UUID
):
    world, rng = world_of(contacts=3000), Random(4)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts")
        world.settings.index_lag = 4
        await follow_while_changing(mirror, rng, ticks=400, per_tick=2)
        await until_index_is_true(world)
        await mirror.pull("contacts")
        await assert_mirrors(mirror, "contacts")
