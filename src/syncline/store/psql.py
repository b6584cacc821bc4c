"""How psql is started for a person: as which role, seeing which tenant, finding which names first."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

from psycopg.conninfo import make_conninfo

from syncline.errors import DatabaseUnsuitable
from syncline.store.binaries import list_clients
from syncline.store.urls import parse

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
    environment["PGOPTIONS"] = f"-c search_path={_SEARCH_PATH} -c app.current_tenant_id={tenant_id}"
    password = parts.pop("password", None)
    if password is not None:
        environment["PGPASSWORD"] = password
    return [found[-1].path("psql"), f"--dbname={make_conninfo(**parts)}"], environment
