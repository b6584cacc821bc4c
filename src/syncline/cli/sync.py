"""`syncline sync`."""

from __future__ import annotations

import traceback
from typing import Annotated, Any

import typer

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.sync import Synced, SyncResult, sync
from syncline.cli.debugging import DEBUGGING
from syncline.cli.exit_codes import PARKED, code_of_all
from syncline.cli.logs import mask_value
from syncline.cli.options import AsJson, Objects, Tenant
from syncline.cli.output import make_table, open_console, print_json, show_number
from syncline.cli.progress import show_progress
from syncline.cli.running import run
from syncline.config import Settings


def command(
    connection: Annotated[
        str | None, typer.Argument(help="The connection to sync; all when left out.")
    ] = None,
    objects: Objects = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything again, not only what changed.")
    ] = False,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Bring what changed in the CRMs into Postgres, now. The first time everything is read.

    What another worker is at is waited for. Stop it whenever you like: the next run goes on from there.
    """

    async def bring(settings: Settings) -> SyncResult:
        async with (
            open_hub(settings, tenant=tenant, application_name="syncline sync") as hub,
            show_progress(hub, quiet=as_json) as progress,
        ):
            return await sync(
                hub,
                names=[] if connection is None else [connection],
                objects=objects or (),
                full=full,
                progress=progress,
            )

    result = run(bring)
    if as_json:
        print_json(describe(result))
    else:
        show_result(result)
    if DEBUGGING.get():
        for error in result.errors:
            text = "".join(traceback.format_exception(error))
            open_console(errors=True).print(mask_value(text), markup=False)
    code = code_of_all(result.errors) or (PARKED if result.is_partial else 0)
    if code:
        raise typer.Exit(code)


def show_result(result: SyncResult) -> None:
    """Print what became of each object, and every error as a sentence on standard error."""
    several = len({item.connection for item in result.items}) > 1
    columns = ["object", "outcome", "read", "new", "changed", "archived", "parked", "calls", "seconds"]
    table = make_table(*(["connection"] if several else []), *columns, right=columns[2:])
    for item in result.items:
        table.add_row(*([item.connection] if several else []), item.object, item.outcome, *_numbers(item))
    open_console().print(table)
    errors = open_console(errors=True)
    told: set[str] = set()
    for item in result.items:
        if item.error is not None and str(item.error) not in told:
            told.add(str(item.error))
            errors.print(f"{item.connection}, {item.object}: {item.error}", markup=False, style="red")


def _numbers(item: Synced) -> list[str]:
    run_ = item.run
    if run_ is None:
        return [""] * 7
    counts = (
        run_.records_read,
        run_.records_created,
        run_.records_updated,
        run_.records_archived,
        run_.records_failed,
        run_.api_calls,
    )
    return [*(show_number(each) for each in counts), f"{(run_.duration_ms or 0) / 1000:.1f}"]


def describe(result: SyncResult) -> dict[str, Any]:
    """Return the result for programs."""
    return {
        "ok": not result.errors,
        "partial": result.is_partial,
        "items": [
            {
                "connection": item.connection,
                "object": item.object,
                "outcome": item.outcome,
                "run": item.run,
                "error": None
                if item.error is None
                else {"kind": type(item.error).__name__, "message": str(item.error)},
            }
            for item in result.items
        ],
    }
