"""Backfill: every way of reading an object from end to end, while colleagues go on editing in it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from random import Random
from uuid import UUID

import pytest
from simulated import BATCH, LIST, SEARCH, Mirror, Watch, assert_mirrors, mirror_of, truth, world_of

from syncline.config import Settings
from syncline.engine.write import Target
from syncline.errors import RetryLater, TokenRejected
from syncline.simulators.hubspot import Settings as Simulated
from syncline.simulators.hubspot import World
from syncline.store import cursors
from syncline.store.db import Database

pytestmark = pytest.mark.anyio

WALKS = {
    "list": Simulated(),
    "list of the older paths": Simulated(dated_paths=False),
    "search": Simulated(opaque_after=True),
    "serial": Simulated(opaque_after=True, index_lag=3600),
}


def account(walk: str, count: int) -> World:
    """Make an account in which contacts can be walked in this way only."""
    # A copy: tests change the settings of their account.
    settings = replace(WALKS[walk])
    if walk != "serial":
        return world_of(contacts=count, settings=settings)
    # An index that knows nobody yet cannot be searched by id.
    world = world_of(settings=settings)
    for number in range(count):
        world.create("contacts", {"email": f"p{number}@serial.example", "firstname": f"P{number}"})
    return world


async def assert_same(mirror: Mirror) -> None:
    """Compare payloads and records of ours, and that each was made once."""
    await assert_mirrors(mirror, "contacts")
    records = await mirror.records("contacts", "contacts")
    expected = truth(mirror.world, "contacts")
    assert {i: r["first_name"] for i, r in records.items() if r["archived_at"] is None} == {
        i: p["firstname"] for i, p in expected.items()
    }
    made = await mirror.select(
        "select (select count(*) from crm.contacts) as records,"
        " (select count(*) from sync.links where is_primary and object = 'contacts') as links,"
        " (select count(*) from crm.change_log where action = 'created' and record_type = 'contact')"
        " as created"
    )
    assert set(made[0].values()) == {len(records)}


@pytest.mark.parametrize("walk", WALKS)
async def test_an_object_is_read_whole_whichever_way_it_can_be_walked(
    db: Database, settings: Settings, tenant_id: UUID, walk: str
):
    async with mirror_of(account(walk, 330), db, settings, tenant_id) as mirror:
        kind = (await (await mirror.open()).connector.plan_walk("contacts")).kind
        assert kind == walk.split(maxsplit=1)[0]
        run = await mirror.pull("contacts", chunk_rows=70)
        assert (run.status, run.mode, run.records_created) == ("success", "backfill", 330)
        assert run.records_read == 330
        await assert_same(mirror)
        # A full sync reads everything again and writes nothing.
        run = await mirror.pull("contacts", full=True)
        assert (run.mode, run.records_created, run.records_updated) == ("backfill", 0, 0)


@pytest.mark.parametrize("walk", WALKS)
async def test_what_changes_behind_the_walks_back_is_here_with_the_next_run(
    db: Database, settings: Settings, tenant_id: UUID, walk: str
):
    world, rng = account(walk, 700), Random(6)
    store, pages = world.store("contacts"), 0

    def edit(route: str) -> None:
        nonlocal pages
        pages += route in (LIST, SEARCH, BATCH)
        if route not in (LIST, SEARCH, BATCH) or len(store.archived) > 20:
            return
        first, middle, last = store.living[0], rng.choice(store.living), store.living[-1]
        for record_id in {first, middle, last}:
            world.update("contacts", record_id, {"firstname": f"Edited {pages}"})
        made = world.create("contacts", {"email": f"made{pages}@x.example", "firstname": "Made"})
        world.archive("contacts", rng.choice(store.living[:50]))
        world.archive("contacts", rng.choice(store.living[-50:]))
        if pages % 3 == 0:
            world.merge("contacts", made.id, rng.choice(store.living[100:200]))

    async with mirror_of(world, db, settings, tenant_id) as mirror:
        Watch(world, edit)
        await mirror.pull("contacts", chunk_rows=100)
        Watch(world, lambda route: None)
        world.settings.index_lag = 0
        world.indexes["0-1"]._queue.clear()
        world.indexes["0-1"]._behind.clear()
        for _ in range(2):
            await mirror.pull("contacts")
        await assert_mirrors(mirror, "contacts")
        records = await mirror.records("contacts", "contacts")
        expected = truth(world, "contacts")
        assert {i: r["first_name"] for i, r in records.items() if r["archived_at"] is None} == {
            i: p["firstname"] for i, p in expected.items()
        }


@pytest.mark.parametrize("walk", ["list", "search"])
async def test_a_walk_that_was_stopped_goes_on_where_it_was(
    db: Database, settings: Settings, tenant_id: UUID, walk: str
):
    async with mirror_of(account(walk, 900), db, settings, tenant_id) as mirror:
        stop = asyncio.Event()

        def stop_once_some_are_in(target: Target) -> None:
            if target.counts.read:
                stop.set()

        with pytest.raises(RetryLater):
            await mirror.pull("contacts", chunk_rows=100, stop=stop, on_progress=stop_once_some_are_in)
        stopped = await mirror.select("select * from sync.runs where object = 'contacts'")
        read = stopped[0]["records_read"]
        assert stopped[0]["status"] == "cancelled"
        assert 0 < read < 900
        run = await mirror.pull("contacts", chunk_rows=100)
        assert (run.status, run.mode) == ("success", "backfill")
        assert run.records_read < 900
        await assert_same(mirror)


async def test_a_run_that_ends_before_its_first_page_has_begun_a_backfill_all_the_same(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=120)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        # Given a process that died right after it had marked from where changes are followed
        lists = Counter[str]()
        Watch(world, lambda route: lists.update([route]))
        await (await mirror.open()).connector.plan_walk("contacts")
        probes = lists[LIST]

        def revoke(route: str) -> None:
            lists.update([route])
            if lists[LIST] > 2 * probes:
                world.auth.revoke("pat-na1-simulated")

        Watch(world, revoke)
        with pytest.raises(TokenRejected):
            await mirror.pull("contacts")
        async with db.transaction(tenant_id=tenant_id) as conn:
            keys = {"tenant_id": tenant_id, "connection_id": mirror.connection_id, "object_name": "contacts"}
            assert await cursors.find_state(conn, **keys, kind="incremental")
        # When the next one starts
        Watch(world, lambda route: None)
        world.auth.add_token("pat-na1-simulated")
        await mirror.execute("update sync.connections set status = 'active', paused_reason = null")
        run = await mirror.pull("contacts")
        assert (run.mode, run.records_created) == ("backfill", 120)
        await assert_same(mirror)


async def test_small_chunks_write_the_same_as_large_ones(db: Database, settings: Settings, tenant_id: UUID):
    world = world_of(contacts=250, archived_contacts=5)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts", chunk_rows=7)
        await assert_same(mirror)


async def test_an_empty_object_is_read_and_followed(db: Database, settings: Settings, tenant_id: UUID):
    world = world_of()
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        run = await mirror.pull("contacts")
        assert (run.status, run.records_read) == ("success", 0)
        world.create("contacts", {"email": "first@x.example", "firstname": "First"})
        run = await mirror.pull("contacts")
        assert (run.mode, run.records_created) == ("incremental", 1)
        await assert_same(mirror)
