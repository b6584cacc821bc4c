"""`syncline migrate`: the schema brought up to this version, or printed."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.actions.setup import Migrated, migrate_down, migrate_up, migration_sql
from syncline.cli.options import Yes
from syncline.cli.output import open_console
from syncline.cli.running import run


def command(
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL for a DBA, and change nothing.")] = False,
    start: Annotated[
        str, typer.Option("--from", metavar="R", help="With --sql: the revision there is.")
    ] = "base",
    down: Annotated[
        str | None,
        typer.Option("--down", metavar="R", help="Take versions back to this one, with their data."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Bring the database's schema up to this version of Syncline.

    Needs SYNCLINE_ADMIN_DATABASE_URL, unless the embedded Postgres is used. Stop the workers first.
    """
    if sql:
        typer.echo(migration_sql(start), nl=False)
        return
    if down is None:
        _show(run(migrate_up), "applied")
        return
    if not yes:
        typer.confirm(
            f"This drops the tables of every version after {down}, with their data. Go on?", abort=True
        )
    target = down
    _show(run(lambda settings: migrate_down(settings, target)), "taken back")


def _show(done: Migrated, verb: str) -> None:
    what = f"{verb} {', '.join(done.versions)}" if done.versions else "nothing to do"
    open_console().print(f"{done.database}: {what}; the schema is at {done.revision or 'nothing'}.")
