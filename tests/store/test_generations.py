"""What tells that a table was changed: after each commit another token, and without one the same."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from syncline.store import generations
from syncline.store.db import Database
from syncline.store.generations import WATCHED
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

Session = psycopg.AsyncConnection[Any]
OTHER = UUID("00000000-0000-7000-8000-0000000000aa")
MAKE = "insert into crm.companies (tenant_id, id, name) values (%s, %s, 'Acme')"
IN_A_PROCESS = """
import sys, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as conn:
    conn.execute(sys.argv[2])
"""


@pytest.fixture
async def psql(database_urls: DatabaseUrls) -> AsyncGenerator[Session]:
    """Somebody with SQL and every right."""
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        yield conn


async def tokens(db: Database, tenant_id: UUID) -> dict[str, str]:
    async with db.transaction(tenant_id=tenant_id) as conn:
        found, _ = await generations.read(conn, tenant_id=tenant_id)
    return dict(found)


async def changed(db: Database, tenant_id: UUID, before: dict[str, str]) -> set[str]:
    after = await tokens(db, tenant_id)
    return {name for name, token in after.items() if token != before[name]}


async def test_the_watched_tables_are_those_with_the_triggers(psql: Session) -> None:
    cursor = await psql.execute(
        "select n.nspname || '.' || c.relname, array_agg(t.tgname::text order by t.tgname)"
        " from pg_trigger t join pg_class c on c.oid = t.tgrelid"
        " join pg_namespace n on n.oid = c.relnamespace"
        " where t.tgname like 'a\\_note\\_%' and t.tgenabled = 'O' group by 1"
    )
    found = dict(await cursor.fetchall())
    assert set(found) == WATCHED
    assert {tuple(each) for each in found.values()} == {("a_note_change", "a_note_removal")}


async def test_each_way_of_changing_a_table_moves_its_token_and_no_other(
    db: Database, tenant_id: UUID, psql: Session
) -> None:
    record_id = uuid4()
    for statement in (
        MAKE,
        "update crm.companies set name = 'Beta' where tenant_id = %s and id = %s",
        "delete from crm.companies where tenant_id = %s and id = %s",
    ):
        before = await tokens(db, tenant_id)
        await psql.execute(statement, [tenant_id, record_id])
        assert await changed(db, tenant_id, before) == {"crm.companies"}
    before = await tokens(db, tenant_id)
    await psql.execute("truncate crm.exchange_rates")
    assert await changed(db, tenant_id, before) == {"crm.exchange_rates"}


async def test_set_based_writers_are_seen_as_well(db: Database, tenant_id: UUID) -> None:
    before = await tokens(db, tenant_id)
    async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        await conn.execute(MAKE, [tenant_id, uuid4()])
    assert await changed(db, tenant_id, before) == {"crm.companies"}


async def test_another_process_is_seen(db: Database, tenant_id: UUID, database_urls: DatabaseUrls) -> None:
    before = await tokens(db, tenant_id)
    statement = f"insert into crm.companies (tenant_id, id, name) values ('{tenant_id}', '{uuid4()}', 'A')"
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", IN_A_PROCESS, database_urls.superuser, statement], check=False
    )
    assert done.returncode == 0
    assert await changed(db, tenant_id, before) == {"crm.companies"}


async def test_a_transaction_that_commits_late_is_seen_when_it_commits(
    db: Database, tenant_id: UUID, psql: Session, database_urls: DatabaseUrls
) -> None:
    async with await psycopg.AsyncConnection.connect(database_urls.superuser) as slow:
        await slow.execute(MAKE, [tenant_id, uuid4()])
        await psql.execute(MAKE, [tenant_id, uuid4()])
        before = await tokens(db, tenant_id)
        await slow.commit()
    assert await changed(db, tenant_id, before) == {"crm.companies"}


async def test_what_is_taken_back_moves_nothing_and_what_follows_does(
    db: Database, tenant_id: UUID, psql: Session
) -> None:
    before = await tokens(db, tenant_id)
    async with psql.transaction(force_rollback=True):
        await psql.execute(MAKE, [tenant_id, uuid4()])
    assert await changed(db, tenant_id, before) == set()
    async with psql.transaction():
        async with psql.transaction(force_rollback=True):
            await psql.execute(MAKE, [tenant_id, uuid4()])
        await psql.execute(MAKE, [tenant_id, uuid4()])
    assert await changed(db, tenant_id, before) == {"crm.companies"}


async def test_a_transaction_of_several_tenants_moves_the_tokens_of_each(
    db: Database, tenant_id: UUID, psql: Session
) -> None:
    await psql.execute(
        "insert into app.tenants (tenant_id, slug, label) values (%s, 'other', 'Other')", [OTHER]
    )
    before, theirs = await tokens(db, tenant_id), await tokens(db, OTHER)
    await psql.execute(MAKE, [OTHER, uuid4()])
    assert await changed(db, tenant_id, before) == set()
    assert await changed(db, OTHER, theirs) == {"crm.companies"}
    theirs = await tokens(db, OTHER)
    await psql.execute(
        "insert into crm.companies (tenant_id, id, name) select t, gen_random_uuid(), 'A'"
        " from unnest(%s::uuid[]) t",
        [[tenant_id, OTHER, tenant_id, OTHER]],
    )
    assert await changed(db, tenant_id, before) == {"crm.companies"}
    assert await changed(db, OTHER, theirs) == {"crm.companies"}


async def test_putting_counts_together_changes_no_token_and_loses_no_change(
    db: Database, tenant_id: UUID, database_urls: DatabaseUrls
) -> None:
    async def write(times: int) -> None:
        for _ in range(times):
            # A session each: a row of counts each.
            async with await psycopg.AsyncConnection.connect(database_urls.superuser) as conn:
                await conn.execute(MAKE, [tenant_id, uuid4()])

    async def fold() -> None:
        for _ in range(20):
            async with db.transaction(tenant_id=tenant_id) as conn:
                await generations.fold(conn, tenant_id=tenant_id)
            await asyncio.sleep(random.random() / 200)

    start = await tokens(db, tenant_id)
    await asyncio.gather(write(15), write(15), fold(), fold())
    before = await tokens(db, tenant_id)
    counted = [int(each["crm.companies"].partition(".")[0]) for each in (start, before)]
    assert counted[1] - counted[0] == 30
    async with db.transaction(tenant_id=tenant_id) as conn:
        await generations.fold(conn, tenant_id=tenant_id)
    assert await tokens(db, tenant_id) == before
    async with db.transaction(tenant_id=tenant_id) as conn:
        assert (await generations.read(conn, tenant_id=tenant_id))[1] <= len(WATCHED)
