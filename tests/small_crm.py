"""A small company's CRM in a database of its own, and a connector that reaches it as the engine would."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString, Protocol

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from syncline.connectors.postgres.connector import Postgres
from syncline.connectors.postgres.platform import make
from syncline.connectors.postgres.transport import PostgresTransport
from syncline.connectors.transport import Request, Response, Token
from syncline.simulators.postgres import Population, create_tables, populate
from syncline.store.urls import DatabaseUrls

ANCHOR = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Server(Protocol):
    def database(self) -> Any: ...


@dataclass
class Crm:
    """One CRM database: its owner's connection, and how a connector reaches it."""

    urls: DatabaseUrls
    conn: psycopg.AsyncConnection[dict[str, Any]]
    base_url: str
    token: Token
    rows: Population
    transport: PostgresTransport
    sent: list[Request]

    async def send(self, request: Request) -> Response:
        self.sent.append(request)
        return await self.transport.send(request, self.token)

    def connector(self, **settings: str) -> Postgres:
        return make(self.send, settings)

    async def run(self, statement: LiteralString | sql.Composed, *values: Any) -> list[dict[str, Any]]:
        cursor = await self.conn.execute(statement, values or None)
        return await cursor.fetchall() if cursor.description else []


def address_of(url: str, *, port: int | None = None, query: str = "") -> tuple[str, Token]:
    """Cut a URL into a base URL and the password as a token."""
    parts = conninfo_to_dict(url)
    base = f"postgresql://{parts['user']}@{parts['host']}:{port or parts['port']}/{parts['dbname']}{query}"
    return base, Token(str(parts["password"]))


@asynccontextmanager
async def small_crm(server: Server, **counts: int) -> AsyncGenerator[Crm]:
    """Make a CRM with few rows for the length of the block. The connector's role owns it."""
    async with server.database() as urls:
        base_url, token = address_of(urls.admin)
        async with await psycopg.AsyncConnection.connect(
            urls.admin, autocommit=True, row_factory=dict_row
        ) as conn:
            await _own(urls)
            await create_tables(conn)  # type: ignore[arg-type]
            rows = await populate(conn, anchor=ANCHOR, **counts)  # type: ignore[arg-type]
            async with aclosing(PostgresTransport(base_url)) as transport:
                yield Crm(urls, conn, base_url, token, rows, transport, [])


async def _own(urls: DatabaseUrls) -> None:
    # As in a project of Supabase's: whoever made the tables may make more in public.
    owner = str(conninfo_to_dict(urls.admin)["user"])
    async with await psycopg.AsyncConnection.connect(urls.superuser, autocommit=True) as conn:
        await conn.execute(sql.SQL("grant all on schema public to {}").format(sql.Identifier(owner)))


def ids_of(records: Sequence[Any]) -> list[str]:
    return [each.remote_id for each in records]
