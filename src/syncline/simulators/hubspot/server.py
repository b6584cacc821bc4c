"""Runs the simulator as a server: in a thread, inside a running loop, or as a process of its own."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager

from syncline.simulators import server
from syncline.simulators.hubspot.app import App
from syncline.simulators.hubspot.world import World
from syncline.simulators.server import ApplicationServer, listen, url_of

__all__ = ["Server", "in_loop", "in_thread", "listen", "url_of"]


class Server(ApplicationServer):
    """One account behind one socket."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.app = App(world)
        super().__init__(self.app)


def in_thread(world: World, port: int = 0) -> AbstractContextManager[str]:
    """Serve from a thread with a loop of its own; yields the base URL. See `simulators.server`."""
    return server.in_thread(Server(world), port)


def in_loop(world: World, port: int = 0) -> AbstractAsyncContextManager[str]:
    """Serve inside the running loop; yields the base URL. The world may be changed at any time."""
    return server.in_loop(Server(world), port)
