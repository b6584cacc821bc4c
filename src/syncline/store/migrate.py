"""Brings the schema up or down and prints it for a DBA. Runs as `syncline_owner`, never as the application.

Alembic and SQLAlchemy are known here and in `migrations/` only.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from psycopg import errors, sql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from syncline.errors import Busy, DatabaseUnsuitable, Invalid, SchemaOutdated
from syncline.store.db import VERSIONS, connect, find_revision, list_revisions
from syncline.store.roles import APP, OWNER, READER
from syncline.store.urls import for_driver, uses_transaction_pooler

#: Held for the length of a migration, so that two never run at once.
_LOCK = 6_032_718_114
_DDL_PATIENCE_SECONDS = 10
#: Alembic's `op` and `context` are one per process.
_alembic = threading.Lock()

_HEADER: tuple[LiteralString, ...] = (
    "-- Run this with ON_ERROR_STOP set, in psql.",
    "set role {owner};",
    "create schema if not exists app;",
)
_FOOTER: tuple[LiteralString, ...] = (
    "grant usage on schema app to {app}, {reader};",
    "grant select on app.alembic_version to {app}, {reader};",
    "reset role;",
)


async def upgrade(
    admin_url: str, target: str = "head", *, versions: Path = VERSIONS, patience_seconds: float = 60
) -> list[str]:
    """Apply what is missing up to `target`, one transaction per version; return what was applied.

    `admin_url` logs in as `syncline_owner` or a member of it. A version that fails leaves those before it
    applied and nothing of itself. Nothing missing is no error. Waits for another migration for at most
    `patience_seconds`, and for other programs' transactions for at most ten of them, for behind a waiting
    migration everybody else waits too.
    Raises `Busy` when that was not enough, `DatabaseUnsuitable` for a role that may not, `SchemaOutdated`
    for a schema newer than this program, `Invalid` for an unknown `target`.
    """
    _require_known(target, versions)
    before = await pending(admin_url, versions=versions)
    work = _Work(admin_url, versions, patience_seconds, lambda config: command.upgrade(config, target))
    await asyncio.to_thread(_run, work)
    after = await pending(admin_url, versions=versions)
    return [revision for revision in before if revision not in after]


async def downgrade(
    admin_url: str, target: str, *, versions: Path = VERSIONS, patience_seconds: float = 60
) -> list[str]:
    """Take back versions down to `target` ("base" for all of them); return what was taken back, newest first.

    Waits and raises as `upgrade` does.
    """
    _require_known(target, versions)
    before = await pending(admin_url, versions=versions)
    work = _Work(admin_url, versions, patience_seconds, lambda config: command.downgrade(config, target))
    await asyncio.to_thread(_run, work)
    after = await pending(admin_url, versions=versions)
    return [revision for revision in reversed(after) if revision not in before]


async def current(admin_url: str) -> str | None:
    """Return the revision of the schema, None before the first."""
    async with await connect(admin_url, application_name="syncline migrate") as conn:
        return await find_revision(conn)


async def pending(admin_url: str, *, versions: Path = VERSIONS) -> list[str]:
    """Return the revisions not applied yet, oldest first. Raises `SchemaOutdated` for an unknown schema."""
    revision, known = await current(admin_url), list_revisions(versions)
    if revision is None:
        return known
    if revision not in known:
        raise SchemaOutdated(
            f"The database's schema is at {revision}, newer than this program, which knows {known[-1]}. "
            "Upgrade Syncline."
        )
    return known[known.index(revision) + 1 :]


def offline_sql(*, start: str = "base", target: str = "head", versions: Path = VERSIONS) -> str:
    """Return the SQL that leads from revision `start` to `target`, for a DBA to run in psql.

    The DBA must be a member of `syncline_owner`, and the roles must exist (`roles.roles_sql`).
    """
    _require_known(start, versions)
    _require_known(target, versions)
    config = _config(versions)
    config.output_buffer = io.StringIO()
    with _alembic:
        command.upgrade(config, f"{start}:{target}", sql=True)
    lines = [*map(_compose, _HEADER), config.output_buffer.getvalue(), *map(_compose, _FOOTER)]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Work:
    admin_url: str
    versions: Path
    patience_seconds: float
    run: Callable[[Config], None]


def _run(work: _Work) -> None:
    """Run an Alembic command as the owner, under the lock, on a connection of its own."""
    if uses_transaction_pooler(work.admin_url):
        raise DatabaseUnsuitable(
            "Migrations cannot run through a transaction-mode pooler. Let SYNCLINE_ADMIN_DATABASE_URL name "
            "the direct or session-mode address; if it does, add ?pool_mode=session to it."
        )
    engine = sa.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(for_driver(work.admin_url)),
        poolclass=NullPool,
    )
    try:
        with _alembic, engine.connect() as connection:
            _prepare(connection, work.patience_seconds)
            config = _config(work.versions)
            config.attributes["connection"] = connection
            work.run(config)
            connection.commit()
    except CommandError as exc:
        raise Invalid(f"Alembic cannot do this: {exc}.") from exc
    except DBAPIError as exc:
        raise _explain(exc) from None  # its text repeats a whole migration
    finally:
        engine.dispose()


_PREPARE: tuple[LiteralString, ...] = (
    "set lock_timeout = {patience}",
    "select pg_catalog.pg_advisory_lock({lock})",
    "set lock_timeout = {ddl_patience}",
    "set role {owner}",
    "create schema if not exists app",
    """
