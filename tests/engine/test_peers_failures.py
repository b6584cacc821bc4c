"""What is known to have gone wrong in other tools of this kind, each by its issue, and does not here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest
from gated import Gate, gate_of
from hooked import work_off
from simulated import Mirror, assert_mirrors, mirror_of, truth, world_of
from test_push import contact_of, edit, queued, theirs, written
from test_races import APART_MS, UPDATE, assert_both_have, later, some
from test_races_records import made_there
from test_reconcile import behind, check

from syncline.config import Settings
from syncline.store.db import Database
from tiny_webhooks import event, tiny

__all__ = ["tiny"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("tiny")]


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    async with mirror_of(world_of(contacts=60), db, settings, tenant_id) as made:
        await made.make_unique("contacts")
        await made.pull("contacts")
        await made.allow("contacts", "create", "archive")
        yield made


@pytest.fixture
async def gate(mirror: Mirror) -> AsyncGenerator[Gate]:
    async with gate_of(mirror) as made:
        yield made


@pytest.mark.first
async def test_airbyte_43317_more_than_10000_records_with_one_modified_time(
    db: Database, settings: Settings, tenant_id: UUID
):
    """airbyte#43317: an import gave over 10,000 records one modified time, and the sync went round for ever.

    Search gives no more than 10,000 results, so that a cursor of the time alone never gets past them.
    """
    world = world_of(contacts=10_050)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts")
        world.touch("contacts", world.store("contacts").living, {"jobtitle": "Imported"})
        async with asyncio.timeout(90):
            run = await mirror.pull("contacts")
        assert (run.status, run.records_updated) == ("success", 10_050)
        [found] = await mirror.select("select count(*) from crm.contacts where job_title = 'Imported'")
        assert found["count"] == 10_050
        # The next run does not go through them once more without end, and finds nothing new.
        async with asyncio.timeout(90):
            assert (await mirror.pull("contacts")).records_updated == 0


async def test_airbyte_34446_records_that_are_missing_are_counted_named_and_fetched(
    db: Database, settings: Settings, tenant_id: UUID
):
    """airbyte#34446: 8,000 companies were missing at the destination, and every sync ended as a success."""
    world = world_of(companies=900)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        run = await mirror.pull("companies")
        assert run.records_created == len(truth(world, "companies")) == 900
        # However it came about: most of them are not here, and nothing moves their modified time.
        lost = [str(each) for each in world.store("companies").living[100:]]
        for statement in (
            "delete from crm.companies where id in (select record_id from sync.links"  # noqa: ISC004
            " where object = 'companies' and remote_id = any(%(lost)s))",
            "delete from sync.links where object = 'companies' and remote_id = any(%(lost)s)",
            "delete from raw.hubspot_companies where remote_id = any(%(lost)s)",
        ):
            await behind(mirror, statement, lost=lost)
        counts = "select at_source, mirrored, records from sync.latest_source_counts"
        run = await check(mirror, "companies", report_only=True)
        [seen] = await mirror.select(counts)
        assert (seen["at_source"], seen["mirrored"], seen["records"]) == (900, 100, 100)
        await check(mirror, "companies")
        [seen] = await mirror.select(counts)
        assert (seen["at_source"], seen["mirrored"], seen["records"]) == (900, 900, 900)
        await assert_mirrors(mirror, "companies")


async def test_tap_hubspot_49_the_loser_of_a_merge_leads_to_the_winner(
    db: Database, settings: Settings, tenant_id: UUID
):
    """tap-hubspot#49: a merged record stayed beside the one it had become, and nothing led from it there.

    Both ids go on answering at the CRM, with the record of a third.
    """
    world = world_of(contacts=12, deals=3)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.sync("owners", "contacts", "deals")
        one, two = world.store("contacts").living[:2]
        deal = world.store("deals").living[0]
        for contact in list(world.graph.targets("0-3", deal, "0-1")):
            world.dissociate("deals", deal, "contacts", contact)
        world.associate("deals", deal, "contacts", two)
        await mirror.pull("associations")
        survivor = world.merge("contacts", one, two).id
        # First by a hint to an id that is no more, then by the search.
        await work_off(mirror, [event("contacts", two)])
        await mirror.pull("contacts")
        assert {
            i for i, r in (await mirror.records("contacts", "contacts")).items() if not r["archived_at"]
        } == (truth(world, "contacts").keys())
        rows = await mirror.raw("contacts")
        assert [rows[str(each)]["merged_into"] for each in (one, two)] == [str(survivor)] * 2
        links = await mirror.select(
            "select distinct record_id from sync.links"
            " where object = 'contacts' and remote_id = any(%(ids)s)",
            ids=[str(one), str(two), str(survivor)],
        )
        assert len(links) == 1
        found = (await mirror.records("deals", "deals"))[str(deal)]
        assert found["contact_id"] == (await contact_of(mirror, survivor))["id"]


