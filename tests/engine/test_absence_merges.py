"""Merges in the CRM are merges here: one record survives, old ids lead to it, and so do its children."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest
from simulated import SEARCH, Mirror, Watch, assert_mirrors, mirror_of, truth, world_of

from syncline.config import Settings
from syncline.simulators.hubspot import Settings as Simulated
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.store import Record
from syncline.store.db import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    world = world_of(contacts=14, companies=3, deals=2, meetings=2)
    async with mirror_of(world, db, settings, tenant_id) as made:
        await made.pull("contacts")
        yield made


async def links_of(mirror: Mirror, name: str) -> dict[str, tuple[UUID, bool]]:
    rows = await mirror.select(
        "select remote_id, record_id, is_primary from sync.links"
        " where object = %(name)s and connection_id = %(connection_id)s",
        name=name,
        connection_id=mirror.connection_id,
    )
    return {row["remote_id"]: (row["record_id"], row["is_primary"]) for row in rows}


async def assert_merged(
    mirror: Mirror, name: str, survivor: int, gone: list[int], into: UUID
) -> dict[str, Any]:
    """Check that the record `into` survives under the survivor's id and the old ids lead to it; return it."""
    links = await links_of(mirror, name)
    assert links[str(survivor)] == (into, True)
    assert {links[str(each)] for each in gone if each != survivor} <= {(into, False)}
    rows = await mirror.raw(name)
    assert {rows[str(i)]["archived_reason"] for i in gone if str(i) in rows and i != survivor} <= {"merged"}
    found = (await mirror.records(name, name))[str(survivor)]
    assert (found["id"], found["archived_at"], found["merged_into"]) == (into, None, None)
    await assert_mirrors(mirror, name)
    living = {i for i, row in (await mirror.records(name, name)).items() if row["archived_at"] is None}
    assert living == truth(mirror.world, name).keys()
    return found


async def test_the_first_record_survives_under_the_new_id_and_children_follow(mirror: Mirror):
    world, graph = mirror.world, mirror.world.graph
    before = await links_of(mirror, "contacts")
    one, two = world.store("contacts").living[:2]
    deal, meeting = world.store("deals").living[0], world.store("meetings").living[0]
    for name, child, kind in (("deals", deal, "0-3"), ("meetings", meeting, "0-47")):
        for contact in list(graph.targets(kind, child, "0-1")):
            world.dissociate(name, child, "contacts", contact)
        world.associate(name, child, "contacts", two)
    await mirror.sync("deals", "meetings", "associations")
    # When the second is merged into the first
    survivor = world.merge("contacts", one, two)
    run = await mirror.pull("contacts")
    # Then
    into, other = before[str(one)][0], before[str(two)][0]
    found = await assert_merged(mirror, "contacts", survivor.id, [one, two], into)
    assert found["email"] == survivor.get("email")
    absorbed = await mirror.select("select * from crm.contacts where id = %(id)s", id=other)
    assert absorbed[0]["merged_into"] == into
    assert absorbed[0]["archived_at"] is not None
    children = [(await mirror.records("deals", "deals"))[str(deal)]]
    children.append((await mirror.records("meetings", "activities"))[str(meeting)])
    assert [child["contact_id"] for child in children] == [into, into]
    log = await mirror.select("select * from crm.change_log where run_id = %(run)s", run=run.id)
    said = {(row["record_type"], row["record_id"], row["action"]): row["changes"] for row in log}
    assert said["contact", other, "merged"] == {"merged_into": [None, str(into)]}
    for kind, child in zip(("deal", "activity"), children, strict=True):
        assert said[kind, child["id"], "updated"] == {"contact_id": [str(other), str(into)]}
    # and nobody was made anew.
    assert not [row for row in log if row["action"] == "created"]


async def test_chains_of_merges_end_at_one_record_step_by_step(mirror: Mirror):
    world = mirror.world
    a, b, c, d = world.store("contacts").living[:4]
    into = (await links_of(mirror, "contacts"))[str(a)][0]
    first = world.merge("contacts", a, b)
    await mirror.pull("contacts")
    second = world.merge("contacts", first.id, c)
    await mirror.pull("contacts")
    # An edit between two merges is what the next one compares with.
    world.update("contacts", second.id, {"firstname": "Edited"})
    await mirror.pull("contacts")
    await mirror.execute("update crm.contacts set last_name = 'By hand' where id = %(id)s", id=into)
    third = world.merge("contacts", second.id, d)
    await mirror.pull("contacts")
    found = await assert_merged(mirror, "contacts", third.id, [a, b, c, d, first.id, second.id], into)
    assert (found["first_name"], found["last_name"]) == ("Edited", "By hand")


