"""The CRM's tables telling of their changes: a change table with triggers, and looking at modified times.

The change table holds which row changed and how, never a value. It is read by transaction, so that one which
commits late is told all the same: everything from the oldest transaction that was still running is looked at
again, and what was told already is left out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from syncline.connectors.postgres.catalogue import Table, Tables
from syncline.connectors.postgres.places import Place
from syncline.connectors.postgres.sessions import Conn, Sessions
from syncline.connectors.postgres.wire import Change, Changes, Names, Position, Watch, Watched
from syncline.errors import NotFound, ScopeMissing, SettingInvalid

CHANGES = "syncline_changes"
FUNCTION = "syncline_note_change"
CHANNEL = "syncline_changes"
_TRIGGERS: tuple[tuple[LiteralString, LiteralString], ...] = (
    ("insert", "new"),
    ("update", "new"),
    ("delete", "old"),
)
_LOOK_SECONDS = 1.0
#: Without a change table each look asks every table for its last modified times.
_LOOK_AT_TABLES_SECONDS = 3.0
_MOST_CHANGES = 2000
_KEEP_DAYS: LiteralString = "7"

_CREATE_CHANGES = sql.SQL("""
create table if not exists {changes} (
  id bigint generated always as identity primary key,
  xid xid8 not null default pg_current_xact_id(),
  at timestamptz not null default clock_timestamp(),
  table_name text not null,
  key text not null,
  op text not null
);
create index if not exists syncline_changes_xid on {changes} (xid);
create index if not exists syncline_changes_at on {changes} (at);
alter table {changes} enable row level security;
revoke all on {changes} from public;
comment on table {changes} is
  'Which rows changed, for Syncline. Rows are deleted after seven days; nothing else may rely on it.';
""")

# Runs with the rights of whoever installed it, so that every writer of the CRM may leave a note. Whatever
# goes wrong in it, the CRM's own statement goes on.
_CREATE_FUNCTION = sql.SQL("""
create or replace function {function}() returns trigger language plpgsql security definer
set search_path = pg_catalog, pg_temp as $body$
declare
  noted bigint;
begin
  execute format('insert into %s (table_name, key, op) select %L, (r.%I)::text, %L from {rows} r',
    {changes_name}, tg_table_name, tg_argv[0], lower(tg_op));
  get diagnostics noted = row_count;
  if noted > 0 then
    perform pg_notify({channel}, tg_table_name);
  end if;
  if random() < 0.001 then
    execute format('delete from %s where at < now() - interval ''{days} days''', {changes_name});
  end if;
  return null;
exception when others then
  return null;
end $body$;
revoke all on function {function}() from public;
comment on function {function}() is 'Notes which rows changed, for Syncline.';
""")

_CREATE_TRIGGER = sql.SQL("""
create or replace trigger {trigger} after {event} on {table}
referencing {image} table as syncline_rows for each statement execute function {function}({key});
""")

_LIST_TRIGGERS = """
select c.relname from pg_catalog.pg_trigger t
join pg_catalog.pg_class c on c.oid = t.tgrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = %(schema)s and t.tgname in ('syncline_insert', 'syncline_update', 'syncline_delete')
  and not t.tgisinternal
  and exists (select from pg_catalog.pg_class h
              where h.relnamespace = n.oid and h.relname = %(changes)s or not %(whole)s)
