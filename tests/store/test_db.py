"""Connections, transactions of a tenant, and what becomes of the driver's errors."""

from __future__ import annotations

import asyncio
from uuid import UUID

import psycopg
import pytest

from pooler import transaction_pooler
from syncline.clock import new_id
from syncline.config import Pooler
from syncline.errors import (
    DatabaseUnreachable,
    DatabaseUnsuitable,
    RoleUnsuitable,
    SchemaOutdated,
    SettingInvalid,
    Unavailable,
)
from syncline.store import urls
from syncline.store.db import Database, connect, list_revisions, require_current_schema
from syncline.store.roles import inspect_role
from syncline.store.urls import DatabaseUrls, describe, uses_transaction_pooler, with_database

pytestmark = pytest.mark.anyio

SEEN = "select app.current_tenant(), app.in_bulk(), current_user"


async def seen_by(conn: psycopg.AsyncConnection[tuple[object, ...]]) -> tuple[object, ...]:
    row = await (await conn.execute(SEEN)).fetchone()
    assert row is not None
    return row


async def test_a_transaction_sees_the_tenant_it_was_opened_for(db: Database, tenant_id: UUID):
    async with db.transaction(tenant_id=tenant_id) as conn:
        assert await seen_by(conn) == (tenant_id, False, "syncline_app")
        row = await (await conn.execute("select count(*) from app.tenants")).fetchone()
    assert row == (1,)


async def test_a_transaction_of_no_tenant_sees_no_tenants_rows(database_urls: DatabaseUrls, tenant_id: UUID):
    async with Database.open(database_urls.app, min_size=1, max_size=1) as db:
        async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
            assert await seen_by(conn) == (tenant_id, True, "syncline_app")
        async with db.transaction(tenant_id=None) as conn:  # the same connection
            assert await seen_by(conn) == (None, False, "syncline_app")
            row = await (await conn.execute("select count(*) from app.tenants")).fetchone()
    assert row == (0,)


async def test_an_error_inside_rolls_everything_back(db: Database, tenant_id: UUID):
    async def fail() -> None:
        async with db.transaction(tenant_id=tenant_id) as conn:
            await conn.execute("update app.tenants set label = 'changed' where tenant_id = %s", [tenant_id])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with db.transaction(tenant_id=tenant_id) as conn:
        row = await (await conn.execute("select label from app.tenants")).fetchone()
    assert row == ("Default",)


async def test_a_broken_constraint_stays_the_drivers_error(db: Database, tenant_id: UUID):
    with pytest.raises(psycopg.errors.CheckViolation):
        async with db.transaction(tenant_id=tenant_id) as conn:
            await conn.execute("update app.tenants set status = 'odd' where tenant_id = %s", [tenant_id])


async def test_a_deadlock_may_be_tried_again(db: Database):
    locked = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> None:
        async with db.transaction(tenant_id=None) as conn:
            await conn.execute("select pg_advisory_xact_lock(%s)", [first])
            await locked.wait()
            await conn.execute("select pg_advisory_xact_lock(%s)", [second])

    ends = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    assert [type(end) for end in ends if end is not None] == [Unavailable]
    assert "DeadlockDetected" in "".join(map(str, ends))


async def test_a_lost_connection_may_be_tried_again(db: Database, database_urls: DatabaseUrls):
    async def lose() -> None:
        async with db.transaction(tenant_id=None) as conn, await connect(database_urls.superuser) as other:
            await other.execute("select pg_terminate_backend(%s)", [conn.info.backend_pid])
            await conn.execute("select 1")

    with pytest.raises(Unavailable):
        await lose()
    async with db.transaction(tenant_id=None) as conn:
        await conn.execute("select 1")


async def test_a_session_can_listen(db: Database):
    async with db.session() as listener:
        await listener.execute("listen work")
        async with db.transaction(tenant_id=None) as conn:
            await conn.execute("notify work, 'now'")
        heard = [notice.payload async for notice in listener.notifies(timeout=30, stop_after=1)]
    assert heard == ["now"]


@pytest.mark.parametrize(
    ("part", "other", "reason"),
    [
        ("/test_", "/nowhere_", "does not exist"),
        ("@", "x@", "password authentication failed"),
        ("127.0.0.1", "name.invalid", "name.invalid"),
    ],
)
async def test_what_keeps_us_from_connecting_is_said_without_the_password(
    database_urls: DatabaseUrls, part: str, other: str, reason: str
):
    url = database_urls.app.replace(part, other)
    with pytest.raises(DatabaseUnreachable) as caught:
        async with Database.open(url):
            pass
    message = str(caught.value)
    assert reason in message
    assert "SYNCLINE_DATABASE_URL" in message
    assert urls.parse(url)["password"] not in message


