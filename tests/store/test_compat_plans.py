"""How the views are answered: through which indexes, and what is left out."""

from __future__ import annotations

from typing import LiteralString
from uuid import UUID

import psycopg
import pytest
from compat_rows import connect_accounts, open_compat, select
from compat_world import MAIN
from psycopg.errors import InsufficientPrivilege

from syncline.store.db import Conn, Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

CONTACTS: LiteralString = """
insert into raw.hubspot_contacts (tenant_id, connection_id, remote_id, raw, payload_hash, requested_at,
                              synced_at)
select %(tenant_id)s, %(connection)s, n::text,
  jsonb_build_object('id', n::text, 'properties', jsonb_build_object('phone', '+1555' || n)), '', now(), now()
from generate_series(100001, 103000) n
on conflict do nothing
"""
CALLS: LiteralString = """
insert into raw.hubspot_calls (tenant_id, connection_id, remote_id, raw, payload_hash, requested_at,
                              synced_at)
select %(tenant_id)s, %(connection)s, n::text,
  jsonb_build_object('id', n::text, 'properties', jsonb_build_object('hs_call_to_number', '1555' || n)),
  '', now(), now()
from generate_series(100001, 101000) n
on conflict do nothing
"""
RECORDS: LiteralString = """
insert into crm.contacts (tenant_id, id, email)
select %(tenant_id)s, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, n || '@example.com'
from generate_series(100001, 103000) n
on conflict do nothing
"""
LINKS: LiteralString = """
insert into sync.links (tenant_id, connection_id, object, remote_id, record_type, record_id, base, linked_at)
select %(tenant_id)s, %(connection)s, 'contacts', n::text, 'contact',
  ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, '{}', now()
from generate_series(100001, 103000) n
on conflict do nothing
"""
PHONE_JOIN: LiteralString = """
SELECT ca.hubspot_id, c.hubspot_id
FROM hubspot_calls_raw ca
JOIN hubspot_contacts_raw c ON REPLACE(ca.call_to_number, '+', '') = REPLACE(c.phone, '+', '')
"""


@pytest.fixture
async def loaded(db: Database, tenant_id: UUID) -> None:
    values = {"tenant_id": tenant_id, "connection": MAIN}
    async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        await connect_accounts(conn, tenant_id)
        for statement in (CONTACTS, CALLS, RECORDS, LINKS):
            await conn.execute(statement, values)
    async with db.statement() as conn:
        await conn.execute("select app.refresh_statistics()")


async def explain(conn: Conn, statement: LiteralString) -> str:
    return "\n".join(row[0] for row in await select(conn, "explain " + statement))


async def test_statistics_are_taken_once_for_tables_that_have_grown(
    db: Database, tenant_id: UUID, loaded: None
):
    async with db.statement() as conn:
        assert await select(conn, "select app.refresh_statistics()") == [(0,)]
        rows = await select(
            conn, "select reltuples from pg_class where oid = 'raw.hubspot_contacts'::regclass"
        )
    assert rows == [(3000,)]


async def test_a_reader_may_not_take_statistics(database_urls: DatabaseUrls):
    assert database_urls.reader
    async with await psycopg.AsyncConnection.connect(database_urls.reader) as conn:
        with pytest.raises(InsufficientPrivilege):
            await conn.execute("select app.refresh_statistics()")


async def test_phones_are_not_compared_each_with_each(db: Database, tenant_id: UUID, loaded: None):
    async with open_compat(db, tenant_id) as conn:
        plan = await explain(conn, PHONE_JOIN)
    assert "Hash Cond: (replace(" in plan or "Merge Cond: ((replace(" in plan


async def test_a_raw_record_is_found_by_its_id_through_the_key(db: Database, tenant_id: UUID, loaded: None):
    async with open_compat(db, tenant_id) as conn:
        plan = await explain(conn, "SELECT raw_json FROM hubspot_contacts_raw WHERE hubspot_id = '100077'")
    assert "hubspot_contacts_pkey" in plan
    assert "remote_id = '100077'" in plan.partition("Index Cond")[2].partition("\n")[0]


async def test_a_record_is_found_by_its_hubspot_id_through_the_links(
    db: Database, tenant_id: UUID, loaded: None
):
    async with open_compat(db, tenant_id) as conn:
        statement: LiteralString = (
            "SELECT c.id FROM hubspot_links l JOIN contacts c ON c.id = l.record_id "
            "WHERE l.object = 'contacts' AND l.hubspot_id = '100077'"
        )
        plan = await explain(conn, statement)
        rows = await select(conn, statement)
    assert rows == [(UUID("00000000-0000-7000-8000-000000100077"),)]
    assert "Seq Scan on contacts" not in plan
    assert "Seq Scan on links" not in plan


async def test_raw_json_is_made_once_per_row_however_often_it_is_named(
    db: Database, tenant_id: UUID, loaded: None
):
    async with open_compat(db, tenant_id) as conn:
        plan = await select(
            conn,
            "explain (verbose) SELECT raw_json->>'a', raw_json->>'b' FROM hubspot_contacts_raw "
            "WHERE raw_json->>'c' IS NOT NULL",
        )
    assert "\n".join(row[0] for row in plan).count(" || ") == 1
