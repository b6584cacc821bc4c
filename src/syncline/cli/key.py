"""`syncline key`: API keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from syncline.actions.api_keys import create_key, list_keys, revoke_key
from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json, show_ago
from syncline.cli.person import operator
from syncline.cli.running import run
from syncline.clock import now
from syncline.config import Settings
from syncline.errors import NotFound
from syncline.store.api_keys import ApiKey

group = typer.Typer(no_args_is_help=True)


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """Keys by which programs use the API. A key belongs to one tenant and can do no more than its role."""


@group.command("create")
def create_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who or what uses it.")],
    role: Annotated[str, typer.Option("--role", help="rep, manager or admin.")] = "rep",
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="S", help="Only this permission; may be given again."),
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=3650, help="How long it lasts; for ever if left out.")
    ] = None,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Make a key and print it, alone, on standard output. It is stored nowhere and shown never again."""

    async def act(settings: Settings) -> str:
        expires = None if days is None else now() + timedelta(days=days)
        async with open_hub(settings, tenant=tenant) as hub:
            return await create_key(hub, operator(hub), name, scopes or None, role, expires)

    typer.echo(run(act))


@group.command("list")
def list_command(as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """List the keys of a tenant, the newest first, also revoked and expired ones."""

    async def act(settings: Settings) -> list[ApiKey]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await list_keys(hub, operator(hub))

    found = run(act)
    if as_json:
        print_json(found)
        return
    at = now()
    table = make_table("name", "key", "role", "scopes", "made by", "last used", "")
    for each in found:
        scopes = "all" if each.scopes is None else ", ".join(each.scopes)
        state = "revoked" if each.revoked_at is not None else ""
        if not state and each.expires_at is not None:
            state = "expired" if each.expires_at <= at else f"ends {show_ago(each.expires_at, at)}"
        used = show_ago(each.last_used_at, at)
        add_row(table, (each.name, each.prefix, each.role, scopes, each.created_by, used, state))
    open_console().print(table)


@group.command("revoke")
def revoke_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The key's name or id.")],
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """End a key at once."""

    async def act(settings: Settings) -> str:
        async with open_hub(settings, tenant=tenant) as hub:
            known = await list_keys(hub, operator(hub))
            fit = [each for each in known if each.revoked_at is None and name in {each.name, str(each.id)}]
            if not fit:
                raise NotFound(f"There is no key called {name!r} that could be ended. `syncline key list`.")
            await revoke_key(hub, operator(hub), fit[0].id)
            return fit[0].name

    open_console().print(f"The key {run(act)} is of no more use.", markup=False)
