"""Deliveries of a tiny platform's webhooks about a simulated account, and a worker that works them off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from simulated import TOKEN, Mirror

from syncline.clock import now
from syncline.engine.inbox import serve_inbox
from syncline.engine.remotes import Credentials, seal_credentials
from syncline.engine.webhooks import Address, Intake
from syncline.store import connections
from tiny_webhooks import SECRET, TINY, body_of, delivery_of


async def give_secret(mirror: Mirror, secret: str = SECRET) -> None:
    """Store the secret the connection's webhooks are signed with."""
    sealed = seal_credentials(mirror.vault, Credentials(TOKEN, webhook_secret=secret))
    async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
        await connections.set_credentials(
            conn, mirror.connection_id, sealed, tenant_id=mirror.tenant_id, now=now()
        )


@asynccontextmanager
async def intake_of(mirror: Mirror) -> AsyncGenerator[Intake]:
    await give_secret(mirror)
    async with Intake(mirror.db, mirror.vault) as intake:
        yield intake


async def deliver(mirror: Mirror, *deliveries: Sequence[dict[str, Any]]) -> None:
    """Have deliveries of these events taken in, one after another."""
    address = Address("hubspot", str(mirror.connection_id))
    async with intake_of(mirror) as intake:
        for events in deliveries:
            body = body_of(str(mirror.connection_id), *events)
            await intake.receive(address, TINY, delivery_of(body), "192.0.2.7")


@asynccontextmanager
async def working(mirror: Mirror, *, lease_seconds: int = 30) -> AsyncGenerator[None]:
    """Let a worker work off inboxes for the length of the block."""
    stop = asyncio.Event()
    settings = mirror.settings.model_copy(update={"lease_seconds": lease_seconds})
    task = asyncio.create_task(serve_inbox(mirror.db, mirror.remotes, settings, stop=stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def settled(mirror: Mirror, *, seconds: float = 20) -> list[dict[str, Any]]:
    """Wait until nothing is pending, and return the inbox."""
    async with asyncio.timeout(seconds):
        while True:
            rows = await inbox_of(mirror)
            if all(row["state"] != "pending" for row in rows):
                return rows
            await asyncio.sleep(0.02)


async def inbox_of(mirror: Mirror) -> list[dict[str, Any]]:
    return await mirror.select("select * from sync.inbox order by id")


async def work_off(mirror: Mirror, *deliveries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Take deliveries in and wait until a worker is through with them; return the inbox."""
    await deliver(mirror, *deliveries)
    async with working(mirror):
        return await settled(mirror)


async def runs_of(mirror: Mirror) -> list[dict[str, Any]]:
    """Return the runs that webhooks led to, in their order."""
    return await mirror.select("select * from sync.runs where mode = 'webhook' order by requested_at, object")
