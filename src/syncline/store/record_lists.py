"""Pages of records: filtered, in an order that an index has, beginning where the page before ended.

Composes statements from filters that were checked; knows nothing of who may ask, but whose records they see.
Each page is found by ids and sort values alone, and its rows are fetched afterwards: a sort then carries no
documents. Records without a sort value come last, whichever way the others are sorted, and so are asked for
apart: no index has both directions that way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as default
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import errors, sql

from syncline.domain.filters import CONNECTION, Archived, Filter, Place, Sort
from syncline.domain.record_fields import RecordFields
from syncline.domain.records import CUSTOM
from syncline.errors import Invalid
from syncline.store.db import Conn
from syncline.store.rows import exact_rows

#: What no list shows: bookkeeping, and what lists are sorted by.
HIDDEN = ("tenant_id", "field_times", "sort_name", "sort_amount", "email_norm", "domain_norm")
#: Sorted field → (what is compared, its type). None of them is compared by an operator that row-level
#: security keeps from an index.
_SORTED: Mapping[tuple[str, str], tuple[sql.SQL, str]] = {
    ("owner", "name"): (sql.SQL("c.name"), "text"),
    ("company", "name"): (sql.SQL("c.sort_name"), "text"),
    ("contact", "full_name"): (sql.SQL("c.sort_name"), "text"),
    ("contact", "email"): (sql.SQL('(c.email_norm collate "C")'), "text"),
    ("deal", "name"): (sql.SQL("c.sort_name"), "text"),
    ("deal", "amount"): (sql.SQL("c.sort_amount"), "double precision"),
    ("deal", "expected_close_date"): (sql.SQL("c.expected_close_date"), "date"),
}
_NEVER_NULL = frozenset({"created_at", "updated_at"})
_TYPES = {
    "number": sql.SQL("numeric"),
    "time": sql.SQL("timestamptz"),
    "date": sql.SQL("date"),
    "boolean": sql.SQL("boolean"),
    "reference": sql.SQL("uuid"),
}


@dataclass(frozen=True, slots=True)
class Listing:
    """Which records are meant, of whom."""

    fields: RecordFields
    filters: Sequence[Filter] = ()
    archived: Archived = "no"
    #: Owners whose records are seen beside those of nobody; None for all.
    owner_ids: frozenset[UUID] | None = None
    #: Only these, where a search or a choice found them.
    ids: Sequence[UUID] | None = None


@dataclass(slots=True)
class _Clauses:
    """Conditions in the making, with their parameters."""

    parameters: dict[str, Any]
    parts: list[sql.Composable] = default(default_factory=list[sql.Composable])

    def bind(self, value: Any, type_: sql.Composable) -> sql.Composable:
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return sql.SQL("{}::{}").format(sql.Placeholder(name), type_)

    def all_of(self, branch: Sequence[sql.Composable]) -> sql.Composed:
        tenant = sql.SQL("c.tenant_id = %(tenant_id)s")
        return sql.SQL(" and ").join([tenant, *branch, *self.parts])


@dataclass(frozen=True, slots=True)
class Row:
    #: The sort value as text; None where it has none.
    place: str | None
    row: dict[str, Any]


async def list_page(
    conn: Conn, listing: Listing, sort: Sort, *, after: Place | None, limit: int, tenant_id: UUID
) -> list[Row]:
    """Return at most `limit` records after a place, in the order asked for; of equals by id.

    Raises `Invalid` for a place or a value that its column cannot have.
    """
    found: list[Row] = []
    if after is None or after.value is not None:
        found = await _fetch(conn, listing, sort, after=after, limit=limit, tenant_id=tenant_id, empty=False)
    if len(found) < limit and sort.field not in _NEVER_NULL:
        behind = after if after is not None and after.value is None else None
        more = limit - len(found)
        found += await _fetch(conn, listing, sort, after=behind, limit=more, tenant_id=tenant_id, empty=True)
    return found


async def _fetch(
    conn: Conn,
    listing: Listing,
    sort: Sort,
    *,
    after: Place | None,
    limit: int,
    tenant_id: UUID,
    empty: bool,
) -> list[Row]:
    parameters: dict[str, Any] = {"tenant_id": tenant_id, "limit": limit, "hidden": list(HIDDEN)}
    statement = select_page(listing, sort, parameters, after=after, empty=empty)
    try:
        async with exact_rows(conn, Row) as cursor:
            await cursor.execute(statement, parameters, prepare=False)
            return await cursor.fetchall()
    except errors.DataError:
        raise Invalid("Some of what the list is filtered by is out of range.") from None


def sort_of(listing: Listing, sort: Sort) -> tuple[sql.Composable, str]:
    """Return what a list is ordered by, and its type."""
    name = sort.field
    kind = listing.fields.fields[name].type
    default_type = "timestamptz" if kind == "time" else "date" if kind == "date" else "text"
    return _SORTED.get((listing.fields.name, name)) or (
        sql.SQL("c.{}").format(sql.Identifier(name)),
        default_type,
    )


def select_page(
    listing: Listing, sort: Sort, parameters: dict[str, Any], *, after: Place | None, empty: bool
) -> sql.Composed:
    """Compose one page; `empty`: of records that have no sort value. Adds what it binds to `parameters`."""
    direction = sql.SQL("desc" if sort.descending else "asc")
    key, type_ = sort_of(listing, sort)
    clauses = _Clauses(parameters)
    _add_filters(clauses, listing)
    if empty:
        clauses.parts.append(sql.SQL("{} is null").format(key))
    elif sort.field not in _NEVER_NULL:
        clauses.parts.append(sql.SQL("{} is not null").format(key))
    if after is not None:
        _add_place(clauses, key, type_, after, descending=sort.descending, empty=empty)
    table = sql.Identifier("crm", listing.fields.kind.table)
    among, source = _among(clauses, listing, table)
    branches = sql.SQL(" union all ").join(
        sql.SQL(
            "(select c.id, {key} as key from {source} c where {conditions} order by {order} limit %(limit)s)"
        ).format(
            key=key if not empty else sql.SQL("null::text"),
            source=source,
            conditions=clauses.all_of(branch),
            order=_order(key, direction, empty=empty),
        )
        for branch in _branches(clauses, listing)
    )
    return sql.SQL(
        "with {among}page as materialized"
        " (select u.id, u.key from ({branches}) u order by {inner} limit %(limit)s)"
        " select p.key::text as place, to_jsonb(c) - %(hidden)s::text[] as row"
        " from page p join {table} c on c.tenant_id = %(tenant_id)s and c.id = p.id order by {outer}"
    ).format(
        among=among,
        branches=branches,
        table=table,
        inner=_order(sql.SQL("u.key"), direction, empty=empty, alias="u"),
        outer=_order(sql.SQL("p.key"), direction, empty=empty, alias="p"),
    )


def _order(
    key: sql.Composable, direction: sql.Composable, *, empty: bool, alias: str = "c"
) -> sql.Composable:
    by_id = sql.SQL("{} {}").format(sql.Identifier(alias, "id"), direction)
    return by_id if empty else sql.SQL("{} {}, {}").format(key, direction, by_id)


def _add_place(
    clauses: _Clauses, key: sql.Composable, type_: str, after: Place, *, descending: bool, empty: bool
) -> None:
    compared = sql.SQL("<" if descending else ">")
    record_id = clauses.bind(after.record_id, sql.SQL("uuid"))
    if empty:
        clauses.parts.append(sql.SQL("c.id {} {}").format(compared, record_id))
        return
    value = clauses.bind(after.value, _AS_TYPE[type_])
    clauses.parts.append(sql.SQL("({}, c.id) {} ({}, {})").format(key, compared, value, record_id))


_AS_TYPE = {
    "text": sql.SQL("text"),
    "double precision": sql.SQL("double precision"),
    "date": sql.SQL("date"),
    "timestamptz": sql.SQL("timestamptz"),
}


def _branches(clauses: _Clauses, listing: Listing) -> list[list[sql.Composable]]:
    """Return the alternatives that are each found by an index of their own, and put together afterwards.

    Records of one owner or of nobody have one; both together have none.
    """
    states: list[sql.Composable] = []
    if listing.archived != "only":
        states.append(sql.SQL("c.archived_at is null"))
    if listing.archived != "no":
        states.append(sql.SQL("c.archived_at is not null and c.merged_into is null"))
    if listing.owner_ids is None or not listing.fields.owned:
        return [[state] for state in states]
    owners: list[sql.Composable] = [sql.SQL("c.owner_id is null")]
    owners.extend(
        sql.SQL("c.owner_id = {}").format(clauses.bind(each, sql.SQL("uuid")))
        for each in sorted(listing.owner_ids)
    )
    return [[state, owner] for state in states for owner in owners]


def _among(
    clauses: _Clauses, listing: Listing, table: sql.Identifier
) -> tuple[sql.Composable, sql.Composable]:
    """Return what stands before a statement, and what it reads: the table, or those of it that were named.

    Those are fetched by their key first. In the order of another index they would be met by going through it.
    """
    if listing.ids is None:
        return sql.SQL(""), table
    ids = clauses.bind(list(listing.ids), sql.SQL("uuid[]"))
    among = sql.SQL(
        "among as materialized (select g.* from {} g where g.tenant_id = %(tenant_id)s and g.id = any({})), "
    )
    return among.format(table, ids), sql.SQL("among")


def _add_filters(clauses: _Clauses, listing: Listing) -> None:
    for each in listing.filters:
        clauses.parts.append(_condition(clauses, listing.fields, each))


def _condition(clauses: _Clauses, fields: RecordFields, each: Filter) -> sql.Composable:
    if each.field == CONNECTION:
        return _linked(clauses, fields, each)
    if each.field.startswith(CUSTOM):
        column = sql.SQL("(c.custom_fields ->> {})").format(sql.Literal(each.field.removeprefix(CUSTOM)))
        return _compare(clauses, column, "text", each)
    known = fields.find(each.field)
    if known is None:
        raise Invalid(f"There is no field {each.field}.")
    if known.name in _FOLDED and each.op != "contains":
        return _compare_folded(clauses, _FOLDED[known.name], each)
    return _compare(clauses, sql.SQL("c.{}").format(sql.Identifier(known.name)), known.type, each)


#: Texts that are the same in any case, and have a column that an index covers.
_FOLDED = {"email": sql.SQL("c.email_norm"), "domain": sql.SQL("c.domain_norm")}


def _compare_folded(clauses: _Clauses, column: sql.SQL, each: Filter) -> sql.Composable:
    folded = Filter(each.field, each.op, tuple(value.strip().lower() for value in each.values))
    if each.op != "starts":
        return _compare(clauses, column, "text", folded)
    begin = clauses.bind(folded.values[0], sql.SQL("text"))
    end = clauses.bind(folded.values[0] + chr(0x10FFFF), sql.SQL("text"))
    return sql.SQL('{0} collate "C" >= {1} and {0} collate "C" < {2}').format(column, begin, end)


def _compare(clauses: _Clauses, column: sql.Composable, kind: str, each: Filter) -> sql.Composable:
    if each.op == "empty":
        is_text = kind == "text"
        return sql.SQL("({0} is null or {0} = '')" if is_text else "{0} is null").format(column)
    if each.op == "filled":
        return sql.SQL("{0} <> ''" if kind == "text" else "{0} is not null").format(column)
    type_ = _TYPES.get(kind, sql.SQL("text"))
    given = [Decimal(value) for value in each.values] if kind == "number" else list(each.values)
    if each.op == "in":
        wanted = clauses.bind(given, sql.SQL("{}[]").format(type_))
        return sql.SQL("{} = any({})").format(column, wanted)
    values = [clauses.bind(value, type_) for value in given]
    if each.op == "between":
        return sql.SQL("{} between {} and {}").format(column, *values)
    return _COMPARISONS[each.op].format(column, values[0])


_COMPARISONS: Mapping[str, sql.SQL] = {
    "eq": sql.SQL("{0} = {1}"),
    "ne": sql.SQL("{0} is distinct from {1}"),
    "contains": sql.SQL("position(lower({1}) in lower({0})) > 0"),
    "starts": sql.SQL("starts_with(lower({0}), lower({1}))"),
    "gt": sql.SQL("{0} > {1}"),
    "gte": sql.SQL("{0} >= {1}"),
    "lt": sql.SQL("{0} < {1}"),
    "lte": sql.SQL("{0} <= {1}"),
}

_LINKED = sql.SQL("""exists (
  select from sync.links l join sync.connections n on n.tenant_id = %(tenant_id)s and n.id = l.connection_id
  where l.tenant_id = %(tenant_id)s and l.record_id = c.id and l.record_type = {kind}
    and l.is_primary{named})""")


def _linked(clauses: _Clauses, fields: RecordFields, each: Filter) -> sql.Composable:
    named = sql.SQL("")
    if each.values:
        named = sql.SQL(" and n.name = {}").format(clauses.bind(each.values[0], sql.SQL("text")))
    linked = _LINKED.format(kind=sql.Literal(fields.name), named=named)
    return sql.SQL("not {}").format(linked) if each.op in ("ne", "empty") else linked


def count_matching(listing: Listing, parameters: dict[str, Any]) -> sql.Composed:
    clauses = _Clauses(parameters)
    _add_filters(clauses, listing)
    among, source = _among(clauses, listing, sql.Identifier("crm", listing.fields.kind.table))
    branches = sql.SQL(" union all ").join(
        sql.SQL("(select 1 from {source} c where {conditions} limit %(limit)s)").format(
            source=source, conditions=clauses.all_of(branch)
        )
        for branch in _branches(clauses, listing)
    )
    return sql.SQL(
        "with {among}found as (select 1 from ({branches}) u limit %(limit)s) select count(*) from found"
    ).format(among=among, branches=branches)


async def count(conn: Conn, listing: Listing, *, at_most: int, tenant_id: UUID) -> int:
    """Return how many records are meant, counting no further than `at_most`."""
    parameters: dict[str, Any] = {"tenant_id": tenant_id, "limit": at_most}
    statement = count_matching(listing, parameters)
    try:
        row = await (await conn.execute(statement, parameters, prepare=False)).fetchone()
    except errors.DataError:
        raise Invalid("Some of what the list is filtered by is out of range.") from None
    return int(row[0]) if row else 0


def select_ids(listing: Listing, parameters: dict[str, Any]) -> sql.Composed:
    clauses = _Clauses(parameters)
    _add_filters(clauses, listing)
    among, source = _among(clauses, listing, sql.Identifier("crm", listing.fields.kind.table))
    branches = sql.SQL(" union all ").join(
        sql.SQL("(select c.id from {source} c where {conditions} limit %(limit)s)").format(
            source=source, conditions=clauses.all_of(branch)
        )
        for branch in _branches(clauses, listing)
    )
    return sql.SQL(
        "with {among}found as (select u.id from ({branches}) u limit %(limit)s)"
        " select f.id from found f order by f.id"
    ).format(among=among, branches=branches)


async def list_ids(conn: Conn, listing: Listing, *, limit: int, tenant_id: UUID) -> list[UUID]:
    """Return the ids of all records that are meant, at most `limit` of them."""
    parameters: dict[str, Any] = {"tenant_id": tenant_id, "limit": limit}
    statement = select_ids(listing, parameters)
    try:
        cursor = await conn.execute(statement, parameters, prepare=False)
    except errors.DataError:
        raise Invalid("Some of what the list is filtered by is out of range.") from None
    return [row[0] for row in await cursor.fetchall()]
