"""Runs the simulator as a server: in a thread, inside a running loop, or as a process of its own."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager

from syncline.simulators import server
from syncline.simulators.pipedrive.app import App
from syncline.simulators.pipedrive.world import World
from syncline.simulators.server import ApplicationServer


def in_thread(world: World, port: int = 0) -> AbstractContextManager[str]:
    """Serve from a thread with a loop of its own; yields the base URL. See `simulators.server`."""
    return server.in_thread(ApplicationServer(App(world)), port)


def in_loop(world: World, port: int = 0) -> AbstractAsyncContextManager[str]:
    """Serve inside the running loop; yields the base URL. The world may be changed at any time."""
    return server.in_loop(ApplicationServer(App(world)), port)
