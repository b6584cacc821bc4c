"""Counts, shows, removes and redacts what a person has in a table. Knows none by name: see `personal`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import errors, sql
from psycopg.rows import class_row, scalar_row

from syncline.errors import RetryLater
from syncline.store.db import Conn
from syncline.store.personal import Place

#: Rows that are read at once from the server.
_AT_ONCE = 200


def own_counted(place: Place) -> sql.Composed:
    return sql.SQL("select count(*) from {table} t where t.tenant_id = %(tenant_id)s and ({own})").format(
        table=place.identifier, own=_own(place)
    )


async def count_own(conn: Conn, place: Place, values: Mapping[str, Any], *, tenant_id: UUID) -> int:
    """Return how many rows are the person's own."""
    if place.own is None:
        return 0
    return await _scalar(conn, own_counted(place), {**values, "tenant_id": tenant_id})


def mentions_counted(place: Place) -> sql.Composed:
    return sql.SQL("""
select count(*) from {table} t
where t.tenant_id = %(tenant_id)s and {mentioned} and not coalesce(({own}), false)
""").format(table=place.identifier, mentioned=_mentioned(place), own=_own(place))


async def count_mentions(conn: Conn, place: Place, values: Mapping[str, Any], *, tenant_id: UUID) -> int:
    """Return how many other rows have an address or a number of the person's in a text. Reads the table."""
    if not place.searched or not values["needles"]:
        return 0
    return await _scalar(conn, mentions_counted(place), {**values, "tenant_id": tenant_id})


async def count_within(
    conn: Conn, place: Place, values: Mapping[str, Any], *, tenant_id: UUID, seconds: float
) -> int | None:
    """Count mentions as `count_mentions` does; None when that took too long. Within a transaction."""
    try:
        async with conn.transaction():
            await limit_time(conn, seconds)
            return await count_mentions(conn, place, values, tenant_id=tenant_id)
    except errors.QueryCanceled:
        return None


def whole_listed(place: Place) -> sql.Composed:
    return sql.SQL("""
select to_jsonb(t) - %(hidden)s::text[] - 'tenant_id' from {table} t
where t.tenant_id = %(tenant_id)s and ({whole})
""").format(table=place.identifier, whole=_whole(place))


async def stream_whole(
    conn: Conn, place: Place, values: Mapping[str, Any], *, tenant_id: UUID
) -> AsyncGenerator[dict[str, Any]]:
    """Yield every row that is about the person and nobody else. Needs a transaction."""
    if place.own is None:
        return
    parameters = {**values, "tenant_id": tenant_id, "hidden": list(place.hidden)}
    async for row in _stream(conn, whole_listed(place), parameters):
        yield row


def mentions_listed(place: Place) -> sql.Composed:
    columns = [sql.SQL("{}, t.{}").format(sql.Literal(each), sql.Identifier(each)) for each in place.searched]
    return sql.SQL("""
select jsonb_build_object('id', to_jsonb(t) -> 'id', 'told', jsonb_build_object({columns})) from {table} t
where t.tenant_id = %(tenant_id)s and {mentioned} and not coalesce(({whole}), false)
""").format(
        columns=sql.SQL(", ").join(columns),
        table=place.identifier,
        mentioned=_mentioned(place),
        whole=_whole(place),
    )


async def stream_mentions(
    conn: Conn, place: Place, values: Mapping[str, Any], *, tenant_id: UUID
) -> AsyncGenerator[dict[str, Any]]:
    """Yield `{"id", "told": {column: what it holds}}` of every row of others that speaks of the person.

    Only columns that may speak of them, and as they are: what is others' is in them. Needs a transaction;
    reads the table.
    """
    if not place.searched or not values["needles"]:
        return
    async for row in _stream(conn, mentions_listed(place), {**values, "tenant_id": tenant_id}):
        yield row


async def _stream(
    conn: Conn, statement: sql.Composed, parameters: Mapping[str, Any]
) -> AsyncGenerator[dict[str, Any]]:
    async with conn.cursor(name="person", row_factory=scalar_row) as cursor:
        cursor.itersize = _AT_ONCE
        await cursor.execute(statement, parameters)
        async for row in cursor:
            yield row


def own_removed(place: Place) -> sql.Composed:
    """Delete rows, or blank those that have something to lose."""
    if not place.blank:
        return sql.SQL("delete from {table} t where t.tenant_id = %(tenant_id)s and ({own})").format(
            table=place.identifier, own=_own(place)
        )
    pairs = [(sql.Identifier(column), sql.SQL(value)) for column, value in place.blank.items()]
    return sql.SQL("""
update {table} t set {assignments} where t.tenant_id = %(tenant_id)s and ({own}) and ({differing})
""").format(
        table=place.identifier,
        assignments=_revised(place, [sql.SQL("{} = {}").format(*each) for each in pairs]),
        own=_own(place),
        differing=sql.SQL(" or ").join(sql.SQL("t.{} is distinct from {}").format(*each) for each in pairs),
    )


