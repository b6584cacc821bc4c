"""Columns that are added to the CRM's tables when a person asks for it. Changes none that is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString

import psycopg
from psycopg import errors, sql

from syncline.connectors.postgres.failures import explain_error
from syncline.connectors.postgres.sessions import Sessions
from syncline.connectors.postgres.wire import AddColumn, Names
from syncline.errors import ScopeMissing

TYPES: Mapping[str, LiteralString] = {
    "text": "text",
    "number": "numeric",
    "boolean": "boolean",
    "time": "timestamptz",
    "date": "date",
    "uuid": "uuid",
}
_ADD = sql.SQL("alter table {table} add column if not exists {column} {type}")
_COMMENT = sql.SQL("comment on column {table}.{column} is {comment}")
_INDEX = sql.SQL("create unique index concurrently if not exists {index} on {table} ({column})")
_DROP_INDEX = sql.SQL("drop index concurrently if exists {index}")
_FIND_INVALID = """
select not i.indisvalid from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = %(schema)s and c.relname = %(index)s
"""


async def add_column(sessions: Sessions, asked: AddColumn) -> Names:
    """Add a column, and its unique index without holding up the CRM's writers. May be repeated.

    Raises `ScopeMissing` with the statements an administrator would have to run.
    """
    table = sql.Identifier(asked.place.schema, asked.place.table)
    index = f"{asked.place.table}_{asked.name}_key"[:63]
    add = _ADD.format(
        table=table,
        column=sql.Identifier(asked.name),
        type=sql.SQL(TYPES[asked.type]),
    )
    unique = _INDEX.format(index=sql.Identifier(index), table=table, column=sql.Identifier(asked.name))
    comment = _COMMENT.format(
        table=table, column=sql.Identifier(asked.name), comment=sql.Literal(asked.comment)
    )
    try:
        async with sessions.transaction(write=True) as conn:
            await conn.execute(add)
            await conn.execute(comment)
        if asked.unique:
            # A statement that no transaction may hold.
            async with sessions.session() as conn:
                row = await (
                    await conn.execute(_FIND_INVALID, {"schema": asked.place.schema, "index": index})
                ).fetchone()
                if row is not None and row[0]:  # an earlier attempt was cut off
                    await conn.execute(_DROP_INDEX.format(index=sql.Identifier(asked.place.schema, index)))
                await conn.execute(unique)
    except errors.InsufficientPrivilege:
        wanted = [add, unique] if asked.unique else [add]
        raise ScopeMissing(
            f"The role may not change the table {asked.place.table}. An administrator has to run:\n\n"
            + "\n".join(f"{each.as_string()};" for each in wanted)
        ) from None
    except psycopg.Error as error:
        raise explain_error(error, sessions.address.label) from None
    return Names([asked.name])
