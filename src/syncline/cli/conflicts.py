"""`syncline conflicts`: what both sides changed, and deciding it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from syncline.actions.conflicts import (
    ConflictDetails,
    ConflictPage,
    count_open,
    list_conflicts,
    make_filter,
    show_conflict,
)
from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.paging import read_id
from syncline.actions.resolve import Outcome, resolve_all, resolve_one, resolve_record
from syncline.cli.exit_codes import CALLER
from syncline.cli.options import AsJson, Tenant, Yes
from syncline.cli.output import add_row, make_table, open_console, print_json, show_ago, show_value
from syncline.cli.person import whoever
from syncline.cli.running import run
from syncline.clock import now
from syncline.config import Settings
from syncline.domain.policies import Side
from syncline.domain.resolving import Resolution
from syncline.domain.verdicts import same
from syncline.errors import Invalid

group = typer.Typer(no_args_is_help=True)

ConnectionOption = Annotated[
    str | None, typer.Option("--connection", metavar="C", help="With this connection only.")
]
TypeOption = Annotated[
    str | None, typer.Option("--type", metavar="T", help="Of this kind of record only: contact, deal …")
]


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """Fields that both sides changed to different values. Neither is overwritten until somebody decides."""


@group.command("list")
def list_command(
    connection: ConnectionOption = None,
    record_type: TypeOption = None,
    field: Annotated[str | None, typer.Option("--field", metavar="F", help="Of this field only.")] = None,
    status: Annotated[
        str, typer.Option("--status", help="open, resolved, settled (agreed by itself) or all.")
    ] = "open",
    record: Annotated[str | None, typer.Option("--record", metavar="ID", help="Of this record only.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 100,
    after: Annotated[str | None, typer.Option("--after", help="Go on where a page before ended.")] = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """List conflicts, the latest first."""
    if status not in ("open", "resolved", "settled", "all"):
        raise Invalid(f"There is no status {status!r}. There are open, resolved, settled and all.")

    async def look(settings: Settings) -> ConflictPage:
        async with open_hub(settings, tenant=tenant) as hub:
            wanted = await make_filter(
                hub,
                connection=connection,
                record_type=record_type,
                record_id=None if record is None else read_id(record, "record"),
                field=field,
                status=None if status == "all" else status,
            )
            return await list_conflicts(hub, wanted, limit=limit, after=after)

    page = run(look)
    if as_json:
        print_json(page)
        return
    _show_page(page, status)


def _show_page(page: ConflictPage, status: str) -> None:
    console = open_console()
    if not page.conflicts:
        console.print("There is no such conflict." if status != "open" else "No conflict is open.")
        return
    table = make_table("id", "record", "field", "ours", "theirs", "connection", "found", "status")
    at = now()
    for each in page.conflicts:
        name = f"{each.record_type} {each.label}".strip()
        state = each.status if each.resolution is None else f"{each.status}: {each.resolution}"
        values = show_value(each.ours, 30), show_value(each.theirs, 30)
        add_row(
            table,
            (each.id, name, each.field, *values, each.connection, show_ago(each.found_at, at), state),
        )
    console.print(table)
    if page.after is not None:
        console.print(f"There are more: --after {page.after}", markup=False)


@group.command("show")
def show_command(
    conflict: Annotated[str, typer.Argument(metavar="ID", help="The conflict's id.")],
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Show everything about one conflict: what was agreed on, both values, and both records side by side."""

    async def look(settings: Settings) -> ConflictDetails:
        async with open_hub(settings, tenant=tenant) as hub:
            return await show_conflict(hub, read_id(conflict, "conflict"))

    found = run(look)
    if as_json:
        print_json(found)
        return
    _show(found)


def _show(found: ConflictDetails) -> None:
    conflict, console, at = found.conflict, open_console(), now()
    table = make_table("", "value", "changed")
    add_row(table, ("agreed on", show_value(conflict.base, 200), ""))
    add_row(table, ("ours", show_value(conflict.ours, 200), show_ago(conflict.ours_at, at)))
    theirs_at = "" if conflict.theirs_at is None else show_ago(conflict.theirs_at, at)
    add_row(table, ("theirs", show_value(conflict.theirs, 200), theirs_at))
    if not same(conflict.read, conflict.theirs):
        add_row(table, ("theirs as read", show_value(conflict.read, 200), ""))
    if not found.exists:
        add_row(table, ("here now", "the record is gone", ""))
    elif not same(found.value_now, conflict.ours):
        add_row(table, ("here now", show_value(found.value_now, 200), ""))
    name = f"{conflict.record_type} {conflict.label}".strip()
    console.print(f"{conflict.field} of {name}", markup=False, style="bold")
    console.print(
        f"record {conflict.record_id}; {conflict.object} {conflict.remote_id} of {conflict.connection}",
        markup=False,
    )
    console.print(f"{conflict.status}; found {show_ago(conflict.found_at, at)}; rule: {found.rule}")
    if conflict.resolution is not None:
        console.print(f"{conflict.resolved_by} chose {conflict.resolution}", markup=False)
    console.print(table)
    if found.together:
        console.print(f"Decided together with {', '.join(found.together)}.")
    records = make_table("field", "ours", "theirs")
    for field in sorted(found.our_record.keys() & found.their_record.keys() - {conflict.field}):
        ours, theirs = found.our_record[field], found.their_record[field]
        if not same(ours, theirs):
            add_row(records, (field, show_value(ours), show_value(theirs)))
    if records.row_count:
        console.print("\nWhere the two records differ otherwise:")
        console.print(records)


