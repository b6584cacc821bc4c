"""`syncline connect`."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from syncline.actions.connect import Connected, Wish, begin_consent, connect_code, connect_token
from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.cli.callback import open_callback
from syncline.cli.options import Objects, Tenant
from syncline.cli.output import make_table, open_console, show_number
from syncline.cli.running import run
from syncline.config import Settings
from syncline.connectors.registry import get_platform
from syncline.errors import Invalid, SettingInvalid

_REDIRECT_PORT = 8751
_SECRET_VARIABLE = "OAUTH_CLIENT_SECRET"  # noqa: S105 - the variable's name


def command(
    platform: Annotated[str, typer.Argument(help="The kind of CRM.")],
    name: Annotated[str, typer.Option("--name", help="What to call the connection.")],
    token_env: Annotated[
        str | None,
        typer.Option("--token-env", metavar="VAR", help="Environment variable that holds the token."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="F", help="File that holds the token.")
    ] = None,
    oauth: Annotated[bool, typer.Option("--oauth", help="Ask a person for consent in the browser.")] = False,
    client_id: Annotated[str | None, typer.Option("--client-id", help="With --oauth: the app's id.")] = None,
    client_secret_env: Annotated[
        str,
        typer.Option("--client-secret-env", metavar="VAR", help="With --oauth: variable with its secret."),
    ] = _SECRET_VARIABLE,
    redirect_port: Annotated[
        int, typer.Option("--redirect-port", min=1, max=65_535, help="With --oauth: port of the redirect.")
    ] = _REDIRECT_PORT,
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="Where the CRM is, if elsewhere.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of this kind of CRM; see its page."),
    ] = None,
    objects: Objects = None,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Connect a CRM account, or give an existing connection a new token and resume it.

    The token is tried on every object first; when it does not serve, nothing is stored. Nothing is written
    to the CRM. A token is never taken from the command line, where others could see it.
    """
    wish = Wish(platform, name, base_url, tuple(objects or ()), _read_settings(settings or ()))
    if oauth:
        secret = _read_variable(client_secret_env, "--client-secret-env")
        if client_id is None:
            raise Invalid("--oauth needs --client-id: the id of your app at the CRM.")
        app_id = client_id
        _show(run(lambda settings: _by_consent(settings, wish, tenant, app_id, secret, redirect_port)))
        return
    token = _read_token(platform, token_env, token_file)

    async def connect(settings: Settings) -> Connected:
        async with open_hub(settings, tenant=tenant) as hub:
            return await connect_token(hub, wish, token)

    _show(run(connect))


async def _by_consent(
    settings: Settings, wish: Wish, tenant: str, client_id: str, client_secret: str, port: int
) -> Connected:
    async with open_hub(settings, tenant=tenant) as hub, open_callback(port) as callback:
        consent = begin_consent(wish, client_id, callback.redirect_uri)
        callback.expect(consent.state)
        console = open_console(errors=True)
        console.print(f"Open this address in a browser and grant access:\n\n{consent.url}\n", markup=False)
        if _has_screen():
            webbrowser.open(consent.url)
        code = await callback.wait()
        return await connect_code(
            hub,
            wish,
            client_id=client_id,
            client_secret=client_secret,
            redirect_uri=consent.redirect_uri,
            code=code,
        )


def _has_screen() -> bool:
    """Tell whether a browser can be shown; one that runs in the terminal would take it away from us."""
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _read_settings(words: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise Invalid(f"--set takes NAME=VALUE, not {word!r}.")
        found[name] = value
    return found


def _read_token(platform: str, variable: str | None, file: Path | None) -> str:
    if variable is not None and file is not None:
        raise Invalid("--token-env and --token-file exclude each other. Choose one.")
    if file is None:
        return _read_variable(variable or get_platform(platform).capabilities.token_variable, "--token-env")
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingInvalid(f"The token file {file} cannot be read ({reason}). Correct its path.") from error
    if not token:
        raise SettingInvalid(f"The token file {file} is empty. Write the token into it.")
    return token


def _read_variable(name: str, option: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise SettingInvalid(f"{name} is not set. Set it, or name another variable with {option}.")
    return value


def _show(connected: Connected) -> None:
    console = open_console()
    connection, account = connected.connection, connected.found.account
    verb = "has a new token" if connected.renewed else "is connected"
    console.print(f"{connection.name} {verb}: {account.name}.", markup=False)
    if account.url:
        console.print(f"In the browser: {account.url}", markup=False)
    table = make_table("object", "records at the source", right=("records at the source",))
    for each in connected.found.objects:
        table.add_row(each.object, show_number(each.count))
    console.print(table)
    console.print(f"Next: syncline sync {connection.name}", markup=False)
