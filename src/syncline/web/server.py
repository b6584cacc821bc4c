"""Serving HTTP and the queue from one process: they begin together and end together."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncGenerator, Callable, Generator

import structlog
import uvicorn
from fastapi import FastAPI

from syncline.actions.caching import close_cache
from syncline.actions.hub import Hub
from syncline.actions.readiness import list_unready
from syncline.actions.work import run_worker
from syncline.api.app import make_app
from syncline.engine.webhooks import Intake
from syncline.errors import Invalid
from syncline.web.app import add_pages
from syncline.web.live import end_streams

_log = structlog.get_logger(__name__)

#: Connections that wait to be accepted; what uvicorn asks for, too.
_BACKLOG = 2048


class _Server(uvicorn.Server):
    """A server that leaves the signals to the worker."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def serve(hub: Hub, *, host: str, port: int, concurrency: int = 4) -> None:
    """Serve HTTP and work until SIGTERM or SIGINT. Raises `Invalid` when it cannot be listened on."""
    bell, stop = asyncio.Event(), asyncio.Event()
    async with serving(hub, host=host, port=port, ring=bell.set, ended=stop.set):
        await run_worker(hub, concurrency=concurrency, stop=stop, bell=bell)


async def serve_web(hub: Hub, *, host: str, port: int) -> None:
    """Serve HTTP alone until SIGTERM or SIGINT; workers elsewhere do what is asked for here."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(hub, host=host, port=port, ended=stop.set):
        await stop.wait()


@contextlib.asynccontextmanager
async def serving(
    hub: Hub,
    *,
    host: str,
    port: int,
    ring: Callable[[], None] = lambda: None,
    ended: Callable[[], None] = lambda: None,
) -> AsyncGenerator[str]:
    """Serve HTTP for the length of the block and yield the address; `port` 0 takes any.

    `ring` is called when webhooks have come in, `ended` when the server ends before the block does.
    Raises `Invalid` when the address cannot be listened on.
    """
    vault = hub.vault()
    listener = _listen(host, port)
    async with Intake(hub.db, vault, ring=ring) as intake:
        app = _make(hub, intake)
        server = _Server(_configure(hub, app))
        address = f"http://{_written(host)}:{listener.getsockname()[1]}"
        _log.info("listening", host=host, port=listener.getsockname()[1])
        task = asyncio.create_task(server.serve(sockets=[listener]))
        task.add_done_callback(lambda _: ended())
        try:
            yield address
        finally:
            end_streams(app)
            server.should_exit = True
            await task
            listener.close()
            await close_cache(hub.db)


def _written(host: str) -> str:
    """Return a host as it stands in an address that a browser can open."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not listened on
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _configure(hub: Hub, app: FastAPI) -> uvicorn.Config:
    settings = hub.settings
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=5,
        # Whoever is not named could otherwise say of anybody that it was he who called.
        proxy_headers=settings.trusted_proxies is not None,
        forwarded_allow_ips=settings.trusted_proxies,
    )


def _make(hub: Hub, intake: Intake) -> FastAPI:
    app = make_app(lambda: list_unready(hub), hub=hub, intake=intake, public_url=hub.settings.public_url)
    add_pages(app, hub)
    return app


def _listen(host: str, port: int) -> socket.socket:
    """Bind beforehand: a taken port is told before anything else is begun."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # By its protocol asyncio knows it for TCP, and sends answers without waiting for acknowledgements.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # At once: two sockets may be bound to one port as long as neither listens.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise Invalid(
            f"{host}:{port} cannot be listened on ({error.strerror}). Choose another --host or --port."
        ) from error
    return listener
