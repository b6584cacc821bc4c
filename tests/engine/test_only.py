"""Of an object only some records may be synced: by pipeline, by owner, by any property."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID

import pytest
from simulated import Mirror, mirror_of, truth, world_of
from test_remap import put

from syncline.config import Settings
from syncline.store.db import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    """Contacts, of which those of one town are to be synced."""
    world = world_of(contacts=12, owners=2)
    for number, remote_id in enumerate(world.store("contacts").living):
        world.update("contacts", remote_id, {"city": "Bath" if number % 3 == 0 else "Wells"})
    async with mirror_of(world, db, settings, tenant_id) as made:
        await put(made, {"version": 1, "objects": {"contacts": {"only": {"city": ["Bath"]}}}})
        await made.sync("owners", "contacts")
        yield made


def of_town(mirror: Mirror, town: str) -> set[str]:
    return {i for i, each in truth(mirror.world, "contacts").items() if each["city"] == town}


async def test_the_others_are_mirrored_and_make_no_record(mirror: Mirror):
    assert (await mirror.raw("contacts")).keys() == truth(mirror.world, "contacts").keys()
    assert (await mirror.records("contacts", "contacts")).keys() == of_town(mirror, "Bath")


async def test_one_that_comes_to_be_wanted_gets_its_record(mirror: Mirror):
    remote_id = min(of_town(mirror, "Wells"))
    mirror.world.update("contacts", int(remote_id), {"city": "Bath"})
    await mirror.pull("contacts")
    assert remote_id in await mirror.records("contacts", "contacts")


async def test_one_that_is_wanted_no_more_stays_as_it_is_and_is_not_written(mirror: Mirror):
    await mirror.allow("contacts")
    remote_id = min(of_town(mirror, "Bath"))
    mirror.world.update("contacts", int(remote_id), {"city": "Wells", "firstname": "Theirs"})
    await mirror.pull("contacts")
    record = (await mirror.records("contacts", "contacts"))[remote_id]
    assert record["first_name"] != "Theirs"
    await mirror.execute("update crm.contacts set last_name = 'Ours' where id = %(id)s", id=record["id"])
    await mirror.settle()
    assert truth(mirror.world, "contacts")[remote_id]["lastname"] != "Ours"
    assert await mirror.select("select 1 from sync.queue") == []


async def test_a_record_of_ours_is_not_made_where_it_would_not_be_wanted(mirror: Mirror):
    await put(
        mirror,
        {
            "version": 1,
            "objects": {
                "contacts": {"only": {"city": ["Bath"]}, "fields": {"custom_fields.town": "city"}},
            },
        },
    )
    await mirror.pull("contacts")
    await mirror.allow("contacts", "create")
    await mirror.make_unique("contacts")
    await mirror.pull("contacts", full=True)
    for name, town in (("Here", "Bath"), ("Elsewhere", "Wells")):
        await mirror.execute(
            "insert into crm.contacts (tenant_id, id, email, first_name, custom_fields)"
            " values (%(tenant_id)s,"
            " gen_random_uuid(), %(email)s, %(name)s, jsonb_build_object('town', %(town)s::text))",
            email=f"{name.lower()}@example.com",
            name=name,
            town=town,
        )
    await mirror.settle()
    made = {each["firstname"] for each in truth(mirror.world, "contacts").values()}
    assert "Here" in made
    assert "Elsewhere" not in made
    assert await mirror.select("select 1 from sync.queue") == []
