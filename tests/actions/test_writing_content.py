"""Allowing to make what a CRM keeps no id of ours with: activities, and notes, which need a parent."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from two_way_rows import Rows

from syncline.actions.connect import Wish as ConnectWish
from syncline.actions.connect import connect_token
from syncline.actions.hub import Hub
from syncline.actions.permissions import Wish
from syncline.actions.properties import plan_properties
from syncline.actions.sync import sync
from syncline.actions.writing import allow, plan_allow, show_writing
from syncline.errors import Invalid
from syncline.simulators.pipedrive import World
from syncline.simulators.pipedrive.auth import DEFAULT_TOKEN
from syncline.simulators.pipedrive.server import in_loop

pytestmark = pytest.mark.anyio

OBJECTS = ("users", "persons", "activities", "notes")
NONE = ("organizations", "deals", "archived_deals", "deleted_deals", "leads", "archived_leads")


@pytest.fixture
async def connected(hub: Hub) -> AsyncGenerator[Hub]:
    world = World(3)
    world.populate(**dict.fromkeys((*NONE, "deleted_persons"), 0), contacts=4, activities=3, notes=2)
    async with in_loop(world) as url:
        wish = ConnectWish("pipedrive", "sales", url, OBJECTS, {"plan": "ultimate", "seats": "50"})
        await connect_token(hub, wish, DEFAULT_TOKEN)
        result = await sync(hub)
        assert result.errors == []
        yield hub


async def permissions(hub: Hub) -> list[tuple[str, str, str]]:
    listed = (await show_writing(hub, "sales")).permissions
    return [(each.object, each.scope, each.field) for each in listed]


async def test_activities_are_made_without_a_property_of_our_ids(connected: Hub):
    plan = await plan_allow(connected, "sales", Wish("activities", create=True))
    assert plan.create_problem is None
    await allow(connected, "sales", Wish("activities", create=True), by="ann")
    assert await permissions(connected) == [("activities", "create", "")]


async def test_notes_are_made_only_where_they_may_be_tied(connected: Hub):
    wish = Wish("notes", create=True)
    plan = await plan_allow(connected, "sales", wish)
    assert plan.create_problem is not None
    assert "--associate" in plan.create_problem
    with pytest.raises(Invalid, match="--associate"):
        await allow(connected, "sales", wish, by="ann")
    assert await permissions(connected) == []
    await allow(connected, "sales", Wish("notes", create=True, associate=True), by="ann")
    assert (await plan_allow(connected, "sales", wish)).create_problem is None


async def test_of_notes_that_are_here_only_those_that_belong_to_something_are_made(connected: Hub):
    rows = Rows(connected)
    [contact] = await rows.select("select id from crm.contacts order by id limit 1")
    at = "2026-03-04 05:06:07+00"
    await rows.insert("activity", type="note", body="Alone", occurred_at=at)
    await rows.insert("activity", type="note", body="Theirs", occurred_at=at, contact_id=contact["id"])
    done = await allow(connected, "sales", Wish("notes", ("body",), create=True, associate=True), by="ann")
    assert (done.plan.missing, done.queued) == (1, 1)
    [waiting] = await rows.select("select fields from sync.queue")
    assert waiting["fields"] == ["body", "contact_id", "created_at", "occurred_at", "type"]


async def test_no_property_is_wanted_of_them(connected: Hub):
    lines = await plan_properties(connected, "sales")
    assert [(each.object, each.plan.state) for each in lines] == [("persons", "create")]
    with pytest.raises(Invalid, match="need none"):
        await plan_properties(connected, "sales", objects=["notes"])
