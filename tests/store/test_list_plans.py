"""How lists and searches are answered: by which indexes, as the application, under row-level security."""

from __future__ import annotations

from typing import LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from syncline.domain.filters import Filter, Place, Sort, read_sort
from syncline.domain.record_fields import RECORD_FIELDS
from syncline.store import record_lists, search
from syncline.store.db import Database
from syncline.store.record_lists import Listing, select_page
from syncline.store.search import Seen
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

REP = UUID("00000000-0000-7000-8000-0000000000aa")
#: Enough that going through all of a table is not the quickest way.
MANY = 4000
ROWS: dict[str, LiteralString] = {
    "company": """
insert into crm.companies (tenant_id, id, name, domain, owner_id, created_at, updated_at)
select %(t)s, gen_random_uuid(), 'Company ' || n, n || '.example',
  case when n %% 9 = 0 then %(rep)s::uuid end,
  now() - n * interval '1 hour', now() - n * interval '1 hour' from generate_series(1, %(many)s) n""",
    "contact": """
insert into crm.contacts (tenant_id, id, first_name, last_name, email, owner_id, created_at, updated_at)
select %(t)s, gen_random_uuid(), 'Ada', 'Lark' || n, n || '@example.com',
  case when n %% 9 = 0 then %(rep)s::uuid end, now() - n * interval '1 hour', now() - n * interval '1 hour'
from generate_series(1, %(many)s) n""",
    "deal": """
insert into crm.deals (tenant_id, id, name, amount, expected_close_date, closed_at, stage, owner_id,
  created_at, updated_at)
select %(t)s, gen_random_uuid(), 'Deal ' || n, n, current_date + n, now() + n * interval '1 hour',
  's' || n %% 9,
  case when n %% 9 = 0 then %(rep)s::uuid end, now() - n * interval '1 hour', now() - n * interval '1 hour'
from generate_series(1, %(many)s) n""",
    "activity": """
insert into crm.activities (tenant_id, id, type, subject, occurred_at, owner_id, updated_at)
select %(t)s, gen_random_uuid(), 'note', 'Note ' || n, now() - n * interval '1 hour',
  case when n %% 9 = 0 then %(rep)s::uuid end, now() - n * interval '1 hour'
from generate_series(1, %(many)s) n""",
    "task": """
insert into crm.tasks (tenant_id, id, subject, due_at, owner_id, created_at, updated_at)
select %(t)s, gen_random_uuid(), 'Task ' || n, now() - n * interval '1 hour',
  case when n %% 9 = 0 then %(rep)s::uuid end, now() - n * interval '1 hour', now() - n * interval '1 hour'
from generate_series(1, %(many)s) n""",
}
SORTS = [
    (name, sort)
    for name, fields in RECORD_FIELDS.items()
    if name != "owner"
    for field in fields.sortable
    for sort in (field, f"-{field}")
]


@pytest.fixture
async def loaded(db: Database, tenant_id: UUID, database_urls: DatabaseUrls) -> None:
    async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        await conn.execute("insert into crm.owners (tenant_id, id) values (%s, %s)", [tenant_id, REP])
        for statement in ROWS.values():
            await conn.execute(statement, {"t": tenant_id, "rep": REP, "many": MANY})
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        await conn.execute("analyze crm.companies, crm.contacts, crm.deals, crm.activities, crm.tasks")


async def explain(
    db: Database, tenant_id: UUID, listing: Listing, sort: Sort, after: Place | None = None
) -> str:
    parameters = {"tenant_id": tenant_id, "limit": 51, "hidden": list[str]()}
    statement = sql.SQL("explain ") + select_page(listing, sort, parameters, after=after, empty=False)
    async with db.transaction(tenant_id=tenant_id) as conn:
        cursor = await conn.execute(statement, parameters, prepare=False)
        return "\n".join(str(row[0]) for row in await cursor.fetchall())


async def test_every_order_of_every_list_is_read_from_an_index(db: Database, tenant_id: UUID, loaded: None):
    for name, text in SORTS:
        fields = RECORD_FIELDS[name]
        sort = read_sort(fields, text)
        for after in (None, await a_place(db, tenant_id, Listing(fields), sort)):
            plan = await explain(db, tenant_id, Listing(fields), sort, after)
            assert "Seq Scan" not in plan, (name, text, plan)
            assert not sorts_all(plan), (name, text, plan)
            if after is not None:
                assert "ROW(" in plan.partition("Index Cond")[2].partition("\n")[0], (name, text, plan)