async def test_hubspot_api_nodejs_548_a_batch_that_did_nothing_is_not_taken_for_done(
    mirror: Mirror, gate: Gate
):
    """hubspot-api-nodejs#548: a batch update addressed by e-mail was answered well and changed nothing."""
    first, second = mirror.world.store("contacts").living[:2]
    asked: list[dict[str, Any]] = []

    def ignore(body: dict[str, Any]) -> None:
        """Take the whole batch, answer that it is done, and do nothing."""
        asked.extend({**each} for each in body.get("inputs", ()))
        for each in body.get("inputs", body.get("results", ())):
            each["properties"] = {}

    gate.twist(UPDATE, ignore)
    gate.spoil(UPDATE, ignore)
    held = gate.hold(UPDATE)
    for each in (first, second):
        await edit(mirror, await contact_of(mirror, each), job_title=f"Title {each}")
    # Whose address changes is still the same record.
    await edit(mirror, await contact_of(mirror, second), email="moved@here.example")
    pushing = asyncio.create_task(mirror.push())
    await held.wait()
    # Records are addressed by their ids, never by something that may change or be shared.
    assert {each["id"] for each in asked} == {str(first), str(second)}
    assert not any("idProperty" in each for each in asked)
    assert written(mirror) == []
    gate.behave()
    await pushing
    await mirror.settle()
    await assert_both_have(mirror, first, job_title=f"Title {first}")
    await assert_both_have(mirror, second, job_title=f"Title {second}")
    assert theirs(mirror, second)["email"] == "moved@here.example"


async def test_rudder_transformer_3308_one_bad_value_costs_its_own_record_only(mirror: Mirror, gate: Gate):
    """rudder-transformer#3308: one value the CRM did not take cost all the other records of its batch."""
    ids = mirror.world.store("contacts").living[:50]
    bad = ids[17]

    def untrace(body: dict[str, Any]) -> None:
        """Let the account judge a batch as a whole, as it does where inputs cannot be told apart."""
        for each in body["inputs"]:
            each.pop("objectWriteTraceId", None)

    gate.twist(UPDATE, untrace)
    for each in ids:
        await edit(mirror, await contact_of(mirror, each), job_title=f"Title {each}")
    await edit(mirror, await contact_of(mirror, bad), email="not an address")
    done = await mirror.push()
    assert (done.updated, done.parked) == (49, 1)
    for each in ids:
        expected = None if each == bad else f"Title {each}"
        assert each == bad or theirs(mirror, each)["jobtitle"] == expected
    [row] = await queued(mirror)
    assert (row["state"], row["record_id"]) == ("parked", (await contact_of(mirror, bad))["id"])
    assert "email" in row["last_error"].lower()


async def test_margince_261_an_edit_made_on_an_old_reading_overwrites_nothing_unseen(mirror: Mirror):
    """margince#261: a write based on an old reading undid a newer one, and fields were left out silently."""
    first, second = mirror.world.store("contacts").living[:2]
    before = await contact_of(mirror, first)
    mirror.world.update("contacts", first, {"lastname": "Theirs", "jobtitle": "Theirs"}, now_ms=later())
    # Made by somebody who has not seen any of that.
    await edit(mirror, before, first_name="Ours", job_title="Ours")
    await mirror.settle()
    mirror.world.now_ms = lambda: later(2 * APART_MS)
    assert written(mirror) == [(first, "firstname", "Ours")]
    await assert_both_have(mirror, first, first_name="Ours", last_name="Theirs", job_title="Theirs")
    [decision] = await mirror.select("select * from sync.decisions")
    assert (decision["field"], decision["losing"]) == ("job_title", "Ours")
    # What cannot be written is named, and keeps nothing else from being written.
    owner = UUID(int=7)
    await mirror.execute(
        "insert into crm.owners (tenant_id, id, last_name) values (%(tenant_id)s, %(id)s, 'Of another CRM')",
        id=owner,
    )
    await edit(mirror, await contact_of(mirror, second), first_name="Ours too", owner_id=owner)
    done = await mirror.push()
    assert theirs(mirror, second)["firstname"] == "Ours too"
    assert (done.updated, done.parked) == (1, 1)
    [row] = await queued(mirror)
    assert row["state"] == "parked"
    assert "owner_id" in row["last_error"]


