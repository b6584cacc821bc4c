"""`syncline properties`: what Syncline creates at a CRM before it can write there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.properties import PropertyLine, apply_properties, plan_properties
from syncline.cli.exit_codes import FAILURE
from syncline.cli.options import AsJson, Objects, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json
from syncline.cli.running import run
from syncline.config import Settings

group = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="CONNECTION", help="Whose account.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="NAME", help="Also this set of properties.")]
_STATES = {
    "create": "would be created",
    "exists": "is there",
    "differs": "is there, and something else",
    "created": "created",
    "refused": "refused by the CRM",
}


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """The properties that Syncline needs at a CRM: one for its own ids, and sets that you ask for."""


@group.command("plan")
def plan_command(
    name: Name,
    objects: Objects = None,
    sets: Sets = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Show what would be created. Writes nothing."""

    async def look(settings: Settings) -> list[PropertyLine]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await plan_properties(hub, name, objects=objects or (), sets=sets or ())

    _finish(run(look), as_json=as_json)


@group.command("apply")
def apply_command(
    name: Name,
    objects: Objects = None,
    sets: Sets = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Create what is missing. Changes nothing that is there; may be repeated."""

    async def create(settings: Settings) -> list[PropertyLine]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await apply_properties(hub, name, objects=objects or (), sets=sets or ())

    _finish(run(create), as_json=as_json)


def _finish(lines: Sequence[PropertyLine], *, as_json: bool) -> None:
    if as_json:
        print_json(lines)
    else:
        table = make_table("object", "property", "for", "type", "state", "why")
        for line in lines:
            wanted = line.plan.wanted
            kind = f"{wanted.type}, unique" if wanted.unique else wanted.type
            state = _STATES[line.plan.state]
            add_row(table, (line.object, wanted.name, line.set, kind, state, line.plan.reason))
        open_console().print(table)
    if any(line.is_fault for line in lines):
        raise typer.Exit(FAILURE)
