"""What a webhook speaks of is read again and written as by any pull; its own word counts for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

import pytest
from hooked import deliver, inbox_of, runs_of, settled, work_off, working
from simulated import BATCH, Mirror, Watch, assert_mirrors, mirror_of, truth, world_of

from syncline.config import Settings
from syncline.store.db import Database
from tiny_webhooks import event, tiny

__all__ = ["tiny"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("tiny")]


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    world = world_of(contacts=30, companies=6, deals=8, calls=5)
    async with mirror_of(world, db, settings, tenant_id) as made:
        await made.sync("owners", "contacts", "companies", "deals", "calls", "associations")
        made.forget_requests()
        yield made


def some(mirror: Mirror, name: str, count: int) -> list[int]:
    return mirror.world.store(name).living[:count]


async def city_of(mirror: Mirror, remote_id: int) -> str | None:
    return (await mirror.raw("contacts"))[str(remote_id)]["raw"]["properties"]["city"]


async def test_an_edit_at_the_crm_is_here_when_its_webhook_is_worked_off(mirror: Mirror):
    one = some(mirror, "contacts", 1)[0]
    mirror.world.update("contacts", one, {"firstname": "Ada", "city": "Bern"})
    rows = await work_off(mirror, [event("contacts", one)])
    record = (await mirror.records("contacts", "contacts"))[str(one)]
    assert record["first_name"] == "Ada"
    assert await city_of(mirror, one) == "Bern"
    assert [(row["state"], row["attempts"], row["body"]) for row in rows] == [("done", 0, None)]


async def test_a_burst_is_one_run_and_each_record_is_read_once(mirror: Mirror):
    one, two = some(mirror, "contacts", 2)
    deal = some(mirror, "deals", 1)[0]
    for each in (one, two):
        mirror.world.update("contacts", each, {"city": "Basel"})
    many = [[event("contacts", one), event("contacts", two)] for _ in range(20)]
    await work_off(mirror, *many, [event("deals", deal)])
    runs = [(run["object"], run["status"], run["records_read"]) for run in await runs_of(mirror)]
    assert sorted(runs) == [("contacts", "success", 2), ("deals", "success", 1)]
    assert mirror.requests() == 2


async def test_an_echo_of_what_is_here_already_writes_nothing(mirror: Mirror):
    ids = some(mirror, "contacts", 10)
    before = await mirror.select("select id, xmin::text, version from crm.contacts order by id")
    raw = await mirror.select("select remote_id, xmin::text from raw.hubspot_contacts order by 1")
    changes = await mirror.select("select count(*) from crm.change_log")
    await work_off(mirror, [event("contacts", each) for each in ids])
    assert await mirror.select("select id, xmin::text, version from crm.contacts order by id") == before
    assert await mirror.select("select remote_id, xmin::text from raw.hubspot_contacts order by 1") == raw
    assert await mirror.select("select count(*) from crm.change_log") == changes
    assert (await runs_of(mirror))[0]["records_unchanged"] == 10


async def test_a_record_made_at_the_crm_comes_with_what_it_is_tied_to(mirror: Mirror):
    world = mirror.world
    contact, company = some(mirror, "contacts", 1)[0], some(mirror, "companies", 1)[0]
    deal = world.create("deals", {"dealname": "New", "amount": "12"}).id
    world.associate("deals", deal, "contacts", contact)
    world.associate("deals", deal, "companies", company)
    await work_off(mirror, [event("deals", deal)])
    made = (await mirror.records("deals", "deals"))[str(deal)]
    contacts, companies = (
        await mirror.records("contacts", "contacts"),
        await mirror.records("companies", "companies"),
    )
    assert made["contact_id"] == contacts[str(contact)]["id"]
    assert made["company_id"] == companies[str(company)]["id"]


async def test_a_tie_that_is_made_is_read_whichever_side_tells_of_it(mirror: Mirror):
    world = mirror.world
    deals, contacts = some(mirror, "deals", 2), some(mirror, "contacts", 2)
    tied = await mirror.select("select from_id, to_id from raw.associations where to_object = 'contacts'")
    for deal, contact in zip(deals, contacts, strict=True):
        for old in [int(each["to_id"]) for each in tied if each["from_id"] == str(deal)]:
            world.dissociate("deals", deal, "contacts", old)
        world.associate("deals", deal, "contacts", contact)
    await work_off(
        mirror,
        [event("deals", deals[0], "associated", other=["contacts", str(contacts[0])])],
        [event("contacts", contacts[1], "associated", other=["deals", str(deals[1])])],
    )
    found = await mirror.records("deals", "deals")
    people = await mirror.records("contacts", "contacts")
    for deal, contact in zip(deals, contacts, strict=True):
        assert found[str(deal)]["contact_id"] == people[str(contact)]["id"]


async def test_an_archived_record_is_archived_here_once_the_crm_confirms_it(mirror: Mirror):
    one, two = some(mirror, "contacts", 2)
    mirror.world.archive("contacts", one)
    # Of the second it is only said.
    await work_off(mirror, [event("contacts", one, "archived"), event("contacts", two, "archived")])
    rows = await mirror.raw("contacts")
    assert rows[str(one)]["archived_reason"] == "archived"
    assert rows[str(two)]["archived_at"] is None
    records = await mirror.records("contacts", "contacts")
    assert records[str(one)]["archived_at"] is not None
    assert records[str(two)]["archived_at"] is None
    assert (await runs_of(mirror))[0]["records_archived"] == 1


async def test_a_change_of_a_record_that_is_not_found_is_no_proof_that_it_is_gone(mirror: Mirror):
    one = some(mirror, "contacts", 1)[0]
    mirror.world.archive("contacts", one)
    await work_off(mirror, [event("contacts", one, "changed")])
    assert (await mirror.records("contacts", "contacts"))[str(one)]["archived_at"] is None


async def test_a_restored_record_lives_again(mirror: Mirror):
    one = some(mirror, "contacts", 1)[0]
    mirror.world.archive("contacts", one)
    await work_off(mirror, [event("contacts", one, "archived")])
    mirror.world.restore("contacts", one)
    await work_off(mirror, [event("contacts", one, "restored")])
    assert (await mirror.records("contacts", "contacts"))[str(one)]["archived_at"] is None
    await assert_mirrors(mirror, "contacts")


async def test_merged_records_are_one_whatever_came_first(mirror: Mirror):
    one, two = some(mirror, "contacts", 2)
    before = await mirror.records("contacts", "contacts")
    survivor = mirror.world.merge("contacts", one, two).id
    gone = [str(each) for each in (one, two)]
    await work_off(
        mirror,
        [event("contacts", one, "archived"), event("contacts", two, "archived")],
        [event("contacts", survivor, "merged", merged=gone)],
    )
    after = (await mirror.records("contacts", "contacts"))[str(survivor)]
    assert after["id"] in {before[each]["id"] for each in gone}
    rows = await mirror.raw("contacts")
    assert {rows[each]["archived_reason"] for each in gone} == {"merged"}
    await assert_mirrors(mirror, "contacts")


async def test_a_record_erased_for_privacy_is_forgotten_and_never_stored_again(mirror: Mirror):
    one = some(mirror, "contacts", 1)[0]
    record = (await mirror.records("contacts", "contacts"))[str(one)]
    mirror.world.erase(one)
    await work_off(mirror, [event("contacts", one, "erased"), event("contacts", one, "archived")])
    assert str(one) not in await mirror.raw("contacts")
    stones = await mirror.select("select * from sync.tombstones where remote_id = %(id)s", id=str(one))
    assert [(each["reason"], each["record_id"]) for each in stones] == [("erased", record["id"])]
    left = await mirror.select("select archived_at from crm.contacts where id = %(id)s", id=record["id"])
    assert left[0]["archived_at"] is not None
    assert (
        await mirror.select(
            "select from sync.links where object = 'contacts' and remote_id = %(id)s", id=str(one)
        )
        == []
    )
    # Neither an old delivery nor a run that reads everything brings it back.
    await work_off(mirror, [event("contacts", one)])
    await mirror.pull("contacts", full=True)
    assert str(one) not in await mirror.raw("contacts")


async def test_nothing_is_forgotten_that_the_crm_still_has(mirror: Mirror):
    one, two = some(mirror, "contacts", 2)
    mirror.world.update("contacts", two, {"city": "Genf"})
    await deliver(mirror, [event("contacts", one, "erased")], [event("contacts", two)])
    async with working(mirror):
        while not any(row["attempts"] for row in await inbox_of(mirror)):
            await asyncio.sleep(0.02)
    doubted, other = await inbox_of(mirror)
    assert (doubted["state"], doubted["attempts"]) == ("pending", 1)
    assert "still has it" in doubted["last_error"]
    assert other["state"] == "done"
    assert await city_of(mirror, two) == "Genf"
    assert (await mirror.raw("contacts"))[str(one)]["raw"]


async def test_old_and_disordered_deliveries_never_set_a_record_back(mirror: Mirror):
    one = some(mirror, "contacts", 1)[0]
    burst = [event("contacts", one)]
    for city in ("Chur", "Davos", "Zug"):
        mirror.world.update("contacts", one, {"city": city})
    await work_off(mirror, burst, burst, burst)
    assert await city_of(mirror, one) == "Zug"
    changes = await mirror.select("select count(*) from crm.change_log")
    await work_off(mirror, burst)  # played back
    assert await city_of(mirror, one) == "Zug"
    assert await mirror.select("select count(*) from crm.change_log") == changes


async def test_objects_without_a_mapping_are_mirrored(db: Database, settings: Settings, tenant_id: UUID):
    world = world_of(contacts=3, cars=4)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.execute(
            'update sync.connections set settings = settings || \'{"objects": "contacts,cars"}\''
        )
        first = world.store("cars").living[0]
        await work_off(mirror, [event("cars", first)])
        rows = await mirror.raw("cars")
        assert rows.keys() == {str(first)}
        assert rows[str(first)]["raw"]["properties"] == truth(world, "cars")[str(first)]


async def test_objects_that_nobody_wants_or_knows_are_passed_over(mirror: Mirror):
    await mirror.execute('update sync.connections set settings = settings || \'{"objects": "contacts"}\'')
    rows = await work_off(mirror, [event("deals", 1), event("", 2), event("nothing", 3)])
    assert [row["state"] for row in rows] == ["done"]
    assert mirror.requests() == 0
    assert await runs_of(mirror) == []


async def test_a_record_is_here_though_its_object_was_never_read(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=5)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        one = world.store("contacts").living[0]
        await work_off(mirror, [event("contacts", one)])
        assert (await mirror.raw("contacts"))[str(one)]["raw"]["properties"] == truth(world, "contacts")[
            str(one)
        ]
        await mirror.pull("contacts")
        await assert_mirrors(mirror, "contacts")


async def test_a_pull_beside_neither_waits_nor_ends_the_run_of_a_webhook(mirror: Mirror):
    one = some(mirror, "contacts", 1)[0]
    mirror.world.update("contacts", one, {"city": "Olten"})
    await deliver(mirror, [event("contacts", one)])

    # While the worker has its records, a run of the same object begins and ends.
    seen: list[str] = []
    Watch(mirror.world, seen.append)
    async with working(mirror):
        while not any(route.startswith(BATCH.split(" ")[0]) for route in seen):
            await mirror.pull("contacts")
        await settled(mirror)
    assert {run["status"] for run in await mirror.select("select status from sync.runs")} == {"success"}
    assert await city_of(mirror, one) == "Olten"
