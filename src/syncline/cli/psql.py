"""`syncline psql`: a session on one tenant's data."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from typing import Annotated

import typer

from syncline.actions.console import PsqlCall, prepare_psql
from syncline.actions.hub import DEFAULT_TENANT
from syncline.cli.options import Tenant
from syncline.cli.running import run
from syncline.config import Settings

#: What stands behind `--` belongs to psql.
CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}


def command(
    context: typer.Context,
    tenant: Tenant = DEFAULT_TENANT,
    admin: Annotated[
        bool, typer.Option("--admin", help="As the schema's owner, who may change everything of all tenants.")
    ] = False,
) -> None:
    """Open psql on your data, read-only, with the schemas compat, crm, sync and raw at hand.

    What stands behind -- is psql's own: syncline psql -- -c "select count(*) from contacts".
    """
    arguments = list(context.args)

    async def open_session(settings: Settings) -> int:
        async with prepare_psql(settings, arguments, tenant=tenant, as_owner=admin) as call:
            return await asyncio.to_thread(_run, call)

    # Ctrl-C is psql's: it cancels a query there, and does not end the session.
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = run(open_session)
    finally:
        signal.signal(signal.SIGINT, previous)
    raise typer.Exit(code)


def _run(call: PsqlCall) -> int:
    process = subprocess.run(call.command, env=dict(call.environment), check=False)  # noqa: S603 - psql, as found
    return process.returncode
