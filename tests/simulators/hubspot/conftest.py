"""A small simulated account, and a client that talks to its application without a socket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import httpx2
import pytest
from hub import SMALL, Clock, Hub

from syncline.simulators.hubspot import Settings, World
from syncline.simulators.hubspot.app import App
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_world(clock: Clock) -> Callable[..., World]:
    """Make a world of its own: `make_world(seed, counts…)`; without counts it is empty."""

    def make(seed: int = 3, settings: Settings | None = None, **counts: int) -> World:
        world = World(seed, settings or Settings(), now_ms=clock)
        if counts:
            world.populate(**(dict.fromkeys(SMALL, 0) | counts))
        return world

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world(**SMALL)


@pytest.fixture
async def hub(world: World, clock: Clock) -> AsyncGenerator[Hub]:
    transport = httpx2.ASGITransport(app=App(world))  # pyright: ignore[reportArgumentType]
    headers = {"authorization": f"Bearer {DEFAULT_TOKEN}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://hub.test", headers=headers) as http:
        yield Hub(world, clock, http)
