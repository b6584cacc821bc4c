"""Owners and stages that are not known yet: what refers to them is filled in once they are."""

from __future__ import annotations

from uuid import UUID

import pytest
from simulated import BATCH, Mirror, mirror_of, world_of

from syncline.config import Settings
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.pipelines import Owner, Stage
from syncline.store.db import Database

pytestmark = pytest.mark.anyio


def owner(number: int) -> Owner:
    return Owner(number, f"o{number}@x.example", "O", str(number), "2026-01-01T00:00:00Z",
                 "2026-01-01T00:00:00Z", number, ("1", "T"))  # fmt: skip


def stage(stage_id: str, share: str, *, closed: bool = False) -> Stage:
    return Stage(stage_id, stage_id, 9, {"isClosed": str(closed).lower(), "probability": share})


async def owners_of_contacts(mirror: Mirror) -> dict[str, str | None]:
    rows = await mirror.select(
        "select l.remote_id, o.email from crm.contacts c join sync.links l on l.record_id = c.id"
        " left join crm.owners o on o.id = c.owner_id where l.object = 'contacts'"
    )
    return {row["remote_id"]: row["email"] for row in rows}


async def test_an_owner_who_comes_later_is_filled_in_though_nobody_changed(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=30, owners=2, archived_owners=0)
    newcomer = world.create("contacts", {"email": "n@x.example", "hubspot_owner_id": "900"})
    nobody = world.create("contacts", {"email": "m@x.example", "hubspot_owner_id": "901"})
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        run = await mirror.pull("contacts")
        assert run.status == "success"
        before = await owners_of_contacts(mirror)
        assert before[str(newcomer.id)] is None
        # Nothing is asked for while nothing has become known.
        mirror.forget_requests()
        await mirror.pull("contacts")
        usual = world.stats[BATCH, 200]
        # When the owner comes
        world.owners.append(owner(900))
        await mirror.sync("owners", "contacts")
        after = await owners_of_contacts(mirror)
        assert after == before | {str(newcomer.id): "o900@x.example"}
        log = await mirror.select(
            "select changes from crm.change_log where record_type = 'contact' and action = 'updated'"
        )
        assert [row["changes"].keys() for row in log] == [{"owner_id"}]
        # and only those who wait were read, once.
        assert world.stats[BATCH, 200] == 2 * usual + 1
        mirror.forget_requests()
        await mirror.pull("contacts")
        assert world.stats[BATCH, 200] == usual
        assert after[str(nobody.id)] is None


async def test_records_read_before_any_owner_are_filled_in_by_their_next_run(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=130, companies=20)
    owners, world.owners = world.owners, []
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.sync("contacts", "companies")
        assert set((await owners_of_contacts(mirror)).values()) == {None}
        world.owners = owners
        await mirror.sync("owners", "contacts")
        found = await owners_of_contacts(mirror)
        addresses = {str(o.owner_id): o.email for o in owners}
        store = world.store("contacts")
        assert found == {
            str(i): addresses.get(store.records[i].get("hubspot_owner_id") or "") for i in store.living
        }


async def test_an_edit_made_while_an_owner_was_unknown_is_kept(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(owners=1, archived_owners=0)
    long_ago = world.now_ms() - 60_000
    contact = world.create("contacts", {"email": "n@x.example", "hubspot_owner_id": "900"}, now_ms=long_ago)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts")
        await mirror.execute(
            "update crm.contacts set owner_id = (select id from crm.owners limit 1)"
            " where tenant_id = %(tenant_id)s"
        )
        world.owners.append(owner(900))
        await mirror.sync("owners", "contacts")
        assert await owners_of_contacts(mirror) == {str(contact.id): world.owners[0].email}


async def deal_of(mirror: Mirror, remote_id: int) -> dict[str, object]:
    return (await mirror.records("deals", "deals"))[str(remote_id)]


def sale(world: World, stage_id: str) -> int:
    values = {"dealname": "Sale", "pipeline": "default", "dealstage": stage_id, "amount": "5"}
    return world.create("deals", values | {"closedate": "2026-06-01T12:00:00Z"}).id


async def test_a_deal_in_a_new_stage_is_placed_by_the_run_that_finds_it(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(deals=5)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("deals")
        # When a stage is made and a deal put into it, within the hour for which definitions are kept
        world.pipelines["0-3"][0].stages.append(stage("signed", "1.0", closed=True))
        deal = sale(world, "signed")
        run = await mirror.pull("deals")
        found = await deal_of(mirror, deal)
        assert (found["status"], found["stage"]) == ("won", "signed")
        assert found["stage_id"] is not None
        assert found["closed_at"] is not None
        assert found["expected_close_date"] is None
        # It was set aside and is no longer.
        assert (run.status, run.records_failed, run.error_details) == ("success", 1, None)
        assert await mirror.select("select from sync.parked") == []


async def test_a_deal_in_a_stage_nobody_lists_is_set_aside_until_it_is_listed(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(deals=5)
    deal = sale(world, "hidden")
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        run = await mirror.pull("deals")
        assert run.status == "partial"
        found = await deal_of(mirror, deal)
        assert (found["status"], found["stage"], found["stage_id"]) == ("open", "hidden", None)
        parked = await mirror.select("select * from sync.parked")
        assert [row["problems"] for row in parked] == [{"stage": "a stage this connection does not list"}]
        # When the account lists it, and definitions are read anew after an hour
        world.pipelines["0-3"][0].stages.append(stage("hidden", "0.0", closed=True))
        await mirror.execute("delete from sync.cursors where kind = 'definitions'")
        run = await mirror.pull("deals")
        assert run.status == "success"
        found = await deal_of(mirror, deal)
        assert (found["status"], found["probability"]) == ("lost", 0)
        assert await mirror.select("select from sync.parked") == []


async def test_a_stage_that_comes_to_mean_something_else_changes_its_deals(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(deals=5)
    deal = sale(world, "contractsent")
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("deals")
        assert (await deal_of(mirror, deal))["status"] == "open"
        # When an administrator makes it a closed one; HubSpot moves no deal's modified time for that
        sent = next(s for s in world.pipelines["0-3"][0].stages if s.stage_id == "contractsent")
        sent.metadata = {"isClosed": "true", "probability": "1.0"}
        world.recalculate("deals", deal, {"hs_deal_stage_probability": "1.0"})
        await mirror.execute("delete from sync.cursors where kind = 'definitions'")
        await mirror.pull("deals")
        found = await deal_of(mirror, deal)
        assert (found["status"], found["probability"]) == ("won", 100)
        assert found["closed_at"] is not None
