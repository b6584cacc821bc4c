"""The application in the process of a test, which has a mail server or a provider of its own for it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from site_process import ADMIN, PASSWORD

from syncline.actions.hub import Hub, open_hub
from syncline.actions.people import add_person
from syncline.actions.work import run_worker
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.domain.sealing import new_key
from syncline.web.server import serving


@dataclass(frozen=True, slots=True)
class Served:
    """An installation in which one admin is known, and nothing is connected."""

    hub: Hub
    url: str


@asynccontextmanager
async def serve_pages(settings: Settings, **more: Any) -> AsyncGenerator[Served]:
    """Serve an installation with a worker for the length of the block; its public address is where it is."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    changed: Mapping[str, Any] = {"secret_key": SecretStr(new_key()), "public_url": url, **more}
    async with open_hub(settings.model_copy(update=changed), application_name="test") as hub:
        operator = Caller(hub.tenant_id, "admin", "test", "cli", is_operator=True)
        await add_person(hub, operator, ADMIN, "Ada Admin", "admin", password=PASSWORD)
        stop = asyncio.Event()
        working = asyncio.create_task(run_worker(hub, stop=stop))
        try:
            async with serving(hub, host="127.0.0.1", port=port):
                yield Served(hub, url)
        finally:
            stop.set()
            await working


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
