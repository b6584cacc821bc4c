"""Copies Syncline's schemas into a file and back, whole or not at all, and counts the rows to prove it.

The file is pg_dump's custom format, which any newer pg_restore reads too. Needs the programs of Postgres in
a version no older than the server's.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import errors, sql

from syncline.errors import AlreadyExists, Busy, Invalid, SchemaOutdated
from syncline.store.archive import Counts, choose_reader, count_archived, dump, replay, require_clients
from syncline.store.db import Conn, connect, find_revision, list_revisions
from syncline.store.embedded import EmbeddedServer
from syncline.store.home import DATABASE
from syncline.store.roles import OWNER, admit_roles, require_roles
from syncline.store.urls import with_database

#: The embedded database that a restore replaced keeps this name until the next restore.
REPLACED = "syncline_before_restore"


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore brought back."""

    rows: Counts
    #: The schema's revision in the file; older than this program's means that `syncline migrate` comes next.
    revision: str


async def backup(url: str, file: Path, *, postgres_bin: Path | None = None) -> Counts:
    """Write everything of ours to `file`, as of one moment, and return the rows of each table.

    `url` logs in as `syncline_owner` or a member of it. Others may go on working meanwhile. An existing
    `file` is replaced only when the new one is complete and has been read back; only its owner can read it.
    Raises `DatabaseUnsuitable` when no pg_dump is new enough, `Invalid` when the file cannot be written.
    """
    unfinished = file.with_name(file.name + ".unfinished")
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
    except OSError as exc:
        raise Invalid(f"{file} cannot be written ({exc.strerror}). Name another place.") from exc
    try:
        async with _snapshot(url) as (conn, snapshot):
            programs = require_clients(conn.info.server_version // 10_000, postgres_bin)[0]
            schemas = await _list_schemas(conn)
            if not schemas:
                raise Invalid("There is nothing to back up: the database has no Syncline schema.")
            rows = await _count_rows(conn)
            await dump(programs, unfinished, url, snapshot=snapshot, role=OWNER, schemas=schemas)
        if await asyncio.to_thread(count_archived, programs, unfinished) != rows:
            raise Invalid(
                f"What was written to {file} does not hold every row. Check the disk and try again."
            )
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
    return rows


async def restore(url: str, file: Path, *, postgres_bin: Path | None = None) -> Restored:
    """Bring `file` back into a database that has no Syncline schema yet, in one transaction.

    `url` logs in as `syncline_owner` or a member of it, and the roles must exist. When anything fails or a
    row is missing, the database is left as empty as it was.
    Raises `AlreadyExists` for a database with a schema of ours, `Invalid` for a file that is no backup,
    `SchemaOutdated` for one made by a newer Syncline, `DatabaseUnsuitable` without a fitting pg_restore.
    """
    async with await connect(url, application_name="syncline restore") as conn:
        candidates = require_clients(conn.info.server_version // 10_000, postgres_bin)
        await require_roles(conn)
        taken = await _list_schemas(conn)
        if taken:
            raise AlreadyExists(
                f"The database already has the schemas {', '.join(taken)}. Restore into an empty database."
            )
        programs = await asyncio.to_thread(choose_reader, candidates, file)
        expected = await asyncio.to_thread(replay, programs, file, url, role=OWNER)
        try:
            return await _verify(conn, expected)
        except BaseException:
            await _drop_schemas(conn)
            raise


async def restore_embedded(
    server: EmbeddedServer, file: Path, *, replace: bool = False, postgres_bin: Path | None = None
) -> Restored:
    """Bring `file` back into the embedded server: beside the living database first, then in its place.

    The two change names in one transaction; the replaced one stays as `REPLACED` until the next restore.
    Raises `AlreadyExists` when there is data and `replace` is not given, `Busy` while other programs use the
    server, and what `restore` raises; then the living database is as it was.
    """
    urls = await server.urls()
    async with await connect(urls.admin, application_name="syncline restore") as conn:
        if not replace and await _list_schemas(conn):
            raise AlreadyExists("The database has data already. Say that it may be replaced: --replace.")
    name = f"syncline_restore_{secrets.token_hex(4)}"
    async with server.alone(), await connect(with_database(urls.superuser, "postgres")) as postgres:
        await _drop_abandoned(postgres)
        await postgres.execute(
            sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(OWNER))
        )
        try:
            async with await connect(with_database(urls.superuser, name)) as conn:
                await admit_roles(conn)
            restored = await restore(with_database(urls.admin, name), file, postgres_bin=postgres_bin)
            await _swap(postgres, new=name, living=DATABASE)
        except BaseException:
            await _drop_database(postgres, name)
            raise
    return restored


_ONE_MOMENT = "set transaction isolation level repeatable read, read only"
_EXPORT_SNAPSHOT = "select pg_catalog.pg_export_snapshot()"


@asynccontextmanager
async def _snapshot(url: str) -> AsyncGenerator[tuple[Conn, str]]:
    async with await connect(url, application_name="syncline backup") as conn, conn.transaction():
        await conn.execute(_ONE_MOMENT)
        await require_roles(conn)
        await conn.execute(_AS_OWNER)
        row = await (await conn.execute(_EXPORT_SNAPSHOT)).fetchone()
        yield conn, str(row[0]) if row else ""


_AS_OWNER = sql.SQL("set local role {}").format(sql.Identifier(OWNER))

_LIST_SCHEMAS = """
select nspname from pg_catalog.pg_namespace
where pg_catalog.pg_get_userbyid(nspowner) = %(owner)s order by nspname
"""


async def _list_schemas(conn: Conn) -> list[str]:
    cursor = await conn.execute(_LIST_SCHEMAS, {"owner": OWNER})
    return [str(row[0]) for row in await cursor.fetchall()]


_LIST_TABLES = """
select n.nspname, c.relname, format('%%I.%%I', n.nspname, c.relname)
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and pg_catalog.pg_get_userbyid(n.nspowner) = %(owner)s
order by 1, 2
"""


async def _count_rows(conn: Conn) -> dict[str, int]:
    """Count every table of ours, partitions one by one. Call in a transaction; it becomes the owner's."""
    await conn.execute(_AS_OWNER)
    counts: dict[str, int] = {}
    tables = await (await conn.execute(_LIST_TABLES, {"owner": OWNER})).fetchall()
    for schema, table, name in tables:
        row = await (
            await conn.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table)))
        ).fetchone()
        counts[str(name)] = int(row[0]) if row else 0
    return counts


