"""What is archived, erased or restored in the CRM is so here with the next run, and nothing else is."""

from __future__ import annotations

from random import Random
from uuid import UUID

import pytest
from simulated import LIST, TOKEN, Mirror, Watch, assert_mirrors, mirror, mirror_of, truth, world_of

from syncline.clock import from_ms
from syncline.config import Settings
from syncline.errors import ScopeMissing
from syncline.store.db import Database

__all__ = ["mirror"]

pytestmark = pytest.mark.anyio


async def living_records(mirror: Mirror, name: str = "contacts") -> set[str]:
    return {i for i, row in (await mirror.records(name, name)).items() if row["archived_at"] is None}


async def test_75_archived_merged_and_erased_records_are_noticed_by_the_next_run(
    db: Database, settings: Settings, tenant_id: UUID
):
    world, rng = world_of(contacts=320, companies=5, archived_contacts=6), Random(5)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts")
        # When
        chosen = rng.sample(world.store("contacts").living, 100)
        for record_id in chosen[:25]:
            world.archive("contacts", record_id)
        survivors = [
            str(world.merge("contacts", one, two).id)
            for one, two in zip(chosen[25:50], chosen[50:75], strict=True)
        ]
        for record_id in chosen[75:]:
            world.erase(record_id)
        run = await mirror.pull("contacts")
        # Then
        assert run.status == "success"
        assert run.records_archived == 50
        await assert_mirrors(mirror, "contacts")
        rows = await mirror.raw("contacts")
        reasons = [[rows[str(i)]["archived_reason"] for i in part] for part in (chosen[:25], chosen[25:75])]
        assert reasons == [["archived"] * 25, ["merged"] * 50]
        assert {rows[str(i)]["archived_reason"] for i in chosen[75:]} == {"missing"}
        assert {rows[str(i)]["merged_into"] for i in chosen[25:75]} == set(survivors)
        assert await living_records(mirror) == truth(world, "contacts").keys()
        log = await mirror.select(
            "select action, count(*) from crm.change_log where run_id = %(run)s group by action order by 1",
            run=run.id,
        )
        counts = {row["action"]: row["count"] for row in log}
        assert (counts["archived"], counts["merged"]) == (50, 25)
        # and the run after that has nothing left to do, in few calls.
        mirror.forget_requests()
        run = await mirror.pull("contacts")
        assert run.records_created + run.records_updated + run.records_archived == 0
        assert mirror.requests() <= 8


async def test_an_archived_record_says_when_and_comes_back_when_it_is_restored(mirror: Mirror):
    world = mirror.world
    await mirror.pull("contacts")
    gone = world.store("contacts").living[7]
    world.archive("contacts", gone)
    await mirror.pull("contacts")
    row = (await mirror.records("contacts", "contacts"))[str(gone)]
    archived_ms = world.store("contacts").records[gone].archived_ms
    assert archived_ms is not None
    assert row["archived_at"] == from_ms(archived_ms)
    version = row["version"]
    # When a colleague takes it out of the recycle bin
    world.restore("contacts", gone)
    for _ in range(2):
        await mirror.pull("contacts")
    # Then it is the same record again
    back = (await mirror.records("contacts", "contacts"))[str(gone)]
    assert (back["id"], back["archived_at"]) == (row["id"], None)
    assert back["version"] == version + 1
    await assert_mirrors(mirror, "contacts")
    actions = await mirror.select(
        "select action from crm.change_log where record_id = %(id)s order by changed_at", id=row["id"]
    )
    assert [each["action"] for each in actions] == ["created", "archived", "restored"]


async def test_a_record_that_was_missing_and_is_there_again_is_living_again(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(cars=30, companies=40)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.sync("companies", "cars")
        store = world.store("companies")
        record = store.records[store.living[3]]
        store.drop(record.id)
        await mirror.pull("companies")
        rows = await mirror.raw("companies")
        assert rows[str(record.id)]["archived_reason"] == "missing"
        store.put(record)
        for _ in range(2):
            await mirror.pull("companies")
        await assert_mirrors(mirror, "companies")
        assert await living_records(mirror, "companies") == truth(world, "companies").keys()


async def test_counts_that_agree_cost_one_call_and_no_list(mirror: Mirror):
    await mirror.pull("companies")
    mirror.forget_requests()
    await mirror.pull("companies")
    assert mirror.requests() <= 3


async def test_a_list_that_breaks_off_is_no_deletion(db: Database, settings: Settings, tenant_id: UUID):
    # Given a record that is gone, so that the ids are compared
    world = world_of(contacts=330)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts")
        world.erase(world.store("contacts").living[0])
        grant = world.auth.tokens[TOKEN]
        scopes, lists = grant.scopes, 0

        def refuse(route: str) -> None:
            nonlocal lists
            lists += route == LIST
            if lists == 3:  # archived records, and two pages of ids
                grant.scopes = frozenset()

        # When the list of ids breaks off
        Watch(world, refuse)
        with pytest.raises(ScopeMissing):
            await mirror.pull("contacts")
        # Then nothing is taken for deleted
        rows = await mirror.raw("contacts")
        assert all(row["archived_at"] is None for row in rows.values())
        # and the next run finds out.
        grant.scopes = scopes
        await mirror.pull("contacts")
        await assert_mirrors(mirror, "contacts")


async def test_owners_who_leave_are_archived_and_stay_who_they_are(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(owners=6, archived_owners=1, contacts=20)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.sync("owners", "contacts")
        before = await mirror.records("owners", "owners")
        leaver = world.owners[2]
        leaver.archived = True
        await mirror.sync("owners", "contacts")
        after = await mirror.records("owners", "owners")
        assert {i for i, row in after.items() if row["archived_at"]} == {
            str(o.owner_id) for o in world.owners if o.archived
        }
        assert {i: row["id"] for i, row in after.items()} == {i: row["id"] for i, row in before.items()}
        # and one who is gone for good is missing, not forgotten.
        world.owners.remove(leaver)
        await mirror.pull("owners")
        assert (await mirror.records("owners", "owners")).keys() == before.keys()
