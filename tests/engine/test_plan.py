"""A plan says exactly what the run then does, and leaves no trace of itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from opened import everything, opened
from simulated import Mirror, Watch, truth, world_of

from syncline.actions.differences import Difference
from syncline.actions.hub import Hub
from syncline.actions.plan import Plan, plan, read_plan
from syncline.actions.push import list_held, push
from syncline.actions.sync import sync
from syncline.config import Settings
from syncline.engine.leave import WritingStopped
from syncline.errors import Invalid
from syncline.store.effects import Change

pytestmark = pytest.mark.anyio

OBJECTS = ("owners", "contacts", "companies", "deals")


@pytest.fixture
async def both(settings: Settings) -> AsyncGenerator[tuple[Hub, Mirror]]:
    async with opened(world_of(contacts=12, companies=4, deals=4), settings) as made:
        await made[1].sync(*OBJECTS, "associations")
        yield made


async def contact_of(mirror: Mirror, remote_id: int) -> dict[str, Any]:
    return (await mirror.records("contacts", "contacts"))[str(remote_id)]


async def edit(mirror: Mirror, remote_id: int, **values: Any) -> None:
    record = await contact_of(mirror, remote_id)
    for name, value in values.items():
        await mirror.execute(
            "update crm.contacts set " + name + " = %(value)s where id = %(id)s",  # type: ignore[arg-type]
            value=value,
            id=record["id"],
        )


def as_written(made: Plan) -> Plan:
    """Return a plan as it comes back from the file it was put in."""
    return read_plan(msgspec.json.encode(made))


def fields_of(changes: list[Change], action: str) -> list[dict[str, Any]]:
    """Return what changes of an action are in the field, without what only the moment decides."""
    return sorted(
        (each.changes for each in changes if each.action == action),
        key=str,
    )


async def test_a_plan_leaves_no_trace_here_and_writes_nothing_there(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.allow("contacts", "create", "archive")
    await mirror.make_unique("contacts")
    first, second, third, fourth = mirror.world.store("contacts").living[:4]
    mirror.world.update("contacts", first, {"jobtitle": "Theirs"})
    mirror.world.create("contacts", {"email": "new@there.example"})
    mirror.world.archive("contacts", second)
    await edit(mirror, third, job_title="Ours")
    await edit(mirror, fourth, email="not an address")
    await mirror.execute(
        "insert into crm.contacts (tenant_id, id, email) values "
        "(%(tenant_id)s, gen_random_uuid(), 'n@h.example')"
    )
    before, events = await everything(mirror), len(mirror.world.events)
    routes: list[str] = []
    Watch(mirror.world, routes.append)
    made = await plan(hub, "main")
    assert await everything(mirror) == before
    assert len(mirror.world.events) == events
    assert not [each for each in routes if "update" in each or "upsert" in each or "create" in each]
    assert len(made.push.writes) == 3
    assert sum(len(each.changes) for each in made.pulls) == 3


async def test_a_sync_then_changes_what_the_plan_said_field_by_field(both: tuple[Hub, Mirror]):
    hub, mirror = both
    first, second, third = mirror.world.store("contacts").living[:3]
    mirror.world.update("contacts", first, {"jobtitle": "Theirs", "lastname": "Other"})
    mirror.world.create("contacts", {"email": "new@there.example", "lastname": "New"})
    mirror.world.archive("contacts", second)
    mirror.world.update("contacts", third, {"phone": "+15551230000"})
    made = await plan(hub, "main")
    runs = await mirror.sync(*OBJECTS)
    planned = next(each for each in made.pulls if each.object == "contacts")
    done = await mirror.select(
        "select record_type, record_id, action, changes, changed_at, connection_id from crm.change_log"
        " where run_id = %(run_id)s",
        run_id=runs["contacts"].id,
    )
    did = [Change(**each) for each in done]
    assert {each.action for each in did} == {"created", "updated", "archived"}
    for action in ("created", "updated", "archived"):
        assert fields_of(planned.changes, action) == fields_of(did, action)
    # Nothing of the other objects, and nothing a second time.
    assert not [each for each in made.pulls if each.object != "contacts" and each.changes]
    assert not [each for each in (await plan(hub, "main")).pulls if each.changes]


async def test_what_was_never_read_is_named_and_not_read_for_a_plan(settings: Settings):
    async with opened(world_of(contacts=230), settings) as (hub, _):
        made = await plan(hub, "main", objects=("contacts",))
    [only] = made.pulls
    assert (only.state, only.read, only.api_calls) == ("everything", 230, 3)


async def test_a_push_does_what_the_plan_said_field_by_field_and_call_by_call(both: tuple[Hub, Mirror]):
    hub, mirror = both
    for name in ("contacts", "companies"):
        await mirror.make_unique(name)
        await mirror.allow(name, "create", "archive")
    living = mirror.world.store("contacts").living
    # Theirs, not read yet: to be merged by the push.
    mirror.world.update("contacts", living[0], {"lastname": "By the CRM"})
    await edit(mirror, living[0], first_name="By hand", lead_score=7.5)
    await edit(mirror, living[1], job_title="Founder")
    await edit(mirror, living[3], job_title="Sales", owner_id=None)
    await mirror.execute(
        "update crm.contacts set archived_at = now() where id = %(id)s",
        id=(await contact_of(mirror, living[2]))["id"],
    )
    await mirror.execute(
        "delete from crm.contacts where id = %(id)s", id=(await contact_of(mirror, living[4]))["id"]
    )
    await mirror.execute(
        "insert into crm.companies (tenant_id, id, name) values (%(tenant_id)s, gen_random_uuid(), 'New Ltd')"
    )
    made = as_written(await plan(hub, "main"))
    assert sorted(each.action for each in made.push.writes) == [
        "archived",
        "archived",
        "created",
        "updated",
        "updated",
        "updated",
    ]
    changes = {each.remote_id: each.changes for each in made.push.writes}
    assert changes[str(living[1])]["job_title"][1] == "Founder"
    assert [each.changes["last_name"][1] for each in made.push.here] == ["By the CRM"]
    done = await push(hub, "main", by="test", planned=made)
    assert done.was_sent
    assert done.differences == []
    assert len(done.writes) == 6
    # Before the first create it is asked once whether the account can keep our ids.
    assert done.api_calls == made.push.effort.read_calls + made.push.effort.write_calls + 1
    assert truth(mirror.world, "contacts")[str(living[0])]["firstname"] == "By hand"


async def test_what_would_be_parked_is_planned_with_its_reason(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.allow("contacts")
    first, second = mirror.world.store("contacts").living[:2]
    await mirror.execute(
        "insert into crm.owners (tenant_id, id, email)"
        " values (%(tenant_id)s, gen_random_uuid(), 'o@h.example')"
    )
    [owner] = await mirror.select("select id from crm.owners where email = 'o@h.example'")
    await edit(mirror, first, owner_id=owner["id"], job_title="Sent all the same")
    await edit(mirror, second, email="not an address")
    made = as_written(await plan(hub, "main"))
    [parked] = made.push.parked
    assert "owner" in parked.reason
    done = await push(hub, "main", by="test", planned=made)
    assert parked.reason in {each.reason for each in done.parked}
    # What the CRM itself will refuse nobody can foretell; so it is a difference.
    sides = [(each.side, each.field, each.done is None) for each in done.differences]
    assert sides == [("there", "email", True), ("parked", "", False)]


async def test_what_was_done_otherwise_than_planned_is_listed(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.allow("contacts")
    first, second = mirror.world.store("contacts").living[:2]
    old = (await contact_of(mirror, first))["job_title"]
    await edit(mirror, first, job_title="Planned")
    made = as_written(await plan(hub, "main"))
    await edit(mirror, first, job_title="Another")
    await edit(mirror, second, job_title="Not planned")
    strictly = await push(hub, "main", by="test", planned=made, strict=True)
    assert not strictly.was_sent
    assert truth(mirror.world, "contacts")[str(first)]["jobtitle"] == old
    done = await push(hub, "main", by="test", planned=made)
    assert [each.done for each in strictly.differences] == [each.done for each in done.differences]
    ids = {str(each): (await contact_of(mirror, each))["id"] for each in (first, second)}
    found = {each.record_id: each for each in done.differences}
    assert found[ids[str(first)]] == Difference(
        "there", "contact", ids[str(first)], "job_title", [old, "Planned"], [old, "Another"]
    )
    assert found[ids[str(second)]].planned is None
    assert truth(mirror.world, "contacts")[str(second)]["jobtitle"] == "Not planned"


async def test_a_plan_made_strictly_is_carried_out_when_nothing_has_changed(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.allow("contacts")
    first = mirror.world.store("contacts").living[0]
    await edit(mirror, first, job_title="Planned")
    made = as_written(await plan(hub, "main"))
    done = await push(hub, "main", by="test", planned=made, strict=True)
    assert (done.was_sent, done.differences, len(done.writes)) == (True, [], 1)


async def test_a_plan_of_another_connection_or_of_something_else_is_refused(both: tuple[Hub, Mirror]):
    hub, _ = both
    made = await plan(hub, "main", objects=("contacts",))
    with pytest.raises(Invalid, match="no plan"):
        read_plan(json.dumps({"connection": "main"}).encode())
    with pytest.raises(Invalid, match="plan is of elsewhere"):
        await push(hub, "main", by="test", planned=_renamed(made))


def _renamed(made: Plan) -> Plan:
    text = msgspec.json.decode(msgspec.json.encode(made))
    return read_plan(msgspec.json.encode({**text, "connection": "elsewhere"}))


async def test_the_brake_is_foretold_and_a_person_may_go_past_it_once(settings: Settings):
    async with opened(world_of(contacts=400, companies=3), settings) as (hub, mirror):
        await mirror.sync("owners", "contacts", "companies")
        await mirror.allow("contacts")
        await mirror.allow("companies")
        await mirror.execute(
            "update crm.contacts set job_title = 'Everybody' where id in"
            " (select id from crm.contacts where tenant_id = %(tenant_id)s order by id limit 120)"
        )
        await mirror.execute("update crm.companies set city = 'Here'")
        made = await plan(hub, "main", objects=("contacts", "companies"))
        [stop] = made.push.stops
        assert "120 of 400 contact records" in stop.reason
        assert {each.record_type for each in made.push.writes} == {"company"}
        assert await list_held(hub, "main") == []
        done = await push(hub, "main", by="test", planned=made)
        assert (done.drained.updated, done.differences) == (3, [])
        [held] = await list_held(hub, "main")
        assert (held.record_type, held.count, held.reason) == ("contact", 120, stop.reason)
        again = await push(hub, "main", by="test", past_brake=["contact"])
        assert (again.drained.updated, again.held) == (120, [])
        await mirror.execute("update crm.contacts set job_title = 'Again' where job_title is not null")
        assert (await push(hub, "main", by="test")).drained.stops


async def test_where_writing_is_off_the_plan_says_so_and_a_push_is_refused(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.allow("contacts")
    await edit(mirror, mirror.world.store("contacts").living[0], job_title="Ours")
    await mirror.execute("update sync.connections set writes_enabled = false")
    made = await plan(hub, "main", objects=("contacts",))
    assert made.push.stop is not None
    assert len(made.push.writes) == 1
    with pytest.raises(WritingStopped, match="switched off"):
        await push(hub, "main", by="test")


async def test_a_plan_is_made_beside_a_sync_and_a_push_under_way(both: tuple[Hub, Mirror]):
    hub, mirror = both
    await mirror.allow("contacts")
    living = mirror.world.store("contacts").living
    for each in living:
        await edit(mirror, each, job_title="Ours")
    mirror.world.settings.latency_ms = 20
    made: list[Plan] = []

    async def look() -> None:
        while len(made) < 3:
            made.append(await plan(hub, "main", objects=("contacts",)))

    async with asyncio.TaskGroup() as group:
        group.create_task(look())
        group.create_task(sync(hub, objects=("contacts",)))
        pushed = group.create_task(push(hub, "main", by="test"))
    assert len(pushed.result().writes) == len(living)
    assert len(made) == 3
    assert (await plan(hub, "main")).push.writes == []


async def test_what_belongs_to_what_is_planned_as_well_also_of_new_records(both: tuple[Hub, Mirror]):
    hub, mirror = both
    for name in ("contacts", "companies"):
        await mirror.make_unique(name)
        await mirror.allow(name, "create", "associate")
    contacts = await mirror.records("contacts", "contacts")
    moved = next(row for row in contacts.values() if row["company_id"])
    other = next(
        row
        for row in (await mirror.records("companies", "companies")).values()
        if row["id"] != moved["company_id"]
    )
    await mirror.execute(
        "update crm.contacts set company_id = %(other)s where id = %(id)s",
        other=other["id"],
        id=moved["id"],
    )
    await mirror.execute(
        "with c as (insert into crm.companies (tenant_id, id, name)"
        " values (%(tenant_id)s, gen_random_uuid(), 'New Ltd') returning id)"
        " insert into crm.contacts (tenant_id, id, email, company_id)"
        " select %(tenant_id)s, gen_random_uuid(), 'new@here.example', c.id from c"
    )
    made = as_written(await plan(hub, "main"))
    actions = sorted(each.action for each in made.push.writes)
    assert actions == ["associated", "associated", "created", "created", "dissociated"]
    done = await push(hub, "main", by="test", planned=made)
    await mirror.settle()
    sent = await mirror.select("select action from sync.remote_changes where state = 'done'")
    assert sorted(each["action"] for each in sent) == actions
    # What a new record belongs to may be sent by a later drain than the record.
    assert {each.field for each in done.differences} <= {"company_id associated"}
