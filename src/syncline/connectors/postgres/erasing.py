"""Rows of persons erased: deleted, or emptied where the CRM's own tables need the row."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from syncline.connectors.postgres.batches import Item, Sending
from syncline.connectors.postgres.catalogue import Column, Table
from syncline.connectors.postgres.reading import any_of, is_key
from syncline.connectors.postgres.sessions import Conn
from syncline.connectors.postgres.wire import EraseRows, Outcome, Outcomes

_DELETE = sql.SQL("delete from {table} t where {condition}")
_EMPTY = sql.SQL("update {table} t set {assignments} where {condition}")


async def erase_rows(conn: Conn, table: Table, asked: EraseRows) -> Outcomes:
    """Delete rows, or empty columns of them. A row that is not there is erased as wanted."""
    columns: list[Column] = []
    for name in asked.columns:
        column = table.find(name)
        if column is None or not column.is_settable:
            reason = f"The table {asked.place.table} has no column {name} that may be emptied."
            return Outcomes([Outcome(failure="refused", reason=reason)] * len(asked.ids))
        columns.append(column)
    statement = _erasing(table, columns)
    sending = Sending(conn, table)
    items: list[Item] = []
    for position, remote_id in enumerate(asked.ids):
        if is_key(table.key, remote_id):
            items.append(Item(position, remote_id, {}))
        else:
            sending.outcomes[position] = Outcome()  # never was there

    async def write(part: Sequence[Item]) -> dict[int, Outcome]:
        await conn.execute(statement, {"ids": [each.id for each in part]})
        return {each.position: Outcome() for each in part}

    await sending.run(items, write)
    return Outcomes([sending.outcomes[position] for position in range(len(asked.ids))])


def _erasing(table: Table, columns: Sequence[Column]) -> sql.Composed:
    if not columns:
        return _DELETE.format(table=table.identifier, condition=any_of(table.key))
    assignments = [
        # Where nothing must be there, an empty text is what is left.
        sql.SQL("{} = {}").format(
            sql.Identifier(each.name),
            sql.SQL("''") if each.not_null and each.category == "S" else sql.SQL("null"),
        )
        for each in columns
    ]
    modified = table.modified
    if modified is not None and modified.is_settable and modified.name not in {each.name for each in columns}:
        assignments.append(sql.SQL("{} = now()").format(sql.Identifier(modified.name)))
    return _EMPTY.format(
        table=table.identifier,
        assignments=sql.SQL(", ").join(assignments),
        condition=any_of(table.key),
    )
