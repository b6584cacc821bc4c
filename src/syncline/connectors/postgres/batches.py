"""Rows on their way into one table: sent together, halved where the database refuses some, each answered.

Texts become values by the columns' own types, on the server: `jsonb_populate_record` reads them as an input
of that type. Knows nothing of what a statement does with the rows it is given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import psycopg
from psycopg import errors, sql

from syncline.connectors.postgres.catalogue import Table
from syncline.connectors.postgres.failures import explain_record, is_about_a_record
from syncline.connectors.postgres.sessions import Conn
from syncline.connectors.postgres.wire import Outcome
from syncline.errors import AlreadyExists

GONE = Outcome(failure="gone", reason="The CRM's table has no such row any more.")


@dataclass(slots=True)
class Item:
    """One row on its way: which it is, and what is set, as JSON."""

    position: int
    id: str | None
    document: dict[str, Any]
    external_id: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(sorted(self.document))


@dataclass(slots=True)
class Sending:
    """Runs statements over items; what each came to is in `outcomes`, by position."""

    conn: Conn
    table: Table
    outcomes: dict[int, Outcome] = field(default_factory=dict[int, Outcome])

    async def run(
        self, items: Sequence[Item], write: Callable[[Sequence[Item]], Awaitable[dict[int, Outcome]]]
    ) -> None:
        """Write items, halving those that the database refuses for what is in them."""
        if not items:
            return
        try:
            async with self.conn.transaction():
                found = await write(items)
        except psycopg.Error as error:
            if not is_about_a_record(error):
                raise
            if len(items) == 1:
                self.outcomes[items[0].position] = await self._refused(items[0], error)
                return
            middle = len(items) // 2
            await self.run(items[:middle], write)
            await self.run(items[middle:], write)
            return
        for item in items:
            self.outcomes[item.position] = found.get(item.position, GONE)

    async def _refused(self, item: Item, error: psycopg.Error) -> Outcome:
        column = error.diag.column_name
        if column is None and (error.sqlstate or "").startswith("22"):
            column = await self._find_culprit(item)
        failure = explain_record(error, column)
        if not isinstance(failure, AlreadyExists):
            return Outcome(failure="refused", reason=str(failure))
        existing = await _find_existing(self.conn, self.table, item, error.diag.constraint_name)
        return Outcome(failure="taken", reason=str(failure), existing_id=existing)

    async def _find_culprit(self, item: Item) -> str | None:
        """Return the column whose type does not take its value."""
        for name, value in item.document.items():
            statement = _TRY.format(table=self.table.identifier, column=sql.Identifier(name))
            try:
                async with self.conn.transaction():
                    await self.conn.execute(statement, {"document": json.dumps({name: _plain(value)})})
            except psycopg.DataError:
                return name
        return None


_TRY = sql.SQL("select (jsonb_populate_record(null::{table}, %(document)s::jsonb)).{column}")

# What is given as JSON, row by row, with every value as the input of its column's type.
INPUT = sql.SQL("""
with input as materialized (
  select e.n, e.id, e.external, jsonb_populate_record(null::{table}, e.document) as r
  from jsonb_to_recordset(%(input)s::jsonb) as e (n int, id text, external text, document jsonb)
)
""")


def _plain(value: Any) -> Any:
    return json.loads(bytes(value)) if isinstance(value, msgspec.Raw) else value


def input_of(items: Sequence[Item]) -> str:
    rows = [
        {"n": each.position, "id": each.id, "external": each.external_id, "document": each.document}
        for each in items
    ]
    return msgspec.json.encode(rows).decode()


def group_alike(items: Sequence[Item]) -> list[list[Item]]:
    """Put items together that set the same columns and are made in the same manner."""
    groups: dict[tuple[Any, ...], list[Item]] = {}
    for item in items:
        groups.setdefault((item.columns, item.external_id is None), []).append(item)
    return list(groups.values())


def cut_rounds(items: list[Item]) -> list[list[Item]]:
    """Cut items so that no row is in a part twice, and the first stays first."""
    rounds: list[list[Item]] = []
    seen: dict[str, int] = {}
    for item in items:
        number = seen.get(str(item.id), 0)
        seen[str(item.id)] = number + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(item)
    return rounds


_INDEX_COLUMNS = """
select i.indrelid::regclass::oid::bigint as oid,
  array(select pg_get_indexdef(i.indexrelid, n, true) from generate_series(1, i.indnkeyatts) as n) as columns
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_class t on t.oid = i.indrelid
join pg_catalog.pg_namespace n on n.oid = t.relnamespace
where n.nspname = %(schema)s and t.relname = %(table)s and c.relname = %(index)s
"""
_LOWER = re.compile(r"lower\(\(?\"?(\w+)\"?\)?(?:::text)?\)")
_EXISTING = sql.SQL("""
{input}select t.{key}::text from {table} t join input i on {condition} limit 1
""")


async def _find_existing(conn: Conn, table: Table, item: Item, index: str | None) -> str | None:
    """Return the row that has what must be unique, where the index is over columns, or their lower case."""
    place = table.place
    values = {"schema": place.schema, "table": place.table, "index": index or ""}
    row = await (await conn.execute(_INDEX_COLUMNS, values)).fetchone()
    if row is None:
        return None
    conditions: list[sql.Composable] = []
    for expression in row[1]:
        lowered = _LOWER.fullmatch(expression)
        name = lowered[1] if lowered else expression.strip('"')
        if name not in item.document:
            return None
        same = sql.SQL("lower(t.{0}::text) = lower((i.r).{0}::text)" if lowered else "t.{0} = (i.r).{0}")
        conditions.append(same.format(sql.Identifier(name)))
    statement = _EXISTING.format(
        input=INPUT.format(table=table.identifier),
        key=sql.Identifier(table.key.name),
        table=table.identifier,
        condition=sql.SQL(" and ").join(conditions),
    )
    try:
        async with conn.transaction():
            found = await (await conn.execute(statement, {"input": input_of([item])})).fetchone()
    except errors.Error:
        return None
    return None if found is None else str(found[0])
