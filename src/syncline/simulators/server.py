"""Runs a simulated service: in a thread, inside a running loop, or as a process of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Protocol, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from syncline.simulators.serving import TRANSPORT, Receive, Scope, Send, Sending, ServedWorld

_IDLE_SECONDS = 0.5
#: How often uvicorn sets the time of its answers, and a server that ends looks what is still under way.
_TICK_SECONDS, _LOOK_SECONDS = 0.1, 0.002


class Application(Protocol):
    """A simulated service: an ASGI application over an account, with its webhooks."""

    @property
    def world(self) -> ServedWorld: ...

    @property
    def sending(self) -> Sending: ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class _Protocol(HttpToolsProtocol):
    """Shows each request its connection, so that a fault can break it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[TRANSPORT] = self.transport


def listen(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Bind a socket; port 0 takes any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # By its protocol asyncio knows it for TCP, and sends answers without waiting for acknowledgements.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class PromptServer(uvicorn.Server):
    """Ends as soon as it is told to and nothing is under way. uvicorn's own takes a fifth of a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def end(self) -> None:
        """Begin to end. May be called from any thread, and before it serves."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended, and its loop with it
                self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for each in sockets or ():
            each.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while state.connections or state.tasks:  # noqa: ASYNC110 - uvicorn keeps sets, no event
                    await asyncio.sleep(_LOOK_SECONDS)
                for server in self.servers:
                    await server.wait_closed()
        for task in state.tasks:
            task.cancel()
        await self.lifespan.shutdown()


class ApplicationServer(PromptServer):
    """One simulator behind one socket, with the colleagues who keep editing in it."""

    def __init__(self, app: Application) -> None:
        self._served = app
        # No log: what went wrong is the client's to see, and faults would fill it.
        config = uvicorn.Config(
            cast("Any", app), http=_Protocol, loop="uvloop", lifespan="off", access_log=False,
            log_config=None, log_level=60, server_header=False, timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._colleagues = asyncio.create_task(keep_editing(self._served.world))
        self._served.sending.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._colleagues.cancel()
        await self._served.sending.stop()
        await super().shutdown(sockets)


async def keep_editing(world: ServedWorld) -> None:
    """Let colleagues edit at the rate set, which may change meanwhile. Ends when cancelled."""
    while True:
        rate = world.settings.edits_per_minute
        if rate <= 0:
            await asyncio.sleep(_IDLE_SECONDS)
            continue
        await asyncio.sleep(60 / rate)
        world.colleague_edit()


@contextmanager
def in_thread(server: PromptServer, port: int = 0) -> Generator[str]:
    """Serve from a thread with a loop of its own; yields the base URL. For synchronous clients.

    The world may be changed directly only while no request is under way; else through `/_simulator`.
    """
    listener = listen(port=port)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        # The socket listens once uvicorn has started; until then a client's connect would be refused.
        listener.listen(1024)
        yield url_of(listener)
    finally:
        server.end()
        thread.join(timeout=10)
        listener.close()


@asynccontextmanager
async def in_loop(server: PromptServer, port: int = 0) -> AsyncGenerator[str]:
    """Serve inside the running loop; yields the base URL. The world may be changed at any time."""
    listener = listen(port=port)
    listener.listen(1024)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield url_of(listener)
    finally:
        server.end()
        await serving
        listener.close()
