"""`syncline queue`: what waits to be sent to CRMs."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.actions.hub import DEFAULT_TENANT, Hub, open_hub
from syncline.actions.paging import read_id
from syncline.actions.queue import (
    QueueState,
    count_queue,
    drop_queue,
    list_queue,
    make_filter,
    retry_queue,
)
from syncline.cli.options import AsJson, Tenant, Yes
from syncline.cli.output import add_row, make_table, open_console, print_json, show_ago
from syncline.cli.running import run
from syncline.clock import now
from syncline.config import Settings
from syncline.errors import Invalid
from syncline.store.waiting import Filter

group = typer.Typer(no_args_is_help=True)

ConnectionOption = Annotated[
    str | None, typer.Option("--connection", metavar="C", help="For this connection only.")
]
TypeOption = Annotated[
    str | None, typer.Option("--type", metavar="T", help="Of this kind of record only: contact, deal …")
]
StateOption = Annotated[str | None, typer.Option("--state", help="pending, parked or held only.")]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", metavar="WORDS", help="Only where the reason has these words.")
]
RecordOption = Annotated[str | None, typer.Option("--record", metavar="ID", help="Of this record only.")]


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """Changes made here that wait to be sent to a CRM: pending, parked (refused) or held (for a person)."""


@group.command("list")
def list_command(
    connection: ConnectionOption = None,
    record_type: TypeOption = None,
    state: StateOption = None,
    reason: ReasonOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")] = 100,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """List what waits, the oldest first, with the reason where the CRM refused it."""
    _show(_look((connection, record_type, state, reason, None), limit, tenant), as_json=as_json)


@group.command("show")
def show_command(
    record: Annotated[str, typer.Argument(metavar="RECORD", help="The id of a record of ours.")],
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Show what of one record waits, for each connection."""
    found = _look((None, None, None, None, record), 1000, tenant)
    if as_json:
        print_json(found)
        return
    console, at = open_console(), now()
    if not found.waiting:
        console.print("Nothing of this record waits to be sent.")
    for each in found.waiting:
        remote = "not there yet" if each.remote_id is None else each.remote_id
        name = f"{each.record_type} {each.label}".strip()
        console.print(f"{name}, for {each.connection} ({remote})", markup=False, style="bold")
        table = make_table("", "")
        add_row(table, ("state", each.state))
        add_row(table, ("what", each.what if each.what == "deleted" else ", ".join(each.fields)))
        add_row(table, ("since", show_ago(each.queued_at, at)))
        add_row(table, ("next try", show_ago(each.not_before, at)))
        add_row(table, ("tries", each.attempts))
        add_row(table, ("reason", found.stops.get(each.connection, each.reason or "-")))
        if each.connection in found.stops and each.reason:
            add_row(table, ("last reason", each.reason))
        console.print(table)


@group.command("retry")
def retry_command(
    record: RecordOption = None,
    connection: ConnectionOption = None,
    record_type: TypeOption = None,
    state: StateOption = None,
    reason: ReasonOption = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Try now what was refused, is held, or waits for its next try: all of it, or what the filters mean."""
    chosen = (connection, record_type, state, reason, record)

    async def act(settings: Settings) -> int:
        async with open_hub(settings, tenant=tenant) as hub:
            return await retry_queue(hub, await _filter(hub, chosen))

    count = run(act)
    if as_json:
        print_json({"retried": count})
        return
    open_console().print(f"{count:,} will be tried again." if count else "There is nothing to try again.")


@group.command("drop")
def drop_command(
    record: RecordOption = None,
    connection: ConnectionOption = None,
    record_type: TypeOption = None,
    state: StateOption = None,
    reason: ReasonOption = None,
    yes: Yes = False,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Take rows out of the queue, after asking. The values here stay, and go when either side changes."""
    chosen = (connection, record_type, state, reason, record)
    if not any(chosen):
        raise Invalid("Say which: --record, --connection, --type, --state or --reason.")

    async def count(settings: Settings) -> int:
        async with open_hub(settings, tenant=tenant) as hub:
            return await count_queue(hub, await _filter(hub, chosen))

    async def act(settings: Settings) -> int:
        async with open_hub(settings, tenant=tenant) as hub:
            return await drop_queue(hub, await _filter(hub, chosen))

    if not yes:
        if as_json:
            raise Invalid("--json cannot ask; give --yes as well.")
        typer.confirm(f"Take {run(count):,} out of the queue?", abort=True)
    dropped = run(act)
    if as_json:
        print_json({"dropped": dropped})
        return
    open_console().print(f"{dropped:,} left the queue.")


#: Connection, kind of record, state, words of the reason, record: as they were typed.
_Chosen = tuple[str | None, str | None, str | None, str | None, str | None]


async def _filter(hub: Hub, chosen: _Chosen) -> Filter:
    connection, record_type, state, reason, record = chosen
    if state is not None and state not in ("pending", "parked", "held"):
        raise Invalid(f"There is no state {state!r}. There are pending, parked and held.")
    return await make_filter(
        hub,
        connection=connection,
        record_type=record_type,
        record_id=None if record is None else read_id(record, "record"),
        state=state,
        reason=reason,
    )


def _look(chosen: _Chosen, limit: int, tenant: str) -> QueueState:
    async def look(settings: Settings) -> QueueState:
        async with open_hub(settings, tenant=tenant) as hub:
            return await list_queue(hub, await _filter(hub, chosen), limit=limit)

    return run(look)


def _show(found: QueueState, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    console, at = open_console(), now()
    if not found.counts:
        console.print("Nothing waits to be sent.")
        return
    totals = make_table("connection", "state", "waiting", "oldest", right=("waiting",))
    for count in found.counts:
        add_row(totals, (count.connection, count.state, f"{count.count:,}", show_ago(count.oldest_at, at)))
    console.print(totals)
    for name, stop in found.stops.items():
        console.print(f"{name}: {stop}", markup=False, style="yellow")
    table = make_table("connection", "record", "what", "state", "since", "tries", "reason")
    for each in found.waiting:
        what = each.what if each.what == "deleted" else ", ".join(each.fields)
        name = f"{each.record_type} {each.label or each.record_id}"
        since = show_ago(each.queued_at, at)
        add_row(table, (each.connection, name, what, each.state, since, each.attempts, each.reason or ""))
    console.print(table)
