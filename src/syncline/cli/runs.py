"""`syncline runs`: what was done lately, with the ids that `syncline undo` takes."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.undo import list_runs
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json, show_ago, show_number
from syncline.cli.running import run
from syncline.clock import now
from syncline.config import Settings
from syncline.store.run_list import ListedRun


def command(
    connection: Annotated[str | None, typer.Argument(help="Of this connection only.")] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", metavar="M", help="Of this mode only: push, webhook, undo …")
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only those that changed, or failed to change, something.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 20,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """List the latest runs of every mode, the last first: what they read, made, changed and archived."""

    async def look(settings: Settings) -> list[ListedRun]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await list_runs(hub, connection=connection, mode=mode, changed=changed, limit=limit)

    found = run(look)
    if as_json:
        print_json(found)
        return
    console = open_console()
    if not found:
        console.print("There is no such run.")
        return
    numbers = ("read", "new", "changed", "archived", "failed", "calls")
    table = make_table("id", "connection", "object", "mode", "status", "asked", *numbers, "by", right=numbers)
    at = now()
    for each in found:
        counts = (
            each.records_read,
            each.records_created,
            each.records_updated,
            each.records_archived,
            each.records_failed,
            each.api_calls,
        )
        mode_ = each.mode if each.undoes is None else f"{each.mode} of {each.undoes}"
        row = (each.id, each.connection, each.object, mode_, each.status, show_ago(each.requested_at, at))
        add_row(table, (*row, *(show_number(count) for count in counts), each.requested_by))
    console.print(table)
