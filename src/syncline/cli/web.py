"""`syncline web`: pages and API without a worker."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.actions.hub import open_hub
from syncline.cli.running import run
from syncline.config import Settings
from syncline.web.server import serve_web


def command(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port to listen on.")] = 8750,
) -> None:
    """Serve the web application and the API, until told to stop. Workers run elsewhere: `syncline worker`.

    Any number of these may serve one database. SIGTERM and Ctrl-C end them.
    """

    async def act(settings: Settings) -> None:
        async with open_hub(settings, application_name="syncline web") as hub:
            await serve_web(hub, host=host, port=port)

    run(act, serves=True)
