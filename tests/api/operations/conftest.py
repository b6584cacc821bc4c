"""The API served on loopback, beside a small simulated CRM and a worker where a test wants one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx2
import psycopg
import pytest
from pydantic import SecretStr
from served_doors import FEW, MAIN, Doors, serve

from syncline.actions.connect import Connected, Wish, connect_token
from syncline.actions.hub import Hub, open_hub
from syncline.actions.work import run_worker
from syncline.config import Settings
from syncline.domain.sealing import new_key
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_loop
from syncline.store.urls import DatabaseUrls


@pytest.fixture
def world() -> World:
    made = World(11)
    made.populate(**FEW)
    return made


@pytest.fixture
async def crm_url(world: World) -> AsyncGenerator[str]:
    async with in_loop(world) as url:
        yield url


@pytest.fixture
def keyed(settings: Settings) -> Settings:
    # Those who are told listen on this machine.
    return settings.model_copy(
        update={
            "secret_key": SecretStr(new_key()),
            "lease_seconds": 5,
            "webhooks_to_private_addresses": True,
        }
    )


@pytest.fixture
async def hub(keyed: Settings) -> AsyncGenerator[Hub]:
    async with open_hub(keyed, application_name="test") as opened:
        yield opened


@pytest.fixture
async def doors(hub: Hub) -> AsyncGenerator[Doors]:
    async with serve(hub) as url:
        yield Doors(hub, url)


@pytest.fixture
async def client(doors: Doors) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client with an admin's key."""
    async with doors.client() as opened:
        yield opened


@pytest.fixture
async def worker(hub: Hub) -> AsyncGenerator[None]:
    """A worker in this process."""
    stop = asyncio.Event()
    working = asyncio.create_task(run_worker(hub, stop=stop))
    yield
    stop.set()
    await working


@pytest.fixture
def connect(hub: Hub, crm_url: str) -> Callable[..., Awaitable[Connected]]:
    async def connect(
        name: str = "acme", *, token: str = DEFAULT_TOKEN, objects: tuple[str, ...] = MAIN
    ) -> Connected:
        return await connect_token(hub, Wish("hubspot", name, crm_url, objects), token)

    return connect


@pytest.fixture
async def admin(database_urls: DatabaseUrls) -> AsyncGenerator[psycopg.AsyncConnection[Any]]:
    """A superuser's connection, in autocommit: psql, as it were."""
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        yield conn


@pytest.fixture
async def other(hub: Hub, admin: psycopg.AsyncConnection[Any]) -> Hub:
    """A second tenant of the same installation."""
    tenant_id = UUID("00000000-0000-7000-8000-000000000002")
    await admin.execute(
        "insert into app.tenants (tenant_id, slug, label) values (%s, 'other', 'Other')", [tenant_id]
    )
    return replace(hub, tenant=replace(hub.tenant, tenant_id=tenant_id, slug="other", label="Other"))
