"""`syncline simulate`: a simulated CRM as a process of its own."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from syncline.errors import NotFound
from syncline.simulators.registry import SIMULATORS

#: The options are the simulator's own.
CONTEXT: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def command(
    context: typer.Context,
    platform: Annotated[str, typer.Argument(help="Which CRM; `--help` behind it lists its options.")],
) -> None:
    """Run a simulated CRM on this machine, filled with made-up records, to try a set-up against.

    The first line it prints is JSON with its address and token; it serves until Ctrl-C.
    For example: syncline simulate PLATFORM --port 8765 --contacts 1000 --faults 0.05.
    """
    if platform in ("-h", "--help"):
        typer.echo(context.get_help())
        return
    simulator = SIMULATORS.get(platform)
    if simulator is None:
        raise NotFound(f"There is no simulator of {platform}. There are: {', '.join(sorted(SIMULATORS))}.")
    raise typer.Exit(simulator.main(list(context.args)))
