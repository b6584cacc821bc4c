"""`syncline db`: the embedded Postgres."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.actions.setup import stop_embedded
from syncline.cli.output import open_console
from syncline.cli.running import run

group = typer.Typer(no_args_is_help=True)


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """Look after the embedded Postgres. It starts when it is needed and ends when nobody needs it."""


@group.command("stop")
def stop(
    force: Annotated[
        bool,
        typer.Option("--force", help="Even while programs use it; they start it again when they need it."),
    ] = False,
) -> None:
    """Stop the embedded Postgres now."""
    was_running = run(lambda settings: stop_embedded(settings, force=force))
    open_console().print("Stopped." if was_running else "It was not running.")
