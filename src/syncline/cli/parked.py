"""`syncline parked`: what was set aside, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.parked import ParkedRecord, list_parked
from syncline.cli.options import AsJson, Objects, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json
from syncline.cli.running import run
from syncline.config import Settings


def command(
    name: Annotated[str | None, typer.Argument(help="Of this connection only.")] = None,
    objects: Objects = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=100_000, help="At most so many of each object.")
    ] = 100,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """List records that could not be read whole, with the reason. They are tried again when the CRM changes
    them, and by `syncline sync --full`. With --json the record comes along as the CRM sent it.
    """

    async def look(settings: Settings) -> list[ParkedRecord]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await list_parked(
                hub, names=[] if name is None else [name], objects=objects or (), limit=limit
            )

    found = run(look)
    if as_json:
        print_json(found)
        return
    console = open_console()
    if not found:
        console.print("No record is parked.")
        return
    table = make_table("connection", "object", "id", "reason")
    for each in found:
        problems = "; ".join(f"{field}: {problem}" for field, problem in each.record.problems.items())
        add_row(table, (each.connection, each.object, each.record.remote_id, problems or each.record.reason))
    console.print(table)
