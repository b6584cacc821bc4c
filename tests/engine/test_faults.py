"""With one call in ten going wrong in every way there is, what is here in the end is the same."""

from __future__ import annotations

from uuid import UUID

import pytest
from simulated import LIST, OBJECTS, Mirror, Watch, assert_mirrors, mirror_of, truth, world_of
from test_associations import assert_associations

from syncline.config import Settings
from syncline.errors import RetryLater, Unavailable
from syncline.simulators.hubspot import Settings as Simulated
from syncline.simulators.hubspot.faults import KINDS
from syncline.store.db import Database

pytestmark = pytest.mark.anyio


async def pull_patiently(mirror: Mirror, name: str, *, runs: int = 3) -> None:
    """Pull as a schedule does, which tries again when a run has failed."""
    for left in reversed(range(runs)):
        try:
            await mirror.pull(name, chunk_rows=200)
        except RetryLater:
            if not left:
                raise
        else:
            return


#: Kinds after which the account asks for a pause of seconds.
PAUSING = ("423", "429", "477", "502", "504", "524", "html-502")
QUICK = tuple(kind for kind in KINDS if kind not in PAUSING)


async def test_every_kind_of_fault_leaves_the_same_records(db: Database, settings: Settings, tenant_id: UUID):
    simulated = Simulated(slow_seconds=0.05)
    world = world_of(contacts=420, companies=60, deals=60, calls=60, settings=simulated)
    names = ("contacts", "companies", "deals", "calls")
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        simulated.faults = "0.1:" + ",".join(QUICK)
        for name in ("owners", *names, "associations", "history"):
            await pull_patiently(mirror, name)
        first = mirror.requests()
        # and changes, archives, erasures and merges are followed as well
        ids = world.store("contacts").living
        for record_id in ids[:40]:
            world.update("contacts", record_id, {"firstname": "Changed"})
        world.archive("contacts", ids[50])
        world.merge("contacts", ids[60], ids[61])
        world.erase(ids[70])
        for name in (*names, "associations"):
            await pull_patiently(mirror, name)
        simulated.faults = "0"
        assert sum(count for (_, status), count in world.stats.items() if status != 200) > 3
        for name in names:
            await assert_mirrors(mirror, name)
        await assert_associations(mirror, *names)
        found = await mirror.records("contacts", "contacts")
        assert {i for i, r in found.items() if r["archived_at"] is None} == truth(world, "contacts").keys()
        # Faults cost their repetitions, no more: 10 % of calls, and a run that is done again.
        assert first < 150


async def test_pauses_that_the_account_asks_for_are_made_and_nothing_is_lost(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=2500)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("owners")
        lists = 0

        def spoil(route: str) -> None:
            nonlocal lists
            lists += route == LIST
            if lists == 3:  # The walkers are on their way; they meet one fault each.
                world.settings.faults = "1:423,477,502,504,html-502"
            elif lists == 8:
                world.settings.faults = "0"

        Watch(world, spoil)
        run = await mirror.pull("contacts")
        assert run.status == "success"
        assert len({status for _, status in world.stats}) >= 5
        await assert_mirrors(mirror, "contacts")


async def test_a_service_that_stays_away_fails_the_run_and_the_next_one_goes_on(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=30)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        mirror.give_up_after_seconds = 0.3
        await mirror.pull("owners")
        world.settings.faults = "1:503"
        with pytest.raises(Unavailable, match="503"):
            await mirror.pull("contacts")
        runs = await mirror.select("select * from sync.runs where object = 'contacts'")
        assert [run["status"] for run in runs] == ["failed"]
        assert "HTTP 503" in runs[0]["error_details"]["error"]
        status = await mirror.select("select status from sync.connections")
        assert status[0]["status"] == "active"
        world.settings.faults = "0"
        run = await mirror.pull("contacts")
        assert run.status == "success"
        await assert_mirrors(mirror, "contacts")


@pytest.mark.nightly
@pytest.mark.timeout(1800)
async def test_every_kind_of_fault_at_full_size_leaves_the_same_records(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=29_000, companies=1000, deals=1000, calls=2000, tasks=500)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        world.settings.faults = "0.1"
        for name in (*OBJECTS, "associations", "history"):
            await pull_patiently(mirror, name, runs=10)
        world.settings.faults = "0"
        for name in ("contacts", "companies", "deals", "calls", "tasks"):
            await assert_mirrors(mirror, name)
