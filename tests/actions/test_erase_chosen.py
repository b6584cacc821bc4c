"""Of a CRM that was not shown when an erasure was ordered, somebody has to say what becomes of the person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from traces_of import Admin, somebody

from syncline.actions import receipts
from syncline.actions.connect import Connected, Wish, connect_token
from syncline.actions.erase import Wanted, carry_out, erase_person
from syncline.actions.hub import Hub
from syncline.actions.sync import sync
from syncline.domain.callers import Caller
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_loop
from unlimited import lift_limits

pytestmark = pytest.mark.anyio

Connect = Callable[..., Awaitable[Connected]]


@pytest.mark.parametrize(
    ("chosen", "offered", "states"),
    [
        (["acme"], ["acme"], {"acme": "done", "second": "review"}),
        ([], ["acme"], {"acme": "kept", "second": "review"}),
        (["acme"], ["acme", "second"], {"acme": "done", "second": "kept"}),
        (["acme"], None, {"acme": "done", "second": "kept"}),
        (None, None, {"acme": "done", "second": "done"}),
    ],
)
async def test_one_that_was_not_shown_waits_and_one_that_was_left_out_is_left(
    hub: Hub, connect: Connect, admin: Admin, chosen: list[str], offered: list[str], states: dict[str, str]
) -> None:
    await connect(objects=("owners", "contacts", "calls"))
    await sync(hub)
    _, email, _ = await somebody(admin, hub)
    world = World(12)
    world.create("contacts", {"email": email, "firstname": "Somebody"})
    await lift_limits(hub.db, str(world.portal_id))
    async with in_loop(world) as url:
        await connect_token(hub, Wish("hubspot", "second", url, ("contacts",)), DEFAULT_TOKEN)
        await sync(hub, names=["second"])
        boss = Caller(hub.tenant_id, "admin", "anna@example.com", "web")
        wanted = Wanted(email, email, connections=chosen, offered=offered)
        erasure_id = await erase_person(hub, boss, wanted)
        is_done = await carry_out(hub, erasure_id)
    receipt = await receipts.get_receipt(hub, erasure_id)
    assert {each.connection: each.state for each in receipt.there} == states
    assert is_done == ("review" not in states.values())
    assert all("only since" in str(each.reason) for each in receipt.there if each.state == "review")