group by c.relname having count(*) = 3 or not %(whole)s
"""


def install_sql(schema: str, tables: Mapping[str, Table]) -> sql.Composed:
    """Return the statements that make tables tell of their changes. They may be run again."""
    changes = sql.Identifier(schema, CHANGES)
    function = sql.Identifier(schema, FUNCTION)
    parts: list[sql.Composable] = [
        _CREATE_CHANGES.format(changes=changes),
        _CREATE_FUNCTION.format(
            function=function,
            rows=sql.SQL("syncline_rows"),
            changes_name=sql.Literal(_quoted(schema, CHANGES)),
            channel=sql.Literal(CHANNEL),
            days=sql.SQL(_KEEP_DAYS),
        ),
    ]
    for table in tables.values():
        for event, image in _TRIGGERS:
            parts.append(
                _CREATE_TRIGGER.format(
                    trigger=sql.Identifier(f"syncline_{event}"),
                    event=sql.SQL(event),
                    image=sql.SQL(image),
                    table=table.identifier,
                    function=function,
                    key=sql.Literal(table.key.name),
                )
            )
    return sql.SQL("").join(parts)


async def install(conn: Conn, tables: Tables, asked: Watched) -> Names:
    """Make the tables tell of their changes; returns those that do so since just now.

    Raises `ScopeMissing` with the statements a database administrator would have to run.
    """
    found = await _find_tables(conn, tables, asked.places)
    watchable = {name: table for name, table in found.items() if table.kind in "rp"}
    there = await _list_triggers(conn, asked.schema)
    missing = {name: table for name, table in watchable.items() if table.place.table not in there}
    if not missing:
        return Names([])
    statements = install_sql(asked.schema, missing)
    try:
        async with conn.transaction():
            await conn.execute(statements)
    except psycopg.errors.InsufficientPrivilege:
        text = "\n".join(line for line in statements.as_string(conn).splitlines() if line.strip())
        raise ScopeMissing(
            "The role may not create triggers in the CRM's database. An administrator has to run this, or "
            f"Syncline goes on looking at modified times:\n\n{text}"
        ) from None
    return Names(list(missing))


async def uninstall(conn: Conn, tables: Tables, asked: Watched) -> Names:
    """Take triggers, function and change table away; returns the tables that told of their changes."""
    del tables  # also those that are no objects any more
    there = await _list_triggers(conn, asked.schema, whole=False)
    for name in sorted(there):
        for event, _ in _TRIGGERS:
            await conn.execute(
                sql.SQL("drop trigger if exists {} on {}").format(
                    sql.Identifier(f"syncline_{event}"), sql.Identifier(asked.schema, name)
                )
            )
    function, changes = sql.Identifier(asked.schema, FUNCTION), sql.Identifier(asked.schema, CHANGES)
    await conn.execute(sql.SQL("drop function if exists {}()").format(function))
    await conn.execute(sql.SQL("drop table if exists {}").format(changes))
    return Names(sorted(there))


async def _list_triggers(conn: Conn, schema: str, *, whole: bool = True) -> set[str]:
    """Return the tables with triggers of ours; those where nothing is missing (`whole`), or any."""
    values = {"schema": schema, "changes": CHANGES, "whole": whole}
    found = await (await conn.execute(_LIST_TRIGGERS, values)).fetchall()
    return {str(row[0]) for row in found}


async def _find_tables(conn: Conn, tables: Tables, places: Mapping[str, Place]) -> dict[str, Table]:
    found: dict[str, Table] = {}
    for name, place in places.items():
        try:
            found[name] = await tables.get(conn, place)
        except (NotFound, SettingInvalid):
            continue
    return found


async def watch(sessions: Sessions, tables: Tables, asked: Watch) -> Changes:
    """Return changes as soon as there are some, or none after `seconds`. Holds no transaction meanwhile."""
    ends_at = time.monotonic() + asked.seconds
    position = asked.position
    async with AsyncExitStack() as stack:
        listener: Conn | None = None
        while True:
            async with sessions.transaction() as conn:
                found = await _look(conn, tables, asked, position)
            left = ends_at - time.monotonic()
            if found.changes or asked.position is None or left <= 0:
                return found
            position = found.position
            pause = _LOOK_SECONDS if position.low is not None else _LOOK_AT_TABLES_SECONDS
            if position.low is None or sessions.address.pooled:
                await asyncio.sleep(min(pause, left))
                continue
            if listener is None:
                listener = await stack.enter_async_context(sessions.session())
                await listener.execute(sql.SQL("listen {}").format(sql.Identifier(CHANNEL)))
                continue  # what happened before it listened
            async for _ in listener.notifies(timeout=min(pause, left), stop_after=1):
                pass


_HAS_CHANGES = """
select has_table_privilege(c.oid, 'select') from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = %(schema)s and c.relname = %(table)s and c.relkind = 'r'
"""


async def _look(conn: Conn, tables: Tables, asked: Watch, position: Position | None) -> Changes:
    row = await (await conn.execute(_HAS_CHANGES, {"schema": asked.schema, "table": CHANGES})).fetchone()
    if row is not None and row[0]:
        return await _look_at_changes(conn, asked.schema, position)
    return await _look_at_tables(conn, tables, asked.places, position)


_XMIN = "select pg_snapshot_xmin(pg_current_snapshot())::text"
_CHANGES = sql.SQL("""
select id, table_name, key, op, floor(extract(epoch from at) * 1000)::bigint from {changes}
where xid >= %(low)s::xid8 and not id = any(%(told)s::bigint[]) order by id limit %(limit)s
""")
_STILL_ABOVE = sql.SQL("select id from {changes} where xid >= %(low)s::xid8 and id = any(%(ids)s::bigint[])")


async def _look_at_changes(conn: Conn, schema: str, position: Position | None) -> Changes:
    changes = sql.Identifier(schema, CHANGES)
    row = await (await conn.execute(_XMIN)).fetchone()
    oldest_running = str(row[0]) if row else "0"
    if position is None or position.low is None:
        return Changes([], Position(low=oldest_running))
    values: dict[str, Any] = {"low": position.low, "told": position.told, "limit": _MOST_CHANGES}
    found = await (await conn.execute(_CHANGES.format(changes=changes), values)).fetchall()
    told = [*position.told, *(int(each[0]) for each in found)]
    # With a full page there is more above `low` that has not been told.
    low = position.low if len(found) == _MOST_CHANGES else oldest_running
    if told and low != position.low:
        kept = await conn.execute(_STILL_ABOVE.format(changes=changes), {"low": low, "ids": told})
        told = [int(each[0]) for each in await kept.fetchall()]
    return Changes(
        [Change(f"{each[0]}", str(each[1]), str(each[2]), str(each[3]), int(each[4])) for each in found],
        Position(low=low, told=told),
    )


_LATEST = sql.SQL("select max(t.{modified})::text from {table} t")
_LOOKED = sql.SQL("""
select t.{key}::text, t.{modified}::text, floor(extract(epoch from t.{modified}) * 1000)::bigint
from {table} t where t.{modified} > %(since)s{cast} order by t.{modified}, t.{key} limit %(limit)s
""")


async def _look_at_tables(
    conn: Conn, tables: Tables, places: Mapping[str, Place], position: Position | None
) -> Changes:
    """Look for later modified times than before, in the tables whose index makes that cheap."""
    looked = {} if position is None else dict(position.looked)
    changes: list[Change] = []
    for name, table in (await _find_tables(conn, tables, places)).items():
        modified = table.modified
        if modified is None or not modified.indexed:
            continue
        parts: Mapping[str, sql.Composable] = {
            "key": sql.Identifier(table.key.name),
            "modified": sql.Identifier(modified.name),
            "table": table.identifier,
            "cast": sql.SQL("::timestamp" if modified.base == "timestamp" else "::timestamptz"),
        }
        if name not in looked:
            row = await (await conn.execute(_LATEST.format(**parts))).fetchone()
            looked[name] = str(row[0]) if row and row[0] is not None else "-infinity"
            continue
        values: dict[str, Any] = {"since": looked[name], "limit": _MOST_CHANGES}
        found = await (await conn.execute(_LOOKED.format(**parts), values)).fetchall()
        if found:
            looked[name] = str(found[-1][1])
            changes += [Change("", name, str(each[0]), "update", int(each[2])) for each in found]
    return Changes(changes, Position(looked=looked))


def _quoted(*names: str) -> str:
    """Write a name for use within a statement that is a string of its own."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)
