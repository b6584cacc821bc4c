"""Pairs that share a key are found set-based, by the same keys as the domain makes, and by tenant."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from syncline.clock import new_id, now
from syncline.domain.identity import compare, sort_reasons
from syncline.store import duplicates
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

PEOPLE: Sequence[dict[str, Any]] = (
    {"email": " Meg@Harbour.example", "first_name": "Meg", "last_name": "Harbour"},
    {"email": "meg@harbour.EXAMPLE", "first_name": "Margaret"},
    {"first_name": "José", "last_name": "Álvarez", "phone": "+15550100", "phone_e164": "+15550100"},
    {"first_name": "JOSE", "last_name": " alvarez ", "phone_e164": "+15550100"},
    {"first_name": "Other", "phone_e164": "+15550100"},
    {"first_name": "meg", "last_name": "harbour!", "email": "m@harbour.example"},
    {"first_name": "--", "last_name": "", "email": ""},
    {"first_name": "Straße", "last_name": "O'Neill", "email": "s@x.example"},
    {"first_name": "Straße", "last_name": "O Neill", "email": "t@x.example"},
    {"email": "no domain"},
    {},
)
FIRMS: Sequence[dict[str, Any]] = (
    {"name": "Harbour & Sons", "domain": "WWW.harbour.example"},
    {"name": "harbour sons", "website": "https://harbour.example/about#us", "city": "Hull"},
    {"name": "Haven", "domain": " ", "website": "http://meg@www.haven.example:80?x", "city": "Hull"},
    {"name": "HAVEN", "domain": "haven.example", "phone_e164": "+15550100"},
    {"name": "Harbour  Sons!", "city": "hull", "phone_e164": "+15550100"},
    {"domain": "", "website": ""},
    {},
)


async def insert(db: Database, tenant_id: UUID, table: str, rows: Sequence[dict[str, Any]]) -> list[UUID]:
    ids = [new_id() for _ in rows]
    async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        for record_id, values in zip(ids, rows, strict=True):
            names = ["tenant_id", "id", *values]
            await conn.execute(
                sql.SQL("insert into {} ({}) values ({})").format(
                    sql.Identifier("crm", table),
                    sql.SQL(", ").join(map(sql.Identifier, names)),
                    sql.SQL(", ").join([sql.Placeholder()] * len(names)),
                ),
                (tenant_id, record_id, *values.values()),
            )
    return ids


async def rows_of(db: Database, tenant_id: UUID, table: str) -> dict[UUID, dict[str, Any]]:
    async with db.transaction(tenant_id=tenant_id) as conn, conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            sql.SQL("select c.id, to_jsonb(c) as row from {} c").format(sql.Identifier("crm", table))
        )
        return {each["id"]: each["row"] for each in await cursor.fetchall()}


async def pairs_of(db: Database, tenant_id: UUID, kind: str, **more: Any) -> list[duplicates.Pair]:
    async with db.transaction(tenant_id=tenant_id) as conn:
        return await duplicates.list_pairs(conn, kind, tenant_id=tenant_id, **({"limit": 1000} | more))


@pytest.mark.parametrize(
    ("kind", "table", "made"), [("contact", "contacts", PEOPLE), ("company", "companies", FIRMS)]
)
async def test_statements_and_the_domain_find_the_same_pairs_for_the_same_reasons(
    db: Database, tenant_id: UUID, kind: str, table: str, made: Sequence[dict[str, Any]]
):
    if kind == "contact":
        await insert(db, tenant_id, "companies", [{"name": "Harbour"}])
        [company] = await rows_of(db, tenant_id, "companies")
        made = [
            *made,
            *({"first_name": name, "last_name": "L", "company_id": company} for name in ("Ann", "ANN")),
        ]
    await insert(db, tenant_id, table, made)
    rows = await rows_of(db, tenant_id, table)
    expected = {
        (one, other): reasons
        for one, other in combinations(sorted(rows), 2)
        if (reasons := compare(kind, rows[one], rows[other]))
    }
    found = await pairs_of(db, tenant_id, kind)
    assert {(each.first_id, each.second_id): sort_reasons(kind, each.reasons) for each in found} == expected
    assert len(expected) > 3
    assert [each.rank for each in found] == sorted(each.rank for each in found)


async def test_pages_follow_each_other_without_a_gap(db: Database, tenant_id: UUID):
    await insert(db, tenant_id, "contacts", PEOPLE)
    whole = await pairs_of(db, tenant_id, "contact")
    paged: list[duplicates.Pair] = []
    after = None
    while page := await pairs_of(db, tenant_id, "contact", limit=2, after=after):
        paged += page
        after = page[-1].rank, page[-1].first_id, page[-1].second_id
    assert paged == whole


async def test_what_is_dismissed_merged_or_archived_is_not_listed(db: Database, tenant_id: UUID):
    one, other = await insert(db, tenant_id, "contacts", [{"email": "a@b.example"}] * 2)
    keys = {"tenant_id": tenant_id}
    async with db.transaction(tenant_id=tenant_id) as conn:
        assert await duplicates.dismiss(conn, "contact", other, one, **keys, by="ada", now=now())
        assert not await duplicates.dismiss(conn, "contact", one, other, **keys, by="bob", now=now())
        assert await duplicates.is_dismissed(conn, "contact", one, other, **keys)
    assert await pairs_of(db, tenant_id, "contact") == []
    async with db.transaction(tenant_id=tenant_id) as conn:
        assert await duplicates.restore(conn, "contact", one, other, **keys)
        assert not await duplicates.restore(conn, "contact", one, other, **keys)
    assert len(await pairs_of(db, tenant_id, "contact")) == 1
    for column, value in (("archived_at", "now()"), ("merged_into", f"'{one}'")):
        async with db.transaction(tenant_id=tenant_id) as conn:
            await conn.execute(f"update crm.contacts set {column} = {value} where id = %s", (other,))  # type: ignore[arg-type]
        assert await pairs_of(db, tenant_id, "contact") == []
        async with db.transaction(tenant_id=tenant_id) as conn:
            await conn.execute(f"update crm.contacts set {column} = null where id = %s", (other,))  # type: ignore[arg-type]


async def test_a_key_that_many_share_is_a_group_and_no_pairs(db: Database, tenant_id: UUID):
    many = duplicates.MOST_OF_A_KEY + 1
    await insert(db, tenant_id, "contacts", [{"email": "info@b.example"}] * many)
    assert await pairs_of(db, tenant_id, "contact") == []
    async with db.transaction(tenant_id=tenant_id) as conn:
        [group] = await duplicates.list_groups(conn, "contact", tenant_id=tenant_id, limit=10)
    assert (group.reason, group.key, group.count) == ("email", "info@b.example", many)
    assert len(group.examples) == 3


async def test_tenants_are_not_compared_with_each_other(
    db: Database, tenant_id: UUID, database_urls: DatabaseUrls
):
    other = new_id()
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        await conn.execute(
            "insert into app.tenants (tenant_id, slug, label) values (%s, 'other', 'Other')", (other,)
        )
    for each in (tenant_id, other):
        await insert(db, each, "contacts", [{"email": "a@b.example"}])
    assert await pairs_of(db, tenant_id, "contact") == []
    assert await pairs_of(db, other, "contact") == []


MANY = """
insert into crm.contacts (tenant_id, id, email, first_name, last_name, phone_e164)
select %(tenant_id)s, gen_random_uuid(), 'p' || n - case when n %% 100 = 0 then 1 else 0 end || '@x'
  || n / 2 %% 2000 || '.example', 'First' || n %% 3001, 'Last' || n, '+1555' || 1000000 + n
from generate_series(1, 100000) n
"""


async def test_a_hundred_thousand_contacts_are_read_once_and_never_compared_each_with_each(
    db: Database, tenant_id: UUID
):
    async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        await conn.execute(MANY, {"tenant_id": tenant_id})
    async with db.statement() as conn:
        await conn.execute("select app.refresh_statistics()")
    values = {
        "tenant_id": tenant_id, "record_type": "contact", "most": duplicates.MOST_OF_A_KEY,
        "after_rank": None, "after_first": None, "after_second": None, "limit": 100,
    }  # fmt: skip
    async with db.transaction(tenant_id=tenant_id) as conn:
        cursor = await conn.execute("explain " + duplicates.LIST_CONTACT_PAIRS, values)  # type: ignore[arg-type]
        plan = "\n".join(row[0] for row in await cursor.fetchall())
    assert plan.count("on contacts c") == 1
    assert "Join Filter: (c" not in plan
    await pairs_of(db, tenant_id, "contact", limit=100)
