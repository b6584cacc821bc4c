"""A small simulated company, and a client that talks to its application without a socket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import httpx2
import pytest
from pipe import SMALL, Pipe

from moving_clock import Clock
from syncline.simulators.pipedrive import Settings, World
from syncline.simulators.pipedrive.app import App
from syncline.simulators.pipedrive.auth import DEFAULT_TOKEN
from syncline.simulators.pipedrive.server import in_loop


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_world(clock: Clock) -> Callable[..., World]:
    """Make a world of its own: `make_world(seed, counts…)`; without counts it is empty."""

    def make(seed: int = 3, settings: Settings | None = None, **counts: int) -> World:
        world = World(seed, settings or Settings(), now_ms=clock)
        if counts:
            world.populate(**(dict.fromkeys(SMALL, 0) | {"users": 1} | counts))
        return world

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world(**SMALL)


@pytest.fixture
async def pipe(world: World, clock: Clock) -> AsyncGenerator[Pipe]:
    transport = httpx2.ASGITransport(app=App(world))  # pyright: ignore[reportArgumentType]
    headers = {"x-api-token": DEFAULT_TOKEN}
    async with httpx2.AsyncClient(transport=transport, base_url="http://pipe.test", headers=headers) as http:
        yield Pipe(world, clock, http)


@pytest.fixture
async def served(world: World, clock: Clock) -> AsyncGenerator[Pipe]:
    """The company behind a socket of its own."""
    headers = {"x-api-token": DEFAULT_TOKEN}
    async with in_loop(world) as url, httpx2.AsyncClient(base_url=url, headers=headers) as http:
        yield Pipe(world, clock, http)