@group.command("resolve")
def resolve_command(
    conflict: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="The conflicts to decide, by id.")
    ] = None,
    ours: Annotated[bool, typer.Option("--ours", help="Keep what is here, and write it to the CRM.")] = False,
    theirs: Annotated[bool, typer.Option("--theirs", help="Take what the CRM has.")] = False,
    value: Annotated[str | None, typer.Option("--value", help="Take this for both; empty for none.")] = None,
    record: Annotated[
        str | None, typer.Option("--record", metavar="ID", help="Decide the conflicts of this record.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="F=SIDE",
            help="With --record: phone=theirs; may be given again. With --all: only this field.",
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Decide all that are open, after asking.")] = False,
    connection: ConnectionOption = None,
    record_type: TypeOption = None,
    yes: Yes = False,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Decide conflicts. What somebody has changed since is left open, and said.

    Fields that belong together, such as a deal's stage and status, are decided together.
    """
    if (ours, theirs, value is not None).count(True) > 1:
        raise Invalid("--ours, --theirs and --value exclude each other. Choose one.")
    if (bool(conflict), record is not None, every).count(True) != 1:
        raise Invalid("Name conflicts by their ids, or one --record, or --all.")
    side: Side | None = "ours" if ours else "theirs" if theirs else None
    if every:
        wanted = (connection, record_type, _only_field(field))
        outcomes = _resolve_all(side, wanted, tenant=tenant, yes=yes)
    elif record is not None:
        outcomes = _resolve_record(record, side, field or [], connection, tenant)
    else:
        outcomes = _resolve_ids(conflict or [], side, value, tenant)
    if as_json:
        print_json(outcomes)
    else:
        _show_outcomes(outcomes)
    if any(each.problem for each in outcomes):
        raise typer.Exit(CALLER)


def _only_field(fields: Sequence[str] | None) -> str | None:
    if not fields:
        return None
    if len(fields) > 1 or "=" in fields[0]:
        raise Invalid("With --all, --field names one field, without a side.")
    return fields[0]


def _resolve_all(
    side: Side | None, wanted: tuple[str | None, str | None, str | None], *, tenant: str, yes: bool
) -> list[Outcome]:
    if side is None:
        raise Invalid("--all needs --ours or --theirs.")
    connection, record_type, field = wanted

    async def count(settings: Settings) -> int:
        async with open_hub(settings, tenant=tenant) as hub:
            meant = await make_filter(hub, connection=connection, record_type=record_type, field=field)
            return await count_open(hub, meant)

    async def decide(settings: Settings) -> list[Outcome]:
        async with open_hub(settings, tenant=tenant) as hub:
            meant = await make_filter(hub, connection=connection, record_type=record_type, field=field)
            return await resolve_all(hub, meant, side, by=whoever())

    if not yes:
        found = run(count)
        if not found:
            return []
        whose = "what is here" if side == "ours" else "what the CRM has"
        typer.confirm(f"Decide {found:,} conflicts for {whose}?", abort=True)
    return run(decide)


def _resolve_record(
    record: str, side: Side | None, fields: Sequence[str], connection: str | None, tenant: str
) -> list[Outcome]:
    chosen: dict[str, Side] = {}
    for each in fields:
        name, _, whose = each.partition("=")
        if whose not in ("ours", "theirs"):
            raise Invalid(f"--field {each} is not NAME=ours or NAME=theirs.")
        chosen[name] = whose
    if side is None and not chosen:
        raise Invalid("Say --ours or --theirs, or --field NAME=ours for single fields.")

    async def decide(settings: Settings) -> list[Outcome]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await resolve_record(
                hub,
                read_id(record, "record"),
                by=whoever(),
                side=side,
                fields=chosen,
                connection_id=None if connection is None else (await hub.get_connection(connection)).id,
            )

    return run(decide)


def _resolve_ids(ids: Sequence[str], side: Side | None, value: str | None, tenant: str) -> list[Outcome]:
    if side is None and value is None:
        raise Invalid("Say --ours, --theirs or --value.")
    resolution: Resolution = "custom" if side is None else side

    async def decide(settings: Settings) -> list[Outcome]:
        outcomes: list[Outcome] = []
        async with open_hub(settings, tenant=tenant) as hub:
            for each in [read_id(text, "conflict") for text in ids]:
                if any(known.conflict.id == each for known in outcomes):
                    continue  # decided together with one before
                outcomes += await resolve_one(hub, each, resolution, by=whoever(), value=value)
        return outcomes

    return run(decide)


def _show_outcomes(outcomes: Sequence[Outcome]) -> None:
    console = open_console()
    if not outcomes:
        console.print("There was nothing to decide.")
        return
    table = make_table("record", "field", "decided", "stands here now", "")
    for each in outcomes:
        name = f"{each.conflict.record_type} {each.conflict.label}".strip()
        if each.problem is not None:
            note = each.problem
        elif each.queued:
            note = f"goes to {each.conflict.connection}"
        elif each.resolution == "theirs":
            note = ""
        else:
            note = f"not sent: writing it to {each.conflict.connection} is not allowed"
        add_row(table, (name, each.conflict.field, each.resolution or "no", show_value(each.value), note))
    console.print(table)
