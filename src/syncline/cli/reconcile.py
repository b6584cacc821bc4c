"""`syncline reconcile`: compare everything with the CRMs, now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.reconcile import Reconciled, Wanted, reconcile_now
from syncline.cli.exit_codes import PARKED, code_of_all
from syncline.cli.options import AsJson, Objects, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json, show_number
from syncline.cli.progress import show_progress
from syncline.cli.running import run
from syncline.config import Settings
from syncline.store.drift import SourceCount

_COLUMNS = (
    "object",
    "outcome",
    "compared",
    "at source",
    "here",
    "records",
    "mended",
    "open",
    "kept",
    "seconds",
)


def command(
    connection: Annotated[
        str | None, typer.Argument(help="The connection to reconcile; all when left out.")
    ] = None,
    objects: Objects = None,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Change nothing; only find out what differs.")
    ] = False,
    heal_all: Annotated[
        bool, typer.Option("--heal-all", help="Mend what differs however much it is, this once.")
    ] = False,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Compare everything with the CRMs, now: changes and deletes that were missed, and fields that differ.

    A little is mended, much is reported. It goes on beside every sync; stop it whenever you like, the next
    one goes on from there.
    """
    wanted = Wanted([] if connection is None else [connection], objects or (), report_only, heal_all)

    async def compare(settings: Settings) -> list[Reconciled]:
        async with (
            open_hub(settings, tenant=tenant, application_name="syncline reconcile") as hub,
            show_progress(hub, quiet=as_json) as progress,
        ):
            return await reconcile_now(hub, wanted, progress=progress)

    result = run(compare)
    if as_json:
        print_json([_describe(each) for each in result])
    else:
        _show(result)
    is_partial = any(each.outcome == "partial" for each in result)
    code = code_of_all([each.error for each in result if each.error is not None])
    if code or is_partial:
        raise typer.Exit(code or PARKED)


def _show(result: list[Reconciled]) -> None:
    console, errors = open_console(), open_console(errors=True)
    if not result:
        console.print("Nothing has been read yet; there is nothing to compare. `syncline sync` reads it.")
        return
    several = len({each.connection for each in result}) > 1
    table = make_table(*(["connection"] if several else []), *_COLUMNS, right=_COLUMNS[2:])
    for each in result:
        add_row(table, [*([each.connection] if several else []), each.object, each.outcome, *_numbers(each)])
    console.print(table)
    for each in result:
        reason = each.error or ((each.run and each.run.error_details) or {}).get("error")
        if reason:
            errors.print(f"{each.connection}, {each.object}: {reason}", markup=False, style="red")
    if any(each.count("open") for each in result):
        console.print("`syncline drift` shows what is open, field by field.", markup=False)


def _numbers(item: Reconciled) -> list[str]:
    run_, counts = item.run, item.counts
    if run_ is None:
        return [""] * 8
    return [
        show_number(run_.records_read),
        *([show_number(_at_source(counts)), show_number(counts.mirrored)] if counts else ["-", "-"]),
        show_number(counts.records if counts else None),
        *(show_number(item.count(state)) for state in ("healed", "open", "kept")),
        f"{(run_.duration_ms or 0) / 1000:.1f}",
    ]


def _at_source(counts: SourceCount) -> int | None:
    """Return what the CRM says it has, or else what its list held."""
    return counts.listed if counts.at_source is None else counts.at_source


def _describe(item: Reconciled) -> dict[str, Any]:
    error = item.error
    return {
        "connection": item.connection,
        "object": item.object,
        "outcome": item.outcome,
        "run": item.run,
        "counts": item.counts,
        "drift": item.drift,
        "error": None if error is None else {"kind": type(error).__name__, "message": str(error)},
    }
