"""`syncline drift`: what differs between the CRMs and here, as the last reconcile found it."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.reconcile import DriftReport, list_drift
from syncline.cli.options import AsJson, Objects, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json, show_ago, show_value
from syncline.cli.running import run
from syncline.clock import now
from syncline.config import Settings
from syncline.errors import Invalid

_STATES = ("open", "healed", "kept")


def command(
    connection: Annotated[str | None, typer.Argument(help="Of this connection only.")] = None,
    objects: Objects = None,
    state: Annotated[str, typer.Option("--state", metavar="S", help="open, healed, kept, or all.")] = "open",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")] = 100,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """List what differs between the CRMs and here, field by field, as the last reconcile found it."""
    if state not in (*_STATES, "all"):
        raise Invalid(f"There is no state {state!r} of drift. There are: {', '.join(_STATES)}, and all.")
    states = () if state == "all" else (state,)

    async def look(settings: Settings) -> DriftReport:
        async with open_hub(settings, tenant=tenant) as hub:
            return await list_drift(hub, name=connection, objects=objects or (), states=states, limit=limit)

    report = run(look)
    if as_json:
        print_json(report)
        return
    console = open_console()
    if not report.counts:
        console.print("Nothing has been reconciled yet. `syncline reconcile` does so.", markup=False)
        return
    if not report.drift:
        console.print("Nothing differs." if state == "open" else "There is none.")
        return
    table = make_table("connection", "object", "id", "field", "here", "there", "cause", "since")
    if state == "all":
        table.add_column("state")
    at = now()
    for each in report.drift:
        cells = [
            each.connection,
            each.object,
            each.remote_id,
            each.field or "(record)",
            show_value(each.ours, 40),
            show_value(each.theirs, 40),
            each.cause,
            show_ago(each.found_at, at),
        ]
        add_row(table, [*cells, each.state] if state == "all" else cells)
    console.print(table)