def sorts_all(plan: str) -> bool:
    """Tell whether more than one page is sorted: Postgres before 17 sorts the page's own rows again."""
    keys = [line.strip() for line in plan.splitlines() if "Sort Key: " in line]
    return any(not key.startswith("Sort Key: p.") for key in keys)


async def a_place(db: Database, tenant_id: UUID, listing: Listing, sort: Sort) -> Place:
    """Return a place in the middle of a list."""
    async with db.transaction(tenant_id=tenant_id) as conn:
        rows = await record_lists.list_page(
            conn, listing, sort, after=None, limit=MANY // 2, tenant_id=tenant_id
        )
    return Place(rows[-1].place, UUID(rows[-1].row["id"]))


async def test_what_a_rep_sees_is_read_from_indexes_too(db: Database, tenant_id: UUID, loaded: None):
    for name in ROWS:
        fields = RECORD_FIELDS[name]
        listing = Listing(fields, owner_ids=frozenset({REP}))
        plan = await explain(db, tenant_id, listing, read_sort(fields, None))
        assert "Seq Scan" not in plan, (name, plan)


@pytest.mark.parametrize(
    ("name", "field", "value", "index"),
    [
        ("contact", "company_id", str(REP), "contacts_company"),
        ("contact", "email", "7@example.com", "contacts_"),
        ("deal", "company_id", str(REP), "deals_company"),
        ("deal", "contact_id", str(REP), "deals_contact"),
        ("deal", "stage", "s3", "deals_stage_key"),
        ("activity", "deal_id", str(REP), "activities_deal"),
        ("company", "qualification_status", "qualified", "companies_qualification"),
        ("task", "contact_id", str(REP), "tasks_contact"),
    ],
)
async def test_the_usual_filters_have_an_index(
    db: Database, tenant_id: UUID, loaded: None, name: str, field: str, value: str, index: str
):
    fields = RECORD_FIELDS[name]
    listing = Listing(fields, (Filter(field, "eq", (value,)),))
    plan = await explain(db, tenant_id, listing, read_sort(fields, None))
    assert index in plan, plan
    assert "Seq Scan" not in plan


async def test_archived_records_are_read_from_an_index_of_their_own(
    db: Database, tenant_id: UUID, loaded: None
):
    for name in ROWS:
        fields = RECORD_FIELDS[name]
        plan = await explain(db, tenant_id, Listing(fields, archived="only"), read_sort(fields, None))
        assert f"{fields.plural}_archived" in plan, (name, plan)


async def test_an_address_is_found_by_how_it_begins_without_going_through_all(
    db: Database, tenant_id: UUID, loaded: None
):
    async with db.transaction(tenant_id=tenant_id) as conn:
        parameters = Seen(tenant_id).parameters() | {"begin": "70", "end": "7\U0010ffff", "limit": 50}
        cursor = await conn.execute(
            sql.SQL("explain ") + sql.SQL(search.FIND_BY_ADDRESS), parameters, prepare=False
        )
        plan = "\n".join(str(row[0]) for row in await cursor.fetchall())
    assert "contacts_address" in plan
    assert "Seq Scan" not in plan


async def test_words_are_found_through_their_index_though_its_operator_is_not_leakproof(
    tenant_id: UUID, loaded: None, database_urls: DatabaseUrls
):
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:

        async def count_scans(table: str) -> tuple[int, int]:
            await conn.execute("select pg_stat_force_next_flush()")
            cursor = await conn.execute(
                "select i.idx_scan, t.seq_scan from pg_stat_user_indexes i"
                " join pg_stat_user_tables t using (relid)"
                " where i.indexrelname = %s",
                [f"{table}_words"],
            )
            [(by_index, by_table)] = await cursor.fetchall()
            return int(by_index), int(by_table)

        for name in ROWS:
            before = await count_scans(RECORD_FIELDS[name].plural)
            async with conn.transaction():
                await conn.execute("select app.set_tenant(%s)", [tenant_id])
                seen = Seen(tenant_id, [REP])
                found = await search.find_by_words(conn, name, ["nobodyscalledthis"], seen, limit=6)
            after = await count_scans(RECORD_FIELDS[name].plural)
            assert (found, after) == ([], (before[0] + 1, before[1])), name
