"""What Syncline creates at a CRM: planned, created once, and nothing that is there is changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from syncline.actions.connect import Connected
from syncline.actions.hub import Hub
from syncline.actions.properties import OWN_ID, apply_properties, plan_properties
from syncline.actions.sync import sync
from syncline.errors import Invalid, NotFound
from syncline.simulators.hubspot import World

pytestmark = pytest.mark.anyio

Connect = Callable[..., Awaitable[Connected]]


async def test_our_id_is_planned_for_what_is_read_and_can_be_written(
    hub: Hub, world: World, connect: Connect
):
    await connect()
    before = {name: len(world.store(name).definitions) for name in ("contacts", "companies", "deals")}
    lines = await plan_properties(hub, "acme")
    assert {(line.object, line.set, line.plan.state) for line in lines} == {
        (name, OWN_ID, "create") for name in before
    }
    assert {name: len(world.store(name).definitions) for name in before} == before


async def test_what_is_missing_is_created_once(hub: Hub, world: World, connect: Connect):
    await connect(objects=("owners", "contacts"))
    first = await apply_properties(hub, "acme", sets=["forge"])
    assert {line.plan.state for line in first} == {"created"}
    assert "forge_plan" in world.store("contacts").definitions
    again = await apply_properties(hub, "acme", sets=["forge"])
    assert {line.plan.state for line in again} == {"exists"}
    assert [line.plan.wanted.name for line in again] == [line.plan.wanted.name for line in first]


async def test_what_was_created_is_known_here_at_once(hub: Hub, connect: Connect):
    await connect(objects=("owners", "contacts"))
    await sync(hub)
    await apply_properties(hub, "acme", objects=["contacts"], sets=["forge"])
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        cursor = await conn.execute(
            "select count(*) from sync.properties where tenant_id = %s and name in"
            " ('syncline_record_id', 'forge_plan')",
            (hub.tenant_id,),
        )
        assert await cursor.fetchone() == (2,)


async def test_unknown_sets_objects_and_connections_are_told(hub: Hub, connect: Connect):
    await connect(objects=("owners", "contacts"))
    with pytest.raises(NotFound, match="forge"):
        await plan_properties(hub, "acme", sets=["smithy"])
    with pytest.raises(Invalid, match="owners"):
        await plan_properties(hub, "acme", objects=["owners"])
    with pytest.raises(NotFound):
        await plan_properties(hub, "nobody")
