"""What the CRM's database says of its own tables: columns, keys, types, references, and what the role may do.

Read from the system catalogues, which every role may read. Knows nothing of rows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import sql
from psycopg.rows import dict_row

from syncline.connectors.postgres.places import EXTERNAL_ID, Place
from syncline.connectors.postgres.sessions import Conn
from syncline.errors import NotFound, ScopeMissing, SettingInvalid

#: Key types that pages can go by.
INTEGERS = frozenset({"int2", "int4", "int8"})
_KEY_TYPES = INTEGERS | {"uuid", "text", "varchar"}
_TIMES = frozenset({"timestamptz", "timestamp"})
#: Not read: they are long, of use to the database only, or no text.
_UNREAD = frozenset(
    {"bytea", "tsvector", "tsquery", "vector", "halfvec", "sparsevec", "geometry", "geography"}
)
#: Says that a record is gone without being deleted, the first that is there: moments, then yes and no.
_ARCHIVED_TIMES = ("deleted_at", "archived_at")
_ARCHIVED_FLAGS = ("is_deleted", "is_archived", "deleted", "archived")
_KEEP_SECONDS = 60.0


class Column(msgspec.Struct, frozen=True):
    name: str
    #: As people write it: `character varying(100)`.
    type: str
    #: The type beneath a domain, by its short name: `int4`.
    base: str
    #: Postgres's category of it: A array, B boolean, C composite, D date or time, E enum, N number, S text.
    category: str
    not_null: bool
    has_default: bool
    #: Computed by the database, or given by it always.
    generated: bool
    computed: bool
    selectable: bool
    insertable: bool
    updatable: bool
    #: The only column of a unique index that covers all rows, or of the primary key.
    unique: bool
    primary: bool
    #: Some index begins with it.
    indexed: bool
    labels: tuple[str, ...]
    comment: str | None
    #: (schema, table, column) that a foreign key of this column alone points to.
    references: tuple[str, str, str] | None

    @property
    def is_time(self) -> bool:
        return self.base in _TIMES

    @property
    def is_structured(self) -> bool:
        """Whether its JSON is an object or a list, not a text."""
        return self.category in "AC" or self.base in {"json", "jsonb"}

    @property
    def is_read(self) -> bool:
        return self.selectable and self.base not in _UNREAD

    @property
    def takes_values(self) -> bool:
        """Whether anybody could set it. Whether this role may, the database says when it does."""
        return self.is_read and not self.generated and not self.computed

    @property
    def is_settable(self) -> bool:
        return self.takes_values and self.updatable


class Table(msgspec.Struct, frozen=True):
    """A table or view as it is used."""

    place: Place
    kind: str
    #: Rows as the planner thinks; -1 when nobody has counted.
    estimate: float
    columns: tuple[Column, ...]
    key: Column
    modified: Column | None
    archived: Column | None
    #: Where our own ids are kept, where there is a unique column for them.
    external: Column | None

    @property
    def is_plain(self) -> bool:
        """Whether rows have system columns: no view, no partitioned table."""
        return self.kind == "r"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.place.schema, self.place.table)

    def find(self, name: str) -> Column | None:
        return next((each for each in self.columns if each.name == name), None)


class Tables:
    """What is known of tables, for a minute. Safe to use from many tasks."""

    def __init__(self) -> None:
        self._known: dict[Place, tuple[Table, float]] = {}

    async def get(self, conn: Conn, place: Place, *, fresh: bool = False) -> Table:
        """Return a table. Raises `NotFound`; `SettingInvalid`, `ScopeMissing` for one that is of no use."""
        known = self._known.get(place)
        if known is not None and not fresh and time.monotonic() - known[1] < _KEEP_SECONDS:
            return known[0]
        table = await _read_table(conn, place)
        self._known[place] = (table, time.monotonic())
        return table

    def forget(self) -> None:
        self._known.clear()


_FIND_TABLE = """
select c.oid::bigint as oid, c.relkind::text as kind, c.reltuples::float8 as estimate,
  has_schema_privilege(n.oid, 'usage') as usable
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = %(schema)s and c.relname = %(table)s and c.relkind in ('r', 'p', 'v', 'm', 'f')
"""

_LIST_COLUMNS = """
select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, b.typname as base,
  b.typcategory::text as category, a.attnotnull as not_null, a.atthasdef as has_default,
  a.attidentity = 'a' as generated, a.attgenerated <> '' as computed,
  has_column_privilege(a.attrelid, a.attnum, 'select') as selectable,
  has_column_privilege(a.attrelid, a.attnum, 'insert') as insertable,
  has_column_privilege(a.attrelid, a.attnum, 'update') as updatable,
  exists (select from pg_catalog.pg_index i
          where i.indrelid = a.attrelid and i.indisunique and i.indisvalid and i.indpred is null
            and i.indnkeyatts = 1 and i.indkey[0] = a.attnum) as unique,
  exists (select from pg_catalog.pg_index i
          where i.indrelid = a.attrelid and i.indisprimary and a.attnum = any(i.indkey)) as primary,
  exists (select from pg_catalog.pg_index i
          where i.indrelid = a.attrelid and i.indisvalid and i.indpred is null
            and i.indkey[0] = a.attnum) as indexed,
  array(select e.enumlabel::text from pg_catalog.pg_enum e where e.enumtypid = b.oid
        order by e.enumsortorder) as labels,
  col_description(a.attrelid, a.attnum) as comment,
  (select array[fn.nspname::text, f.relname::text, fa.attname::text]
   from pg_catalog.pg_constraint k
   join pg_catalog.pg_class f on f.oid = k.confrelid
   join pg_catalog.pg_namespace fn on fn.oid = f.relnamespace
   join pg_catalog.pg_attribute fa on fa.attrelid = f.oid and fa.attnum = k.confkey[1]
   where k.conrelid = a.attrelid and k.contype = 'f' and k.conkey = array[a.attnum]
   order by k.oid limit 1) as references
