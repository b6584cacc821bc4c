"""Switching writing on and off: what is shown before, and what enters and leaves the queue by it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from two_way_rows import Rows

from syncline.actions.connect import Connected
from syncline.actions.hub import Hub
from syncline.actions.permissions import Wish
from syncline.actions.properties import apply_properties
from syncline.actions.push import push
from syncline.actions.sync import sync
from syncline.actions.writing import (
    Allowed,
    allow,
    forbid,
    plan_allow,
    resume_writing,
    show_writing,
    stop_writing,
)
from syncline.errors import Invalid, NotFound
from syncline.simulators.hubspot import World
from syncline.store import allowances

pytestmark = pytest.mark.anyio

Connect = Callable[..., Awaitable[Connected]]


@pytest.fixture
def rows(hub: Hub) -> Rows:
    return Rows(hub)


@pytest.fixture
async def connection(hub: Hub, connect: Connect) -> UUID:
    """A connection whose contacts have been read."""
    found = await connect(objects=("owners", "contacts"))
    result = await sync(hub)
    assert result.errors == []
    return found.connection.id


async def pick(rows: Rows, number: int) -> list[UUID]:
    found = await rows.select(
        "select record_id from sync.links where record_type = 'contact' and is_primary order by remote_id"
        " limit %(number)s",
        number=number,
    )
    return [row["record_id"] for row in found]


def truth(world: World, name: str) -> list[dict[str, Any]]:
    """Return every property of the living records of an object."""
    store = world.store(name)
    plan = store.plan_once(store.definitions)
    return [plan.properties(store.records[each]) for each in store.living]


async def permissions(hub: Hub) -> list[tuple[str, str]]:
    return [(each.scope, each.field) for each in (await show_writing(hub, "acme")).permissions]


async def test_a_new_connection_may_not_be_written_to(hub: Hub, rows: Rows, connection: UUID):
    state = await show_writing(hub, "acme")
    assert (state.permissions, state.waiting) == ([], [])
    [record] = await pick(rows, 1)
    await rows.execute("update crm.contacts set first_name = 'Here' where id = %(id)s", id=record)
    assert await rows.queue() == []


async def test_the_plan_shows_fields_counts_and_changes_nothing(hub: Hub, rows: Rows, connection: UUID):
    for record in await pick(rows, 3):
        await rows.execute("update crm.contacts set first_name = 'Here' where id = %(id)s", id=record)
    plan = await plan_allow(hub, "acme", Wish("contacts", ("first_name", "phone")))
    assert [(each.field, each.property, each.state) for each in plan.fields] == [
        ("first_name", "firstname", "new"),
        ("phone", "phone", "new"),
    ]
    assert (plan.differing, plan.starts, plan.problem, plan.stop) == (3, True, None, None)
    assert await permissions(hub) == []
    assert await rows.queue() == []


async def test_what_differs_is_queued_and_what_is_alike_is_not(hub: Hub, rows: Rows, connection: UUID):
    first, second, third = await pick(rows, 3)
    await rows.execute("update crm.contacts set first_name = 'Here' where id = %(id)s", id=first)
    await rows.execute("update crm.contacts set last_name = 'Here' where id = %(id)s", id=second)
    await rows.execute(
        "update crm.contacts set job_title = '' where job_title is null and id = %(id)s", id=third
    )
    done = await allow(hub, "acme", Wish("contacts", ("first_name", "job_title")), by="ann")
    assert done.queued == 1
    assert await rows.queue() == [("acme", "pending", ["first_name"], 1)]
    again = await allow(hub, "acme", Wish("contacts", ("first_name", "job_title")), by="bob")
    assert again.queued == 0
    more = await allow(hub, "acme", Wish("contacts", ("last_name",)), by="bob")
    assert more.queued == 1
    state = await show_writing(hub, "acme")
    assert state.connection.writes_enabled
    assert {each.field: each.allowed_by for each in state.permissions} == {
        "first_name": "ann",
        "job_title": "ann",
        "last_name": "bob",
    }


async def test_an_edit_is_queued_once_its_field_is_allowed(hub: Hub, rows: Rows, connection: UUID):
    await allow(hub, "acme", Wish("contacts", ("first_name",)), by="ann")
    first, second = await pick(rows, 2)
    await rows.execute("update crm.contacts set first_name = 'Here' where id = %(id)s", id=first)
    await rows.execute("update crm.contacts set last_name = 'Here' where id = %(id)s", id=second)
    assert await rows.queue() == [("acme", "pending", ["first_name"], 1)]


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("created_at", "created_at is only read"),
        ("phone_e164", "follows from phone"),
        ("company_id", "--associate"),
        ("archived_at", "--archive"),
        ("shoe_size", "no field"),
        ("custom_fields.shoe_size", "not mapped"),
    ],
)
async def test_a_field_that_cannot_be_written_is_refused_with_the_reason(
    hub: Hub, connection: UUID, field: str, reason: str
):
    wish = Wish("contacts", ("first_name", field))
    plan = await plan_allow(hub, "acme", wish)
    [refused] = [each for each in plan.fields if each.state == "refused"]
    assert refused.field == field
    with pytest.raises(Invalid, match=reason):
        await allow(hub, "acme", wish, by="ann")
    assert await permissions(hub) == []


async def test_all_fields_leave_out_those_that_are_read_only(hub: Hub, connection: UUID):
    plan = await plan_allow(hub, "acme", Wish("contacts"))
    refused = {each.field for each in plan.fields if each.state == "refused"}
    assert "created_at" in refused
    assert {"email", "first_name", "phone"} <= {each.field for each in plan.fields if each.state == "new"}
    await allow(hub, "acme", Wish("contacts"), by="ann")
    assert await permissions(hub) == [("field", "")]


async def test_creating_needs_the_property_of_our_ids(hub: Hub, connection: UUID):
    wish = Wish("contacts", create=True)
    plan = await plan_allow(hub, "acme", wish)
    assert plan.create_problem is not None
    assert "properties apply acme" in plan.create_problem
    with pytest.raises(Invalid, match="made twice"):
        await allow(hub, "acme", wish, by="ann")
    await apply_properties(hub, "acme", objects=["contacts"])
    await allow(hub, "acme", wish, by="ann")
    assert await permissions(hub) == [("create", "")]


async def allow_making(hub: Hub) -> Allowed:
    await apply_properties(hub, "acme", objects=["contacts"])
    return await allow(hub, "acme", Wish("contacts", create=True), by="ann")


async def test_what_was_made_before_making_was_allowed_reaches_the_crm_once_it_is(
    hub: Hub, world: World, rows: Rows, connection: UUID
):
    await allow(hub, "acme", Wish("contacts"), by="ann")
    await rows.execute(
        "insert into crm.contacts (tenant_id, id, email, first_name) values"
        " (%(tenant_id)s, gen_random_uuid(), 'early@here.example', 'Early'),"
        " (%(tenant_id)s, gen_random_uuid(), 'gone@here.example', 'Gone')"
    )
    await rows.execute("update crm.contacts set archived_at = now() where first_name = 'Gone'")
    assert await rows.queue() == []
    plan = await plan_allow(hub, "acme", Wish("contacts", create=True))
    assert (plan.missing, plan.differing) == (1, 0)
    done = await allow_making(hub)
    assert done.queued == 1
    assert await rows.queue() == [("acme", "pending", ["created_at", "email", "first_name"], 1)]
    assert (await push(hub, "acme", by="ann")).drained.created == 1
    names = [each["firstname"] for each in truth(world, "contacts")]
    assert names.count("Early") == 1
    assert "Gone" not in names
    assert await rows.queue() == []
    # Once more nothing is new.
    assert (await allow_making(hub)).queued == 0


async def test_what_may_be_made_waits_for_the_first_field_that_may_be_written(
    hub: Hub, rows: Rows, connection: UUID
):
    await rows.insert("contact", email="early@here.example", first_name="Early")
    assert (await allow_making(hub)).queued == 0
    assert await rows.queue() == []
    done = await allow(hub, "acme", Wish("contacts", ("email", "first_name")), by="ann")
    assert (done.plan.missing, done.queued) == (1, 1)


async def test_making_that_was_forbidden_and_is_allowed_again_takes_up_what_was_made_meanwhile(
    hub: Hub, rows: Rows, connection: UUID
):
    await allow(hub, "acme", Wish("contacts"), by="ann")
    await allow_making(hub)
    await forbid(hub, "acme", Wish("contacts", create=True))
    await rows.insert("contact", email="between@here.example", first_name="Between")
    assert (await allow_making(hub)).queued == 1


async def test_what_was_at_the_crm_and_was_parted_from_is_not_missing_there(
    hub: Hub, rows: Rows, connection: UUID
):
    await allow(hub, "acme", Wish("contacts"), by="ann")
    early = await rows.insert("contact", email="early@here.example", first_name="Early")
    await rows.execute(
        "insert into sync.tombstones (tenant_id, connection_id, object, remote_id, record_type, record_id,"
        " reason, buried_at) values (%(tenant_id)s, %(connection)s, 'contacts', '4711', 'contact', %(early)s,"
        " 'deleted', now())",
        connection=connection,
        early=early,
    )
    assert (await allow_making(hub)).queued == 0


async def test_nothing_is_taken_for_missing_at_a_crm_that_was_not_read_to_its_end(
    hub: Hub, rows: Rows, connection: UUID
):
    await allow(hub, "acme", Wish("contacts"), by="ann")
    await rows.insert("contact", email="early@here.example", first_name="Early")
    await rows.execute("update sync.runs set status = 'cancelled' where object = 'contacts'")
    done = await allow_making(hub)
    assert (done.plan.missing, done.queued) == (0, 0)
    assert await rows.queue() == []
    await rows.execute("update sync.runs set status = 'success' where object = 'contacts'")
    await forbid(hub, "acme", Wish("contacts", create=True))
    assert (await allow_making(hub)).queued == 1


async def test_of_activities_only_those_are_made_that_an_object_is_for(
    hub: Hub, connect: Connect, rows: Rows
):
    await connect(objects=("owners", "calls", "notes"))
    await sync(hub)
    at = "2026-03-04 05:06:07+00"
    for sort in ("call", "note", "note", "meeting"):
        await rows.insert("activity", type=sort, subject=f"A {sort}", body=sort, occurred_at=at)
    for name, count in (("notes", 2), ("calls", 1)):
        await allow(hub, "acme", Wish(name), by="ann")
        await apply_properties(hub, "acme", objects=[name])
        done = await allow(hub, "acme", Wish(name, create=True), by="ann")
        assert (done.plan.missing, done.queued) == (count, count)


async def test_archiving_and_associating_are_allowed_by_themselves(hub: Hub, rows: Rows, connection: UUID):
    await allow(hub, "acme", Wish("contacts", archive=True, associate=True), by="ann")
    first, second, third = await pick(rows, 3)
    await rows.execute("update crm.contacts set first_name = 'Here' where id = %(id)s", id=first)
    await rows.execute("update crm.contacts set archived_at = now() where id = %(id)s", id=second)
    company = await rows.insert("company", name="Us")
    await rows.execute(
        "update crm.contacts set company_id = %(company)s where id = %(id)s", id=third, company=company
    )
    assert sorted(each[2] for each in await rows.queue()) == [["archived_at"], ["company_id"]]


async def test_what_was_not_synced_or_is_not_mapped_cannot_be_allowed(
    hub: Hub, connect: Connect, connection: UUID
):
    with pytest.raises(Invalid, match="syncline sync"):
        await plan_allow(hub, "acme", Wish("companies"))
    with pytest.raises(Invalid, match="contacts"):
        await plan_allow(hub, "acme", Wish("cars"))
    with pytest.raises(Invalid, match="cannot be written"):
        await plan_allow(hub, "acme", Wish("owners"))
    with pytest.raises(NotFound):
        await plan_allow(hub, "nobody", Wish("contacts"))


async def test_forbidding_drops_what_nothing_allows_any_more(hub: Hub, rows: Rows, connection: UUID):
    await allow(hub, "acme", Wish("contacts", ("first_name", "last_name")), by="ann")
    first, second, third = await pick(rows, 3)
    await rows.execute("update crm.contacts set first_name = 'Here' where id = %(id)s", id=first)
    await rows.execute("update crm.contacts set last_name = 'Here' where id = %(id)s", id=second)
    await rows.execute(
        "update crm.contacts set last_name = 'Here', first_name = 'Here' where id = %(id)s", id=third
    )
    done = await forbid(hub, "acme", Wish("contacts", ("first_name",)))
    assert (done.removed, done.dropped) == (1, 1)
    assert sorted(each[2] for each in await rows.queue()) == [["first_name", "last_name"], ["last_name"]]
    assert (await forbid(hub, "acme", Wish("contacts", ("first_name",)))).removed == 0
    everything = await forbid(hub, "acme", Wish("contacts"))
    assert (everything.removed, everything.dropped) == (1, 2)
    assert await rows.queue() == []


async def test_forbidding_one_of_all_fields_leaves_the_others(hub: Hub, rows: Rows, connection: UUID):
    await allow(hub, "acme", Wish("contacts"), by="ann")
    await forbid(hub, "acme", Wish("contacts", ("phone",)))
    left = await permissions(hub)
    assert ("field", "") not in left
    assert ("field", "phone") not in left
    assert {("field", "email"), ("field", "first_name")} <= set(left)
    assert ("field", "created_at") not in left


async def test_a_deleted_record_stays_queued_as_long_as_archiving_is_allowed(
    hub: Hub, rows: Rows, connection: UUID
):
    await allow(hub, "acme", Wish("contacts", ("first_name",), archive=True), by="ann")
    [record] = await pick(rows, 1)
    await rows.execute("delete from crm.contacts where id = %(id)s", id=record)
    assert len(await rows.queue()) == 1
    assert (await forbid(hub, "acme", Wish("contacts", ("first_name",)))).dropped == 0
    assert (await forbid(hub, "acme", Wish("contacts", archive=True))).dropped == 1


async def find_stop(hub: Hub, connection: UUID) -> str | None:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await allowances.find_stop(conn, tenant_id=hub.tenant_id, connection_id=connection)


async def test_the_kill_switch_stops_everything_and_keeps_the_queue(hub: Hub, rows: Rows, connection: UUID):
    await allow(hub, "acme", Wish("contacts", ("first_name",)), by="ann")
    assert await find_stop(hub, connection) is None
    assert await stop_writing(hub, None, by="ann")
    assert not await stop_writing(hub, None, by="bob")
    assert "ann" in str(await find_stop(hub, connection))
    [record] = await pick(rows, 1)
    await rows.execute("update crm.contacts set first_name = 'Here' where id = %(id)s", id=record)
    assert len(await rows.queue()) == 1
    assert await resume_writing(hub, None)
    assert not await resume_writing(hub, None)
    assert await find_stop(hub, connection) is None


async def test_allowing_more_does_not_resume_what_somebody_stopped(hub: Hub, connection: UUID):
    await allow(hub, "acme", Wish("contacts", ("first_name",)), by="ann")
    assert await stop_writing(hub, "acme", by="ann")
    done = await allow(hub, "acme", Wish("contacts", ("last_name",)), by="bob")
    assert not done.plan.starts
    assert done.plan.stop is not None
    assert await find_stop(hub, connection) is not None
    assert await resume_writing(hub, "acme")
    assert await find_stop(hub, connection) is None


async def test_sending_can_wait_until_the_plan_was_looked_at(hub: Hub, connection: UUID):
    wish = Wish("contacts", ("first_name",), starts=False)
    assert (await plan_allow(hub, "acme", wish)).stop is not None
    done = await allow(hub, "acme", wish, by="ann")
    assert done.plan.stop is not None
    assert await find_stop(hub, connection) is not None
    assert await resume_writing(hub, "acme")
    assert await find_stop(hub, connection) is None


async def test_a_long_text_differs_by_what_it_says(hub: Hub, world: World, connect: Connect, rows: Rows):
    await connect(objects=("owners", "companies"))
    for number, remote_id in enumerate(world.store("companies").living[:3]):
        world.update("companies", remote_id, {"description": f"{number}" + "long " * 100})
    await sync(hub)
    found = await rows.select("select id, description from crm.companies where length(description) > 300")
    assert len(found) == 3
    await rows.execute(
        "update crm.companies set description = description || '!' where id = %(id)s", id=found[0]["id"]
    )
    await rows.execute("update crm.companies set description = 'short' where id = %(id)s", id=found[1]["id"])
    plan = await plan_allow(hub, "acme", Wish("companies", ("description",)))
    assert plan.differing == 2
    done = await allow(hub, "acme", Wish("companies", ("description",)), by="ann")
    assert done.queued == 2


async def test_a_deals_pipeline_and_stage_are_switched_together(hub: Hub, connect: Connect, rows: Rows):
    await connect(objects=("owners", "deals"))
    await sync(hub)
    place = {"pipeline", "stage", "pipeline_id", "stage_id", "status"}
    plan = await plan_allow(hub, "acme", Wish("deals", ("stage",)))
    assert {each.field for each in plan.fields} == place
    await allow(hub, "acme", Wish("deals", ("stage",)), by="ann")
    assert {field for _, field in await permissions(hub)} == place
    await allow(hub, "acme", Wish("deals", ("amount", "expected_close_date")), by="ann")
    await rows.execute(
        "update crm.deals set status = case status when 'lost' then 'won' else 'lost' end"
        " where id = (select min(id::text)::uuid from crm.deals)"
    )
    assert len(await rows.queue()) == 1
    await forbid(hub, "acme", Wish("deals", ("status",)))
    assert {field for _, field in await permissions(hub)} == {"amount", "expected_close_date"}
    with pytest.raises(Invalid, match="probability"):
        await allow(hub, "acme", Wish("deals", ("probability",)), by="ann")


async def test_a_status_alone_cannot_be_allowed_where_the_stage_cannot(
    hub: Hub, connect: Connect, rows: Rows
):
    await connect(objects=("owners", "deals"))
    await sync(hub)
    await rows.execute("update sync.properties set read_only = true where name = 'pipeline'")
    plan = await plan_allow(hub, "acme", Wish("deals", ("stage",)))
    assert {each.state for each in plan.fields} == {"refused"}
    with pytest.raises(Invalid, match="read-only"):
        await allow(hub, "acme", Wish("deals", ("stage",)), by="ann")
