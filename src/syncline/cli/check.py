"""`syncline check`: every connection tried."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from syncline.actions.check import Checked, check_connections
from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.status import NO_LIMIT
from syncline.cli.exit_codes import CALLER, FAILURE, code_of_all
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import make_table, open_console, print_json, show_number
from syncline.cli.running import run
from syncline.config import Settings


def command(
    name: Annotated[str | None, typer.Argument(help="The connection to try; all when left out.")] = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Try each connection: is the token accepted, may it read every object, how much quota is left, does the
    clock agree. A few calls per object, nothing is stored.
    """

    async def check(settings: Settings) -> list[Checked]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await check_connections(hub, [] if name is None else [name])

    found = run(check)
    if as_json:
        print_json([_describe(each) for each in found])
    else:
        _show(found)
    if not found:
        raise typer.Exit(CALLER)
    problems = [problem for each in found for problem in each.problems]
    if problems:
        raise typer.Exit(code_of_all(problems))
    if not all(each.clocks_agree for each in found):
        raise typer.Exit(FAILURE)


def _show(found: list[Checked]) -> None:
    console = open_console()
    if not found:
        open_console(errors=True).print("There is no connection yet. Make one: syncline connect.")
    for each in found:
        _show_one(each)
        for problem in each.problems:
            console.print(f"  ! {problem}", markup=False, style="red")


def _show_one(checked: Checked) -> None:
    console = open_console()
    connection, account = checked.connection, checked.account
    console.print(
        f"{connection.name} ({connection.platform}, {connection.base_url})", markup=False, style="bold"
    )
    if account is None:
        return
    agree = "agrees" if checked.clocks_agree else "DISAGREES"
    console.print(f"  account {account.name} {account.account_id}, token accepted", markup=False)
    console.print(f"  clock {agree} ({account.clock_skew_seconds:+.1f} s)")
    for one in checked.quota:
        limited = one.limit is not None and one.limit < NO_LIMIT
        limit = f"{one.limit:,} per {one.window_ms / 1000:g} s" if limited else "no limit"
        daily = one.day_limit is not None and one.day_limit < NO_LIMIT
        day = f", {one.day_used:,} of {one.day_limit:,} today" if daily else ""
        console.print(f"  quota {one.bucket}: {limit} ({one.source}){day}")
    table = make_table("object", "readable", "records at the source", right=("records at the source",))
    for item in checked.objects:
        table.add_row(item.object, "yes" if item.problem is None else "NO", show_number(item.count))
    console.print(table)


def _describe(checked: Checked) -> dict[str, Any]:
    account = checked.account
    return {
        "connection": checked.connection.name,
        "platform": checked.connection.platform,
        "account_id": None if account is None else account.account_id,
        "clock_skew_seconds": None if account is None else account.clock_skew_seconds,
        "clocks_agree": checked.clocks_agree,
        "objects": [
            {
                "object": each.object,
                "readable": each.problem is None,
                "count": each.count,
                "missing_scopes": list(each.missing_scopes),
                "problem": None if each.problem is None else str(each.problem),
            }
            for each in checked.objects
        ],
        "quota": checked.quota,
        "problem": None if checked.problem is None else str(checked.problem),
    }