async def _verify(conn: Conn, expected: Counts) -> Restored:
    async with conn.transaction():
        rows = await _count_rows(conn)
    if rows != expected:
        short = sorted(name for name in expected if rows.get(name) != expected[name])
        raise Invalid(f"The restored tables {', '.join(short)} do not hold every row of the file.")
    revision = await find_revision(conn)
    if revision is None:
        raise Invalid(
            "The file holds no Syncline schema with a revision. Name a file made by `syncline backup`."
        )
    if revision not in list_revisions():
        raise SchemaOutdated(
            f"The file was made by a newer Syncline (schema {revision}). Upgrade Syncline, then restore."
        )
    return Restored(rows, revision)


async def _drop_schemas(conn: Conn) -> None:
    async with conn.transaction():
        await conn.execute(_AS_OWNER)
        for name in await _list_schemas(conn):
            await conn.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(name)))


_END_SESSIONS = """
select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity
where datname = any (%(names)s) and pid <> pg_catalog.pg_backend_pid()
"""
_RENAME = "alter database {} rename to {}"


async def _swap(postgres: Conn, *, new: str, living: str) -> None:
    """Give the database `new` the name `living`, and `living` the name `REPLACED`; both or neither."""
    await _drop_database(postgres, REPLACED)
    for attempt in range(50):
        # Programs of ours are kept away; what else is connected (psql, a BI tool) is sent away.
        await postgres.execute(_END_SESSIONS, {"names": [new, living]})
        try:
            async with postgres.transaction():
                for old, name in ((living, REPLACED), (new, living)):
                    await postgres.execute(sql.SQL(_RENAME).format(sql.Identifier(old), sql.Identifier(name)))
        except errors.ObjectInUse:
            await asyncio.sleep(0.02 * attempt)
        else:
            return
    raise Busy("Other programs keep connecting to the database. Stop them, then restore again.")


async def _drop_database(postgres: Conn, name: str) -> None:
    await postgres.execute(sql.SQL("drop database if exists {} (force)").format(sql.Identifier(name)))


_LIST_ABANDONED = r"select datname from pg_catalog.pg_database where datname like 'syncline\_restore\_%'"


async def _drop_abandoned(postgres: Conn) -> None:
    """Remove what restores that were killed left behind. Nobody else restores meanwhile."""
    for (name,) in await (await postgres.execute(_LIST_ABANDONED)).fetchall():
        await _drop_database(postgres, str(name))
