"""Connections to Postgres and transactions of a tenant; the one place where driver errors become ours.

Knows psycopg and its pool. Statements about our tables live beside their subject in the other modules.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self, TypeAlias
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from syncline.config import Pooler
from syncline.errors import DatabaseUnreachable, DatabaseUnsuitable, SchemaOutdated, Unavailable
from syncline.store.binaries import MINIMUM_MAJOR
from syncline.store.urls import UrlSource, describe, parse, uses_transaction_pooler

#: What every function of the store takes first.
Conn: TypeAlias = AsyncConnection[TupleRow]

#: The same work may succeed when it is done again, on a new connection where this one was lost.
_PASSING = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
    errors.TooManyConnections,
    errors.DiskFull,
    errors.OutOfMemory,
)
#: Without these a server that vanished holds its caller for as long as TCP likes to wait.
_CONNECT_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
_POOL_WAIT_SECONDS = 30.0

#: Where the versions of the schema lie.
VERSIONS = Path(__file__).parent / "migrations" / "versions"


class Database:
    """One database as one role: a pool of connections, for any number of tasks of one event loop."""

    def __init__(
        self, pool: AsyncConnectionPool[Conn], conninfo: Callable[[], Awaitable[str]], *, pooled: bool
    ) -> None:
        self._pool = pool
        self._conninfo = conninfo
        #: True behind a transaction-mode pooler: no LISTEN, no session setting, no prepared statement.
        self.pooled = pooled

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        source: UrlSource,
        *,
        application_name: str = "syncline",
        min_size: int = 1,
        max_size: int = 10,
        pooler: Pooler = "auto",
    ) -> AsyncGenerator[Self]:
        """Connect, and keep between `min_size` and `max_size` connections for the length of the block.

        Connections are opened as they are needed and replaced when they break. A `source` that is a function
        is asked before each, so that the embedded server may come back on another port.
        Raises `DatabaseUnreachable`, `DatabaseUnsuitable` or `SettingInvalid`; none tells a password.
        """
        url = await _resolve(source)
        pooled = uses_transaction_pooler(url, pooler)
        async with await connect(url, application_name=application_name, pooler=pooler):
            pass  # a pool would keep to itself why it cannot connect

        async def conninfo() -> str:
            return _conninfo(await _resolve(source), application_name)

        pool: AsyncConnectionPool[Conn] = AsyncConnectionPool(
            conninfo,
            kwargs=_arguments(pooled=pooled),
            min_size=min_size,
            max_size=max_size,
            timeout=_POOL_WAIT_SECONDS,
            open=False,
            name=application_name,
        )
        async with pool:
            yield cls(pool, conninfo, pooled=pooled)

    @asynccontextmanager
    async def transaction(self, *, tenant_id: UUID | None, bulk: bool = False) -> AsyncGenerator[Conn]:
        """Open a transaction that sees and writes what belongs to `tenant_id`; it commits at the end.

        None is for the few tables that belong to no tenant; of all others it sees no row. `bulk` passes over
        the row triggers of change capture, for set-based writers who write the same rows themselves.
        Raises `Unavailable` when the work may be tried again: a deadlock, a lost connection, none free.
        """
        with translated():
            async with self._lend() as conn, conn.transaction():
                if tenant_id is not None:
                    await _set_tenant(conn, tenant_id)
                if bulk:
                    await _set_bulk(conn)
                yield conn

    def rehearsed(self, look: Callable[[Conn], Awaitable[None]]) -> Database:
        """Return this database as one in which every transaction is taken back, after a `look` at it.

        For seeing what would be written without writing it. No transaction sees what one before it wrote.
        """
        return _Rehearsed(self._pool, self._conninfo, pooled=self.pooled, look=look)

    @asynccontextmanager
    async def statement(self) -> AsyncGenerator[Conn]:
        """Lend a connection in autocommit for one statement that belongs to no tenant: one round trip.

        Raises `Unavailable` as `transaction` does.
        """
        with translated():
            async with self._lend() as conn:
                yield conn

    @asynccontextmanager
    async def _lend(self) -> AsyncGenerator[Conn]:
        """Lend a connection of the pool, unless the task was cancelled while it waited for one.

        The pool waits by `asyncio.wait_for`, which before Python 3.12 loses a cancellation that comes in the
        same moment as the connection: the task would go on, and whoever awaits its end would wait for ever.
        """
        task = asyncio.current_task()
        before = 0 if task is None else task.cancelling()
        async with self._pool.connection() as conn:
            if task is not None and task.cancelling() > before:
                raise asyncio.CancelledError
            yield conn

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Conn]:
        """Open a connection outside the pool, in autocommit, for LISTEN and advisory locks.

        Raises `DatabaseUnsuitable` behind a transaction-mode pooler, where there are no sessions.
        """
        if self.pooled:
            raise DatabaseUnsuitable(
                "This needs a session of its own, but SYNCLINE_DATABASE_URL goes through a transaction-mode "
                "pooler. Use the direct or session-mode address."
            )
        with translated():
            async with await AsyncConnection.connect(
                await self._conninfo(), **_arguments(pooled=False)
            ) as conn:
                yield conn


class _Rehearsed(Database):
    """See `Database.rehearsed`. Shares the connections of the database it was made from."""

    def __init__(
        self,
        pool: AsyncConnectionPool[Conn],
        conninfo: Callable[[], Awaitable[str]],
        *,
        pooled: bool,
        look: Callable[[Conn], Awaitable[None]],
    ) -> None:
        super().__init__(pool, conninfo, pooled=pooled)
        self._look = look

    @asynccontextmanager
    async def transaction(self, *, tenant_id: UUID | None, bulk: bool = False) -> AsyncGenerator[Conn]:
        async with (
            super().transaction(tenant_id=tenant_id, bulk=bulk) as conn,
            conn.transaction(force_rollback=True),
        ):
            yield conn
            await self._look(conn)


async def connect(url: str, *, application_name: str = "syncline", pooler: Pooler = "auto") -> Conn:
    """Open one connection in autocommit, outside any pool; use it with `async with`, which closes it.

    Raises `DatabaseUnreachable`, `DatabaseUnsuitable` (older than Postgres 15, or not UTF-8) or
    `SettingInvalid`; none tells a password.
    """
    arguments = _arguments(pooled=uses_transaction_pooler(url, pooler))
    try:
        conn = await AsyncConnection.connect(_conninfo(url, application_name), **arguments)
    except psycopg.Error as exc:
        raise _unreachable(url, exc) from None  # the driver's own words may repeat the URL
    try:
        _require_suitable(conn)
    except DatabaseUnsuitable:
        await conn.close()
        raise
    return conn


@contextmanager
def translated() -> Generator[None]:
    """Turn what passes by itself (deadlock, lost connection, full pool) into `Unavailable`.

    Everything else, such as a broken constraint, stays the driver's error: the function that ran the
    statement knows what it means, and otherwise it is a bug.
    """
    try:
        yield
    except PoolTimeout as exc:
        raise Unavailable(
            f"No database connection became free within {_POOL_WAIT_SECONDS:.0f} seconds. Raise "
            "SYNCLINE_POOL_SIZE, or see whether Postgres still answers: `syncline doctor`."
        ) from exc
    except _PASSING as exc:
        raise Unavailable(f"Postgres could not do this now ({type(exc).__name__}).") from exc
    except psycopg.OperationalError as exc:
        if exc.sqlstate is not None and not exc.sqlstate.startswith("08"):
            raise
        raise Unavailable("The connection to Postgres was lost.") from exc


_SET_TENANT = "select app.set_tenant(%(tenant_id)s)"


async def _set_tenant(conn: Conn, tenant_id: UUID) -> None:
    await conn.execute(_SET_TENANT, {"tenant_id": tenant_id})


_SET_BULK = "set local app.bulk = 'on'"


async def _set_bulk(conn: Conn) -> None:
    await conn.execute(_SET_BULK)


async def _resolve(source: UrlSource) -> str:
    return source if isinstance(source, str) else await source()


def _conninfo(url: str, application_name: str) -> str:
    return make_conninfo(**{**_CONNECT_DEFAULTS, "application_name": application_name, **parse(url)})


def _arguments(*, pooled: bool) -> dict[str, Any]:
    # `conn.transaction()` says where each transaction begins; nothing else may open one unseen.
    return {"autocommit": True, "prepare_threshold": None if pooled else 5}


def _require_suitable(conn: Conn) -> None:
    version = conn.info.server_version // 10_000
    if version < MINIMUM_MAJOR:
        raise DatabaseUnsuitable(
            f"The server is PostgreSQL {version}; Syncline needs {MINIMUM_MAJOR} or newer. "
            "Upgrade it, or unset SYNCLINE_DATABASE_URL to use the embedded one."
        )
    encoding = conn.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        raise DatabaseUnsuitable(
            f"The database's encoding is {encoding}. Create one with encoding UTF8 and name that."
        )


def _unreachable(url: str, exc: psycopg.Error) -> DatabaseUnreachable:
    # The driver's first line reads: connection failed: connection to server at …, port … failed: REASON
    lines = str(exc).strip().splitlines() or ["no reason given"]
    reason = lines[0].rpartition("failed: ")[2].removeprefix("FATAL:").strip().rstrip(".")
    password = parse(url).get("password")
    if password:
        reason = reason.replace(password, "***")
    return DatabaseUnreachable(
        f"Postgres at {describe(url)} cannot be reached: {reason}. "
        "Check SYNCLINE_DATABASE_URL and that the server runs."
    )


_FIND_REVISION = "select version_num from app.alembic_version"


async def find_revision(conn: Conn) -> str | None:
    """Return the schema's revision; None when there is no schema of ours, or none that this role may see."""
    try:
        async with conn.transaction():
            row = await (await conn.execute(_FIND_REVISION)).fetchone()
    except (errors.UndefinedTable, errors.InvalidSchemaName, errors.InsufficientPrivilege):
        return None
    return str(row[0]) if row else None


def list_revisions(versions: Path = VERSIONS) -> list[str]:
    """Return the revisions this program knows, oldest first: the numbers its version files begin with."""
    return sorted(path.name.partition("_")[0] for path in versions.glob("[0-9]*_*.py"))


async def require_current_schema(conn: Conn) -> None:
    """Raise `SchemaOutdated` unless the schema is the one this program was written for."""
    found, known = await find_revision(conn), list_revisions()
    if found == known[-1]:
        return
    if found is None:
        message = "The database has no Syncline schema yet. Run `syncline migrate`."
    elif found in known:
        message = (
            f"The database's schema is at {found}, this program needs {known[-1]}. Run `syncline migrate`."
        )
    else:
        message = (
            f"The database's schema is at {found}, newer than this program, which knows {known[-1]}. "
            "Upgrade Syncline."
        )
    raise SchemaOutdated(message)
