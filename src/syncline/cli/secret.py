"""`syncline secret`: the key that secrets are sealed with, and changing it."""

from __future__ import annotations

import typer

from syncline.actions.hub import open_hub
from syncline.actions.rotation import Rotated, Sealing, forget_old, inspect_sealing, rotate
from syncline.cli.exit_codes import OPERATOR
from syncline.cli.options import AsJson
from syncline.cli.output import add_row, make_table, open_console, print_json, show_number
from syncline.cli.person import operator
from syncline.cli.running import run
from syncline.config import Settings
from syncline.domain.sealing import new_key

group = typer.Typer(no_args_is_help=True)


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """The key that credentials and other secrets are sealed with."""


@group.command("status")
def status_command(as_json: AsJson = False) -> None:
    """Say which stored secrets are sealed with which key. Opens none."""

    async def look(settings: Settings) -> Sealing:
        async with open_hub(settings) as hub:
            return await inspect_sealing(hub.db, hub.vault())

    standing = run(look)
    if as_json:
        print_json(standing)
    else:
        _show(standing)


@group.command("new")
def new_command() -> None:
    """Print a new key. It is stored nowhere."""
    open_console().print(new_key(), markup=False)


@group.command("rotate")
def rotate_command(as_json: AsJson = False) -> None:
    """Seal everything with a new key. May be broken off and run again.

    With the embedded database the key is made here. Else set SYNCLINE_SECRET_KEY=NEW,OLD on every machine
    first, and restart what runs there: the first key seals, each of them opens.
    """

    async def act(settings: Settings) -> Rotated:
        async with open_hub(settings) as hub:
            return await rotate(hub, operator(hub))

    rotated = run(act)
    if as_json:
        print_json(rotated)
    else:
        console = open_console()
        console.print(f"{sum(rotated.resealed.values()):,} secrets were sealed anew.")
        _show(rotated.standing)
        if rotated.standing.is_settled:
            console.print(
                "Nothing needs the old key any more. `syncline secret forget` takes it out of the key file."
                if rotated.key_file
                else "Nothing needs the old key any more: take it out of SYNCLINE_SECRET_KEY.",
                markup=False,
            )
    if rotated.standing.lost:
        raise typer.Exit(OPERATOR)


@group.command("forget")
def forget_command() -> None:
    """Take old keys out of the key file, once nothing needs them. Backups made before still do."""

    async def act(settings: Settings) -> int:
        async with open_hub(settings) as hub:
            return await forget_old(hub, operator(hub))

    open_console().print(f"{run(act)} old keys were taken out of the key file.")


def _show(standing: Sealing) -> None:
    columns = ("with the current key", "with an old key", "with a key that is not given")
    table = make_table("secret", *columns, right=columns)
    for name in sorted({*standing.current, *standing.old, *standing.lost}):
        counts = (standing.current, standing.old, standing.lost)
        add_row(table, (name, *(show_number(each.get(name, 0)) for each in counts)))
    open_console().print(table)
