"""Every table that grows is known to be tidied, or to stay for a reason."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from syncline.clock import new_id, now
from syncline.engine.retain import Retention
from syncline.store.administration import Administrator
from syncline.store.db import Database
from syncline.store.retention import AGING
from syncline.store.upkeep import KEPT, OF_NOBODY, OF_TENANTS
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

TABLES = """
select n.nspname || '.' || c.relname,
  exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('app', 'crm', 'sync', 'raw', 'jobs') and c.relkind in ('r', 'p') and not c.relispartition
"""


async def list_tables(urls: DatabaseUrls) -> dict[str, bool]:
    """Return every table, and whether its rows belong to tenants."""
    async with await psycopg.AsyncConnection.connect(urls.superuser) as conn:
        return {row[0]: row[1] for row in await (await conn.execute(TABLES)).fetchall()}


async def test_it_is_decided_of_every_table_what_becomes_of_its_rows(database_urls: DatabaseUrls) -> None:
    tables = await list_tables(database_urls)
    mirrors = {each for each in tables if each.startswith("raw.") and each != "raw.associations"}
    chosen = {".".join(each.table) for agings in AGING.values() for each in agings}
    fixed = {".".join(each.aging.table) for each in (*OF_TENANTS, *OF_NOBODY)}
    assert tables.keys() - mirrors == chosen | fixed | KEPT.keys()
    assert not KEPT.keys() & (chosen | fixed), "what stays does not go"
    assert all(len(reason) > 6 for reason in KEPT.values())


async def test_what_belongs_to_tenants_is_tidied_tenant_by_tenant(database_urls: DatabaseUrls) -> None:
    tables = await list_tables(database_urls)
    of_tenants = [each.aging for each in OF_TENANTS] + [each for some in AGING.values() for each in some]
    assert all(tables[".".join(each.table)] for each in of_tenants)
    assert not any(tables[".".join(each.aging.table)] for each in OF_NOBODY)


async def test_what_is_of_no_use_any_more_goes_and_the_rest_stays(
    db: Database, database_urls: DatabaseUrls, tenant_id: Any
) -> None:
    at = now()
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        user = new_id()
        await conn.execute(
            "insert into app.users (id, email, full_name, created_at, updated_at)"
            " values (%s, 'a@b.example', 'A', now(), now())",
            [user],
        )
        for days in (1, 1000):
            then = at - timedelta(days=days)
            values = {"t": tenant_id, "u": user, "id": new_id(), "at": then, "hash": str(days).encode()}
            for statement in ROWS:
                await conn.execute(statement, values)
        before = {each: await count(conn, each) for each in COUNTED}
        assert set(before.values()) == {2}
        async with Administrator.open(database_urls.admin) as admin:
            retention = Retention(db, admin)
            await retention.tidy(tenant_id, at + timedelta(minutes=1))
            await retention.forget(at + timedelta(minutes=1))
        left = {each: await count(conn, each) for each in COUNTED}
        assert left == dict.fromkeys(COUNTED, 1) | {"app.batches": 0, "app.batch_rows": 0}


COUNTED = (
    "app.invitations",
    "app.api_keys",
    "app.tenant_calls",
    "app.batches",
    "app.batch_rows",
    "app.sessions",
    "app.password_links",
    "app.attempts",
)
ROWS = (
    (
        "insert into app.invitations (tenant_id, id, email, role, token_hash, invited_by, created_at,"
        " expires_at) values (%(t)s, %(id)s, %(id)s::text || '@y.example', 'rep', %(hash)s, 'anna',"
        " %(at)s, %(at)s)"
    ),
    (
        "insert into app.api_keys (tenant_id, id, name, prefix, secret_hash, role, created_by, created_at,"
        " revoked_at) values (%(t)s, %(id)s, 'k', 'p', %(hash)s, 'rep', 'anna', %(at)s, %(at)s)"
    ),
    "insert into app.tenant_calls (tenant_id, day, calls) values (%(t)s, %(at)s::timestamptz::date, 3)",
    (
        "insert into app.batches (tenant_id, id, kind, record_type, terms, source, planned_by, planned_at)"
        " values (%(t)s, %(id)s, 'edit', 'contact', '{}', 'cli', 'anna', %(at)s)"
    ),
    "insert into app.batch_rows (tenant_id, batch_id, position, action) values (%(t)s, %(id)s, 1, 'change')",
    (
        "insert into app.sessions (token_hash, user_id, current_tenant_id, created_at, seen_at)"
        " values (%(hash)s, %(u)s, %(t)s, %(at)s, %(at)s)"
    ),
    (
        "insert into app.password_links (token_hash, user_id, created_at, expires_at)"
        " values (%(hash)s, %(u)s, %(at)s, %(at)s)"
    ),
    (
        "insert into app.attempts (id, purpose, account, address, tried_at)"
        " values (%(id)s, 'sign_in', %(hash)s, '::1', %(at)s)"
    ),
)


async def count(conn: psycopg.AsyncConnection[Any], table: str) -> int:
    row = await (await conn.execute(f"select count(*) from {table}".encode())).fetchone()
    assert row is not None
    return int(row[0])
