"""`syncline plan`: what would be written on each side, before anything is."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.plan import Effort, Plan, PushPlan, plan
from syncline.cli.bar import show_bars
from syncline.cli.effects import show_changes
from syncline.cli.options import AsJson, Objects, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json, show_duration
from syncline.cli.running import run
from syncline.config import Settings

Limit = Annotated[
    int, typer.Option("--limit", min=0, max=100_000, help="At most so many rows of each table.")
]


def command(
    connection: Annotated[str, typer.Argument(help="The connection to plan for.")],
    objects: Objects = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Say what a sync would change here and what a push would change there, field by field, with the calls
    and the time. The runs themselves are tried, and all they would write is taken back. With --json it can be
    kept, and given to `syncline push --plan`.
    """

    async def look(settings: Settings) -> Plan:
        async with open_hub(settings, tenant=tenant, application_name="syncline plan") as hub:
            with show_bars(quiet=as_json) as watch:
                return await plan(hub, connection, objects=objects or (), watch=watch)

    found = run(look)
    if as_json:
        print_json(found)
        return
    _show(found, limit)


def _show(found: Plan, limit: int) -> None:
    console = open_console()
    console.print(f"[bold]Here[/], by a sync of {found.connection}:")
    for each in found.pulls:
        if each.state == "everything":
            there = "everything" if each.read is None else f"all {each.read:,} records"
            console.print(
                f"  {each.object}: not read yet; {there} would be, by about {each.api_calls:,} calls"
            )
        elif each.mirrored:
            console.print(f"  {each.object}: {each.mirrored:,} records of the mirror", markup=False)
    show_changes(console, [change for each in found.pulls for change in each.changes], limit)
    console.print(f"  {_show_effort(found.effort)}\n", markup=False)
    console.print(f"[bold]There[/], by a push to {found.connection}:")
    show_push(console, found.push, limit)


def show_push(console: Console, push: PushPlan, limit: int) -> None:
    """Show what a push would do."""
    if push.stop is not None:
        console.print(f"  As things stand nothing is sent. {push.stop}", markup=False, style="yellow")
    show_changes(console, push.writes, limit)
    if push.here:
        console.print("  and here, by merging with what the CRM has:", markup=False)
        show_changes(console, push.here, limit)
    for stop in push.stops:
        console.print(f"  held: {stop.reason}", markup=False, style="yellow")
    for found, what in ((push.parked, "parked"), (push.held, "held")):
        if found:
            console.print(f"  {len(found):,} would be {what}:", markup=False)
            table = make_table("record", "id", "reason")
            for each in found[:limit]:
                add_row(table, (each.record_type, each.record_id, each.reason))
            console.print(table)
    waiting = ", ".join(f"{each.count:,} {each.state}" for each in push.waiting)
    console.print(f"  {_show_effort(push.effort)}; in the queue: {waiting or 'nothing'}", markup=False)


def _show_effort(effort: Effort) -> str:
    calls = f"{effort.read_calls:,} calls that read"
    if effort.write_calls:
        calls += f", {effort.write_calls:,} that write"
    return f"{calls}, about {show_duration(timedelta(seconds=effort.seconds))}"
