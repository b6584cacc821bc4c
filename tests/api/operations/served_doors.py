"""The API served on loopback, and keys to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import uvicorn

from syncline.actions.api_keys import make_key
from syncline.actions.hub import Hub
from syncline.api.app import make_app
from syncline.clock import new_id
from syncline.domain.callers import Caller, Role

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


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def serve(hub: Hub) -> AsyncGenerator[str]:
    """Serve an installation's API on a port of its own for the length of the block."""

    async def nothing() -> list[Any]:
        return []

    app = make_app(nothing, hub=hub)
    listener = socket.create_server(("127.0.0.1", 0))
    server = _Server(
        uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1, access_log=False)
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listener.close()


@dataclass
class Doors:
    """The API, and keys to it."""

    hub: Hub
    url: str

    async def key(
        self,
        role: Role = "admin",
        *,
        hub: Hub | None = None,
        scopes: Sequence[str] | None = None,
    ) -> str:
        """Make a key of a role and return it."""
        tenant = hub or self.hub
        maker = Caller(tenant.tenant_id, "admin", "ada@example.com", "cli")
        made = await make_key(tenant, maker, f"key {new_id()}", scopes, role, None)
        return made.token

    @asynccontextmanager
    async def client(
        self, role: Role = "admin", *, hub: Hub | None = None, scopes: Sequence[str] | None = None
    ) -> AsyncGenerator[httpx2.AsyncClient]:
        """Open a client that calls with a key of its own."""
        token = await self.key(role, hub=hub, scopes=scopes)
        headers = {"authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=30) as client:
            yield client


async def until(look: Callable[[], Awaitable[Any]], seconds: float = 20) -> Any:
    """Wait until something is so, and return it."""
    async with asyncio.timeout(seconds):
        while not (found := await look()):
            await asyncio.sleep(0.05)
        return found
