"""A transaction-mode pooler for tests: each transaction of a client may run on another server connection.

As strict as pgbouncer 1.18 in what matters to us: no session outlives a transaction, consecutive transactions
never meet the same server connection while there is another, and startup options are refused.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg

_SSL_REQUEST, _GSS_REQUEST, _CANCEL = 80877103, 80877104, 80877102
_PARAMETERS = (
    "server_version",
    "server_encoding",
    "client_encoding",
    "standard_conforming_strings",
    "TimeZone",
)


class _Server:
    """A logged-in connection, taken from the driver and used byte by byte."""

    def __init__(self, conn: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        self._conn = conn  # keeps the original socket open
        self.parameters = {name: conn.info.parameter_status(name) or "" for name in _PARAMETERS}

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(sock=socket.socket(fileno=self._duplicate()))

    def _duplicate(self) -> int:
        with socket.socket(fileno=self._conn.fileno()) as shared:
            duplicate = shared.dup()
            shared.detach()
        return duplicate.detach()

    async def close(self) -> None:
        self.writer.close()
        await self._conn.close()


class TransactionPooler:
    """Any number of clients over a few server connections, handed out in turn."""

    def __init__(self, servers: list[_Server]) -> None:
        self._free = deque(servers)
        self._parameters = servers[0].parameters
        self._returned = asyncio.Condition()
        #: Transactions served so far.
        self.transactions = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await self._greet(reader, writer):
                while await self._transaction(reader, writer):
                    self.transactions += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        while True:
            (length,) = struct.unpack("!i", await reader.readexactly(4))
            body = await reader.readexactly(length - 4)
            (code,) = struct.unpack("!i", body[:4])
            if code not in (_SSL_REQUEST, _GSS_REQUEST):
                break
            writer.write(b"N")
        if code == _CANCEL:
            return False
        if b"\0options\0" in body:
            writer.write(_message(b"E", b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"))
            return False
        writer.write(_message(b"R", struct.pack("!i", 0)))
        for name, value in self._parameters.items():
            writer.write(_message(b"S", f"{name}\0{value}\0".encode()))
        writer.write(_message(b"K", struct.pack("!ii", 1, 1)) + _message(b"Z", b"I"))
        return True

    async def _transaction(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        kind, message = await _read(reader)
        if kind == b"X":
            return False
        server = await self._take()
        try:
            expected = 0
            while True:
                server.writer.write(message)
                expected += kind in (b"Q", b"S")
                if expected and kind in (b"Q", b"S"):
                    status = b""
                    while expected:
                        kind, answer = await _read(server.reader)
                        writer.write(answer)
                        if kind == b"Z":
                            expected -= 1
                            status = answer[-1:]
                    await writer.drain()
                    if status == b"I":
                        return True
                kind, message = await _read(reader)
        finally:
            async with self._returned:
                self._free.append(server)
                self._returned.notify()

    async def _take(self) -> _Server:
        async with self._returned:
            await self._returned.wait_for(lambda: bool(self._free))
            return self._free.popleft()


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!i", head[1:])
    return head[:1], head + await reader.readexactly(length - 4)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


@asynccontextmanager
async def transaction_pooler(url: str, *, size: int = 3) -> AsyncGenerator[tuple[str, TransactionPooler]]:
    """Put a pooler before the database of `url`; yield its URL and the pooler."""
    servers = [_Server(await psycopg.AsyncConnection.connect(url, autocommit=True)) for _ in range(size)]
    for server in servers:
        await server.open()
    pooler = TransactionPooler(servers)
    listener = await asyncio.start_server(pooler.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    parts = urlsplit(url)
    address = f"{parts.username}:any@127.0.0.1:{port}"
    try:
        yield urlunsplit(parts._replace(netloc=address, query="pool_mode=transaction")), pooler
    finally:
        listener.close()
        for server in servers:
            await server.close()
