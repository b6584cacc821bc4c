"""Rows written in one transaction, where a bad one fails alone; the statements, composed for one table.

A statement writes all rows that set the same columns. Names come from the database's own catalogue; values
are always parameters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import sql

from syncline.connectors.postgres.batches import GONE, INPUT, Item, Sending, cut_rounds, group_alike, input_of
from syncline.connectors.postgres.catalogue import INTEGERS, Column, Table
from syncline.connectors.postgres.failures import missing_external_id
from syncline.connectors.postgres.reading import any_of, cast, fields, is_key, row_of
from syncline.connectors.postgres.sessions import Conn
from syncline.connectors.postgres.wire import ArchiveRows, Outcome, Outcomes, ReferRows, WriteRow, WriteRows
from syncline.errors import SettingInvalid

_WHOLE = re.compile(r"(-?\d+)\.0+")


async def write_rows(conn: Conn, table: Table, asked: WriteRows) -> Outcomes:
    """Change and make rows. Of two changes of one row the first goes first; changes before what is new.

    Raises the driver's errors of what concerns all of them; then nothing has been written.
    """
    if table.external is None and asked.repeatable and any(each.id is None for each in asked.writes):
        raise missing_external_id(asked.place)
    sending = Sending(conn, table)
    changes: list[Item] = []
    creates: list[Item] = []
    for position, write in enumerate(asked.writes):
        item, refusal = _prepare(table, position, write)
        if refusal is not None:
            sending.outcomes[position] = refusal
        elif item.id is None:
            creates.append(item)
        elif item.document:
            changes.append(item)
        else:
            sending.outcomes[position] = Outcome(created=False)
    for part in cut_rounds(changes):
        for group in group_alike(part):
            await sending.run(group, lambda items: _update(conn, table, items))
    for group in group_alike(creates):
        if table.external is not None and all(each.external_id is not None for each in group):
            await sending.run(group, lambda items: _upsert(conn, table, items))
        else:
            for item in group:  # which answer is whose could not be told
                await sending.run([item], lambda items: _insert(conn, table, items[0]))
    return Outcomes([sending.outcomes[position] for position in range(len(asked.writes))])


_UPDATE = sql.SQL("""
{input}update {table} t set {assignments} from input i where t.{key} = i.id{cast} returning i.n, {fields}
""")


async def _update(conn: Conn, table: Table, items: Sequence[Item]) -> dict[int, Outcome]:
    columns = items[0].columns
    assignments: list[sql.Composable] = [
        sql.SQL("{0} = (i.r).{0}").format(sql.Identifier(each)) for each in columns
    ]
    modified = table.modified
    if modified is not None and modified.name not in columns and modified.is_settable:
        # Whoever follows the table by this time, ourselves included, is to see it.
        assignments.append(sql.SQL("{} = now()").format(sql.Identifier(modified.name)))
    statement = _UPDATE.format(
        input=INPUT.format(table=table.identifier),
        table=table.identifier,
        assignments=sql.SQL(", ").join(assignments),
        key=sql.Identifier(table.key.name),
        cast=cast(table.key),
        fields=fields(table),
    )
    found = await (await conn.execute(statement, {"input": input_of(items)})).fetchall()
    return {int(each[0]): Outcome(row_of(each[1:]), created=False) for each in found}


_UPSERT = sql.SQL("""
{input}insert into {table} as t ({columns}) select {values} from input i
on conflict ({external}) do update set {assignments} returning {created} as created, {fields}
""")


async def _upsert(conn: Conn, table: Table, items: Sequence[Item]) -> dict[int, Outcome]:
    """Make rows by our own ids of them: sent a second time, they are found."""
    assert table.external is not None  # noqa: S101 - asked before
    external = sql.Identifier(table.external.name)
    columns = [sql.Identifier(each) for each in items[0].columns]
    assignments = [sql.SQL("{0} = excluded.{0}").format(each) for each in (external, *columns)]
    names = [external, *columns]
    values: list[sql.Composable] = [sql.SQL("i.external{}").format(cast(table.external))]
    values += [sql.SQL("(i.r).{}").format(each) for each in columns]
    if not table.key.has_default and not table.key.generated and table.key.base == "uuid":
        names.append(sql.Identifier(table.key.name))  # nobody else would give the row a key
        values.append(sql.SQL("i.external::uuid"))
    statement = _UPSERT.format(
        input=INPUT.format(table=table.identifier),
        table=table.identifier,
        columns=sql.SQL(", ").join(names),
        values=sql.SQL(", ").join(values),
        external=external,
        assignments=sql.SQL(", ").join(assignments),
        # Only a row that was there has been locked by somebody, namely us.
        created=sql.SQL("(t.xmax = 0)" if table.is_plain else "null::boolean"),
        fields=fields(table),
    )
    found = await (await conn.execute(statement, {"input": input_of(items)})).fetchall()
    positions = {str(each.external_id).lower(): each.position for each in items}
    outcomes: dict[int, Outcome] = {}
    for created, *values_read in found:
        row = row_of(values_read)
        outcomes[positions[str(row.external).lower()]] = Outcome(row, created=created)
    return outcomes


_INSERT = sql.SQL(
    "{input}insert into {table} as t ({columns}) select {values} from input i returning {fields}"
)
_INSERT_EMPTY = sql.SQL("insert into {table} as t default values returning {fields}")


async def _insert(conn: Conn, table: Table, item: Item) -> dict[int, Outcome]:
    columns = [sql.Identifier(each) for each in item.columns]
    if columns:
        statement = _INSERT.format(
            input=INPUT.format(table=table.identifier),
            table=table.identifier,
            columns=sql.SQL(", ").join(columns),
            values=sql.SQL(", ").join(sql.SQL("(i.r).{}").format(each) for each in columns),
            fields=fields(table),
        )
    else:
        statement = _INSERT_EMPTY.format(table=table.identifier, fields=fields(table))
    values = {"input": input_of([item])} if columns else {}
    found = await (await conn.execute(statement, values)).fetchall()
    return {item.position: Outcome(row_of(found[0]), created=True)} if found else {}


_MARK = sql.SQL("update {table} t set {assignments} where {condition} and {living}")
_DELETE = sql.SQL("delete from {table} t where {condition}")


async def archive_rows(conn: Conn, table: Table, asked: ArchiveRows) -> Outcomes:
    """Mark rows as deleted, or delete them where the table has no column for that."""
    sending = Sending(conn, table)
    items: list[Item] = []
    for position, remote_id in enumerate(asked.ids):
        if is_key(table.key, remote_id):
            items.append(Item(position, remote_id, {}))
        else:
            sending.outcomes[position] = Outcome()  # never was there

    async def write(part: Sequence[Item]) -> dict[int, Outcome]:
        await conn.execute(_archiving(table), {"ids": [each.id for each in part]})
        return {each.position: Outcome() for each in part}

    await sending.run(items, write)
    return Outcomes([sending.outcomes[position] for position in range(len(asked.ids))])


def _archiving(table: Table) -> sql.Composed:
    column = table.archived
    if column is None:
        return _DELETE.format(table=table.identifier, condition=any_of(table.key))
    living = sql.SQL("t.{} is null" if column.is_time else "t.{} is not true")
    mark = sql.SQL("{} = now()" if column.is_time else "{} = true")
    assignments = [mark.format(sql.Identifier(column.name))]
    modified = table.modified
    if modified is not None and modified.is_settable and modified.name != column.name:
        assignments.append(sql.SQL("{} = now()").format(sql.Identifier(modified.name)))
    return _MARK.format(
        table=table.identifier,
        assignments=sql.SQL(", ").join(assignments),
        condition=any_of(table.key),
        living=living.format(sql.Identifier(column.name)),
    )


_REFER = sql.SQL("""
{input}update {table} t set {assignments} from input i
where t.{key} = i.id{cast} and t.{column} is distinct from (i.r).{column}
""")
_UNREFER = sql.SQL("""
{input}update {table} t set {assignments} from input i
where t.{key} = i.id{cast} and t.{column} = (i.r).{column}
""")
_THERE = sql.SQL("select t.{key}::text from {table} t where {condition}")


async def refer_rows(conn: Conn, table: Table, asked: ReferRows, *, away: bool = False) -> Outcomes:
    """Set references, or empty those that are still as named (`away`)."""
    column = table.find(asked.column)
    if column is None or not column.is_settable:
        reason = f"The table {asked.place.table} has no column {asked.column} that may be set."
        return Outcomes([Outcome(failure="refused", reason=reason)] * len(asked.refers))
    sending = Sending(conn, table)
    items: list[Item] = []
    for position, each in enumerate(asked.refers):
        if is_key(table.key, each.id):
            items.append(Item(position, each.id, {column.name: each.to}))
        else:
            sending.outcomes[position] = Outcome() if away else GONE
    statement = _refer(table, column, away=away)
    there = _THERE.format(
        key=sql.Identifier(table.key.name), table=table.identifier, condition=any_of(table.key)
    )

    async def write(part: Sequence[Item]) -> dict[int, Outcome]:
        await conn.execute(statement, {"input": input_of(part)})
        found = await conn.execute(there, {"ids": [each.id for each in part]})
        living = {str(row[0]) for row in await found.fetchall()}
        return {each.position: Outcome() for each in part if away or str(each.id).lower() in living}

    for part in cut_rounds(items):
        await sending.run(part, write)
    return Outcomes([sending.outcomes[position] for position in range(len(asked.refers))])


def _refer(table: Table, column: Column, *, away: bool) -> sql.Composed:
    name = sql.Identifier(column.name)
    assignments = [(sql.SQL("{0} = null") if away else sql.SQL("{0} = (i.r).{0}")).format(name)]
    modified = table.modified
    if modified is not None and modified.is_settable:
        assignments.append(sql.SQL("{} = now()").format(sql.Identifier(modified.name)))
    return (_UNREFER if away else _REFER).format(
        input=INPUT.format(table=table.identifier),
        table=table.identifier,
        assignments=sql.SQL(", ").join(assignments),
        key=sql.Identifier(table.key.name),
        cast=cast(table.key),
        column=name,
    )


def _prepare(table: Table, position: int, write: WriteRow) -> tuple[Item, Outcome | None]:
    """Make a write ready; the outcome is set for one that cannot be sent."""
    item = Item(position, write.id, {}, write.external_id)
    if write.id is not None and not is_key(table.key, write.id):
        return item, GONE
    if write.id is None and write.external_id is not None:
        if table.external is None:
            item.external_id = None
        elif not is_key(table.external, write.external_id):
            raise SettingInvalid(f"The column {table.external.name} does not take our ids.")
    for name, value in write.values.items():
        column = table.find(name)
        if column is None or not column.takes_values:
            reason = f"The table {table.place.table} has no column {name} that may be set."
            return item, Outcome(failure="refused", reason=reason)
        if write.id is None and value is None:
            continue  # a new row has nothing to empty, and a default is kept
        problem = _put(item.document, column, value)
        if problem:
            return item, Outcome(failure="refused", reason=f"{name}: {problem}")
    return item, None


def _put(document: dict[str, Any], column: Column, value: str | None) -> str | None:
    """Write a value as JSON for its column; returns what is wrong with it."""
    if value is None:
        document[column.name] = None
        return None
    if "\0" in value:
        return "a NUL character, which Postgres cannot store."
    if column.is_structured:
        try:
            msgspec.json.decode(value)
        except msgspec.MsgspecError:
            return "no JSON, which the column holds."
        document[column.name] = msgspec.Raw(value.encode())
        return None
    if column.base in INTEGERS:
        whole = _WHOLE.fullmatch(value)
        value = whole[1] if whole else value
    document[column.name] = value
    return None
