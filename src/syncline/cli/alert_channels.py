"""`syncline alerts channels`: where alerts go besides mail. Addresses are never on the command line."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from syncline.actions.channels import (
    KINDS,
    Channel,
    NewChannel,
    Tested,
    add_channel,
    list_channels,
    remove_channel,
    send_test,
)
from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.cli.exit_codes import LATER
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json
from syncline.cli.person import operator
from syncline.cli.running import run
from syncline.config import Settings
from syncline.errors import Invalid

group = typer.Typer(no_args_is_help=True)
Named = Annotated[
    str, typer.Argument(metavar="KIND:NAME", help=f"Such as slack:ops; kinds are {' and '.join(KINDS)}.")
]


@group.command("list")
def list_command(as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """List channels. Their addresses are never shown again, but for the host."""

    async def look(settings: Settings) -> list[Channel]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await list_channels(hub, operator(hub))

    found = run(look)
    if as_json:
        print_json([_describe(each) for each in found])
        return
    if not found:
        open_console().print("There is none. Add one: syncline alerts channels add slack:ops")
        return
    table = make_table("channel", "host", "added by", "added at")
    for each in found:
        added_at = f"{each.created_at:%Y-%m-%d %H:%M} UTC"
        add_row(table, (f"{each.kind}:{each.name}", each.host, each.created_by, added_at))
    open_console().print(table)


def _describe(channel: Channel) -> dict[str, object]:
    return {
        "kind": channel.kind,
        "name": channel.name,
        "host": channel.host,
        "created_by": channel.created_by,
        "created_at": channel.created_at,
    }


@group.command("add")
def add_command(named: Named, as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Add a channel. Its address is asked for, or read from standard input: it is a secret."""
    kind, name = _split(named)
    url = _read_url()

    async def act(settings: Settings) -> NewChannel:
        async with open_hub(settings, tenant=tenant) as hub:
            return await add_channel(hub, operator(hub), kind, name, url)

    made = run(act)
    if as_json:
        print_json({**_describe(made.channel), "secret": made.secret})
        return
    console = open_console()
    console.print(f"{named} is added. Name it in rules, or under their groups.", markup=False)
    if made.secret is not None:
        console.print(
            f"What is sent is signed with this secret, shown only now:\n{made.secret}", markup=False
        )


@group.command("test")
def try_command(named: Named, as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Send a message that says nothing, and say whether it was taken."""
    kind, name = _split(named)

    async def act(settings: Settings) -> Tested:
        async with open_hub(settings, tenant=tenant) as hub:
            return await send_test(hub, operator(hub), kind, name)

    found = run(act)
    if as_json:
        print_json(found)
    else:
        open_console().print("It arrived." if found.arrived else f"It did not arrive. {found.reason}")
    if not found.arrived:
        raise typer.Exit(LATER)


@group.command("remove")
def remove_command(named: Named, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Forget a channel that no rule names."""
    kind, name = _split(named)

    async def act(settings: Settings) -> None:
        async with open_hub(settings, tenant=tenant) as hub:
            await remove_channel(hub, operator(hub), kind, name)

    run(act)
    open_console().print(f"{named} is removed.", markup=False)


def _split(named: str) -> tuple[str, str]:
    kind, colon, name = named.partition(":")
    if not colon:
        raise Invalid(f"{named!r} is no channel: write slack:NAME or webhook:NAME.")
    return kind, name


def _read_url() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Address", hide_input=True)).strip()
    line = sys.stdin.readline().strip()
    if not line:
        raise Invalid("Standard input holds no address.")
    return line
