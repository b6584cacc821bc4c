"""Rows read by key, by modified time and by id: the statements, composed for one table.

Names come from the database's own catalogue; values are always parameters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from msgspec import Raw
from psycopg import sql

from syncline.connectors.postgres.catalogue import INTEGERS, Column, Table
from syncline.connectors.postgres.sessions import Conn
from syncline.connectors.postgres.wire import (
    Ids,
    ReadByIds,
    ReadChanged,
    ReadLinks,
    ReadRows,
    Row,
    Rows,
)

#: A page ends with the row that takes it beyond this; a chunk of the engine's is about as large.
_PAGE_BYTES = 4_000_000
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)")
_UNSTORABLE = re.compile(r"\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})")
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,18})")
_RANGES = {"int2": 15, "int4": 31, "int8": 63}
#: An array of keys, by the key's type.
_ARRAYS = {
    "uuid": sql.SQL("%(ids)s::uuid[]"),
    "int2": sql.SQL("%(ids)s::int2[]"),
    "int4": sql.SQL("%(ids)s::int4[]"),
    "int8": sql.SQL("%(ids)s::int8[]"),
    "text": sql.SQL("%(ids)s::text[]"),
    "varchar": sql.SQL("%(ids)s::varchar[]"),
}
_CASTS = {
    "uuid": sql.SQL("::uuid"),
    "int2": sql.SQL("::int8"),
    "int4": sql.SQL("::int8"),
    "int8": sql.SQL("::int8"),
    "text": sql.SQL("::text"),
    "varchar": sql.SQL("::varchar"),
}


def is_key(column: Column, text: str) -> bool:
    """Tell whether a text can be a value of a key column at all."""
    if column.base in INTEGERS:
        return (
            bool(_INTEGER.fullmatch(text))
            and -(2 ** _RANGES[column.base]) <= int(text) < 2 ** _RANGES[column.base]
        )
    if column.base == "uuid":
        try:
            return str(UUID(text)) == text.lower()
        except ValueError:
            return False
    return "\0" not in text


def cast(column: Column) -> sql.SQL:
    """Return the cast from text to a key column's type."""
    return _CASTS[column.base]


def any_of(column: Column) -> sql.Composed:
    """Return the condition that a column is one of `ids`."""
    return sql.SQL("t.{column} = any({ids})").format(
        column=sql.Identifier(column.name), ids=_ARRAYS[column.base]
    )


def document(table: Table) -> sql.Composed:
    """Return the expression for a row of `t` as JSON text. Times without a zone are taken for UTC."""
    columns = [_value(each) for each in table.columns if each.is_read]
    # A column of that name, here or around it, would be taken for the row.
    return sql.SQL("(select row_to_json(syncline_row)::text from (select {columns}) syncline_row)").format(
        columns=sql.SQL(", ").join(columns)
    )


def fields(table: Table) -> sql.Composed:
    """Return the expressions of a `Row`, in its order."""
    external: sql.Composable = sql.SQL("null::text")
    if table.external is not None:
        external = sql.SQL("t.{}::text").format(sql.Identifier(table.external.name))
    return sql.SQL(
        "t.{key}::text as id, {document} as doc, {modified} as modified_ms, {archived} as archived_ms, "
        "{external} as external"
    ).format(
        key=sql.Identifier(table.key.name),
        document=document(table),
        modified=_milliseconds(table.modified),
        archived=_archived(table),
        external=external,
    )


def row_of(values: Sequence[Any]) -> Row:
    """Make a `Row` of what `fields` selects. Only columns of the type json can hold what jsonb cannot."""
    remote_id, text, modified_ms, archived_ms, external = values[:5]
    kept = _ESCAPE.sub(_storable, text) if "\\u" in text else text
    original = None if kept == text else text
    return Row(remote_id, Raw(kept.encode()), modified_ms, archived_ms, external, original)


def _storable(match: re.Match[str]) -> str:
    """Replace NUL and lone surrogates; a pair of them is one character, and stays."""
    found = match[0]
    return "\\ufffd" if len(found) == 6 and _UNSTORABLE.fullmatch(found) else found


