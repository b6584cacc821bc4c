"""`syncline retention`: how long what is kept."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.retention import Overview, Tidied, run_retention, set_retention, show_retention
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json, show_ago, show_number
from syncline.cli.person import operator
from syncline.cli.running import run
from syncline.clock import now
from syncline.config import Settings
from syncline.domain.retention import read_days

group = typer.Typer(no_args_is_help=True)


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """How long what is kept. The worker throws away each night what is older."""


@group.command("show")
def show_command(as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Show how long everything is kept, and what the last night removed."""

    async def look(settings: Settings) -> Overview:
        async with open_hub(settings, tenant=tenant) as hub:
            return await show_retention(hub)

    _show(run(look), as_json=as_json)


@group.command("set")
def set_command(
    subject: Annotated[str, typer.Argument(help="What: see `syncline retention show`.")],
    days: Annotated[str, typer.Argument(help="A number of days, forever, or default.")],
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Keep something for so many days from now on."""
    is_default = days.strip().lower() == "default"
    keep = None if is_default else read_days(days)

    async def act(settings: Settings) -> Overview:
        async with open_hub(settings, tenant=tenant) as hub:
            return await set_retention(hub, operator(hub), subject, keep, default=is_default)

    _show(run(act), as_json=as_json)


@group.command("run")
def run_command(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would go, and nothing else.")
    ] = False,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Throw away now what is older than it is kept."""

    async def act(settings: Settings) -> Tidied:
        async with open_hub(settings, tenant=tenant) as hub:
            return await run_retention(hub, operator(hub), dry_run=dry_run)

    tidied = run(act)
    if as_json:
        print_json(tidied)
        return
    console = open_console()
    table = make_table("what", "would go" if dry_run else "gone", right=("would go", "gone"))
    for name, count in tidied.removed.items():
        add_row(table, (name, show_number(count)))
    console.print(table)
    if tidied.dropped_months:
        console.print(f"Whole months of the change log: {', '.join(tidied.dropped_months)}.")
    if tidied.problem:
        console.print(tidied.problem)


def _show(overview: Overview, *, as_json: bool) -> None:
    if as_json:
        print_json(overview)
        return
    console = open_console()
    table = make_table("what", "kept for", "", "then goes")
    for each in overview.kept:
        days = "ever" if each.keep_days is None else f"{each.keep_days:,} days"
        add_row(table, (each.subject, days, "" if each.is_default else "set", each.what))
    console.print(table)
    latest = overview.latest
    if latest is None:
        console.print("No night has been tidied up yet: a worker does it after 02:30.")
        return
    total = sum(latest.removed.values())
    console.print(f"Last tidied up {show_ago(latest.started_at, now())}: {total:,} rows.")
    if latest.problem:
        console.print(latest.problem)
