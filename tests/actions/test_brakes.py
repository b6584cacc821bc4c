"""Brakes are set per connection, one by one, and refuse what is no limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from syncline.actions.brakes import set_brakes, show_brakes
from syncline.actions.connect import Connected
from syncline.actions.hub import Hub
from syncline.engine.brakes import DEFAULTS, Limit
from syncline.errors import NotFound, SettingInvalid

pytestmark = pytest.mark.anyio


async def test_what_is_set_holds_and_what_is_not_stays_as_it_was(
    hub: Hub, connect: Callable[..., Awaitable[Connected]]
):
    connected = (await connect()).connection.name
    assert (await show_brakes(hub, connected)).limits == DEFAULTS
    await set_brakes(hub, connected, {"change": Limit(500, 0.1)})
    found = await set_brakes(hub, connected, {"delete": Limit(0, 0.0)}, flips=(3, 5))
    assert found.limits == {**DEFAULTS, "change": Limit(500, 0.1), "delete": Limit(0, 0.0)}
    assert (found.flip_times, found.flip_minutes) == (3, 5)


async def test_what_is_no_limit_is_refused_and_nothing_is_set(
    hub: Hub, connect: Callable[..., Awaitable[Connected]]
):
    connected = (await connect()).connection.name
    for limits in ({"change": Limit(-1, 0.5)}, {"change": Limit(1, 1.5)}, {"all": Limit(1, 0.5)}):
        with pytest.raises(SettingInvalid):
            await set_brakes(hub, connected, limits)
    with pytest.raises(SettingInvalid):
        await set_brakes(hub, connected, {}, flips=(1, 10))
    with pytest.raises(NotFound):
        await show_brakes(hub, "nobody")
    assert (await show_brakes(hub, connected)).limits == DEFAULTS