from pg_catalog.pg_attribute a
join pg_catalog.pg_type t on t.oid = a.atttypid
join pg_catalog.pg_type b on b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
where a.attrelid = %(oid)s::oid and a.attnum > 0 and not a.attisdropped
order by a.attname collate "C"
"""


async def _read_table(conn: Conn, place: Place) -> Table:
    found = await _fetch(conn, _FIND_TABLE, {"schema": place.schema, "table": place.table})
    if not found:
        raise NotFound(f"The schema {place.schema} has no table {place.table}.")
    rows = await _fetch(conn, _LIST_COLUMNS, {"oid": found[0]["oid"]})
    columns = tuple(msgspec.convert(row, Column) for row in rows)
    by_name = {each.name: each for each in columns}
    modified = by_name.get(place.modified)
    if modified is not None and not (modified.is_time and modified.is_read):
        modified = None
    external = by_name.get(EXTERNAL_ID)
    if external is not None and not (external.unique and external.base in {"uuid", "text", "varchar"}):
        external = None
    return Table(
        place,
        str(found[0]["kind"]),
        float(found[0]["estimate"]),
        columns,
        _find_key(place, columns, is_view=found[0]["kind"] in {"v", "m", "f"}),
        modified,
        _find_archived(place, by_name),
        external,
    )


def _find_key(place: Place, columns: Sequence[Column], *, is_view: bool) -> Column:
    """Return the column that tells records apart.

    Raises `SettingInvalid` where none does, `ScopeMissing` where it may not be read.
    """
    keys = [each for each in columns if each.primary]
    if len(keys) > 1:
        raise SettingInvalid(
            f"The primary key of {place.schema}.{place.table} has {len(keys)} columns; a record must be "
            "known by one. Name a view with a single column id instead."
        )
    if not keys:
        keys = [each for each in columns if each.name == "id" and (is_view or each.unique)]
    if not keys:
        raise SettingInvalid(
            f"{place.schema}.{place.table} has no primary key. Give it one of a single column."
        )
    if not keys[0].selectable:
        raise ScopeMissing(
            f"The role may not read the key of {place.schema}.{place.table}, {keys[0].name}. Grant it select."
        )
    if keys[0].base not in _KEY_TYPES:
        raise SettingInvalid(
            f"The key of {place.schema}.{place.table}, {keys[0].name}, is of the type {keys[0].type}. It "
            "must be a uuid, a whole number or a text."
        )
    return keys[0]


def _find_archived(place: Place, by_name: dict[str, Column]) -> Column | None:
    if place.archived is not None:
        named = by_name.get(place.archived)  # which not every table has
        if named is not None and not (named.is_read and (named.is_time or named.base == "bool")):
            raise SettingInvalid(
                f"The column {place.archived} of {place.schema}.{place.table} holds neither times nor yes "
                "and no."
            )
        return named
    for name in _ARCHIVED_TIMES:
        if (found := by_name.get(name)) is not None and found.is_time and found.is_read:
            return found
    for name in _ARCHIVED_FLAGS:
        if (found := by_name.get(name)) is not None and found.base == "bool" and found.is_read:
            return found
    return None


async def _fetch(conn: Conn, statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, values)  # pyright: ignore[reportArgumentType]
        return await cursor.fetchall()
