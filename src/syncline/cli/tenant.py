"""`syncline tenant`: time zone, currency and country of a tenant."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.tenant import change_tenant, show_tenant
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json
from syncline.cli.running import run
from syncline.config import Settings
from syncline.store.tenants import TenantSettings


def command(
    time_zone: Annotated[str | None, typer.Option("--time-zone", help="Such as Europe/Berlin.")] = None,
    currency: Annotated[str | None, typer.Option("--currency", help="Of records that name none.")] = None,
    region: Annotated[
        str | None, typer.Option("--region", help="Country of phone numbers without a country code.")
    ] = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Show a tenant's settings, and change those that are given.

    Numbers that are here already keep the country they were read in until `syncline sync --full`.
    """

    async def act(settings: Settings) -> TenantSettings:
        async with open_hub(settings, tenant=tenant) as hub:
            if time_zone is None and currency is None and region is None:
                return await show_tenant(hub)
            return await change_tenant(hub, time_zone=time_zone, currency=currency, region=region)

    found = run(act)
    if as_json:
        print_json({"tenant": tenant, **asdict(found)})
        return
    table = make_table("setting", "value")
    for name, value in asdict(found).items():
        add_row(table, (name.replace("_", " "), value))
    open_console().print(table)
