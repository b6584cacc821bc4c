"""The API in a thread with a loop of its own, beside a small CRM, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from served_doors import FEW, MAIN, Doors, serve

from syncline.actions.connect import Wish, connect_token
from syncline.actions.hub import open_hub
from syncline.actions.sync import sync
from syncline.config import Settings
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_loop


@dataclass
class Served:
    url: str
    #: An admin's key.
    key: str


@contextmanager
def in_thread(settings: Settings) -> Generator[Served]:
    """Serve for the length of the block. Raises what opening the installation raised."""
    ready = threading.Event()
    served: list[Served] = []
    faults: list[BaseException] = []
    ending: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def work() -> None:
        stop = asyncio.Event()
        ending.append((asyncio.get_running_loop(), stop))
        world = World(11)
        world.populate(**{**FEW, "calls": 0, "meetings": 0, "emails": 0, "notes": 0, "tasks": 0})
        async with (
            open_hub(settings, application_name="test") as hub,
            in_loop(world) as crm_url,
            serve(hub) as url,
        ):
            # Under the name that the description's examples use.
            await connect_token(hub, Wish("hubspot", "main", crm_url, MAIN), DEFAULT_TOKEN)
            await sync(hub)
            served.append(Served(url, await Doors(hub, url).key()))
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the other thread
            faults.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(60)
    try:
        if not served:
            raise faults[0]
        yield served[0]
    finally:
        loop, stop = ending[0]
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join(30)