def _value(column: Column) -> sql.Composed:
    name = sql.Identifier(column.name)
    if column.base == "timestamp":
        return sql.SQL("t.{0} at time zone 'UTC' as {0}").format(name)
    if column.base == "money":
        return sql.SQL("t.{0}::numeric as {0}").format(name)
    return sql.SQL("t.{0}").format(name)


def moment(column: Column) -> sql.Composed:
    if column.base == "timestamp":
        return sql.SQL("(t.{} at time zone 'UTC')").format(sql.Identifier(column.name))
    return sql.SQL("t.{}").format(sql.Identifier(column.name))


# What lies outside of the years 1 to 9999, infinity too, is no time of a change.
_MILLISECONDS = sql.SQL(
    "case when {moment} >= '0001-01-01 00:00:00+00' and {moment} < '9999-12-31 00:00:00+00' "
    "then floor(extract(epoch from {moment}) * 1000)::bigint end"
)


def _milliseconds(column: Column | None) -> sql.Composable:
    if column is None:
        return sql.SQL("null::bigint")
    return _MILLISECONDS.format(moment=moment(column))


def _archived(table: Table) -> sql.Composable:
    column = table.archived
    if column is None:
        return sql.SQL("null::bigint")
    if column.is_time:
        return sql.SQL("case when {name} is not null then coalesce({ms}, 0) end").format(
            name=moment(column), ms=_milliseconds(column)
        )
    return sql.SQL("case when t.{flag} then coalesce({ms}, 0) end").format(
        flag=sql.Identifier(column.name), ms=_milliseconds(table.modified)
    )


def living(table: Table, *, archived: bool = False) -> sql.Composable:
    """Return the condition that a row lives, or that it is marked as deleted."""
    column = table.archived
    if column is None:
        return sql.SQL("not true" if archived else "true")
    name = sql.Identifier(column.name)
    if column.is_time:
        return sql.SQL("t.{} is not null" if archived else "t.{} is null").format(name)
    return sql.SQL("t.{}" if archived else "t.{} is not true").format(name)


_IDS_PAGE = sql.SQL("""
select t.{key}::text from {table} t where {conditions} order by t.{key} limit %(limit)s
""")

_ROWS_PAGE = sql.SQL("""
with page as materialized (
  select {fields}, t.{key} as place from {table} t where {conditions} order by t.{key} limit %(limit)s
), sized as (
  select p.*, sum(octet_length(p.doc)) over (order by p.place) - octet_length(p.doc) as before,
    count(*) over () as found
  from page p
)
select id, doc, modified_ms, archived_ms, external, found from sized where before < %(bytes)s order by place
""")

_NOW_MS = "select floor(extract(epoch from clock_timestamp()) * 1000)::bigint"


async def read_rows(conn: Conn, table: Table, asked: ReadRows) -> Rows | Ids:
    """Read a page by key."""
    conditions = [living(table, archived=asked.archived)]
    values: dict[str, Any] = {"limit": asked.limit, "bytes": _PAGE_BYTES}
    for name, operator in (("after", sql.SQL(">")), ("until", sql.SQL("<="))):
        bound = getattr(asked, name)
        if bound:
            conditions.append(
                sql.SQL("t.{key} {operator} {value}{cast}").format(
                    key=sql.Identifier(table.key.name),
                    operator=operator,
                    value=sql.Placeholder(name),
                    cast=cast(table.key),
                )
            )
            values[name] = bound
    parts: Mapping[str, sql.Composable] = {
        "key": sql.Identifier(table.key.name),
        "table": table.identifier,
        "conditions": sql.SQL(" and ").join(conditions),
    }
    if asked.narrow:
        found = await (await conn.execute(_IDS_PAGE.format(**parts), values)).fetchall()
        return Ids([str(each[0]) for each in found], len(found) == asked.limit)
    now_ms = await _read_now(conn)
    found = await (await conn.execute(_ROWS_PAGE.format(**parts, fields=fields(table)), values)).fetchall()
    more = bool(found) and (found[0][5] == asked.limit or len(found) < found[0][5])
    return Rows([row_of(each) for each in found], now_ms, more)


