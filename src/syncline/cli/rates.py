"""`syncline rates`: what currencies are worth, so that amounts in several can be added up."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.metric_settings import import_rates, list_rates, put_rates, remove_rate
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json
from syncline.cli.person import operator
from syncline.cli.running import run
from syncline.config import Settings
from syncline.errors import Invalid
from syncline.store.rates import Rate

group = typer.Typer(no_args_is_help=True)

_From = Annotated[str, typer.Argument(metavar="FROM", help="A currency, such as EUR.")]
_To = Annotated[str, typer.Argument(metavar="TO", help="Another, usually the tenant's.")]
_Day = Annotated[datetime, typer.Argument(metavar="DAY", formats=["%Y-%m-%d"], help="Such as 2026-01-31.")]


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """Exchange rates. One holds from its day until the next; an amount without one is left out, and told."""


@group.command("list")
def list_command(
    currency: Annotated[str | None, typer.Option("--currency", help="Of this one only.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=20_000, help="At most so many.")] = 50,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """List the rates that were given, the latest day first."""

    async def look(settings: Settings) -> list[Rate]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await list_rates(hub, operator(hub), currency=currency, limit=limit)

    found = run(look)
    if as_json:
        print_json(found)
        return
    if not found:
        open_console().print("No rate was given yet.")
        return
    table = make_table("from day", "1", "is", "", right=("is",))
    for each in found:
        add_row(table, (each.valid_on, each.from_currency, each.rate, each.to_currency))
    open_console().print(table)


@group.command("set")
def set_command(
    from_currency: _From,
    to_currency: _To,
    day: _Day,
    rate: Annotated[str, typer.Argument(metavar="RATE", help="What one unit is worth.")],
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Give the rate of a day; one that was given before is replaced."""
    try:
        given = Rate(from_currency, to_currency, day.date(), Decimal(rate))
    except InvalidOperation:
        raise Invalid(f"{rate!r} is not a number.") from None

    async def act(settings: Settings) -> int:
        async with open_hub(settings, tenant=tenant) as hub:
            return await put_rates(hub, operator(hub), [given])

    open_console().print("Given." if run(act) else "It was that already.")


@group.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV: currency, date, rate.")],
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Give the rates of a CSV file, all or none; a column `to` names another currency than the tenant's."""

    async def act(settings: Settings) -> int:
        async with open_hub(settings, tenant=tenant) as hub:
            return await import_rates(hub, operator(hub), file.read_bytes())

    open_console().print(f"{run(act):,} are new, or other than before.")


@group.command("remove")
def remove_command(
    from_currency: _From, to_currency: _To, day: _Day, tenant: Tenant = DEFAULT_TENANT
) -> None:
    """Remove the rate of a day; the one before holds again."""

    async def act(settings: Settings) -> None:
        async with open_hub(settings, tenant=tenant) as hub:
            await remove_rate(hub, operator(hub), from_currency, to_currency, day.date())

    run(act)
    open_console().print("Removed.")
