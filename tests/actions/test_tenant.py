"""A tenant's settings: shown, changed, refused when they make no sense, and heeded by what is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from syncline.actions.connect import Connected
from syncline.actions.hub import Hub
from syncline.actions.sync import sync
from syncline.actions.tenant import change_tenant, show_tenant
from syncline.errors import Invalid
from syncline.simulators.hubspot import World

pytestmark = pytest.mark.anyio

Connect = Callable[..., Awaitable[Connected]]
Admin = psycopg.AsyncConnection[Any]


async def test_what_is_given_is_changed_and_the_rest_stays(hub: Hub):
    before = await show_tenant(hub)
    changed = await change_tenant(hub, currency="eur", time_zone="Europe/Berlin")
    assert (changed.currency, changed.time_zone) == ("EUR", "Europe/Berlin")
    assert changed.default_region == before.default_region
    assert await show_tenant(hub) == changed


@pytest.mark.parametrize(
    "wrong",
    [{"time_zone": "Mars/Olympus"}, {"time_zone": "../etc"}, {"currency": "euro"}, {"region": "Germany"}],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(hub: Hub, wrong: dict[str, str]):
    before = await show_tenant(hub)
    with pytest.raises(Invalid):
        await change_tenant(hub, **wrong)
    assert await show_tenant(hub) == before


async def test_a_new_country_holds_for_old_numbers_once_all_is_read_again(
    hub: Hub, connect: Connect, admin: Admin, world: World
):
    made = world.create("contacts", {"email": "a@b.example", "phone": "030 901820"})
    await connect()
    await sync(hub, objects=("contacts",))
    number = (
        "select c.phone_e164, c.version from crm.contacts c join sync.links l on l.record_id = c.id"
        f" where l.remote_id = '{made.id}'"
    )
    assert await (await admin.execute(number)).fetchone() == (None, 1)  # type: ignore[arg-type]
    await change_tenant(hub, region="DE")
    await sync(hub, objects=("contacts",), full=True)
    assert await (await admin.execute(number)).fetchone() == ("+4930901820", 2)  # type: ignore[arg-type]
