"""Activities, tasks and notes made at Pipedrive, which keeps no id of ours, with what they belong to."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID

import pytest
from making import (
    MADE,
    activities,
    assert_settled,
    count_here,
    find_parents,
    left,
    links,
    notes,
    write_call,
    write_note,
    write_task,
)
from simulated import Mirror
from test_pipedrive_sync import KINDS, mirror_of, sync, world_behind, world_of

from syncline.config import Settings
from syncline.engine.push import rehearse_drain
from syncline.engine.rehearse import Rehearsal
from syncline.store.db import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    world = world_of(contacts=6, organizations=4, deals=4)
    async with mirror_of(world, db, settings, tenant_id) as made:
        await sync(made)
        yield made


async def allow(mirror: Mirror, *scopes: str) -> None:
    for name in MADE:
        await mirror.allow(name, *scopes, kind=KINDS[name])


def writes(mirror: Mirror) -> dict[str, int]:
    stats = world_behind(mirror).stats.items()
    return {route: count for (route, _), count in stats if not route.startswith("GET")}


async def test_each_is_made_by_one_call_with_what_it_belongs_to(mirror: Mirror):
    await allow(mirror, "create", "associate")
    known = await find_parents(mirror)
    (deal, deal_id), (person, person_id) = known["deals"], known["contacts"]
    made = await write_note(mirror, "They <b>like</b> it.", deal_id)
    await write_call(mirror, "First call", person_id, "We talked.")
    await write_task(mirror, "Write to them", person_id)
    await mirror.settle()
    call, task = sorted(activities(mirror), key=lambda each: each["type"])
    assert (call["type"], call["subject"], call["note"]) == ("call", "First call", "We talked.")
    assert (call["due_date"], call["due_time"], call["duration"]) == ("2026-03-04", "05:06:07", "00:01:35")
    assert (call["person_id"], call["done"]) == (person, True)
    assert (task["type"], task["subject"], task["person_id"]) == ("task", "Write to them", person)
    [there] = notes(mirror)
    assert (there["content"], there["deal_id"]) == ("They <b>like</b> it.", deal)
    assert there["add_time"] == "2026-03-04T05:06:07Z"
    assert await links(mirror, made) == [str(there["id"])]
    assert writes(mirror) == {"POST /v2/activities": 2, "POST /v1/notes": 1}
    await assert_settled(mirror)
    [record] = await mirror.select("select deal_id from crm.activities where id = %(id)s", id=made)
    assert record["deal_id"] == deal_id


async def test_a_note_waits_for_its_deal_that_is_made_first(mirror: Mirror):
    await mirror.make_unique("deals")
    await sync(mirror, names=("deals",))
    await allow(mirror, "create", "associate")
    await mirror.allow("deals", "create", kind="deal")
    await mirror.execute(
        "with d as (insert into crm.deals (tenant_id, id, name, status)"
        " values (%(tenant_id)s, gen_random_uuid(), 'New here', 'open') returning id)"
        " insert into crm.activities (tenant_id, id, type, body, deal_id)"
        " select %(tenant_id)s, gen_random_uuid(), 'note', 'About it', d.id from d"
    )
    await mirror.settle()
    [there] = notes(mirror)
    [deal] = [key for key, each in world_behind(mirror).truth("deals").items() if each["title"] == "New here"]
    assert (there["content"], there["deal_id"]) == ("About it", deal)
    assert await left(mirror) == []


async def test_a_plan_tells_of_the_note_and_of_the_deal_it_waits_for(mirror: Mirror):
    await mirror.make_unique("deals")
    await sync(mirror, names=("deals",))
    await allow(mirror, "create", "associate")
    await mirror.allow("deals", "create", kind="deal")
    await mirror.execute(
        "with d as (insert into crm.deals (tenant_id, id, name, status)"
        " values (%(tenant_id)s, gen_random_uuid(), 'New here', 'open') returning id)"
        " insert into crm.activities (tenant_id, id, type, body, deal_id)"
        " select %(tenant_id)s, gen_random_uuid(), 'note', 'About it', d.id from d"
    )
    rehearsal = Rehearsal(mirror.tenant_id)
    await rehearse_drain(mirror.db, await mirror.open(), rehearsal)
    planned = sorted((each.object, each.action) for each in rehearsal.writes)
    assert planned == [("deals", "created"), ("notes", "associated"), ("notes", "created")]
    assert (rehearsal.parked, writes(mirror)) == ([], {"POST /v2/dealFields": 1})


async def test_a_note_of_nothing_waits_without_a_call_until_it_is_given_something(mirror: Mirror):
    await allow(mirror, "create", "associate")
    made = await write_note(mirror, "Of nothing", None)
    for _ in range(15):
        await mirror.execute("update sync.queue set not_before = queued_at where tenant_id = %(tenant_id)s")
        await mirror.push()
    [(state, reason)] = await left(mirror)
    assert state == "pending"
    assert "together with what it belongs to" in reason
    assert await mirror.select("select attempts from sync.queue") == [{"attempts": 0}]
    assert writes(mirror) == {}
    _, deal_id = (await find_parents(mirror))["deals"]
    await mirror.execute(
        "update crm.activities set deal_id = %(deal)s where id = %(id)s", id=made, deal=deal_id
    )
    await mirror.push()  # at once, however long it was to wait
    assert len(notes(mirror)) == 1
    await assert_settled(mirror)


async def test_a_company_that_the_crm_will_not_have_does_not_keep_an_activity_back(mirror: Mirror):
    """The rest follows when it comes, and is looked at by a person when it does not."""
    await allow(mirror, "create", "associate")
    person, person_id = (await find_parents(mirror))["contacts"]
    await mirror.execute(
        "with c as (insert into crm.companies (tenant_id, id, name)"
        " values (%(tenant_id)s, gen_random_uuid(), 'Not there') returning id)"
        " insert into crm.activities (tenant_id, id, type, subject, contact_id, company_id)"
        " select %(tenant_id)s, gen_random_uuid(), 'call', 'Both', %(person)s, c.id from c",
        person=person_id,
    )
    await mirror.settle()
    [call] = activities(mirror)
    assert (call["person_id"], call["org_id"]) == (person, None)
    [(state, reason)] = await left(mirror)
    assert (state, reason) == ("parked", "What it belongs to is not at the CRM yet.")


async def test_without_leave_to_associate_activities_are_made_alone_and_notes_ask(mirror: Mirror):
    await allow(mirror, "create")
    known = await find_parents(mirror)
    await write_call(mirror, "Alone", known["contacts"][1])
    await write_note(mirror, "Not alone", known["deals"][1])
    await mirror.settle()
    [call] = activities(mirror)
    assert (call["subject"], call["person_id"]) == ("Alone", None)
    assert notes(mirror) == []
    [(state, reason)] = await left(mirror)
    assert state == "parked"
    assert "--associate" in reason


async def test_without_leave_to_create_nothing_is_made(mirror: Mirror):
    await allow(mirror, "associate")
    await write_call(mirror, "Not sent", None)
    await mirror.settle()
    assert activities(mirror) == []
    assert await left(mirror) == []


async def test_what_pipedrive_rewrites_comes_to_rest(mirror: Mirror):
    world_behind(mirror).settings.cuts_seconds = True
    await allow(mirror, "create", "associate")
    known = await find_parents(mirror)
    body = "A & B<br><script>alert(1)</script> <i onclick='x()'>really</i>"
    await write_note(mirror, body, known["deals"][1])
    await write_call(mirror, "  Two   words ", known["contacts"][1], body)
    await write_task(mirror, "Soon", known["contacts"][1])
    await mirror.settle()
    before = await count_here(mirror)
    sent = writes(mirror)
    await assert_settled(mirror)
    assert (await count_here(mirror), writes(mirror)) == (before, sent)
    # What was written here stays as it was written here.
    rows = await mirror.select("select body from crm.activities")
    assert {row["body"] for row in rows} == {body}


async def test_a_note_changed_here_and_there_is_changed_there_and_here(mirror: Mirror):
    await allow(mirror, "create", "associate")
    known = await find_parents(mirror)
    made = await write_note(mirror, "First", known["deals"][1])
    await mirror.settle()
    await mirror.execute("update crm.activities set body = 'Second' where id = %(id)s", id=made)
    await mirror.settle()
    [there] = notes(mirror)
    assert there["content"] == "Second"
    world = world_behind(mirror)
    world.advance(1)
    world.update("notes", there["id"], {"content": "Third"})
    await sync(mirror)
    [record] = await mirror.select("select body from crm.activities where id = %(id)s", id=made)
    assert record["body"] == "Third"
    await assert_settled(mirror)


async def test_a_token_that_may_not_date_notes_makes_them_all_the_same(mirror: Mirror):
    await allow(mirror, "create", "associate")
    for user in world_behind(mirror).users:
        user.is_admin = False
    await write_note(mirror, "Undated", (await find_parents(mirror))["deals"][1])
    await mirror.settle()
    [there] = notes(mirror)
    assert there["content"] == "Undated"
    assert not there["add_time"].startswith("2026-03-04")
    assert await left(mirror) == []