async def remove_own(
    conn: Conn, place: Place, values: Mapping[str, Any], *, tenant_id: UUID, now: datetime
) -> int:
    """Remove or blank the person's own rows; returns how many had something to lose. May be repeated.

    Raises `RetryLater` when something refers to them that was written since it was looked for.
    """
    if place.own is None:
        return 0
    parameters = {**values, "tenant_id": tenant_id, "now": now}
    try:
        cursor = await conn.execute(own_removed(place), parameters, prepare=False)
    except errors.ForeignKeyViolation:
        # The driver's words would repeat the values.
        raise RetryLater("Something more was just written down about the person.") from None
    return cursor.rowcount


_TEXT: LiteralString = "app.redact_text(t.{0}, %(patterns)s::text[])"
_DOCUMENT: LiteralString = "app.redact_json(t.{0}, %(patterns)s::text[])"
_VALUE: LiteralString = (
    "case when not app.mentions(t.{0}, %(needles)s::text[], %(patterns)s::text[]) then t.{0} end"
)


def texts_redacted(place: Place, *, only_changed: bool = False) -> sql.Composed:
    """Take what is looked for out of texts and documents; a value that is nothing else goes."""
    assignments = [
        *(_assign(each, _TEXT) for each in place.texts),
        *(_assign(each, _DOCUMENT) for each in place.documents),
        *(_assign(each, _VALUE) for each in place.emptied),
    ]
    return sql.SQL("""
update {table} t set {assignments} where t.tenant_id = %(tenant_id)s and {recent} and {mentioned}
""").format(
        table=place.identifier,
        assignments=_revised(place, assignments),
        recent=_recent(place) if only_changed else sql.SQL("true"),
        mentioned=_mentioned(place),
    )


async def redact(
    conn: Conn,
    place: Place,
    values: Mapping[str, Any],
    *,
    tenant_id: UUID,
    now: datetime,
    since: datetime | None = None,
) -> int:
    """Take addresses and numbers out of the texts of all rows; returns how many had one. May be repeated.

    `since`: only of rows that were changed since.
    """
    if not place.searched or not values["needles"]:
        return 0
    statement = texts_redacted(place, only_changed=since is not None)
    parameters = {**values, "tenant_id": tenant_id, "now": now, "since": since}
    return (await conn.execute(statement, parameters, prepare=False)).rowcount


def _assign(column: str, expression: LiteralString) -> sql.Composed:
    return sql.SQL("{} = {}").format(
        sql.Identifier(column), sql.SQL(expression).format(sql.Identifier(column))
    )


def _revised(place: Place, assignments: list[sql.Composed]) -> sql.Composed:
    more = [sql.SQL("version = t.version + 1"), sql.SQL("updated_at = %(now)s")] if place.is_record else []
    return sql.SQL(", ").join([*assignments, *more])


def _recent(place: Place) -> sql.Composable:
    if place.changed is None:
        return sql.SQL("true")
    return sql.SQL("t.{} >= %(since)s").format(sql.Identifier(place.changed))


def _own(place: Place) -> sql.SQL:
    return sql.SQL(place.own or "false")


def _whole(place: Place) -> sql.SQL:
    return sql.SQL(place.whole or place.own or "false")


def _mentioned(place: Place) -> sql.Composed:
    """Say whether a row speaks of the person, by everything it says as one text."""
    columns = [sql.SQL("t.{}::text").format(sql.Identifier(each)) for each in place.searched]
    return sql.SQL("app.mentions(concat_ws(' ', {}), %(needles)s::text[], %(patterns)s::text[])").format(
        sql.SQL(", ").join(columns)
    )


@dataclass(frozen=True, slots=True)
class RawTable:
    """A table of payloads."""

    table: str
    platform: str
    object: str


LIST_RAW_TABLES = """
select c.relname::text as table, p.platform, substr(c.relname::text, length(p.platform) + 2) as object
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = 'raw'
join (select distinct platform from sync.connections where tenant_id = %(tenant_id)s) p
  on starts_with(c.relname::text, p.platform || '_')
where c.relkind in ('r', 'p')
order by c.relname
"""


async def list_raw_tables(conn: Conn, *, tenant_id: UUID) -> list[RawTable]:
    """Return the tables of payloads of the platforms that a tenant is connected to."""
    async with conn.cursor(row_factory=class_row(RawTable)) as cursor:
        await cursor.execute(LIST_RAW_TABLES, {"tenant_id": tenant_id})
        return await cursor.fetchall()


LIMIT_TIME = sql.SQL("set local statement_timeout = {milliseconds}")


async def limit_time(conn: Conn, seconds: float) -> None:
    """Let statements of this transaction fail that take longer; 0 lifts what the server would set."""
    await conn.execute(LIMIT_TIME.format(milliseconds=sql.Literal(round(seconds * 1000))))


async def _scalar(conn: Conn, statement: sql.Composed, values: Mapping[str, Any]) -> int:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(statement, values, prepare=False)
        return int(await cursor.fetchone() or 0)
