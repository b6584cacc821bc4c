"""An opened installation beside a small simulated CRM."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from syncline.actions.connect import Connected, Wish, connect_token
from syncline.actions.hub import Hub, open_hub
from syncline.config import Settings
from syncline.domain.sealing import new_key
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_loop
from syncline.store.urls import DatabaseUrls
from unlimited import lift_limits

FEW = {
    "contacts": 40,
    "companies": 8,
    "deals": 8,
    "calls": 12,
    "meetings": 3,
    "emails": 4,
    "notes": 3,
    "tasks": 3,
    "owners": 3,
    "archived_owners": 1,
    "cars": 0,
    "archived_contacts": 2,
}


MAIN = ("owners", "contacts", "companies", "deals")


@pytest.fixture
def world() -> World:
    """A simulated account with a few records of each kind."""
    made = World(11)
    made.populate(**FEW)
    return made


@pytest.fixture
async def crm_url(world: World) -> AsyncGenerator[str]:
    async with in_loop(world) as url:
        yield url


@pytest.fixture
def keyed(settings: Settings) -> Settings:
    """The settings of an installation that has its key."""
    return settings.model_copy(update={"secret_key": SecretStr(new_key())})


@pytest.fixture
async def hub(keyed: Settings) -> AsyncGenerator[Hub]:
    async with open_hub(keyed, application_name="test") as opened:
        yield opened


@pytest.fixture
def connect(hub: Hub, world: World, crm_url: str) -> Callable[..., Awaitable[Connected]]:
    """Connects the simulated account; called again with the same name it renews.

    Four objects unless told otherwise; without the limit of five searches a second, of which each costs some.
    """

    async def connect(
        name: str = "acme", *, token: str = DEFAULT_TOKEN, objects: tuple[str, ...] = MAIN
    ) -> Connected:
        await lift_limits(hub.db, str(world.portal_id))
        return await connect_token(hub, Wish("hubspot", name, crm_url, objects), token)

    return connect


@pytest.fixture
async def admin(database_urls: DatabaseUrls) -> AsyncGenerator[psycopg.AsyncConnection[Any]]:
    """The hand that injects faults: a superuser's connection, in autocommit."""
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        yield conn
