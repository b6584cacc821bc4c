"""What every floor does with its rows: COPY into a table for the moment, one upsert. Knows no platform."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql

CHUNK = 2000
WRITERS = 2

Conn = psycopg.AsyncConnection[Any]
#: Id, a value for each column, and the whole record as JSON.
Row = tuple[str | None, ...]


async def create(conn: Conn, name: str, columns: Sequence[str]) -> None:
    typed = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(each)) for each in columns)
    await conn.execute(
        sql.SQL("create table if not exists {} (id text primary key, {}, properties jsonb)").format(
            sql.Identifier(f"floor_{name}"), typed
        )
    )


async def write(conn: Conn, name: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    updates = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(each)) for each in columns
    )
    async with conn.transaction():
        await conn.execute(
            sql.SQL("create temp table staging (id text, {}, properties text) on commit drop").format(
                sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(each)) for each in columns)
            )
        )
        async with conn.cursor() as cursor, cursor.copy("copy staging from stdin") as copy:
            for row in rows:
                await copy.write_row(row)
        await conn.execute(
            sql.SQL(
                "insert into {} (id, {}, properties) select id, {}, properties::jsonb from staging"
                " on conflict (id) do update set {}, properties = excluded.properties"
            ).format(sql.Identifier(f"floor_{name}"), names, names, updates)
        )


class Writing:
    """Writes the rows that are put, in chunks and by several connections, until `end`."""

    def __init__(self, database: str, name: str, columns: Sequence[str], queue_size: int) -> None:
        self._database = database
        self._name = name
        self._columns = columns
        self._queue: asyncio.Queue[Sequence[Row] | None] = asyncio.Queue(queue_size)
        self._tasks = [asyncio.create_task(self._write()) for _ in range(WRITERS)]
        self.loaded = 0

    async def put(self, rows: Sequence[Row]) -> None:
        await self._queue.put(rows)

    async def end(self) -> int:
        """Wait until all is written, and return how much that was."""
        for _ in self._tasks:
            await self._queue.put(None)
        await asyncio.gather(*self._tasks)
        return self.loaded

    async def _write(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._database, autocommit=True) as conn:
            pending: list[Row] = []
            while (part := await self._queue.get()) is not None:
                pending += part
                if len(pending) >= CHUNK:
                    await self._flush(conn, pending)
                    pending = []
            if pending:
                await self._flush(conn, pending)

    async def _flush(self, conn: Conn, rows: Sequence[Row]) -> None:
        await write(conn, self._name, self._columns, rows)
        self.loaded += len(rows)
