"""An edit made here reaches the CRM, once, whole, and never over a newer word of theirs without a trace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from simulated import TOKEN, Mirror, Watch, mirror_of, truth, world_of

from syncline.clock import now, to_ms
from syncline.config import Settings
from syncline.engine.leave import WritingStopped
from syncline.errors import TokenRejected
from syncline.store import overrides
from syncline.store.db import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    world = world_of(contacts=12, companies=4, deals=6, calls=4)
    async with mirror_of(world, db, settings, tenant_id) as made:
        await made.sync("owners", "contacts", "companies", "deals", "calls")
        for name in ("contacts", "companies", "deals", "calls"):
            await made.allow(name)
        yield made


async def contact_of(mirror: Mirror, remote_id: int) -> dict[str, Any]:
    return (await mirror.records("contacts", "contacts"))[str(remote_id)]


def theirs(mirror: Mirror, remote_id: int, name: str = "contacts") -> dict[str, Any]:
    return truth(mirror.world, name)[str(remote_id)]


def written(mirror: Mirror) -> list[tuple[int, str, Any]]:
    """Return what programs wrote to the account: id, property, value."""
    return [
        (event.object_id, event.details["propertyName"], event.details["propertyValue"])
        for event in mirror.world.events
        if event.kind.endswith(".propertyChange") and event.source[0] == "INTEGRATION"
    ]


async def edit(mirror: Mirror, record: dict[str, Any], **values: Any) -> None:
    for name, value in values.items():
        await mirror.execute(
            "update crm.contacts set " + name + " = %(value)s where id = %(id)s",  # type: ignore[arg-type]
            value=value,
            id=record["id"],
        )


async def queued(mirror: Mirror) -> list[dict[str, Any]]:
    return await mirror.select("select * from sync.queue order by record_id")


async def test_an_edit_in_sql_reaches_the_crm_and_only_what_differs_is_written(mirror: Mirror):
    remote_id = mirror.world.store("contacts").living[0]
    before = await contact_of(mirror, remote_id)
    await edit(mirror, before, first_name="By hand", vsl_watched=True)
    done = await mirror.push()
    assert done.updated == 1
    assert theirs(mirror, remote_id)["firstname"] == "By hand"
    assert sorted(written(mirror)) == [
        (remote_id, "firstname", "By hand"),
        (remote_id, "vsl_watched", "true"),
    ]
    assert await queued(mirror) == []
    [sent] = await mirror.select("select * from sync.remote_changes")
    assert (sent["action"], sent["state"], sent["kept"]) == ("updated", "done", None)
    assert sent["changes"]["first_name"] == [before["first_name"], "By hand"]
    # The echo changes nothing here,
    run = await mirror.pull("contacts")
    assert run.records_created == 0
    log = await mirror.select(
        "select changes from crm.change_log where record_id = %(id)s and source = 'pull'"
        " and action = 'updated' and not changes ? 'company_id'",
        id=before["id"],
    )
    assert log == []
    # and nothing is left to be sent.
    again = await mirror.push()
    assert (again.created, again.updated, again.run_ids) == (0, 0, [])


async def test_nothing_is_written_that_was_not_allowed(db: Database, settings: Settings, tenant_id: UUID):
    world = world_of(contacts=3)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts")
        first, second, _ = world.store("contacts").living
        await edit(mirror, await contact_of(mirror, first), first_name="Too early")
        assert await queued(mirror) == []
        await mirror.allow("contacts", fields=["job_title"])
        await edit(mirror, await contact_of(mirror, second), first_name="Not this field")
        assert await queued(mirror) == []
        await edit(mirror, await contact_of(mirror, second), job_title="Harbour master")
        await mirror.push()
        assert written(mirror) == [(second, "jobtitle", "Harbour master")]
        # What may not be written stays here, and theirs stays there.
        await mirror.pull("contacts", full=True)
        assert (await contact_of(mirror, second))["first_name"] == "Not this field"


async def test_an_edit_there_that_was_not_read_yet_is_merged_and_not_overwritten(mirror: Mirror):
    remote_id = mirror.world.store("contacts").living[1]
    before = await contact_of(mirror, remote_id)
    earlier = to_ms(now()) - 60_000  # further apart than clocks are trusted
    changes = {"lastname": "By the CRM", "jobtitle": "Theirs, older"}
    mirror.world.update("contacts", remote_id, changes, now_ms=earlier)
    await edit(mirror, before, first_name="By hand", job_title="Ours, newer")
    await mirror.push()
    after = await contact_of(mirror, remote_id)
    assert (after["first_name"], after["last_name"]) == ("By hand", "By the CRM")
    assert after["job_title"] == theirs(mirror, remote_id)["jobtitle"] == "Ours, newer"
    assert theirs(mirror, remote_id)["lastname"] == "By the CRM"
    # What was overruled can be found.
    [decision] = await mirror.select("select * from sync.decisions")
    assert (decision["field"], decision["winner"], decision["losing"]) == (
        "job_title",
        "ours",
        "Theirs, older",
    )


async def test_a_newer_word_of_theirs_wins_over_an_older_edit_that_waited(mirror: Mirror):
    remote_id = mirror.world.store("contacts").living[1]
    before = await contact_of(mirror, remote_id)
    await edit(mirror, before, job_title="Ours, older")
    later = to_ms(now()) + 60_000
    mirror.world.update("contacts", remote_id, {"jobtitle": "Theirs, newer"}, now_ms=later)
    await mirror.push()
    assert (await contact_of(mirror, remote_id))["job_title"] == "Theirs, newer"
    assert written(mirror) == []
    [decision] = await mirror.select("select * from sync.decisions")
    assert (decision["winner"], decision["losing"]) == ("theirs", "Ours, older")


async def test_what_a_crm_normalises_does_not_come_back_and_forth(mirror: Mirror):
    remote_id = mirror.world.store("contacts").living[2]
    before = await contact_of(mirror, remote_id)
    await edit(mirror, before, email="Ann.Lee@Example.COM")
    await mirror.push()
    assert theirs(mirror, remote_id)["email"] == "ann.lee@example.com"
    for _ in range(2):
        await mirror.pull("contacts")
        await mirror.pull("contacts", full=True)
        assert (await contact_of(mirror, remote_id))["email"] == "Ann.Lee@Example.COM"
        assert (await mirror.push()).updated == 0
    [sent] = await mirror.select("select kept from sync.remote_changes")
    assert sent["kept"] == {"email": "ann.lee@example.com"}


async def test_what_the_crm_refuses_is_parked_with_its_words_and_holds_up_nobody_else(mirror: Mirror):
    first, second, third = mirror.world.store("contacts").living[:3]
    for each in (first, second, third):
        await edit(mirror, await contact_of(mirror, each), job_title=f"Title {each}")
    await edit(mirror, await contact_of(mirror, second), email="not an address")
    done = await mirror.push()
    assert (done.updated, done.parked) == (2, 1)
    [row] = await queued(mirror)
    assert row["state"] == "parked"
    assert "not an address" not in row["last_error"]
    assert "email" in row["last_error"].lower()
    assert theirs(mirror, third)["jobtitle"] == f"Title {third}"
    # Corrected, it goes out by itself.
    await edit(mirror, await contact_of(mirror, second), email="right@example.com")
    await mirror.push()
    assert theirs(mirror, second)["email"] == "right@example.com"
    assert theirs(mirror, second)["jobtitle"] == f"Title {second}"
    assert await queued(mirror) == []


async def test_a_contact_made_here_is_made_there_once_and_linked(mirror: Mirror):
    await mirror.make_unique("contacts")
    await mirror.allow("contacts", "create", fields=())
    before = len(mirror.world.store("contacts").living)
    await mirror.execute(
        "insert into crm.contacts (tenant_id, id, email, first_name, lead_score)"
        " values (%(tenant_id)s, gen_random_uuid(), 'New@Here.example', 'Neu', 7)"
    )
    done = await mirror.push()
    assert done.created == 1
    assert len(mirror.world.store("contacts").living) == before + 1
    [row] = await mirror.select("select * from crm.contacts where email = 'New@Here.example'")
    remote_id = mirror.world.store("contacts").living[-1]
    assert (await contact_of(mirror, remote_id))["id"] == row["id"]
    await mirror.pull("contacts")
    assert len(await mirror.select("select * from crm.contacts where first_name = 'Neu'")) == 1
    assert (await mirror.push()).run_ids == []


async def test_a_contact_that_the_crm_has_under_its_address_is_linked_and_not_made(mirror: Mirror):
    await mirror.make_unique("contacts")
    await mirror.allow("contacts", "create", fields=())
    there = mirror.world.create("contacts", {"email": "both@x.example", "lastname": "There"}).id
    before = len(mirror.world.store("contacts").living)
    await mirror.execute(
        "insert into crm.contacts (tenant_id, id, email, first_name)"
        " values (%(tenant_id)s, gen_random_uuid(), 'both@x.example', 'Here')"
    )
    await mirror.push()
    await mirror.settle()
    assert len(mirror.world.store("contacts").living) == before
    assert theirs(mirror, there)["firstname"] == "Here"
    assert (await contact_of(mirror, there))["last_name"] == "There"
    assert await queued(mirror) == []


async def test_archiving_and_deleting_here_archives_there_where_that_is_allowed(mirror: Mirror):
    first, second, third = mirror.world.store("contacts").living[:3]
    await mirror.execute(
        "update crm.contacts set archived_at = now() where id = %(id)s",
        id=(await contact_of(mirror, third))["id"],
    )
    assert (await mirror.push()).archived == 0
    await mirror.allow("contacts", "archive", fields=())
    await mirror.execute(
        "update crm.contacts set archived_at = now() where id = %(id)s",
        id=(await contact_of(mirror, first))["id"],
    )
    await mirror.execute(
        "delete from crm.contacts where id = %(id)s", id=(await contact_of(mirror, second))["id"]
    )
    assert (await mirror.push()).archived == 2
    living = mirror.world.store("contacts").living
    assert first not in living
    assert second not in living
    assert third in living
    # A record that was deleted here does not come back, even if they take it out of the bin.
    mirror.world.restore("contacts", second)
    await mirror.pull("contacts", full=True)
    assert str(second) not in await mirror.records("contacts", "contacts")


async def test_a_deal_moves_to_another_stage_with_its_pipeline(mirror: Mirror):
    deals = await mirror.records("deals", "deals")
    remote_id, deal = next((i, d) for i, d in deals.items() if d["status"] == "open")
    [won] = await mirror.select(
        "select s.* from crm.stages s where s.is_won and s.pipeline_id = %(p)s limit 1", p=deal["pipeline_id"]
    )
    await mirror.execute(
        "update crm.deals set stage = %(key)s where id = %(id)s", key=won["remote_id"], id=deal["id"]
    )
    assert (await mirror.push()).updated == 1
    assert theirs(mirror, int(remote_id), "deals")["dealstage"] == won["remote_id"]
    # What follows from the stage comes back from the CRM.
    await mirror.pull("deals")
    after = (await mirror.records("deals", "deals"))[remote_id]
    assert (after["status"], after["stage_id"]) == ("won", won["id"])


async def test_a_token_that_is_refused_pauses_the_connection_and_keeps_the_queue(mirror: Mirror):
    remote_id = mirror.world.store("contacts").living[0]
    await edit(mirror, await contact_of(mirror, remote_id), first_name="By hand")
    mirror.world.auth.revoke(TOKEN)
    with pytest.raises(TokenRejected):
        await mirror.push()
    [connection] = await mirror.select("select status, paused_reason from sync.connections")
    assert connection["status"] == "paused"
    [row] = await queued(mirror)
    assert row["state"] == "pending"


async def test_the_kill_switch_stops_what_was_queued_until_it_is_taken_back(mirror: Mirror):
    remote_id = mirror.world.store("contacts").living[0]
    await edit(mirror, await contact_of(mirror, remote_id), first_name="By hand")
    stop = "update app.tenants set writing_stopped_at = %(at)s, writing_stopped_by = 'a test'"
    await mirror.execute(stop + " where tenant_id = %(tenant_id)s", at=now())
    with pytest.raises(WritingStopped, match="a test"):
        await mirror.push()
    assert written(mirror) == []
    await mirror.execute(stop + " where tenant_id = %(tenant_id)s", at=None)
    assert (await mirror.push()).updated == 1


async def test_a_run_that_would_change_much_is_held_until_a_person_lets_it_go(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=400)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts")
        await mirror.allow("contacts")
        await mirror.execute(
            "update crm.contacts set job_title = 'Everybody' where id in"
            " (select id from crm.contacts where tenant_id = %(tenant_id)s order by id limit 120)"
        )
        done = await mirror.push()
        assert done.updated == 0
        assert "120 of 400 contact records" in done.stops[0]
        assert {row["state"] for row in await queued(mirror)} == {"held"}
        [run] = await mirror.select("select status from sync.runs where mode = 'push'")
        assert run["status"] == "stopped"
        assert written(mirror) == []
        async with db.transaction(tenant_id=tenant_id) as conn:
            await overrides.grant(
                conn,
                tenant_id=tenant_id,
                connection_id=mirror.connection_id,
                record_type="contact",
                granted_by="a test",
                now=now(),
                expires_at=now() + timedelta(hours=1),
            )
        assert (await mirror.push()).updated == 120
        # For that one run only.
        await mirror.execute(
            "update crm.contacts set job_title = 'Everybody again' where job_title is not null"
        )
        assert (await mirror.push()).stops


async def test_an_edit_while_its_record_is_being_sent_is_sent_as_well(mirror: Mirror):
    remote_id = mirror.world.store("contacts").living[0]
    record = await contact_of(mirror, remote_id)
    await edit(mirror, record, first_name="First")
    answered = asyncio.Event()

    def see(route: str) -> None:
        if route.endswith("batch/update"):
            answered.set()

    Watch(mirror.world, see)
    mirror.world.settings.latency_ms = 150
    pushing = asyncio.create_task(mirror.push())
    await answered.wait()
    await edit(mirror, record, first_name="Second")
    await pushing
    mirror.world.settings.latency_ms = 0
    await mirror.push()
    assert theirs(mirror, remote_id)["firstname"] == "Second"
    assert (await contact_of(mirror, remote_id))["first_name"] == "Second"
    await mirror.pull("contacts")
    assert (await contact_of(mirror, remote_id))["first_name"] == "Second"
    assert await queued(mirror) == []


async def test_what_belongs_to_what_is_sent_parents_first(mirror: Mirror):
    await mirror.make_unique("contacts", "companies")
    for name in ("contacts", "companies"):
        await mirror.allow(name, "create", "associate", fields=())
    await mirror.execute(
        "with c as (insert into crm.companies (tenant_id, id, name, domain)"
        " values (%(tenant_id)s, gen_random_uuid(), 'Parent', 'parent.example') returning id)"
        " insert into crm.contacts (tenant_id, id, email, company_id)"
        " select %(tenant_id)s, gen_random_uuid(), 'child@parent.example', id from c"
    )
    await mirror.settle()
    child, parent = (mirror.world.store(name).living[-1] for name in ("contacts", "companies"))
    assert list(mirror.world.associated("0-1", child, "0-2")) == [parent]
    assert await queued(mirror) == []
    # Moved to another company, it leaves the first.
    other = mirror.world.store("companies").living[0]
    await mirror.execute(
        "update crm.contacts set company_id = (select record_id from sync.links where object = 'companies'"
        " and remote_id = %(other)s) where email = 'child@parent.example'",
        other=str(other),
    )
    await mirror.settle()
    assert list(mirror.world.associated("0-1", child, "0-2")) == [other]
    # Reading it all again leaves it so.
    await mirror.sync("contacts", "companies", "associations", full=True)
    [row] = await mirror.select(
        "select l.remote_id from crm.contacts c join sync.links l on l.record_id = c.company_id"
        " where c.email = 'child@parent.example'"
    )
    assert row["remote_id"] == str(other)


async def test_a_company_set_here_stays_while_nothing_may_be_written(mirror: Mirror):
    remote_id = mirror.world.store("contacts").living[0]
    record = await contact_of(mirror, remote_id)
    await mirror.sync("associations")
    [company] = await mirror.select("select id from crm.companies order by id desc limit 1")
    await edit(mirror, record, company_id=company["id"])
    await mirror.sync("associations")
    assert (await contact_of(mirror, remote_id))["company_id"] == company["id"]


async def test_a_field_that_two_systems_keep_rewriting_is_held_for_a_person(mirror: Mirror):
    remote_id = mirror.world.store("contacts").living[0]
    record = await contact_of(mirror, remote_id)
    for turn in range(4):
        mirror.world.update("contacts", remote_id, {"jobtitle": f"Theirs {turn}"})
        await mirror.pull("contacts")
        await edit(mirror, record, job_title=f"Ours {turn}")
        assert (await mirror.push()).updated == 1
    mirror.world.update("contacts", remote_id, {"jobtitle": "Theirs again"})
    await mirror.pull("contacts")
    await edit(mirror, record, job_title="Ours again")
    assert (await mirror.push()).updated == 0
    [row] = await queued(mirror)
    assert row["state"] == "held"
    assert "job_title was written 4 times there and 5 times here" in row["last_error"]
    assert theirs(mirror, remote_id)["jobtitle"] == "Theirs again"


async def test_a_conflict_that_a_person_must_decide_is_told_once_and_neither_side_is_overwritten(
    mirror: Mirror,
):
    await mirror.execute(
        'update sync.connections set mapping = \'{"version": 1, "policy": "review"}\''
        " where tenant_id = %(tenant_id)s"
    )
    remote_id = mirror.world.store("contacts").living[0]
    record = await contact_of(mirror, remote_id)
    mirror.world.update("contacts", remote_id, {"jobtitle": "Theirs", "lastname": "Taken"})
    await edit(mirror, record, job_title="Ours")
    for _ in range(2):
        await mirror.pull("contacts")
        await mirror.push()
    [conflict] = await mirror.select("select * from sync.conflicts")
    assert (conflict["field"], conflict["ours"], conflict["theirs"]) == ("job_title", "Ours", "Theirs")
    assert (conflict["status"], conflict["base"]) == ("open", record["job_title"])
    assert conflict["our_record"]["job_title"] == "Ours"
    assert conflict["their_record"]["last_name"] == "Taken"
    after = await contact_of(mirror, remote_id)
    assert (after["job_title"], after["last_name"]) == ("Ours", "Taken")
    assert theirs(mirror, remote_id)["jobtitle"] == "Theirs"
    assert len(await mirror.select("select * from crm.notifications")) == 1
    # Once both say the same it is settled by itself.
    mirror.world.update("contacts", remote_id, {"jobtitle": "Ours"})
    await mirror.pull("contacts")
    assert [row["status"] for row in await mirror.select("select status from sync.conflicts")] == ["settled"]
