"""A CRM that can be listened to is heard at once; what is heard is worked off like a webhook."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from simulated import Mirror
from test_postgres_sync import mirror_of_crm

from small_crm import Crm, Server, small_crm
from syncline.clock import now
from syncline.config import Settings
from syncline.engine.inbox import serve_inbox
from syncline.engine.listen import list_attended, serve_listening
from syncline.store import connections
from syncline.store.db import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def crm(server: Server) -> AsyncGenerator[Crm]:
    async with small_crm(server, companies=2, contacts=6, deals=2, activities=2) as made:
        yield made


@pytest.fixture
async def mirror(crm: Crm, db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    async with mirror_of_crm(crm, db, settings, tenant_id) as made:
        for name in ("users", "companies", "contacts"):
            await made.pull(name)
        connector = (await made.open()).connector
        await connector.ensure_webhooks("", "")
        yield made


@asynccontextmanager
async def attended(mirror: Mirror) -> AsyncGenerator[None]:
    """Listen and work off what is heard, as a worker does."""
    stop, bell = asyncio.Event(), asyncio.Event()
    parts = (mirror.db, mirror.remotes, mirror.settings)
    tasks = [
        asyncio.create_task(serve_listening(*parts, stop=stop, bell=bell)),
        asyncio.create_task(serve_inbox(*parts, stop=stop, bell=bell)),
    ]
    try:
        yield
    finally:
        stop.set()
        bell.set()
        await asyncio.gather(*tasks)


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await look():
            await asyncio.sleep(0.05)


async def contact_named(mirror: Mirror, name: str) -> bool:
    rows = await mirror.select("select 1 from crm.contacts where first_name = %(name)s", name=name)
    return bool(rows)


async def test_an_edit_over_there_is_heard_and_is_here(crm: Crm, mirror: Mirror):
    async with attended(mirror):

        async def heard() -> bool:
            # Whoever begins to listen hears what happens from then on.
            await crm.run(
                "update contacts set first_name = 'Heard', updated_at = now() where email is not null"
            )
            return await contact_named(mirror, "Heard")

        await eventually(heard)
    runs = await mirror.select("select mode from sync.runs where mode = 'webhook' and status = 'success'")
    assert runs


async def test_a_paused_connection_is_not_listened_to(mirror: Mirror):
    assert [each.id for each in await list_attended(mirror.db)] == [mirror.connection_id]
    async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
        keys = {"tenant_id": mirror.tenant_id}
        await connections.pause(conn, mirror.connection_id, "A test.", **keys, now=now())
    assert await list_attended(mirror.db) == []
