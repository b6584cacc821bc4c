"""What was pulled is what is there: property by property and field by field, against the account's truth."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from mapped import EXPECTED, moment
from simulated import OBJECTS, Mirror, assert_mirrors, mirror, mirror_of, truth, world_of

from syncline.config import Settings
from syncline.simulators.hubspot import World
from syncline.store.db import Database

__all__ = ["mirror"]

pytestmark = pytest.mark.anyio


async def owners_of(mirror: Mirror) -> dict[str, UUID]:
    return {remote_id: row["id"] for remote_id, row in (await mirror.records("owners", "owners")).items()}


async def stages_of(mirror: Mirror) -> dict[tuple[str, str], dict[str, Any]]:
    rows = await mirror.select(
        "select s.*, p.remote_id as pipeline from crm.stages s join crm.pipelines p on p.id = s.pipeline_id"
    )
    return {(row["pipeline"], row["remote_id"]): row for row in rows}


async def assert_fields(mirror: Mirror, object_name: str) -> None:
    table, expect = EXPECTED[object_name]
    lookups: list[Any] = [await owners_of(mirror)]
    if object_name == "deals":
        lookups.append(await stages_of(mirror))
    found = await mirror.records(object_name, table)
    expected = truth(mirror.world, object_name)
    living = {remote_id for remote_id, row in found.items() if row["archived_at"] is None}
    assert living == expected.keys()
    for remote_id, properties in expected.items():
        fields = expect(properties, *lookups)
        assert {name: found[remote_id][name] for name in fields} == fields, (object_name, remote_id)


async def test_every_property_of_every_record_and_every_field_is_the_accounts(mirror: Mirror):
    # Given numbers that only arithmetic on text would get right
    world = mirror.world
    first = world.store("deals").living[0]
    world.update("deals", first, {"amount": "90071992547409931.10", "closedate": "2026-03-29"})
    # When
    runs = await mirror.sync(*OBJECTS, "cars")
    # Then
    assert {run.status for run in runs.values()} == {"success"}
    for name in (*OBJECTS[1:], "cars"):
        await assert_mirrors(mirror, name)
    for name in EXPECTED:
        await assert_fields(mirror, name)
    deal = (await mirror.records("deals", "deals"))[str(first)]
    assert deal["amount"] == Decimal("90071992547409931.10")
    # Counts at the source are counts here, archived ones beside them.
    connector = (await mirror.open()).connector
    for name in (*OBJECTS[1:], "cars"):
        rows = await mirror.raw(name)
        assert await connector.count(name) == sum(row["archived_at"] is None for row in rows.values())
        archived = {str(i) for i in world.store(name).archived}
        assert {i for i, row in rows.items() if row["archived_reason"] == "archived"} == archived
    assert len(archived_contacts(world)) == 6
    contacts = await mirror.records("contacts", "contacts")
    assert {i for i, row in contacts.items() if row["archived_at"]} == archived_contacts(world)


def archived_contacts(world: World) -> set[str]:
    return {str(i) for i in world.store("contacts").archived}


async def test_owners_pipelines_and_stages_are_the_accounts(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(owners=5, archived_owners=2, deals=10)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.sync("owners", "deals")
        rows = await mirror.raw("owners")
        found = await mirror.records("owners", "owners")
        assert len(found) == 7
        for owner in world.owners:
            row = found[str(owner.owner_id)]
            assert rows[str(owner.owner_id)]["raw"] == owner.wire() | {"id": str(owner.owner_id)}
            assert (row["email"], row["first_name"], row["last_name"]) == (
                owner.email,
                owner.first_name,
                owner.last_name,
            )
            assert row["created_at"] == moment(owner.created_at)
            assert (row["archived_at"] is not None) == owner.archived
        pipelines = {
            row["remote_id"]: row
            for row in await mirror.select("select * from crm.pipelines order by position")
        }
        assert list(pipelines) == [p.pipeline_id for p in world.pipelines["0-3"]]
        stages = await stages_of(mirror)
        expected = {(p.pipeline_id, s.stage_id): s for p in world.pipelines["0-3"] for s in p.stages}
        assert stages.keys() == expected.keys()
        for key, stage in expected.items():
            share = Decimal(stage.metadata["probability"])
            row = stages[key]
            assert (row["label"], row["position"], row["probability"]) == (
                stage.label,
                stage.order,
                share * 100,
            )
            assert row["is_closed"] == (share in (0, 1))
            assert row["is_won"] == (share == 1)


async def test_stages_and_pipelines_that_are_gone_are_archived_and_the_others_stay_untouched(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(deals=5)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.sync("deals")
        before = await mirror.select("select id, xmin from crm.stages order by id")
        # When a pipeline and a stage go, and definitions are read anew
        sales, partners = world.pipelines["0-3"]
        partners.archived = True
        sales.stages[3].archived = True
        await mirror.pull("deals", full=True)
        # Then
        pipelines = await mirror.select("select remote_id from crm.pipelines where archived_at is not null")
        stages = await mirror.select("select s.id, s.key from crm.stages s where archived_at is not null")
        assert [row["remote_id"] for row in pipelines] == [partners.pipeline_id]
        assert [row["key"] for row in stages] == [sales.stages[3].stage_id]
        after = await mirror.select("select id, xmin from crm.stages order by id")
        changed = {row["id"] for row in after} - {row["id"] for row in before if row in after}
        assert changed == {stages[0]["id"]}


@pytest.mark.parametrize("name", ["cars", "p48975575_cars"])
async def test_a_custom_object_is_mirrored_by_its_name(
    db: Database, settings: Settings, tenant_id: UUID, name: str
):
    world = world_of(cars=130)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        run = await mirror.pull(name)
        assert (run.status, run.records_created) == ("success", 130)
        rows = await mirror.raw(name)
        assert {i: row["raw"]["properties"] for i, row in rows.items()} == truth(world, "cars")
        # and followed: a change, a new one, an archived one
        cars = world.store("cars").living
        world.update("cars", cars[0], {"model": "Changed"})
        world.create("cars", {"model": "New", "vin": "X"})
        world.archive("cars", cars[1])
        run = await mirror.pull(name)
        rows = await mirror.raw(name)
        living = {i: row["raw"]["properties"] for i, row in rows.items() if row["archived_at"] is None}
        assert living == truth(world, "cars")


@pytest.mark.nightly
@pytest.mark.timeout(1800)
async def test_every_property_of_29000_contacts_and_all_around_them_is_the_accounts(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = World(3)
    world.populate()
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        runs = await mirror.sync(*OBJECTS, "cars")
        assert {run.status for run in runs.values()} == {"success"}
        for name in (*OBJECTS[1:], "cars"):
            await assert_mirrors(mirror, name)
        for name in EXPECTED:
            await assert_fields(mirror, name)
