"""The API in this process, with keys of each role, and rows to ask it for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from syncline.actions.api_keys import make_key
from syncline.actions.hub import Hub, open_hub
from syncline.api.app import make_app
from syncline.clock import new_id
from syncline.config import Settings
from syncline.domain.callers import Caller, Role
from syncline.domain.sealing import new_key

Client = httpx2.AsyncClient
Clients = Callable[[Role], Awaitable[Client]]


@pytest.fixture
async def hub(settings: Settings) -> AsyncGenerator[Hub]:
    keyed = settings.model_copy(update={"secret_key": SecretStr(new_key())})
    async with open_hub(keyed, application_name="test") as opened:
        yield opened


@pytest.fixture
async def app(hub: Hub) -> Any:
    async def nothing() -> list[Any]:
        return []

    return make_app(nothing, hub=hub)


@pytest.fixture
async def clients(hub: Hub, app: Any) -> AsyncGenerator[Clients]:
    """Makes a client that calls with a key of a role."""
    opened: list[Client] = []

    async def open_client(role: Role) -> Client:
        maker = Caller(hub.tenant_id, "admin", "ada@example.com", "cli")
        made = await make_key(hub, maker, f"key {new_id()}", None, role, None)
        client = Client(
            transport=httpx2.ASGITransport(app=app),
            base_url="http://syncline.example",
            headers={"authorization": f"Bearer {made.token}"},
        )
        opened.append(client)
        return client

    yield open_client
    for each in opened:
        await each.aclose()


@pytest.fixture
async def manager(clients: Clients) -> Client:
    return await clients("manager")


@pytest.fixture
async def rep(clients: Clients) -> Client:
    """A rep by a key: nobody's owner, who sees what is nobody's."""
    return await clients("rep")