_CHANGED_PAGE = sql.SQL("""
with page as materialized (
  select {fields}, t.{key} as place, t.{modified} as moment from {table} t
  where {conditions} order by t.{modified}, t.{key} limit %(limit)s
), sized as (
  select p.*, sum(octet_length(p.doc)) over (order by p.moment, p.place) - octet_length(p.doc) as before,
    count(*) over () as found
  from page p
)
select id, doc, modified_ms, archived_ms, external, found, moment::text from sized
where before < %(bytes)s order by moment, place
""")


async def read_changed(conn: Conn, table: Table, asked: ReadChanged) -> Rows:
    """Read a page by modified time and key: with that, any number of rows may have one modified time.

    Marked rows are read too: to mark a row is a change of it.
    """
    assert table.modified is not None  # noqa: S101 - asked before
    # A time without a zone is compared with one without, so that its index serves.
    zone = sql.SQL(" at time zone 'UTC'" if table.modified.base == "timestamp" else "")
    since, until = (sql.SQL("%(since)s::timestamptz"), sql.SQL("%(until)s::timestamptz"))
    conditions: list[sql.Composable] = []
    values: dict[str, Any] = {"limit": asked.limit, "bytes": _PAGE_BYTES, "since": asked.since}
    name = sql.Identifier(table.modified.name)
    conditions.append(sql.SQL("t.{} >= ({}{})").format(name, since, zone))
    if asked.until is not None:
        conditions.append(sql.SQL("t.{} < ({}{})").format(name, until, zone))
        values["until"] = asked.until
    if asked.after is not None:
        values["moment"], values["after"] = asked.after
        conditions.append(
            sql.SQL("(t.{modified}, t.{key}) > (%(moment)s::{type}, %(after)s{cast})").format(
                modified=name,
                key=sql.Identifier(table.key.name),
                type=sql.SQL("timestamp" if table.modified.base == "timestamp" else "timestamptz"),
                cast=cast(table.key),
            )
        )
    statement = _CHANGED_PAGE.format(
        fields=fields(table),
        key=sql.Identifier(table.key.name),
        modified=name,
        table=table.identifier,
        conditions=sql.SQL(" and ").join(conditions),
    )
    now_ms = await _read_now(conn)
    found = await (await conn.execute(statement, values)).fetchall()
    more = bool(found) and (found[0][5] == asked.limit or len(found) < found[0][5])
    last = (str(found[-1][6]), str(found[-1][0])) if found else None
    return Rows([row_of(each) for each in found], now_ms, more, last)


_BY_IDS = sql.SQL("select {fields} from {table} t where {condition}")


async def read_by_ids(conn: Conn, table: Table, asked: ReadByIds) -> Rows:
    """Read rows by key or by our own id, living or marked. Those that are gone are absent."""
    column = table.external if asked.external else table.key
    assert column is not None  # noqa: S101 - asked before
    ids = [each for each in dict.fromkeys(asked.ids) if is_key(column, each)]
    now_ms = await _read_now(conn)
    if not ids:
        return Rows([], now_ms)
    statement = _BY_IDS.format(fields=fields(table), table=table.identifier, condition=any_of(column))
    found = await (await conn.execute(statement, {"ids": ids})).fetchall()
    return Rows([row_of(each) for each in found], now_ms)


_LINKS = sql.SQL("""
select t.{key}::text, t.{column}::text from {table} t
where {condition} and t.{column} is not null order by t.{key}
""")


async def read_links(conn: Conn, table: Table, asked: ReadLinks) -> list[tuple[str, str]]:
    """Return (id of the row, id it refers to). A table without the column refers to nothing."""
    column = table.find(asked.column)
    if column is None or not column.is_read or column.base not in _ARRAYS:
        return []
    by = column if asked.reverse else table.key
    ids = [each for each in dict.fromkeys(asked.ids) if is_key(by, each)]
    statement = _LINKS.format(
        key=sql.Identifier(table.key.name),
        column=sql.Identifier(column.name),
        table=table.identifier,
        condition=any_of(by),
    )
    found = await (await conn.execute(statement, {"ids": ids})).fetchall()
    return [(str(each[0]), str(each[1])) for each in found]


async def _read_now(conn: Conn) -> int:
    row = await (await conn.execute(_NOW_MS)).fetchone()
    return int(row[0]) if row else 0