async def test_chains_of_merges_between_two_runs_end_at_one_record(mirror: Mirror):
    world = mirror.world
    a, b, c, d = world.store("contacts").living[:4]
    into = (await links_of(mirror, "contacts"))[str(a)][0]
    left, right = world.merge("contacts", a, b), world.merge("contacts", c, d)
    survivor = world.merge("contacts", left.id, right.id)
    await mirror.pull("contacts")
    await assert_merged(mirror, "contacts", survivor.id, [a, b, c, d, left.id, right.id], into)


async def test_a_survivor_that_was_read_before_the_next_merge_makes_no_second_record(mirror: Mirror):
    world = mirror.world
    a, b, c = world.store("contacts").living[:3]
    into = (await links_of(mirror, "contacts"))[str(a)][0]
    # Given a merge that search sees at once, and a second that happens when the first page is out
    later: list[Record] = []
    first = world.merge("contacts", a, b)
    for record_id in world.store("contacts").living[4:10]:
        world.update("contacts", record_id, {"jobtitle": "Busy"})

    def merge(route: str) -> None:
        if route == SEARCH and not later:
            later.append(world.merge("contacts", first.id, c))

    Watch(world, merge)
    for _ in range(2):
        await mirror.pull("contacts")
    await assert_merged(mirror, "contacts", later[0].id, [a, b, c, first.id], into)


async def test_ids_that_were_merged_away_before_the_first_sync_lead_to_the_survivor(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=10)
    a, b = world.store("contacts").living[:2]
    survivor = world.merge("contacts", a, b)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts")
        into = (await links_of(mirror, "contacts"))[str(survivor.id)][0]
        await assert_merged(mirror, "contacts", survivor.id, [a, b], into)


@pytest.mark.parametrize("takes_over_a_value", [True, False])
async def test_a_survivor_that_keeps_its_id_takes_the_other_in(mirror: Mirror, takes_over_a_value: bool):
    world = mirror.world
    await mirror.pull("companies")
    one, two = world.store("companies").living[:2]
    into = (await links_of(mirror, "companies"))[str(one)][0]
    keep_id(world, "companies", one, two, {"city": "Moved"} if takes_over_a_value else {})
    await mirror.pull("companies")
    await assert_merged(mirror, "companies", one, [two], into)
    log = await mirror.select("select record_id from crm.change_log where action = 'merged'")
    assert len(log) == 1


def keep_id(world: World, name: str, one: int, two: int, properties: dict[str, str]) -> None:
    """Merge as accounts do that keep the primary's id."""
    store = world.store(name)
    kept, gone = store.records[one], store.records[two]
    own = kept.own | properties | {"hs_merged_object_ids": str(two)}
    now = world.now_ms()
    world.indexes[store.kind.type_id].before_change(one, 0)
    store.drop(gone.id)
    store.aliases[gone.id] = one
    store.put(Record(one, own, kept.created_ms, now, shared=kept.shared, history=kept.history, merged=(two,)))
    world.graph.move(store.kind.type_id, two, one)


async def test_merges_that_batch_read_resolves_are_the_same(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=10, settings=Simulated(batch_read_resolves_merged=True))
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts")
        a, b, gone = world.store("contacts").living[:3]
        into = (await links_of(mirror, "contacts"))[str(a)][0]
        survivor = world.merge("contacts", a, b)
        world.erase(gone)
        await mirror.pull("contacts")
        await assert_merged(mirror, "contacts", survivor.id, [a, b], into)


async def test_merged_custom_objects_say_into_which_they_were_merged(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(cars=8)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("cars")
        a, b = world.store("cars").living[:2]
        survivor = world.merge("cars", a, b)
        await mirror.pull("cars")
        rows = await mirror.raw("cars")
        assert [rows[str(i)]["merged_into"] for i in (a, b)] == [str(survivor.id)] * 2


async def test_a_record_another_connection_has_as_well_is_merged_for_both(
    db: Database, settings: Settings, tenant_id: UUID
):
    left, right = world_of(seed=1), world_of(seed=2)
    for world in (left, right):
        for name in ("ann", "bob"):
            world.create("contacts", {"email": f"{name}@both.example", "firstname": name})
    async with (
        mirror_of(left, db, settings, tenant_id, name="left") as one,
        mirror_of(right, db, settings, tenant_id, name="right") as two,
    ):
        await one.pull("contacts")
        await two.pull("contacts")
        ann, bob = left.store("contacts").living
        survivor = left.merge("contacts", ann, bob)
        await one.pull("contacts")
        into = (await links_of(one, "contacts"))[str(survivor.id)][0]
        # Both of the other's are now one record of ours, of which one is written to.
        others = (await links_of(two, "contacts")).values()
        assert {record_id for record_id, _ in others} == {into}
        assert sorted(is_primary for _, is_primary in others) == [False, True]
        # Reading the other connection again makes nobody anew.
        await two.pull("contacts", full=True)
        count = await one.select("select count(*) from crm.contacts where merged_into is null")
        assert count[0]["count"] == 1