@pytest.mark.parametrize("way", ["pull", "webhook"])
async def test_heroku_connect_rapid_multiple_updates_leave_the_last_one_and_no_ghosts(
    mirror: Mirror, gate: Gate, way: str
):
    """Heroku Connect, "Rapid Multiple Updates Issues": values flipped back, deleted records came back.

    A change on its way out was overtaken by an older state of the same record on its way in.
    """
    remote_id, doomed = mirror.world.store("contacts").living[:2]
    record, other = await contact_of(mirror, remote_id), await contact_of(mirror, doomed)
    for number in range(1, 5):
        # Each is edited while the one before is on its way and its echo is read.
        await edit(mirror, record, job_title=f"Step {2 * number - 1}")
        await edit(mirror, other, job_title=f"Step {2 * number - 1}")
        held = gate.hold(UPDATE)
        pushing = asyncio.create_task(mirror.push())
        await held.wait()
        await edit(mirror, record, job_title=f"Step {2 * number}")
        if number == 4:
            await mirror.execute("delete from crm.contacts where id = %(id)s", id=other["id"])
        if way == "webhook":
            await work_off(mirror, [event("contacts", remote_id), event("contacts", doomed)])
        else:
            await mirror.pull("contacts")
        held.release()
        await pushing
    await mirror.settle()
    await mirror.pull("contacts", full=True)
    await assert_both_have(mirror, remote_id, job_title="Step 8")
    log = await mirror.select(
        "select changes -> 'job_title' -> 1 as value from crm.change_log"
        " where record_id = %(id)s and changes ? 'job_title' and action = 'updated' order by changed_at",
        id=record["id"],
    )
    assert [row["value"] for row in log] == [f"Step {number}" for number in range(1, 9)]
    there = [value for each, _, value in written(mirror) if each == remote_id]
    assert there == sorted(there)
    assert there[-1] == "Step 8"
    assert doomed not in mirror.world.store("contacts").living
    assert made_there(mirror) == []
    assert await mirror.select("select from crm.contacts where id = %(id)s", id=other["id"]) == []
    assert str(doomed) not in await mirror.records("contacts", "contacts")


@pytest.mark.parametrize("known", [True, False])
async def test_mautic_5672_what_was_deleted_is_not_made_again_by_a_later_push(mirror: Mirror, known: bool):
    """mautic#5672: a contact deleted on one side was made again by the next push from the other."""
    there, here = mirror.world.store("contacts").living[:2]
    first, second = await contact_of(mirror, there), await contact_of(mirror, here)
    before = len(mirror.world.store("contacts").living)
    mirror.world.archive("contacts", there)
    if known:
        await work_off(mirror, [event("contacts", there, "archived")])
    await edit(mirror, first, first_name="Edited afterwards")
    await mirror.execute("delete from crm.contacts where id = %(id)s", id=second["id"])
    await mirror.settle()
    await mirror.pull("contacts", full=True)
    await mirror.settle()
    assert made_there(mirror) == []
    assert len(mirror.world.store("contacts").living) == before - 2
    # The one deleted here does not come back either, whatever is done to it there.
    mirror.world.restore("contacts", here)
    mirror.world.update("contacts", here, {"firstname": "Back?"}, now_ms=later())
    await work_off(mirror, [event("contacts", here, "restored"), event("contacts", here)])
    await mirror.pull("contacts", full=True)
    assert await mirror.select("select from crm.contacts where first_name = 'Back?'") == []
    assert some(mirror)
