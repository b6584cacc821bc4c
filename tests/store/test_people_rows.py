"""What of people and the audit each database role can see and change."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

Conn = psycopg.AsyncConnection[Any]
#: As the requirements have the table of users.
COLUMNS = [
    "id", "full_name", "email", "phone", "role", "is_active", "max_active_leads", "current_lead_count",
    "total_leads_assigned", "total_leads_contacted", "total_leads_qualified",
    "avg_response_time_minutes", "slack_user_id", "notify_email", "notify_slack", "notify_sms",
    "created_at", "updated_at", "last_login_at",
]  # fmt: skip
OTHER = UUID("00000000-0000-7000-8000-000000000002")


@pytest.fixture
async def filled(database_urls: DatabaseUrls, tenant_id: UUID) -> None:
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        await conn.execute(
            "insert into app.tenants (tenant_id, slug, label) values (%s, 'other', 'Other')", [OTHER]
        )
        for name, tenant, role in (("ada", tenant_id, "manager"), ("eve", OTHER, "admin")):
            await conn.execute(
                "with made as (insert into app.users"
                " (id, email, full_name, password_hash, created_at, updated_at)"
                " values (gen_random_uuid(), %s, %s, 'a hash', now(), now()) returning id)"
                " insert into app.memberships (tenant_id, user_id, role, created_at, updated_at)"
                " select %s, id, %s, now(), now() from made",
                [f"{name}@example.com", name, tenant, role],
            )
            await conn.execute(
                "insert into app.audit_log (tenant_id, id, at, actor, source, action)"
                " values (%s, gen_random_uuid(), now(), %s, 'web', 'test.done')",
                [tenant, name],
            )


@pytest.fixture
async def analyst(database_urls: DatabaseUrls, tenant_id: UUID, filled: None) -> AsyncGenerator[Conn]:
    del filled
    async with await psycopg.AsyncConnection.connect(database_urls.reader) as conn:
        await conn.execute("select app.set_tenant(%s)", [tenant_id])
        yield conn


async def ask(conn: Conn, statement: str) -> list[tuple[Any, ...]]:
    return await (await conn.execute(statement.encode())).fetchall()


async def test_analysts_see_the_people_of_their_tenant_with_every_column_asked_for(analyst: Conn):
    cursor = await analyst.execute("select * from compat.users")
    assert [each.name for each in cursor.description or []] == COLUMNS
    assert await ask(analyst, "select email, role, is_active from compat.users") == [
        ("ada@example.com", "manager", True)
    ]


async def test_analysts_see_nobody_of_another_tenant_by_any_road(analyst: Conn):
    assert await ask(analyst, "select email from app.users") == [("ada@example.com",)]
    assert await ask(analyst, "select count(*) from app.memberships") == [(1,)]
    await analyst.execute("select app.set_tenant(%s)", [UUID(int=0)])
    assert await ask(analyst, "select email from app.users") == []


@pytest.mark.parametrize(
    "statement",
    [
        "select password_hash from app.users",
        "select u from app.users u",
        "select * from app.users",
        "select from app.sessions",
        "select from app.attempts",
        "select from app.password_links",
        "select from app.invitations",
        "select from app.api_keys",
        "select from app.audit_log",
        "select from app.memberships_of(gen_random_uuid())",
        "select app.add_tenant(gen_random_uuid(), 'x', 'x', 'UTC', 'USD', 'US', now())",
    ],
)
async def test_analysts_never_see_what_opens_something(analyst: Conn, statement: str):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await ask(analyst, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "update app.audit_log set actor = 'x'",
        "delete from app.audit_log",
        "truncate app.audit_log",
        "delete from app.users",
        "insert into app.tenants (tenant_id, slug, label) values (gen_random_uuid(), 'x', 'x')",
        "delete from app.tenants",
        "update app.attempts set tried_at = now() - interval '1 day'",
    ],
)
async def test_the_application_alters_no_audit_and_makes_no_tenant_in_passing(
    db: Database, tenant_id: UUID, filled: None, statement: str
):
    del filled
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with db.transaction(tenant_id=tenant_id) as conn:
            await conn.execute(statement.encode())


async def test_the_audit_of_another_tenant_is_neither_read_nor_written(
    db: Database, tenant_id: UUID, filled: None
):
    del filled
    async with db.transaction(tenant_id=tenant_id) as conn:
        rows = await (await conn.execute("select actor from app.audit_log")).fetchall()
        assert rows == [("ada",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with conn.transaction():
                await conn.execute(
                    "insert into app.audit_log (tenant_id, id, at, actor, source, action)"
                    " values (%s, gen_random_uuid(), now(), 'x', 'web', 'x')",
                    [OTHER],
                )


async def test_two_people_cannot_have_one_address_in_two_spellings(db: Database, filled: None):
    del filled
    with pytest.raises(psycopg.errors.UniqueViolation):
        async with db.transaction(tenant_id=None) as conn:
            await conn.execute(
                "insert into app.users (id, email, full_name, created_at, updated_at)"
                " values (gen_random_uuid(), ' ADA@example.com', 'x', now(), now())"
            )


async def test_where_somebody_is_at_home_is_told_with_their_owners(
    db: Database, database_urls: DatabaseUrls, tenant_id: UUID, filled: None
):
    del filled
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        await conn.execute(
            "insert into crm.owners (tenant_id, id, email) select t, gen_random_uuid(), 'Ada@example.com'"
            " from unnest(%s::uuid[]) t",
            [[tenant_id, OTHER]],
        )
    async with db.transaction(tenant_id=None) as conn:
        rows = await (
            await conn.execute(
                "select m.tenant_id, m.role, m.is_active, cardinality(m.owner_ids)"
                " from app.users u cross join lateral app.memberships_of(u.id) m"
                " where u.email_norm = 'ada@example.com'"
            )
        ).fetchall()
    assert rows == [(tenant_id, "manager", True, 1)]
