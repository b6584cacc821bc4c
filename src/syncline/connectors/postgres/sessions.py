"""Connections to the CRM's database: opened as needed, kept a while, lent for one transaction each.

No session state is relied on, so that every transaction may run through a transaction-mode pooler. Knows the
driver and its errors of connecting; not what is asked of the database.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeAlias

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from syncline.connectors.postgres.address import Address
from syncline.connectors.postgres.failures import explain_connect
from syncline.errors import SynclineError, Unavailable

Conn: TypeAlias = AsyncConnection[TupleRow]

#: Supabase's smallest pooler has fifteen for everybody.
_MOST = 8
_KEEP_IDLE_SECONDS = 60.0
#: One message without parameters, so that a transaction costs no more trips for it. Values are read as the
#: same text whatever the role's settings are; rows that row-level security would hide are an error instead.
_SETTINGS = (
    "set local time zone 'UTC'; set local datestyle to 'ISO, YMD'; set local intervalstyle to 'iso_8601'; "
    "set local extra_float_digits to 1; set local row_security to off; "
    "set local idle_in_transaction_session_timeout to '60s'; "
)
_BEGIN_READING = sql.SQL(
    "begin isolation level repeatable read read only; " + _SETTINGS + "set local statement_timeout to '120s'"
)
_BEGIN_WRITING = sql.SQL(
    "begin isolation level read committed read write; "
    + _SETTINGS
    + "set local statement_timeout to '60s'; set local lock_timeout to '10s'; set constraints all immediate"
)


class Sessions:
    """The connections of one role to one database, for any number of tasks of one event loop."""

    def __init__(self, address: Address, password: str) -> None:
        self.address = address
        self._password = password
        self._idle: deque[tuple[Conn, float]] = deque()
        self._free = asyncio.Semaphore(_MOST)
        self._closed = False

    async def aclose(self) -> None:
        """Close what lies idle; what is still in use is closed when it is given back."""
        self._closed = True
        while self._idle:
            conn, _ = self._idle.pop()
            await conn.close()

    @asynccontextmanager
    async def transaction(self, *, write: bool = False) -> AsyncGenerator[Conn]:
        """Lend a connection in a transaction that commits at the end.

        Raises the driver's errors of what is done in it, and ours of connecting: `TokenRejected`,
        `SettingInvalid`, `Unavailable`. An error of the commit itself is the driver's.
        """
        async with self._free:
            conn = await self._begin(_BEGIN_WRITING if write else _BEGIN_READING)
            try:
                yield conn
                await conn.execute("commit")
            except (psycopg.Error, SynclineError):
                await self._roll_back(conn)
                raise
            except BaseException:
                # Cancelled, perhaps in the middle of an answer: this one is not used again.
                await conn.close()
                raise
            await self._keep(conn)

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Conn]:
        """Open a connection of its own in autocommit: for LISTEN, and for what no transaction may hold."""
        conn = await self._connect()
        try:
            yield conn
        finally:
            await conn.close()

    async def _begin(self, begin: sql.SQL) -> Conn:
        while self._idle:
            conn, since = self._idle.pop()
            if conn.closed or time.monotonic() - since > _KEEP_IDLE_SECONDS:
                await conn.close()
                continue
            try:
                await conn.execute(begin)
            except psycopg.OperationalError:
                await conn.close()  # closed by the other side while it lay idle
                continue
            except BaseException:
                await conn.close()
                raise
            return conn
        conn = await self._connect()
        try:
            await conn.execute(begin)
        except BaseException:
            await conn.close()
            raise
        return conn

    async def _roll_back(self, conn: Conn) -> None:
        if conn.closed or conn.broken:
            await conn.close()
            return
        try:
            await conn.execute("rollback")
        except BaseException:
            await conn.close()
            raise
        await self._keep(conn)

    async def _keep(self, conn: Conn) -> None:
        """Keep a connection for the next one, and none that has waited for long."""
        if self._closed:
            await conn.close()
            return
        at = time.monotonic()
        self._idle.append((conn, at))
        while at - self._idle[0][1] > _KEEP_IDLE_SECONDS:
            old, _ = self._idle.popleft()
            await old.close()

    async def _connect(self) -> Conn:
        try:
            async with asyncio.timeout(15):
                return await AsyncConnection.connect(
                    **self.address.arguments(self._password),  # pyright: ignore[reportArgumentType]
                    autocommit=True,
                    # No statement is prepared: a pooler would run it where it is not known.
                    prepare_threshold=None,
                )
        except psycopg.Error as error:
            # The driver's own words may repeat the user's name.
            raise explain_connect(error, self.address.label) from None
        except TimeoutError as error:
            raise Unavailable(
                f"The database {self.address.label} did not answer in time.", unsent=True
            ) from error
