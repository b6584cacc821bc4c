"""Every table and every column of texts is known to hold something of a person, or not to."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
import pytest

from syncline.store.personal import COPIES, HOLDING_NONE, PLACES, SOURCES, raw_place
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

COLUMNS = """
select n.nspname, c.relname, a.attname, format_type(a.atttypid, null), a.attgenerated <> ''
from pg_attribute a
join pg_class c on c.oid = a.attrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('app', 'crm', 'sync', 'raw', 'jobs') and c.relkind in ('r', 'p') and not c.relispartition
  and a.attnum > 0 and not a.attisdropped
"""
SPEAKING = {"text", "text[]", "jsonb", "json", "bytea"}


async def columns_of(urls: DatabaseUrls) -> Mapping[str, dict[str, tuple[str, bool]]]:
    """Return table → column → (type, generated)."""
    found: dict[str, dict[str, tuple[str, bool]]] = {}
    async with await psycopg.AsyncConnection.connect(urls.superuser) as conn:
        for schema, table, column, kind, generated in await (await conn.execute(COLUMNS)).fetchall():
            found.setdefault(f"{schema}.{table}", {})[column] = (kind, generated)
    return found


async def test_every_table_is_searched_for_a_person_or_known_to_hold_none(database_urls: DatabaseUrls):
    tables = await columns_of(database_urls)
    searched = {each.name for each in PLACES}
    mirrors = {name for name, columns in tables.items() if name.startswith("raw.") and "raw" in columns}
    assert searched & set(HOLDING_NONE) == set()
    assert set(tables) - searched - mirrors == set(HOLDING_NONE)
    assert searched - set(tables) == set()
    assert all(len(why) > 4 for why in HOLDING_NONE.values())


async def test_every_column_of_texts_is_searched_or_known_to_hold_none(database_urls: DatabaseUrls):
    tables = await columns_of(database_urls)
    for place in [
        *PLACES,
        *(raw_place(name.partition(".")[2]) for name in tables if name in _mirrors(tables)),
    ]:
        columns = tables[place.name]
        speaking = {name for name, (kind, made) in columns.items() if kind in SPEAKING and not made}
        named = {*place.texts, *place.documents, *place.emptied, *place.plain, *place.hidden}
        assert speaking == named, place.name
        assert {columns[name][0] for name in place.documents} <= {"jsonb"}, place.name
        assert {columns[name][0] for name in (*place.texts, *place.emptied)} <= {"text"}, place.name
        assert set(place.blank) <= set(columns), place.name


def _mirrors(tables: Mapping[str, object]) -> set[str]:
    return {name for name in tables if name.startswith("raw.") and name != "raw.associations"}


async def test_rows_go_before_the_records_they_refer_to(database_urls: DatabaseUrls):
    order = [each.name for each in PLACES]
    async with await psycopg.AsyncConnection.connect(database_urls.superuser) as conn:
        cursor = await conn.execute(
            "select conrelid::regclass::text from pg_constraint"
            " where contype = 'f' and confrelid = 'crm.contacts'::regclass"
        )
        referring = {str(row[0]) for row in await cursor.fetchall()}
    assert referring
    assert all(order.index(name) < order.index("crm.contacts") for name in referring)


#: What is written down from what other places hold → those.
MADE_FROM = {
    "crm.change_log": {"crm.contacts", "crm.activities", "crm.tasks", "crm.deals", "crm.companies"},
    "crm.field_history": {"crm.change_log"},
    "crm.notifications": {"sync.runs", "sync.conflicts"},
    "sync.deliveries": {"sync.runs", "sync.conflicts", "crm.change_log"},
    "sync.drift": {"sync.links", "crm.contacts", "crm.deals", "crm.companies"},
    "sync.runs": {"sync.parked"},
    "app.batch_rows": {"crm.contacts", "app.batches"},
    "app.idempotency": {"crm.contacts", "crm.activities", "crm.tasks", "crm.deals", "crm.companies"},
}


def test_a_place_is_cleared_after_those_that_it_is_written_from() -> None:
    order = [each.name for each in PLACES]
    for name, sources in MADE_FROM.items():
        for each in sources:
            assert order.index(each) < order.index(name), (each, name)
    assert list(PLACES) == [*SOURCES, *COPIES]
