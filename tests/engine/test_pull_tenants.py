"""Tenants see nothing of each other; connections of one tenant meet in the records they share."""

from __future__ import annotations

import asyncio
from uuid import UUID

import psycopg
import pytest
from simulated import Mirror, mirror_of, truth, world_of

from syncline.clock import new_id
from syncline.config import Settings
from syncline.simulators.hubspot import World
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

TABLES = """
select format('%I.%I', n.nspname, c.relname) as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('crm', 'sync', 'raw') and c.relkind in ('r', 'p') and not c.relispartition
  and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id')
order by 1
"""


@pytest.fixture
async def other_tenant(database_urls: DatabaseUrls) -> UUID:
    tenant_id = new_id()
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        await conn.execute(
            "insert into app.tenants (tenant_id, slug, label) values (%s, 'other', 'Other')", (tenant_id,)
        )
    return tenant_id


async def rows_by_tenant(url: str) -> dict[str, dict[UUID, int]]:
    """Return how many rows each tenant has in each table, through the eyes of a superuser."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        tables = [str(row[0]) for row in await (await conn.execute(TABLES)).fetchall()]
        found: dict[str, dict[UUID, int]] = {}
        for table in tables:
            rows = await conn.execute(f"select tenant_id, count(*) from {table} group by tenant_id")  # type: ignore[arg-type]
            found[table] = {row[0]: row[1] for row in await rows.fetchall()}
        return found


async def test_two_tenants_with_one_account_each_share_nothing(
    db: Database,
    settings: Settings,
    tenant_id: UUID,
    other_tenant: UUID,
    database_urls: DatabaseUrls,
):
    counts = {"contacts": 40, "companies": 6, "deals": 8, "calls": 10, "cars": 3}
    # The same people, and so the same ids and addresses, in both accounts
    one, two = world_of(**counts), world_of(**counts)
    async with (
        mirror_of(one, db, settings, tenant_id) as mine,
        mirror_of(two, db, settings, other_tenant) as theirs,
    ):
        for mirror in (mine, theirs):
            mirror.world.plant_defect("nul")
        everything = ("contacts", "companies", "deals", "calls", "cars", "associations", "history")
        await mine.sync(*everything)
        rows = await rows_by_tenant(database_urls.superuser)
        # The other one has been connected, too.
        known = {"sync.connections", "sync.generations"}
        assert all(set(by_tenant) <= {tenant_id} for table, by_tenant in rows.items() if table not in known)
        await theirs.sync(*everything)
        rows = await rows_by_tenant(database_urls.superuser)
        filled = {table for table, by_tenant in rows.items() if by_tenant}
        assert len(filled) >= 18
        for table in filled - {"crm.change_log", "sync.runs", "sync.leases", "sync.generations"}:
            assert rows[table][tenant_id] == rows[table][other_tenant], table
        # Through row-level security each sees its own rows and no other, in every table,
        for mirror, tenant in ((mine, tenant_id), (theirs, other_tenant)):
            for table in filled:
                async with db.transaction(tenant_id=tenant) as conn:
                    seen = await conn.execute(f"select distinct tenant_id from {table}")  # type: ignore[arg-type]
                    assert {row[0] for row in await seen.fetchall()} == {tenant}, table
                assert mirror.tenant_id == tenant
        # nobody sees any without a tenant, and nobody writes for another.
        async with db.transaction(tenant_id=None) as conn:
            seen = await conn.execute("select count(*) from crm.contacts")
            assert await seen.fetchone() == (0,)
        async with db.transaction(tenant_id=other_tenant) as conn:
            changed = await conn.execute(
                "update crm.contacts set first_name = 'Mallory' where tenant_id = %s", (tenant_id,)
            )
            assert changed.rowcount == 0


def people(seed: int, *addresses: str) -> World:
    world = world_of(seed=seed)
    for number, address in enumerate(addresses):
        world.create("contacts", {"email": address, "firstname": f"P{number} of {seed}"})
    return world


async def contacts_of(mirror: Mirror) -> dict[str, UUID]:
    """Return address → our contact, of one connection."""
    rows = await mirror.records("contacts", "contacts")
    return {truth(mirror.world, "contacts")[i]["email"].lower(): row["id"] for i, row in rows.items()}


async def test_two_connections_match_the_same_person_by_address_and_make_no_guess(
    db: Database, settings: Settings, tenant_id: UUID
):
    left = people(1, "Ann@both.example", "bob@left.example", "twin@left.example", "twins@left.example")
    right = people(2, "ann@BOTH.example ", "carl@right.example", "shared@right.example")
    async with (
        mirror_of(left, db, settings, tenant_id, name="left") as one,
        mirror_of(right, db, settings, tenant_id, name="right") as two,
    ):
        await one.pull("contacts")
        # Given two records of ours that share an address
        await one.execute("update crm.contacts set email = 'shared@right.example' where email like 'twin%%'")
        await two.pull("contacts")
        mine, theirs = await contacts_of(one), await contacts_of(two)
        assert mine["ann@both.example"] == theirs["ann@both.example "]
        assert theirs["carl@right.example"] not in mine.values()
        assert theirs["shared@right.example"] not in mine.values()
        rows = await one.select("select count(*) from crm.contacts")
        assert rows[0]["count"] == 4 + 2
        # The later spelling stands here; what was agreed with the other connection is remembered as it was.
        links = await one.select(
            "select connection_id, base -> 'email' as email from sync.links where record_id = %(id)s",
            id=mine["ann@both.example"],
        )
        assert {row["connection_id"]: row["email"] for row in links} == {
            one.connection_id: ["Ann@both.example"],
            two.connection_id: ["ann@BOTH.example "],
        }


async def test_two_strangers_with_one_address_are_two_people(
    db: Database, settings: Settings, tenant_id: UUID
):
    left, right = people(1, "ann@both.example"), people(2, "ann@both.example", "ann@both.example")
    async with (
        mirror_of(left, db, settings, tenant_id, name="left") as one,
        mirror_of(right, db, settings, tenant_id, name="right") as two,
    ):
        await one.pull("contacts")
        await two.pull("contacts")
        rows = await one.select("select count(*) from crm.contacts")
        assert rows[0]["count"] == 3


async def test_two_connections_loaded_at_once_make_each_person_once(
    db: Database, settings: Settings, tenant_id: UUID
):
    addresses = [f"p{number}@both.example" for number in range(250)]
    left, right = people(1, *addresses), people(2, *reversed(addresses))
    async with (
        mirror_of(left, db, settings, tenant_id, name="left") as one,
        mirror_of(right, db, settings, tenant_id, name="right") as two,
    ):
        await asyncio.gather(one.pull("contacts", chunk_rows=50), two.pull("contacts", chunk_rows=50))
        assert await contacts_of(one) == await contacts_of(two)
        rows = await one.select("select count(*) from crm.contacts")
        assert rows[0]["count"] == 250
