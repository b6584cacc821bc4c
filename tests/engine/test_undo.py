"""What a run did is taken back on both sides, but for what somebody has edited since, and stays so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest
from opened import everything, opened
from simulated import Mirror, truth, world_of

from syncline.actions.hub import Hub
from syncline.actions.push import push
from syncline.actions.undo import UndoResult, list_runs, plan_undo, undo
from syncline.config import Settings
from syncline.errors import Invalid, NotFound

pytestmark = pytest.mark.anyio

OBJECTS = ("owners", "contacts", "companies", "deals")


@pytest.fixture
async def both(settings: Settings) -> AsyncGenerator[tuple[Hub, Mirror]]:
    async with opened(world_of(contacts=12, companies=4, deals=4), settings) as made:
        await made[1].sync(*OBJECTS, "associations")
        yield made


async def contact_of(mirror: Mirror, remote_id: int) -> dict[str, Any]:
    return (await mirror.records("contacts", "contacts"))[str(remote_id)]


async def contact(mirror: Mirror, record_id: UUID) -> dict[str, Any]:
    [found] = await mirror.select("select * from crm.contacts where id = %(id)s", id=record_id)
    return found


async def edit(mirror: Mirror, remote_id: int, **values: Any) -> None:
    record = await contact_of(mirror, remote_id)
    for name, value in values.items():
        await mirror.execute(
            "update crm.contacts set " + name + " = %(value)s where id = %(id)s",  # type: ignore[arg-type]
            value=value,
            id=record["id"],
        )


def theirs(mirror: Mirror, remote_id: int, name: str = "contacts") -> dict[str, Any]:
    return truth(mirror.world, name)[str(remote_id)]


async def pushed(hub: Hub) -> UUID:
    """Send what waits, and return the run that did it."""
    [run_id] = (await push(hub, "main", by="test")).drained.run_ids
    return run_id


async def assert_quiet(hub: Hub, mirror: Mirror) -> None:
    """Nothing that was taken back is done again by any pull or push."""
    before = await mirror.select("select id, version from crm.contacts order by id")
    events = len(mirror.world.events)
    for full in (False, True):
        await mirror.pull("contacts", full=full)
        await push(hub, "main", by="test")
    assert await mirror.select("select id, version from crm.contacts order by id") == before
    assert len(mirror.world.events) == events


def reasons(result: UndoResult) -> list[tuple[str, str]]:
    return sorted((each.what.why, each.what.field) for each in result.undone.left)


async def test_a_push_is_taken_back_here_and_there_and_stays_so(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.allow("contacts")
    first, second = mirror.world.store("contacts").living[:2]
    old = {each: (await contact_of(mirror, each), theirs(mirror, each)) for each in (first, second)}
    await edit(mirror, first, job_title="Wrong", phone="+1 555 123 0000", email="Wrong@Case.Example")
    await edit(mirror, second, job_title="Wrong")
    run_id = await pushed(hub)
    assert theirs(mirror, first)["jobtitle"] == "Wrong"
    done = await undo(hub, run_id, by="test")
    assert done.undone.left == []
    for each in (first, second):
        here, there = await contact_of(mirror, each), theirs(mirror, each)
        for name in ("job_title", "phone", "phone_e164", "email"):
            assert here[name] == old[each][0][name], name
        for name in ("jobtitle", "phone", "email"):
            assert there[name] == old[each][1][name], name
    await mirror.pull("contacts")
    await assert_quiet(hub, mirror)
    runs = await list_runs(hub, connection="main")
    mine = next(each for each in runs if each.id == done.undone.run_id)
    assert (mine.mode, mine.status, mine.undoes, mine.records_updated) == ("undo", "success", run_id, 2)


async def test_what_a_person_edited_since_here_or_there_is_spared_and_listed(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.allow("contacts")
    here, there, neither = mirror.world.store("contacts").living[:3]
    old = theirs(mirror, neither)["jobtitle"]
    for each in (here, there, neither):
        await edit(mirror, each, job_title="Wrong", last_name="Wrong")
    run_id = await pushed(hub)
    await asyncio.sleep(1.1)  # further apart than clocks are trusted
    await edit(mirror, here, job_title="By a person here")
    mirror.world.update("contacts", there, {"jobtitle": "By a person there"})
    done = await undo(hub, run_id, by="test")
    assert reasons(done) == [("edited", "job_title"), ("edited", "job_title")]
    values = {each.what.value for each in done.undone.left}
    assert values == {"By a person here", "By a person there"}
    await mirror.settle()
    assert theirs(mirror, here)["jobtitle"] == "By a person here"
    assert theirs(mirror, there)["jobtitle"] == "By a person there"
    assert (await contact_of(mirror, there))["job_title"] == "By a person there"
    assert theirs(mirror, neither)["jobtitle"] == old
    # The other field of those records was taken back all the same.
    assert "Wrong" not in {theirs(mirror, each)["lastname"] for each in (here, there, neither)}


async def test_a_pull_is_taken_back_here_only_and_not_pulled_again(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.allow("contacts", "archive")
    changed, gone, edited = mirror.world.store("contacts").living[:3]
    old = await contact_of(mirror, changed)
    mirror.world.update("contacts", changed, {"jobtitle": "Wrong", "phone": "+15551230000"})
    mirror.world.update("contacts", edited, {"jobtitle": "Wrong", "lastname": "Wrong"})
    made = mirror.world.create("contacts", {"email": "wrong@there.example"}).id
    mirror.world.archive("contacts", gone)
    run = await mirror.pull("contacts")
    gone_id = (await contact_of(mirror, gone))["id"]
    await edit(mirror, edited, last_name="By a person")
    await push(hub, "main", by="test")
    events = len(mirror.world.events)
    done = await undo(hub, run.id, by="test")
    assert reasons(done) == [("edited", "last_name")]
    now_here = await contact_of(mirror, changed)
    for name in ("job_title", "phone", "phone_e164"):
        assert now_here[name] == old[name]
    assert (await contact_of(mirror, made))["archived_at"] is not None
    assert (await contact(mirror, gone_id))["archived_at"] is None
    # The run wrote nothing there, and neither does taking it back.
    assert len(mirror.world.events) == events
    assert theirs(mirror, changed)["jobtitle"] == "Wrong"
    assert str(made) in truth(mirror.world, "contacts")
    await assert_quiet(hub, mirror)
    # What they say next counts again, and so does what we say.
    mirror.world.update("contacts", changed, {"jobtitle": "Right"})
    await mirror.pull("contacts")
    assert (await contact_of(mirror, changed))["job_title"] == "Right"
    await edit(mirror, changed, phone="+15559990000")
    await push(hub, "main", by="test")
    assert theirs(mirror, changed)["phone"] == "+15559990000"


async def test_what_a_push_made_is_archived_there_and_stays_here(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.make_unique("contacts")
    await mirror.allow("contacts", "create", "archive")
    for name in ("one", "two"):
        await mirror.execute(
            "insert into crm.contacts (tenant_id, id, email, first_name)"
            " values (%(tenant_id)s, gen_random_uuid(), %(email)s, 'Neu')",
            email=f"{name}@here.example",
        )
    before = list(mirror.world.store("contacts").living)
    run_id = await pushed(hub)
    one, two = sorted(set(mirror.world.store("contacts").living) - set(before))
    await mirror.pull("contacts")
    mirror.world.update("contacts", two, {"firstname": "By a person"})
    done = await undo(hub, run_id, by="test")
    assert [each.what.why for each in done.undone.left] == ["edited"]
    assert set(mirror.world.store("contacts").living) == {*before, two}
    del one
    rows = await mirror.select("select archived_at from crm.contacts where email ~ '@here.example$'")
    assert [each["archived_at"] for each in rows] == [None, None]
    await mirror.pull("contacts")
    await assert_quiet(hub, mirror)


async def test_what_a_push_archived_is_made_again_with_its_associations(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.make_unique("contacts")
    await mirror.allow("contacts", "create", "archive", "associate")
    ties = await mirror.select(
        "select to_id, from_id, from_object from raw.associations where to_object = 'contacts'"
    )
    archived, deleted = (int(each) for each in sorted({tie["to_id"] for tie in ties})[:2])
    records = {each: await contact_of(mirror, each) for each in (archived, deleted)}
    old = {each: theirs(mirror, each) for each in (archived, deleted)}
    await mirror.execute(
        "update crm.contacts set archived_at = now() where id = %(id)s", id=records[archived]["id"]
    )
    await mirror.execute(
        "update crm.deals set contact_id = null where contact_id = %(id)s", id=records[deleted]["id"]
    )
    await mirror.execute("delete from crm.contacts where id = %(id)s", id=records[deleted]["id"])
    run_id = await pushed(hub)
    living = set(mirror.world.store("contacts").living)
    assert living.isdisjoint({archived, deleted})
    planned = await plan_undo(hub, run_id)
    assert planned.undone.ties >= 2
    done = await undo(hub, run_id, by="test")
    assert done.undone.left == []
    assert done.undone.tied == planned.undone.ties
    made = set(mirror.world.store("contacts").living) - living
    assert len(made) == 2
    by_email = {theirs(mirror, each)["email"]: theirs(mirror, each) for each in made}
    for each in (archived, deleted):
        again = by_email[old[each]["email"]]
        for name in ("firstname", "lastname", "jobtitle", "phone", "lifecyclestage"):
            assert again[name] == old[each][name]
        here = await contact(mirror, records[each]["id"])
        assert here["archived_at"] is None
        for name in ("email", "first_name", "phone", "phone_e164", "company_id", "owner_id"):
            assert here[name] == records[each][name], name
    await mirror.pull("contacts")
    await mirror.pull("associations")
    await assert_quiet(hub, mirror)
    ids = {records[each]["id"] for each in (archived, deleted)}
    linked = await mirror.records("contacts", "contacts")
    assert {row["id"] for remote_id, row in linked.items() if int(remote_id) in made} == ids
    again = await mirror.select("select from_id, to_id from raw.associations where to_object = 'contacts'")
    assert len(again) == len(ties)


async def test_an_undo_is_a_run_that_can_be_undone_itself(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.make_unique("contacts")
    await mirror.allow("contacts", "create", "archive")
    first, second = mirror.world.store("contacts").living[:2]
    old = theirs(mirror, first)["jobtitle"]
    await edit(mirror, first, job_title="Again right")
    await mirror.execute(
        "insert into crm.contacts (tenant_id, id, email)"
        " values (%(tenant_id)s, gen_random_uuid(), 'new@here.example')"
    )
    await mirror.execute(
        "update crm.contacts set archived_at = now() where id = %(id)s",
        id=(await contact_of(mirror, second))["id"],
    )
    count = len(mirror.world.store("contacts").living)
    run_id = await pushed(hub)
    assert len(mirror.world.store("contacts").living) == count
    once = await undo(hub, run_id, by="test")
    assert (once.undone.left, theirs(mirror, first)["jobtitle"]) == ([], old)
    assert len(mirror.world.store("contacts").living) == count
    assert once.undone.run_id is not None
    twice = await undo(hub, once.undone.run_id, by="test")
    assert (twice.undone.left, theirs(mirror, first)["jobtitle"]) == ([], "Again right")
    await mirror.settle()
    emails = [each["email"] for each in truth(mirror.world, "contacts").values()]
    assert emails.count("new@here.example") == 1
    assert len(mirror.world.store("contacts").living) == count
    await mirror.pull("contacts")
    await assert_quiet(hub, mirror)


async def test_an_undo_of_a_pull_can_be_undone_without_a_word_to_the_crm(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.allow("contacts", "archive")
    first = mirror.world.store("contacts").living[0]
    mirror.world.update("contacts", first, {"jobtitle": "Right after all"})
    made = mirror.world.create("contacts", {"email": "right@there.example"}).id
    run = await mirror.pull("contacts")
    events = len(mirror.world.events)
    once = await undo(hub, run.id, by="test")
    assert once.undone.run_id is not None
    await undo(hub, once.undone.run_id, by="test")
    assert (await contact_of(mirror, first))["job_title"] == "Right after all"
    assert (await contact_of(mirror, made))["archived_at"] is None
    assert len(mirror.world.events) == events
    await assert_quiet(hub, mirror)


async def test_what_is_shown_beforehand_is_what_is_done_and_showing_writes_nothing(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.allow("contacts")
    first, second = mirror.world.store("contacts").living[:2]
    for each in (first, second):
        await edit(mirror, each, job_title="Wrong")
    run_id = await pushed(hub)
    mirror.world.update("contacts", second, {"jobtitle": "By a person there"})
    before, events = await everything(mirror), len(mirror.world.events)
    planned = await plan_undo(hub, run_id)
    assert await everything(mirror) == before
    assert len(mirror.world.events) == events
    done = await undo(hub, run_id, by="test")
    assert planned.undone.taken == done.undone.taken
    assert planned.undone.left == done.undone.left
    assert [each.side for each in done.undone.taken] == ["here", "there"]
    # Done once more there is nothing left to do.
    again = await undo(hub, run_id, by="test")
    assert again.undone.taken == []


async def test_an_undo_that_was_cut_off_goes_on_as_the_same_run(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.allow("contacts")
    await mirror.allow("companies")
    living = mirror.world.store("contacts").living
    old = {each: theirs(mirror, each)["jobtitle"] for each in living}
    for each in living:
        await edit(mirror, each, job_title="Wrong")
    run_id = await pushed(hub)
    # As if the process had ended at its first commit: the lease runs out, the run is never ended.
    ended = KeyboardInterrupt("ended")

    def end(what: str, done: int, total: int | None) -> None:
        raise ended

    with pytest.raises(KeyboardInterrupt):
        await undo(hub, run_id, by="test", watch=end)
    [cut] = await list_runs(hub, mode="undo")
    assert cut.status == "running"
    done = await undo(hub, run_id, by="test")
    assert done.undone.run_id == cut.id
    assert {each: theirs(mirror, each)["jobtitle"] for each in living} == old
    assert len(await list_runs(hub, mode="undo")) == 1
    logged = await mirror.select(
        "select count(*) as count from crm.change_log where run_id = %(id)s", id=cut.id
    )
    assert logged[0]["count"] == len(living)


async def test_merges_are_named_as_what_cannot_come_back(both: tuple[Hub, Mirror]):
    hub, mirror = both
    first, second, third = mirror.world.store("contacts").living[:3]
    mirror.world.merge("contacts", first, second)
    mirror.world.update("contacts", third, {"jobtitle": "Wrong"})
    old = (await contact_of(mirror, third))["job_title"]
    run = await mirror.pull("contacts")
    done = await undo(hub, run.id, by="test")
    assert "lost" in {each.what.why for each in done.undone.left}
    assert any("merged" in each.what.reason for each in done.undone.left)
    assert (await contact_of(mirror, third))["job_title"] == old


async def test_the_brake_holds_an_undo_as_well_unless_a_person_goes_past_it(settings: Settings):
    async with opened(world_of(contacts=400), settings) as (hub, mirror):
        await mirror.sync("owners", "contacts")
        await mirror.allow("contacts")
        await mirror.execute(
            'update sync.connections set settings = settings || \'{"brakes": {"change": {"count": 1000}}}\''
        )
        old = {each: values["jobtitle"] for each, values in truth(mirror.world, "contacts").items()}
        await mirror.execute("update crm.contacts set job_title = 'Everybody'")
        run_id = await pushed(hub)
        await mirror.execute("update sync.connections set settings = settings - 'brakes'")
        done = await undo(hub, run_id, by="test")
        assert [(each.record_type, each.count) for each in done.held] == [("contact", 400)]
        assert {each["jobtitle"] for each in truth(mirror.world, "contacts").values()} == {"Everybody"}
        again = await undo(hub, run_id, by="test", past_brake=True)
        del again
        now_there = {each: values["jobtitle"] for each, values in truth(mirror.world, "contacts").items()}
        assert now_there == old


async def test_where_writing_is_stopped_it_is_taken_back_here_and_waits_to_be_sent(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.allow("contacts")
    first = mirror.world.store("contacts").living[0]
    old = theirs(mirror, first)["jobtitle"]
    await edit(mirror, first, job_title="Wrong")
    run_id = await pushed(hub)
    await mirror.execute("update sync.connections set writes_enabled = false")
    done = await undo(hub, run_id, by="test")
    assert done.stop is not None
    assert (await contact_of(mirror, first))["job_title"] == old
    assert theirs(mirror, first)["jobtitle"] == "Wrong"
    await mirror.execute("update sync.connections set writes_enabled = true")
    await push(hub, "main", by="test")
    assert theirs(mirror, first)["jobtitle"] == old


async def test_what_may_not_be_written_any_more_is_left_and_said(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.make_unique("contacts")
    await mirror.allow("contacts", "create")
    first = mirror.world.store("contacts").living[0]
    await edit(mirror, first, job_title="Wrong", last_name="Wrong")
    await mirror.execute(
        "insert into crm.contacts (tenant_id, id, email)"
        " values (%(tenant_id)s, gen_random_uuid(), 'new@here.example')"
    )
    run_id = await pushed(hub)
    await mirror.execute("update sync.writing set field = 'last_name' where scope = 'field'")
    done = await undo(hub, run_id, by="test")
    assert reasons(done) == [("forbidden", ""), ("forbidden", "job_title")]
    assert (await contact_of(mirror, first))["job_title"] == "Wrong"
    assert (theirs(mirror, first)["jobtitle"], theirs(mirror, first)["lastname"] == "Wrong") == (
        "Wrong",
        False,
    )


async def test_a_run_that_goes_on_or_does_not_exist_cannot_be_taken_back(both: tuple[Hub, Mirror]):
    hub, mirror = both
    [run] = await mirror.select("select id from sync.runs where object = 'contacts'")
    with pytest.raises(NotFound):
        await undo(hub, mirror.connection_id, by="test")
    await mirror.execute(
        "update sync.runs set status = 'running', completed_at = null where id = %(id)s", id=run["id"]
    )
    with pytest.raises(Invalid, match="not ended"):
        await plan_undo(hub, run["id"])


async def test_a_deals_stage_is_taken_back_with_what_follows_from_it(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.allow("deals")
    remote_id, deal = next(
        (i, d) for i, d in (await mirror.records("deals", "deals")).items() if d["status"] == "open"
    )
    [won] = await mirror.select(
        "select s.* from crm.stages s where s.is_won and s.pipeline_id = %(p)s limit 1", p=deal["pipeline_id"]
    )
    await mirror.execute(
        "update crm.deals set stage = %(key)s where id = %(id)s", key=won["remote_id"], id=deal["id"]
    )
    run_id = await pushed(hub)
    await mirror.pull("deals")
    assert (await mirror.records("deals", "deals"))[remote_id]["status"] == "won"
    done = await undo(hub, run_id, by="test")
    assert done.undone.left == []
    await mirror.pull("deals")
    after = (await mirror.records("deals", "deals"))[remote_id]
    for name in ("stage", "stage_id", "status", "pipeline", "amount"):
        assert after[name] == deal[name], name
    assert theirs(mirror, int(remote_id), "deals")["dealstage"] == deal["stage"]


async def test_what_a_push_tied_and_parted_is_as_before(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.allow("contacts", "associate")
    contacts = await mirror.records("contacts", "contacts")
    remote_id, moved = next((i, row) for i, row in contacts.items() if row["company_id"])
    other = next(
        row
        for row in (await mirror.records("companies", "companies")).values()
        if row["id"] != moved["company_id"]
    )
    await mirror.execute(
        "update crm.contacts set company_id = %(other)s where id = %(id)s", other=other["id"], id=moved["id"]
    )
    run_id = await pushed(hub)
    await mirror.pull("associations")
    assert (await contact_of(mirror, int(remote_id)))["company_id"] == other["id"]
    done = await undo(hub, run_id, by="test")
    assert done.undone.left == []
    await mirror.pull("associations")
    assert (await contact_of(mirror, int(remote_id)))["company_id"] == moved["company_id"]


async def test_what_somebody_brought_back_at_the_crm_is_not_made_a_second_time(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.make_unique("contacts")
    await mirror.allow("contacts", "create", "archive")
    first = mirror.world.store("contacts").living[0]
    record = await contact_of(mirror, first)
    await mirror.execute("update crm.contacts set archived_at = now() where id = %(id)s", id=record["id"])
    run_id = await pushed(hub)
    count = len(mirror.world.store("contacts").living)
    mirror.world.restore("contacts", first)
    done = await undo(hub, run_id, by="test")
    assert done.undone.taken == []
    assert len(mirror.world.store("contacts").living) == count + 1
    assert (await contact(mirror, record["id"]))["archived_at"] is None
    await assert_quiet(hub, mirror)
