"""`syncline disconnect`: a connection ended, with its data or without."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.actions.disconnect import Departure, disconnect, plan_departure
from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.cli.options import Tenant, Yes
from syncline.cli.output import make_table, open_console, show_number
from syncline.cli.running import run
from syncline.config import Settings
from syncline.errors import Invalid


def command(
    name: Annotated[str, typer.Argument(help="The connection to end.")],
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Keep all records in crm.")] = False,
    remove_data: Annotated[
        bool, typer.Option("--remove-data", help="Remove records that came by this connection only.")
    ] = False,
    yes: Yes = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """End a connection. Shows first what would go; changes nothing at the CRM.

    Its mirror in raw, its links, runs, schedules and credentials go in either case. Records that are kept
    lose their link: connecting the account again makes contacts and companies out anew by e-mail and domain,
    and brings everything else a second time.
    """
    if keep_data and remove_data:
        raise Invalid("--keep-data and --remove-data exclude each other. Choose one.")

    async def plan(settings: Settings) -> Departure:
        async with open_hub(settings, tenant=tenant) as hub:
            return await plan_departure(hub, name)

    async def end(settings: Settings) -> Departure:
        async with open_hub(settings, tenant=tenant) as hub:
            return await disconnect(hub, name, remove_data=remove)

    departure = run(plan)
    _show(departure)
    remove = remove_data or (not keep_data and _ask_which(yes=yes))
    if not yes:
        what = "and remove its data" if remove else "and keep its records"
        typer.confirm(f"Disconnect {name} {what}?", abort=True)
    run(end)
    open_console().print(f"{name} is disconnected; its records were {'removed' if remove else 'kept'}.")


def _ask_which(*, yes: bool) -> bool:
    if yes:
        raise Invalid("--yes needs --keep-data or --remove-data: it is not guessed which.")
    return typer.confirm("Remove the records that came by this connection only?", default=False)


def _show(departure: Departure) -> None:
    console = open_console()
    connection = departure.connection
    console.print(
        f"{connection.name}: {connection.platform}, {connection.account_name or connection.account_id}"
    )
    table = make_table("record", "linked here", "only here", right=("linked here", "only here"))
    for kind in {**departure.linked, **departure.only_here}:
        table.add_row(
            kind, show_number(departure.linked.get(kind, 0)), show_number(departure.only_here.get(kind, 0))
        )
    console.print(table)
    payloads = sum(departure.payloads.values())
    console.print(f"The mirror of {payloads:,} payloads in raw goes in either case.")
