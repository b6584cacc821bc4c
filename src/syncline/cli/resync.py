"""`syncline resync`: one record, now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.resync import Resynced, resync
from syncline.cli.exit_codes import FAILURE, code_of_all
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json, show_value
from syncline.cli.person import whoever
from syncline.cli.running import run
from syncline.config import Settings

_WORDS = {
    "same": "both sides agree.",
    "new": "it was not here yet, and is now.",
    "gone": "it is not there.",
    "left_out": "nothing was merged.",
    "failed": "it could not be done.",
    "changed": "",
}


def command(
    record: Annotated[str, typer.Argument(help="Its id here, an e-mail address, or connection:id.")],
    connection: Annotated[
        str | None, typer.Option("--connection", metavar="C", help="With this CRM only.")
    ] = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Read one record again from each CRM, merge it, send what differs, and say what became of each field."""

    async def bring(settings: Settings) -> list[Resynced]:
        async with open_hub(settings, tenant=tenant, application_name="syncline resync") as hub:
            return await resync(hub, record, connection=connection, by=whoever().name)

    result = run(bring)
    if as_json:
        print_json([_describe(each) for each in result])
    else:
        for each in result:
            _show(each)
    errors = [each.error for each in result if each.error is not None]
    refused = any(field.what == "refused" for each in result for field in each.fields)
    if errors or refused:
        raise typer.Exit(code_of_all(errors) or FAILURE)


def _show(item: Resynced) -> None:
    console = open_console()
    words = "nothing changed." if item.outcome == "same" and item.fields else _WORDS[item.outcome]
    console.print(f"{item.connection}, {item.object} {item.remote_id}: {words}".rstrip(), markup=False)
    for text in (item.note, item.error):
        if text:
            console.print(f"  {text}", markup=False)
    if item.fields:
        table = make_table("field", "what happened", "here before", "there before", "why")
        for each in item.fields:
            add_row(
                table,
                (
                    each.field,
                    each.what,
                    show_value(each.ours, 40),
                    show_value(each.theirs, 40),
                    each.reason or "",
                ),
            )
        console.print(table)


def _describe(item: Resynced) -> dict[str, Any]:
    error = item.error
    return {
        "connection": item.connection,
        "object": item.object,
        "remote_id": item.remote_id,
        "outcome": item.outcome,
        "fields": item.fields,
        "note": item.note,
        "run": item.run_id,
        "error": None if error is None else {"kind": type(error).__name__, "message": str(error)},
    }
