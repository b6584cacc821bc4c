"""`syncline webhooks`: the secret they are signed with, and how they stand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.webhooks import (
    Subscribed,
    Webhook,
    WebhooksStatus,
    read_webhooks,
    set_secret,
    subscribe,
    unsubscribe,
)
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json, show_ago, show_number
from syncline.cli.running import run
from syncline.config import Settings
from syncline.errors import Invalid, SettingInvalid

_SECRET_VARIABLE = "WEBHOOK_SECRET"  # noqa: S105 - the variable's name
_SECRETS = {"none": "not set", "own": "set", "app": "the app's"}

group = typer.Typer(no_args_is_help=True)


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """What CRMs send of their own accord: changes are here within a second, and not at the next run."""


@group.command("show")
def show(as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Show the address to enter at each CRM, how the inboxes stand, and what was refused in the last day."""

    async def look(settings: Settings) -> WebhooksStatus:
        async with open_hub(settings, tenant=tenant) as hub:
            return await read_webhooks(hub)

    found = run(look)
    if as_json:
        print_json(found)
        return
    console = open_console()
    if not found.webhooks:
        console.print("No connection can receive webhooks.")
    for each in found.webhooks:
        console.print(f"{each.connection}: {each.url}", markup=False)
    if found.webhooks and not found.has_public_url:
        console.print(
            "Set SYNCLINE_PUBLIC_URL to the address of this installation that CRMs can reach.", markup=False
        )
    if found.webhooks:
        _show_inboxes(console, found)
    if found.refused:
        _show_refused(console, found)


@group.command("secret")
def secret(
    name: Annotated[str, typer.Argument(metavar="CONNECTION", help="Whose webhooks.")],
    secret_env: Annotated[
        str | None,
        typer.Option("--secret-env", metavar="VAR", help="Environment variable that holds the secret."),
    ] = None,
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", metavar="F", help="File that holds the secret.")
    ] = None,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Store the secret that a connection's webhooks are signed with, sealed; an earlier one is replaced.

    It is never taken from the command line, where others could see it, and never shown again.
    """
    given = _read_secret(secret_env, secret_file)

    async def store(settings: Settings) -> Webhook:
        async with open_hub(settings, tenant=tenant) as hub:
            return await set_secret(hub, name, given)

    stored = run(store)
    console = open_console()
    console.print(f"The secret of {stored.connection} is stored.", markup=False)
    console.print(f"Address to enter at the CRM: {stored.url}", markup=False)


@group.command("subscribe")
def subscribe_command(
    name: Annotated[str, typer.Argument(metavar="CONNECTION", help="Whose CRM shall tell of changes.")],
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Make a CRM tell of changes, where that can be done from here. What it drops is subscribed to anew."""

    async def ask(settings: Settings) -> Subscribed:
        async with open_hub(settings, tenant=tenant) as hub:
            return await subscribe(hub, name)

    found = run(ask)
    if as_json:
        print_json(found)
        return
    console = open_console()
    for each in found.made:
        console.print(f"Subscribed: {each}", markup=False)
    console.print(f"{found.connection} tells of changes from now on.", markup=False)


@group.command("unsubscribe")
def unsubscribe_command(
    name: Annotated[str, typer.Argument(metavar="CONNECTION", help="Whose CRM shall be silent again.")],
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Take back what subscribe did. The schedules go on."""

    async def ask(settings: Settings) -> int:
        async with open_hub(settings, tenant=tenant) as hub:
            return await unsubscribe(hub, name)

    removed = run(ask)
    open_console().print(f"Subscriptions taken back: {removed}.")


def _read_secret(variable: str | None, file: Path | None) -> str:
    if variable is not None and file is not None:
        raise Invalid("--secret-env and --secret-file exclude each other. Choose one.")
    if file is None:
        name = variable or _SECRET_VARIABLE
        value = os.environ.get(name, "").strip()
        if not value:
            raise SettingInvalid(f"{name} is not set. Set it, or name another variable with --secret-env.")
        return value
    try:
        value = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingInvalid(f"The file {file} cannot be read ({reason}). Correct its path.") from error
    if not value:
        raise SettingInvalid(f"The file {file} is empty. Write the secret into it.")
    return value


def _show_inboxes(console: Console, found: WebhooksStatus) -> None:
    table = make_table(
        *("connection", "secret", "last delivery", "events today", "waiting", "given up", "state"),
        right=("events today", "waiting", "given up"),
    )
    for each in found.webhooks:
        count = each.inbox
        add_row(
            table,
            (
                each.connection,
                _SECRETS[each.secret],
                show_ago(None if count is None else count.last_at, found.at),
                show_number(0 if count is None else count.events_today),
                show_number(0 if count is None else count.pending),
                show_number(0 if count is None else count.failed),
                _state(each, found),
            ),
        )
    console.print(table)


def _state(webhook: Webhook, found: WebhooksStatus) -> str:
    count = webhook.inbox
    if webhook.paused:
        return "paused"
    if count is None:
        return "waits for the first delivery" if webhook.secret != "none" else "needs its secret"  # noqa: S105 - a kind
    if count.oldest_at is not None:
        return f"the oldest came {show_ago(count.oldest_at, found.at)}"
    return count.problem or "worked off"


def _show_refused(console: Console, found: WebhooksStatus) -> None:
    console.print("Refused in the last day:")
    table = make_table("connection", "reason", "from", "last", "times", right=("times",))
    for each in found.refused:
        add_row(
            table,
            (
                each.connection or "-",
                each.reason,
                each.network or "-",
                show_ago(each.last_at, found.at),
                show_number(each.count),
            ),
        )
    console.print(table)