async def test_a_port_where_nobody_listens_is_named():
    with pytest.raises(DatabaseUnreachable, match=r"127\.0\.0\.1:1/none cannot be reached: .*refused"):
        async with Database.open("postgresql://u:p@127.0.0.1:1/none"):
            pass


async def test_a_database_that_is_not_utf8_is_refused(database_urls: DatabaseUrls):
    async with await connect(database_urls.superuser) as conn:
        await conn.execute(
            "create database latin encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0"
            if conn.info.server_version < 170000
            else "create database latin encoding 'LATIN1' locale_provider libc locale 'C' template template0"
        )
        try:
            with pytest.raises(DatabaseUnsuitable, match="LATIN1"):
                await connect(with_database(database_urls.superuser, "latin"))
        finally:
            await conn.execute("drop database latin (force)")


@pytest.mark.parametrize(
    "authority", ["user:s3cret@[host", "user:p@s3cret@host", "user:s3cret/p@host", "user:s3cret"]
)
async def test_a_url_that_is_none_is_refused_without_being_repeated(authority: str):
    with pytest.raises(SettingInvalid, match="%40") as caught:
        await connect(f"postgresql://{authority}/db")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "setting", "expected"),
    [
        ("postgresql://u@h/d", "auto", False),
        ("postgresql://u@h:5432/d", "auto", False),
        ("postgresql://u@h:6543/d", "auto", True),
        ("postgresql://u@h:6432/d", "auto", True),
        ("postgresql://u@h:6432/d?pool_mode=session", "auto", False),
        ("postgresql://u@h/d?pool_mode=transaction", "auto", True),
        ("postgresql://u@h/d?pgbouncer=true", "auto", True),
        ("postgresql://u@h:6543/d", "none", False),
        ("postgresql://u@h/d", "transaction", True),
    ],
)
def test_a_transaction_pooler_is_known_by_setting_then_url_then_port(
    url: str, setting: Pooler, expected: bool
):
    assert uses_transaction_pooler(url, setting) is expected


def test_a_url_is_described_without_user_and_password():
    assert (
        describe("postgresql://user:secret@db.example:6432/crm?pool_mode=transaction")
        == "db.example:6432/crm"
    )


async def test_the_tenant_does_not_leak_through_a_transaction_pooler(
    database_urls: DatabaseUrls, tenant_id: UUID
):
    async with (
        transaction_pooler(database_urls.app) as (url, pooler),
        Database.open(url, min_size=2, max_size=4) as db,
    ):
        assert db.pooled

        async def work(tenant: UUID | None, *, bulk: bool) -> None:
            for _ in range(15):
                async with db.transaction(tenant_id=tenant, bulk=bulk) as conn:
                    assert await seen_by(conn) == (tenant, bulk, "syncline_app")

        await asyncio.gather(
            work(tenant_id, bulk=False),
            work(None, bulk=False),
            work(new_id(), bulk=True),
            work(new_id(), bulk=False),
        )
        assert pooler.transactions >= 60
        with pytest.raises(DatabaseUnsuitable, match="session of its own"):
            async with db.session():
                pass


async def test_an_empty_database_asks_for_migrate(empty_database: DatabaseUrls):
    async with Database.open(empty_database.app) as db, db.transaction(tenant_id=None) as conn:
        with pytest.raises(SchemaOutdated, match="Run `syncline migrate`"):
            await require_current_schema(conn)


@pytest.mark.parametrize(
    ("revision", "advice"), [("9999", "Upgrade Syncline"), ("0001", "Run `syncline migrate`")]
)
async def test_an_older_or_newer_schema_is_not_worked_on(
    database_urls: DatabaseUrls, revision: str, advice: str
):
    async with await connect(database_urls.admin) as conn:
        await conn.execute("update app.alembic_version set version_num = %s", [revision])
    async with Database.open(database_urls.app) as db, db.transaction(tenant_id=None) as conn:
        if revision == list_revisions()[-1]:
            await require_current_schema(conn)
            return
        with pytest.raises(SchemaOutdated, match=advice):
            await require_current_schema(conn)


async def test_only_the_applications_role_is_held_by_row_level_security(database_urls: DatabaseUrls):
    async with await connect(database_urls.app) as conn:
        await inspect_role(conn)
    async with await connect(database_urls.reader) as conn:
        await inspect_role(conn)
    for url, reason in ((database_urls.superuser, "is a superuser"), (database_urls.admin, "owns app")):
        async with await connect(url) as conn:
            with pytest.raises(RoleUnsuitable, match=reason):
                await inspect_role(conn)


async def test_the_reader_cannot_write(database_urls: DatabaseUrls):
    async with await connect(database_urls.reader) as conn:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await conn.execute("create table mine ()")
        await conn.execute("set default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await conn.execute("update app.tenants set label = ''")
