"""Rows with JSON in them, read without loss: numbers are exact, as Postgres has them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from psycopg import AsyncCursor
from psycopg.rows import class_row
from psycopg.types.json import set_json_loads

from syncline.store.db import Conn

T = TypeVar("T")

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


def to_json(value: Any) -> str:
    """Write a value as JSON, numbers exactly."""
    return _encode(value).decode()


def _load(text: str | bytes) -> Any:
    return _decode(text)


@asynccontextmanager
async def exact_rows(conn: Conn, kind: type[T]) -> AsyncGenerator[AsyncCursor[T]]:
    """Open a cursor whose rows are of `kind`, by column name, with JSON decoded."""
    async with conn.cursor(row_factory=class_row(kind)) as cursor:
        set_json_loads(_load, cursor)
        yield cursor
