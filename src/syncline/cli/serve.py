"""`syncline serve`: worker, pages and API in one process."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.actions.hub import open_hub
from syncline.cli.running import run
from syncline.config import Settings
from syncline.web.server import serve


def command(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port to listen on.")] = 8750,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=2, max=64, help="Objects that are synced at the same time.")
    ] = 4,
) -> None:
    """Run worker, pages and API in one process, until SIGTERM or Ctrl-C.

    /healthz answers while the process lives; /readyz when it can work, else 503 with the reasons.
    """

    async def start(settings: Settings) -> None:
        async with open_hub(settings, application_name="syncline serve") as hub:
            await serve(hub, host=host, port=port, concurrency=concurrency)

    run(start, serves=True)
