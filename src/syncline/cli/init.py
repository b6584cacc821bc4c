"""`syncline init`: a database made ready."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from syncline.actions.first_admin import has_people, make_first_admin
from syncline.actions.hub import open_hub
from syncline.actions.setup import Initialized, initialization_sql, initialize
from syncline.cli.output import open_console
from syncline.cli.passwords import PasswordStdin, link_for, read_password
from syncline.cli.person import operator
from syncline.cli.running import run
from syncline.config import Settings, load_settings


def command(
    sql: Annotated[bool, typer.Option("--sql", help="Print what a DBA has to run first, and stop.")] = False,
    admin_email: Annotated[
        str | None, typer.Option("--admin-email", metavar="EMAIL", help="Who may sign in first, as admin.")
    ] = None,
    password_stdin: PasswordStdin = False,
) -> None:
    """Prepare a database: make its roles, bring the schema up, see that there is a key. Safe to repeat.

    Without SYNCLINE_DATABASE_URL an embedded Postgres is set up under SYNCLINE_HOME. With it,
    SYNCLINE_ADMIN_DATABASE_URL must log in as the database's owner with CREATEROLE. The first admin of the
    web application is asked for, or taken from --admin-email; they get a link for their password.
    """
    if sql:
        typer.echo(initialization_sql(load_settings()), nl=False)
        return
    _show(run(initialize))
    email = admin_email or _ask_for_admin()
    if email is not None:
        _admit(email, read_password(password_stdin))
    open_console().print("Next: syncline connect PLATFORM --name NAME, then syncline sync.")


def _ask_for_admin() -> str | None:
    """Return who is to be the first admin; None where nobody can be asked, or there is somebody already."""
    if not sys.stdin.isatty() or run(_has_people):
        return None
    given = typer.prompt("E-mail address of the first admin (empty for none)", default="", show_default=False)
    return str(given).strip() or None


async def _has_people(settings: Settings) -> bool:
    async with open_hub(settings) as hub:
        return await has_people(hub)


def _admit(email: str, password: str | None) -> None:
    async def act(settings: Settings) -> str | None:
        async with open_hub(settings) as hub:
            name = email.partition("@")[0]
            made = await make_first_admin(hub, operator(hub), email, name, password=password)
            return None if made.token is None else link_for(hub, made.token)

    link, console = run(act), open_console()
    if link is None:
        console.print(f"{email} can sign in.", markup=False)
        return
    console.print(f"{email} sets a password here, once `syncline serve` runs:", markup=False)
    console.print(f"\n    {link}\n", markup=False, soft_wrap=True)


def _show(done: Initialized) -> None:
    console = open_console()
    if done.created_roles:
        console.print(f"Roles made: {', '.join(done.created_roles)}.")
    applied = f"applied {', '.join(done.applied)}" if done.applied else "up to date"
    console.print(f"Schema {done.revision} in {done.database}: {applied}.")
    if done.new_key is None:
        console.print(f"The secret key is in {done.key_source}. Keep a copy of it apart from the backups.")
    else:
        console.print("Keep this secret key, and set it on every machine that runs Syncline:")
        console.print(f"\n    export SYNCLINE_SECRET_KEY={done.new_key}\n", markup=False)
