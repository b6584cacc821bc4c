"""`syncline tenant`: the tenants there are, and what holds for one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated

import typer

from syncline.actions.hub import DEFAULT_TENANT, Hub, open_hub
from syncline.actions.tenant import change_tenant, show_tenant
from syncline.actions.tenants import (
    create_tenant,
    list_tenants,
    rename_tenant,
    resume_tenant,
    suspend_tenant,
)
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json
from syncline.cli.person import operator
from syncline.cli.running import run
from syncline.cli.tenant_limits import limits_command
from syncline.config import Settings
from syncline.store.tenants import Tenant as KnownTenant
from syncline.store.tenants import TenantSettings

group = typer.Typer()

Slug = Annotated[str, typer.Argument(metavar="TENANT", help="Its name in commands: default, acme …")]
TimeZone = Annotated[str | None, typer.Option("--time-zone", help="Such as Europe/Berlin.")]
Currency = Annotated[str | None, typer.Option("--currency", help="Of records that name none.")]
Region = Annotated[
    str | None, typer.Option("--region", help="Country of phone numbers without a country code.")
]


@group.callback(invoke_without_command=True)
def command(
    context: typer.Context,
    time_zone: TimeZone = None,
    currency: Currency = None,
    region: Region = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Show a tenant's settings, and change those that are given.

    Numbers that are here already keep the country they were read in until `syncline sync --full`.
    """
    if context.invoked_subcommand is not None:
        return

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


@group.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List the tenants there are."""

    async def act(settings: Settings) -> list[KnownTenant]:
        async with open_hub(settings) as hub:
            return await list_tenants(hub, operator(hub))

    found = run(act)
    if as_json:
        print_json(found)
        return
    table = make_table("tenant", "label", "status", "time zone")
    for each in found:
        add_row(table, (each.slug, each.label, each.status, each.time_zone))
    open_console().print(table)


@group.command("create")
def create_command(
    slug: Slug,
    label: Annotated[str, typer.Option("--label", help="What people call it.")] = "",
    time_zone: TimeZone = None,
    currency: Currency = None,
    region: Region = None,
) -> None:
    """Make a tenant. `syncline user add --tenant` takes its people in."""

    async def act(hub: Hub) -> KnownTenant:
        return await create_tenant(
            hub,
            operator(hub),
            slug,
            label or slug,
            time_zone=time_zone or "UTC",
            currency=currency or "USD",
            region=region or "US",
        )

    made = _do(act)
    open_console().print(
        f"The tenant {made.slug} is made. Next: syncline user add EMAIL --role admin --tenant {made.slug}",
        markup=False,
    )


@group.command("rename")
def rename_command(
    slug: Slug, label: Annotated[str, typer.Argument(metavar="LABEL", help="What people call it.")]
) -> None:
    """Give a tenant another label. Its name in commands stays."""

    async def act(hub: Hub) -> KnownTenant:
        return await rename_tenant(hub, operator(hub), slug, label)

    done = _do(act)
    open_console().print(f"The tenant {done.slug} is called {done.label} now.", markup=False)


@group.command("suspend")
def suspend_command(slug: Slug) -> None:
    """Let nobody into a tenant and sync nothing of it. Its data stays."""

    async def act(hub: Hub) -> KnownTenant:
        return await suspend_tenant(hub, operator(hub), slug)

    done = _do(act)
    open_console().print(
        f"The tenant {done.slug} is suspended. `syncline tenant resume {done.slug}` lets it go on.",
        markup=False,
    )


@group.command("resume")
def resume_command(slug: Slug) -> None:
    """Let a suspended tenant go on."""

    async def act(hub: Hub) -> KnownTenant:
        return await resume_tenant(hub, operator(hub), slug)

    done = _do(act)
    open_console().print(f"The tenant {done.slug} goes on.", markup=False)


group.command("limits")(limits_command)


def _do(act: Callable[[Hub], Awaitable[KnownTenant]]) -> KnownTenant:
    async def start(settings: Settings) -> KnownTenant:
        async with open_hub(settings) as hub:
            return await act(hub)

    return run(start)
