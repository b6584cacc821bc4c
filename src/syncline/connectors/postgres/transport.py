"""Carries a connection's calls to its database: one named operation each, in a transaction of its own.

Takes the place of HTTP for this platform, so that the engine's waiting, retrying and counting are the same.
The password is the token of the call, and is kept for as long as connections are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import psycopg

from syncline.connectors.postgres import asking, columns, erasing, reading, watching, writing
from syncline.connectors.postgres.address import Address, read_address
from syncline.connectors.postgres.catalogue import Table, Tables
from syncline.connectors.postgres.failures import explain_error, is_stale
from syncline.connectors.postgres.places import Place
from syncline.connectors.postgres.sessions import Conn, Sessions
from syncline.connectors.postgres.wire import (
    AddColumn,
    ArchiveRows,
    AskServer,
    AskTable,
    EraseRows,
    ReadByIds,
    ReadChanged,
    ReadLinks,
    ReadRows,
    ReferRows,
    Watch,
    Watched,
    WriteRows,
)
from syncline.connectors.transport import Request, Response, Token
from syncline.errors import Invalid, TokenRejected

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
#: What an operation does within its transaction.
_Work = Callable[[Conn], Awaitable[Any]]


class PostgresTransport:
    """See `transport.Transport`. For any number of tasks of one event loop."""

    def __init__(self, base_url: str) -> None:
        self._address: Address = read_address(base_url)
        self._tables = Tables()
        self._sessions: Sessions | None = None
        self._password: str | None = None

    async def send(self, request: Request, token: Token | None) -> Response:
        """Carry out one operation. Raises the classes of `errors`, never with a value of a row in them."""
        if token is None or not token.access_token:
            raise TokenRejected("This connection has no password. Connect again with one.")
        if "\0" in token.access_token:
            raise TokenRejected("The password contains a character no password has. Check how it was copied.")
        sessions = await self._open(token.access_token)
        try:
            found = await self._carry_out(sessions, request)
        except psycopg.Error as error:
            raise explain_error(error, self._address.label) from None
        return Response(200, {}, _encode(found))

    async def aclose(self) -> None:
        if self._sessions is not None:
            await self._sessions.aclose()
            self._sessions = None

    async def _open(self, password: str) -> Sessions:
        if self._sessions is None or self._password != password:
            await self.aclose()
            self._sessions, self._password = Sessions(self._address, password), password
        return self._sessions

    async def _carry_out(self, sessions: Sessions, request: Request) -> Any:
        """Find out what is asked and do it. A table that turns out to be another than it was is read anew."""
        if request.path == "/watch":
            return await watching.watch(sessions, self._tables, _read(request, Watch))
        if request.path == "/add-column":
            self._tables.forget()
            return await columns.add_column(sessions, _read(request, AddColumn))
        work, writes = self._work(request)
        try:
            async with sessions.transaction(write=writes) as conn:
                return await work(conn)
        except psycopg.Error as error:
            if not is_stale(error):
                raise
        self._tables.forget()
        async with sessions.transaction(write=writes) as conn:
            return await work(conn)

    def _work(self, request: Request) -> tuple[_Work, bool]:
        path = request.path
        if path in _WRITING:
            return self._writing(request), True
        if path == "/server":
            server = _read(request, AskServer)
            return lambda conn: asking.ask_server(conn, self._tables, self._address, server), False
        if path == "/rows":
            rows = _read(request, ReadRows)
            return self._with(rows.place, lambda conn, table: reading.read_rows(conn, table, rows)), False
        if path == "/changed":
            changed = _read(request, ReadChanged)
            return self._with(
                changed.place, lambda conn, table: reading.read_changed(conn, table, changed)
            ), False
        if path == "/by-ids":
            by_ids = _read(request, ReadByIds)
            return self._with(
                by_ids.place, lambda conn, table: reading.read_by_ids(conn, table, by_ids)
            ), False
        if path == "/links":
            links = _read(request, ReadLinks)
            return self._with(links.place, lambda conn, table: reading.read_links(conn, table, links)), False
        return self._question(request), False

    def _question(self, request: Request) -> _Work:
        asked = _read(request, AskTable)
        questions: dict[str, Callable[[Conn, Table], Awaitable[Any]]] = {
            "/table": _itself,
            "/count": asking.count_rows,
            "/ends": asking.read_ends,
            "/bounds": lambda conn, table: asking.find_bound(conn, table, asked),
            "/values": lambda conn, table: asking.list_values(conn, table, asked.columns),
        }
        if request.path not in questions:
            raise Invalid(f"There is no operation {request.path}.")
        return self._with(asked.place, questions[request.path], fresh=asked.fresh)

    def _writing(self, request: Request) -> _Work:
        if request.path == "/write":
            writes = _read(request, WriteRows)
            return self._with(writes.place, lambda conn, table: writing.write_rows(conn, table, writes))
        if request.path == "/erase":
            erase = _read(request, EraseRows)
            return self._with(erase.place, lambda conn, table: erasing.erase_rows(conn, table, erase))
        if request.path == "/archive":
            archive = _read(request, ArchiveRows)
            return self._with(archive.place, lambda conn, table: writing.archive_rows(conn, table, archive))
        if request.path in ("/install", "/uninstall"):
            watched = _read(request, Watched)
            work = watching.install if request.path == "/install" else watching.uninstall
            return lambda conn: work(conn, self._tables, watched)
        refer = _read(request, ReferRows)
        away = request.path == "/unrefer"
        return self._with(refer.place, lambda conn, table: writing.refer_rows(conn, table, refer, away=away))

    def _with(
        self, place: Place, work: Callable[[Conn, Table], Awaitable[Any]], *, fresh: bool = False
    ) -> _Work:
        async def with_table(conn: Conn) -> Any:
            return await work(conn, await self._tables.get(conn, place, fresh=fresh))

        return with_table


_WRITING = frozenset({"/write", "/archive", "/erase", "/refer", "/unrefer", "/install", "/uninstall"})


async def _itself(conn: Conn, table: Table) -> Table:
    del conn
    return table


def _read(request: Request, kind: type[T]) -> T:
    try:
        return msgspec.convert(request.json, kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"The operation {request.path} was asked with other parameters than it has.") from error
