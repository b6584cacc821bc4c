"""`syncline worker`."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.actions.hub import open_hub
from syncline.actions.work import run_worker
from syncline.cli.running import run
from syncline.config import Settings


def command(
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=2, max=64, help="Objects that are synced at the same time.")
    ] = 4,
) -> None:
    """Keep the schedules of all tenants and do what was asked for, until SIGTERM or Ctrl-C.

    Any number of workers may run, on any number of machines. The first signal lets them end what they are
    at, a second one stops at once; nothing is lost in either case.
    """

    async def serve(settings: Settings) -> None:
        async with open_hub(settings, application_name="syncline worker") as hub:
            await run_worker(hub, concurrency=concurrency)

    run(serve, serves=True)
