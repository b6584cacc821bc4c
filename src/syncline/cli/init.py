"""`syncline init`: a database made ready."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.actions.setup import Initialized, initialization_sql, initialize
from syncline.cli.output import open_console
from syncline.cli.running import run
from syncline.config import load_settings


def command(
    sql: Annotated[bool, typer.Option("--sql", help="Print what a DBA has to run first, and stop.")] = False,
) -> None:
    """Prepare a database: make its roles, bring the schema up, see that there is a key. Safe to repeat.

    Without SYNCLINE_DATABASE_URL an embedded Postgres is set up under SYNCLINE_HOME. With it,
    SYNCLINE_ADMIN_DATABASE_URL must log in as the database's owner with CREATEROLE.
    """
    if sql:
        typer.echo(initialization_sql(load_settings()), nl=False)
        return
    _show(run(initialize))


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
    console.print("Next: syncline connect PLATFORM --name NAME, then syncline sync.")
