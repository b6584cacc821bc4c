"""Serving HTTP and the queue from one process: they begin together and end together."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator

import structlog
import uvicorn
from fastapi import FastAPI

from syncline.actions.hub import Hub
from syncline.actions.readiness import list_unready
from syncline.actions.work import run_worker
from syncline.api.app import make_app
from syncline.engine.webhooks import Intake
from syncline.errors import Invalid
from syncline.web.app import add_pages

_log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """A server that leaves the signals to the worker."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def serve(hub: Hub, *, host: str, port: int, concurrency: int = 4) -> None:
    """Serve until SIGTERM or SIGINT. Raises `Invalid` when the address cannot be listened on."""
    vault = hub.vault()
    listener = _listen(host, port)
    bell = asyncio.Event()
    async with Intake(hub.db, vault, ring=bell.set) as intake:
        server = _Server(_configure(hub, intake))
        _log.info("listening", host=host, port=listener.getsockname()[1])
        stop = asyncio.Event()
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        serving.add_done_callback(lambda _: stop.set())
        try:
            await run_worker(hub, concurrency=concurrency, stop=stop, bell=bell)
        finally:
            server.should_exit = True
            await serving
            listener.close()


def _configure(hub: Hub, intake: Intake) -> uvicorn.Config:
    settings = hub.settings
    return uvicorn.Config(
        _make(hub, intake),
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
    except OSError as error:
        listener.close()
        raise Invalid(
            f"{host}:{port} cannot be listened on ({error.strerror}). Choose another --host or --port."
        ) from error
    return listener
