"""Questions about the server and about one table: counts, bounds of keys, values of a column."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from syncline.connectors.postgres.address import Address
from syncline.connectors.postgres.catalogue import Table, Tables
from syncline.connectors.postgres.reading import cast, living
from syncline.connectors.postgres.sessions import Conn
from syncline.connectors.postgres.wire import AskServer, AskTable, Names, Server
from syncline.errors import NotFound, ScopeMissing, SettingInvalid

_SERVER = """
select current_database() as database, current_setting('server_version_num')::int as version,
  floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms,
  exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          where n.nspname = 'app' and c.relname = 'alembic_version')
  and exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
              where n.nspname = 'sync' and c.relname = 'links') as is_ours
"""

_SYSTEM = "select system_identifier::text from pg_catalog.pg_control_system()"


async def ask_server(conn: Conn, tables: Tables, address: Address, asked: AskServer) -> Server:
    """Say who the server is, and which of the tables are there and of use."""
    row = await (await conn.execute(_SERVER)).fetchone()
    assert row is not None  # noqa: S101 - one row by construction
    found: list[str] = []
    marked: set[str | None] = {None}
    for name, place in asked.places.items():
        try:
            marked.add(getattr((await tables.get(conn, place, fresh=True)).archived, "name", None))
        except NotFound:
            continue
        except (SettingInvalid, ScopeMissing):
            pass  # told when the object is asked for by name
        found.append(name)
    wanted = next(iter(asked.places.values())).archived
    if found and wanted not in marked:
        raise SettingInvalid(f"None of the tables has the column {wanted}, which archived_column names.")
    schema = next(iter(asked.places.values())).schema
    system = await _find_system(conn) or address.digest
    return Server(f"{system}/{row[0]}/{schema}", str(row[0]), int(row[1]), int(row[2]), bool(row[3]), found)


async def _find_system(conn: Conn) -> str | None:
    """Return what tells this server from all others, where the role may ask."""
    try:
        async with conn.transaction():
            row = await (await conn.execute(_SYSTEM)).fetchone()
    except psycopg.Error:
        return None
    return str(row[0]) if row else None


_COUNT = sql.SQL("select count(*) from {table} t where {condition}")


async def count_rows(conn: Conn, table: Table) -> int:
    """Return how many rows live."""
    statement = _COUNT.format(table=table.identifier, condition=living(table))
    row = await (await conn.execute(statement)).fetchone()
    return int(row[0]) if row else 0


_ENDS = sql.SQL("select min(t.{key})::text, max(t.{key})::text from {table} t")


async def read_ends(conn: Conn, table: Table) -> tuple[str | None, str | None]:
    """Return the lowest and the highest key."""
    statement = _ENDS.format(key=sql.Identifier(table.key.name), table=table.identifier)
    row = await (await conn.execute(statement)).fetchone()
    return (row[0], row[1]) if row else (None, None)


_BOUND = sql.SQL("""
select t.{key}::text from {table} t where t.{key} > %(after)s{cast} and {condition}
order by t.{key} offset %(step)s limit 1
""")


async def find_bound(conn: Conn, table: Table, asked: AskTable) -> Names:
    """Return the key that lies a `parts`-th of the rows above `after`; nothing near the end."""
    total = await count_rows(conn, table)
    statement = _BOUND.format(
        key=sql.Identifier(table.key.name),
        table=table.identifier,
        cast=cast(table.key),
        condition=living(table),
    )
    step = max(1, total // max(1, asked.parts)) - 1
    row = await (await conn.execute(statement, {"after": asked.after or "0", "step": step})).fetchone()
    return Names([] if row is None else [str(row[0])])


_VALUES = sql.SQL("select distinct {columns} from {table} t where {condition} order by {order} limit 1000")


async def list_values(conn: Conn, table: Table, names: Sequence[str]) -> list[list[str | None]]:
    """Return the distinct values, as text, that living rows have in some columns together."""
    columns = [sql.SQL("t.{}::text").format(sql.Identifier(each)) for each in names]
    statement = _VALUES.format(
        columns=sql.SQL(", ").join(columns),
        table=table.identifier,
        condition=living(table),
        order=sql.SQL(", ").join(sql.Literal(position + 1) for position in range(len(names))),
    )
    found = await (await conn.execute(statement)).fetchall()
    return [list(each) for each in found]
