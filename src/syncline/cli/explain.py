"""`syncline explain`: why a record is not syncing."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from syncline.actions.explain import Explanation, explain
from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.reasons import Side
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json, show_ago, show_value
from syncline.cli.running import run
from syncline.clock import now
from syncline.config import Settings

_STATES = {
    "agreed": "",
    "ours": "changed here",
    "theirs": "changed there",
    "both": "changed on both sides",
    "fill": "only here",
}


def command(
    record: Annotated[str, typer.Argument(help="Its id here, an e-mail address, or connection:id.")],
    connection: Annotated[
        str | None, typer.Option("--connection", metavar="C", help="Towards this CRM only.")
    ] = None,
    every_field: Annotated[
        bool, typer.Option("--all-fields", help="Show fields that agree as well.")
    ] = False,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Say why a record is not syncing: what is known of it, what stands in its way, and what mends it.

    Asks no CRM: what is shown of theirs is what was read last.
    """

    async def look(settings: Settings) -> Explanation:
        async with open_hub(settings, tenant=tenant) as hub:
            return await explain(hub, record, connection=connection)

    found = run(look)
    if as_json:
        print_json(found)
        return
    console = open_console()
    if found.record is not None:
        label = f" {found.record.label}" if found.record.label else ""
        console.print(f"{found.record.record_type}{label} ({found.record.record_id})", markup=False)
    for side in found.sides:
        _show_side(console, side, every_field=every_field)
    if found.reasons:
        console.print("\nWhat is to be said of it:")
    for each in found.reasons:
        mark = {"blocks": "!", "waits": "~", "says": " "}[each.weight]
        console.print(f" {mark} {each.text}", markup=False)
        if each.command is not None:
            console.print(f"     {each.command}", markup=False)
    console.print(f"\n{found.conclusion}", markup=False)
    if found.command is not None:
        console.print(f"What to do: {found.command}", markup=False)


def _show_side(console: Console, side: Side, *, every_field: bool) -> None:
    at = now()
    where = f"{side.object} {side.remote_id}" if side.remote_id else "not there"
    console.print(f"\n{side.connection}: {where}", markup=False)
    if side.read is not None:
        console.print(f"  taken in {show_ago(side.read.synced_at, at)}")
    for run_, what in ((side.last_pull, "read"), (side.last_push, "sent to")):
        if run_ is not None:
            when = show_ago(run_.completed_at or run_.started_at, at)
            console.print(f"  {side.object} last {what} {when}: {run_.status}", markup=False)
    shown = [each for each in side.fields if every_field or each.state != "agreed"]
    if not side.fields:
        return
    if not shown:
        console.print(f"  all {len(side.fields)} fields agree")
        return
    table = make_table("field", "here", "there", "agreed on", "state", "may be written")
    for each in shown:
        add_row(
            table,
            (
                each.field,
                show_value(each.ours, 40),
                show_value(each.theirs, 40),
                show_value(each.base, 40),
                _STATES[each.state],
                "yes" if each.may_push else "no",
            ),
        )
    console.print(table)
