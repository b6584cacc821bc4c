"""How psql is started for a person: as which role, seeing which tenant, finding which names first."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

from psycopg.conninfo import make_conninfo

from syncline.errors import DatabaseUnreachable, DatabaseUnsuitable
from syncline.store.binaries import list_clients
from syncline.store.db import connect
from syncline.store.urls import describe, parse

#: Where a name without its schema is looked for; `compat` first, so that the documented queries run.
_SEARCH_PATH = "compat,crm,raw,sync,app"


def psql_command(
    url: str, *, tenant_id: UUID, postgres_bin: Path | None = None
) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the environment of a psql that sees `tenant_id`, for `os.execve`.

    The password is in the environment, which only the same OS user can read, and never among the arguments.
    Tenant and search path are defaults of the session: they hold on a direct connection, and a
    transaction-mode pooler refuses them. Raises `DatabaseUnsuitable` where there is no psql.
    """
    found = list_clients(named=postgres_bin, server_major=0)
    if not found:
        raise DatabaseUnsuitable(
            "No psql was found. Install the client programs of PostgreSQL and set SYNCLINE_POSTGRES_BIN to "
            "their folder."
        )
    parts = parse(url)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "SYNCLINE_"))}
    environment["PGAPPNAME"] = "syncline psql"
    # Its own, if the URL has any, would take the place of these.
    environment["PGOPTIONS"] = f"{parts.pop('options', '')} {_options(tenant_id)}".strip()
    password = parts.pop("password", None)
    if password is not None:
        environment["PGPASSWORD"] = password
    return [found[-1].path("psql"), f"--dbname={make_conninfo(**parts)}"], environment


_READ_TENANT = "select pg_catalog.current_setting('app.current_tenant_id', true)"


async def require_options(url: str, *, tenant_id: UUID, setting: str) -> None:
    """Raise `DatabaseUnsuitable` where start-up options are refused or dropped, as poolers do.

    Dropped in silence they would leave a session without a tenant, in which every table is empty.
    `setting` names the variable that `url` came from. Raises `DatabaseUnreachable` as `connect` does.
    """
    separator = "&" if "?" in url else "?"
    try:
        found = await _ask_tenant(f"{url}{separator}options={quote(_options(tenant_id))}")
    except DatabaseUnreachable:
        await _ask_tenant(url)  # when this fails, too, the options are not to blame
        found = None
    if found != str(tenant_id):
        raise DatabaseUnsuitable(
            f"psql is told its tenant by start-up options, and what answers at {describe(url)} does not take "
            f"them, as poolers do not. Let {setting} name the server's direct address."
        )


async def _ask_tenant(url: str) -> str | None:
    async with await connect(url, application_name="syncline psql") as conn:
        row = await (await conn.execute(_READ_TENANT)).fetchone()
    return row[0] if row else None


def _options(tenant_id: UUID) -> str:
    return f"-c search_path={_SEARCH_PATH} -c app.current_tenant_id={tenant_id}"