create table if not exists app.alembic_version (
  version_num varchar(32) not null, constraint alembic_version_pkc primary key (version_num)
)""",
    "grant usage on schema app to {app}, {reader}",
    "grant select on app.alembic_version to {app}, {reader}",
)


def _prepare(connection: sa.Connection, patience_seconds: float) -> None:
    """Take the lock, become the owner and make the version table, which the application may read."""
    for statement in _PREPARE:
        connection.exec_driver_sql(_compose(statement, patience_seconds))
    connection.commit()


def _config(versions: Path) -> Config:
    config = Config()
    for option, path in (("script_location", VERSIONS.parent), ("version_locations", versions)):
        # Alembic reads its options with interpolation.
        config.set_main_option(option, str(path).replace("%", "%%"))
    # One folder, which may have spaces in its name, rather than a list.
    config.set_main_option("path_separator", "newline")
    return config


def _require_known(target: str, versions: Path) -> None:
    known = list_revisions(versions)
    if target not in {"head", "base", *known}:
        raise Invalid(f"There is no revision {target}. Known are {', '.join(known)}, head and base.")


def _explain(exc: DBAPIError) -> BaseException:
    cause = exc.orig
    if isinstance(cause, errors.LockNotAvailable):
        return Busy(
            "The schema is locked by another migration or by a transaction that does not end. "
            "Stop the workers, then try again."
        )
    if isinstance(
        cause, errors.InsufficientPrivilege | errors.UndefinedObject | errors.InvalidParameterValue
    ):
        return DatabaseUnsuitable(
            f"Postgres refused: {cause.diag.message_primary}. SYNCLINE_ADMIN_DATABASE_URL must log in as "
            f"{OWNER} or a member of it, and the roles must exist: run `syncline init`."
        )
    return cause or exc


def _compose(statement: LiteralString, patience_seconds: float = 0) -> str:
    values: dict[str, sql.Composable] = {
        "owner": sql.Identifier(OWNER),
        "app": sql.Identifier(APP),
        "reader": sql.Identifier(READER),
        "lock": sql.Literal(_LOCK),
        "patience": sql.Literal(round(patience_seconds * 1000)),
        "ddl_patience": sql.Literal(round(min(patience_seconds, _DDL_PATIENCE_SECONDS) * 1000)),
    }
    return sql.SQL(statement).format(**values).as_string()
