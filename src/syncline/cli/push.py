"""`syncline push`: what waits is sent now."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from syncline.actions.hub import DEFAULT_TENANT, Hub, open_hub
from syncline.actions.plan import Plan, read_plan
from syncline.actions.push import Pushed, list_held, push
from syncline.cli.bar import show_bars
from syncline.cli.effects import show_changes, show_differences
from syncline.cli.exit_codes import FAILURE, PARKED
from syncline.cli.options import AsJson, Tenant, Yes
from syncline.cli.output import add_row, make_table, open_console, print_json, show_number
from syncline.cli.person import whoever
from syncline.cli.plan import Limit
from syncline.cli.running import run
from syncline.config import Settings
from syncline.domain.records import RECORD_TYPES
from syncline.errors import Invalid
from syncline.store.effects import Held


def command(
    connection: Annotated[
        str | None, typer.Argument(help="The connection to send to; all that are written to when left out.")
    ] = None,
    past_brake: Annotated[
        bool, typer.Option("--past-brake", help="Let this run go beyond the brake that holds, after asking.")
    ] = False,
    record_type: Annotated[
        list[str] | None,
        typer.Option("--record-type", metavar="T", help="With --past-brake: of this kind of record only."),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="Compare with this plan; - reads it from standard input.")
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="With --plan: send nothing but exactly what was planned."),
    ] = False,
    limit: Limit = 20,
    yes: Yes = False,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Send what waits to the CRMs, now. What another process is sending is waited for."""
    planned = None if plan is None else _read(plan)
    if strict and planned is None:
        raise Invalid("--strict needs --plan.")
    if planned is not None:
        connection = connection or planned.connection
    if past_brake and connection is None:
        raise Invalid("--past-brake is for one connection. Name it.")
    kinds: list[str] = []
    if past_brake and connection is not None:
        kinds = ask_past_brake(connection, record_type or [], tenant=tenant, yes=yes, quiet=as_json)

    async def send(settings: Settings) -> list[Pushed]:
        async with open_hub(settings, tenant=tenant, application_name="syncline push") as hub:
            return await _send(hub, connection, kinds, planned, strict=strict, quiet=as_json)

    done = run(send)
    if as_json:
        print_json(done)
    else:
        for each in done:
            _show(each, limit)
    if any(not each.was_sent for each in done):
        raise typer.Exit(FAILURE)
    if any(each.parked or each.held for each in done):
        raise typer.Exit(PARKED)


def _read(path: Path) -> Plan:
    try:
        return read_plan(sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes())
    except OSError as error:
        raise Invalid(f"The plan {path} cannot be read: {error.strerror}.") from error


async def _send(
    hub: Hub, connection: str | None, kinds: Sequence[str], planned: Plan | None, *, strict: bool, quiet: bool
) -> list[Pushed]:
    by = whoever().name
    with show_bars(quiet=quiet) as watch:
        return [
            await push(hub, name, by=by, past_brake=kinds, planned=planned, strict=strict, watch=watch)
            for name in await _names(hub, connection)
        ]


async def _names(hub: Hub, connection: str | None) -> list[str]:
    if connection is not None:
        return [connection]
    found = await hub.list_connections()
    names = [each.name for each in found if each.writes_enabled and each.status == "active"]
    if not names:
        raise Invalid("There is no connection that may be written to. See `syncline writing allow`.")
    return names


def ask_past_brake(
    connection: str, record_types: Sequence[str], *, tenant: str, yes: bool, quiet: bool
) -> list[str]:
    """Show what is held and why, ask whether it may go on, and return the kinds of records that may."""
    for each in record_types:
        if each not in RECORD_TYPES:
            raise Invalid(f"There is no kind of record {each!r}. There are: {', '.join(RECORD_TYPES)}.")

    async def look(settings: Settings) -> list[Held]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await list_held(hub, connection)

    held = [each for each in run(look) if not record_types or each.record_type in record_types]
    console = open_console(errors=True)
    if not held and not quiet:
        console.print("No brake holds anything back.")
    for each in held:
        if not quiet:
            console.print(f"{each.count:,} {each.record_type} records are held. {each.reason}", markup=False)
        if not yes:
            typer.confirm(f"Send these {each.count:,} {each.record_type} records all the same?", abort=True)
    return [each.record_type for each in held]


def _show(done: Pushed, limit: int) -> None:
    console = open_console()
    if not done.was_sent:
        console.print(f"{done.connection}: nothing was sent, since it is not what was planned.")
        show_differences(console, done.differences, limit)
        return
    drained = done.drained
    table = make_table(
        "connection", "new", "changed", "archived", "parked", "held", "calls",
        right=("new", "changed", "archived", "parked", "held", "calls"),
    )  # fmt: skip
    held = sum(each.count for each in done.held)
    counts = (drained.created, drained.updated, drained.archived, len(done.parked), held, done.api_calls)
    add_row(table, (done.connection, *(show_number(each) for each in counts)))
    console.print(table)
    if done.writes:
        show_changes(console, done.writes, limit)
    if done.here:
        console.print("  and here, by merging with what the CRM has:", markup=False)
        show_changes(console, done.here, limit)
    for each in done.merges:
        request, reason = each.request, "" if each.reason is None else f": {each.reason}"
        pair = f"{request.object} {request.merged_id} into {request.survivor_id}"
        console.print(f"  merge of {pair}: {each.state}{reason}", markup=False)
    for each in done.parked[:limit]:
        console.print(f"  parked: {each.record_type} {each.record_id}: {each.reason}", markup=False)
    for each in done.held:
        console.print(f"  held: {each.reason}", markup=False, style="yellow")
    if done.differences:
        console.print("  otherwise than planned:")
        show_differences(console, done.differences, limit)
    if drained.run_ids and done.writes:
        ids = ", ".join(str(each) for each in drained.run_ids)
        console.print(f"  `syncline undo RUN` takes back: {ids}", markup=False)
