"""The inbox as rows: what is due, how much at once, who may see what, and that looking at it stays cheap."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from syncline.clock import new_id, now
from syncline.store import connections, inbox
from syncline.store.db import Database
from syncline.store.inbox import Delivery, NewDelivery, Refusal
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

OTHER_TENANT = UUID("00000000-0000-7000-8000-000000000002")


async def connect(db: Database, tenant_id: UUID, name: str = "main", account: str = "1") -> UUID:
    connection_id = uuid4()
    async with db.transaction(tenant_id=tenant_id) as conn:
        await connections.insert(
            conn,
            tenant_id=tenant_id,
            connection_id=connection_id,
            platform="hubspot",
            name=name,
            base_url="http://localhost",
            account_id=account,
            account_name="",
            account_url=None,
            credentials=b"",
            settings={},
            now=now(),
        )
    return connection_id


async def keep(
    db: Database, tenant_id: UUID, connection_id: UUID, bodies: Sequence[str], *, wait_seconds: float = 0
) -> set[UUID]:
    async with db.transaction(tenant_id=tenant_id) as conn:
        rows = [NewDelivery(new_id(), connection_id, now(), body, 1) for body in bodies]
        return await inbox.insert(conn, rows, tenant_id=tenant_id, wait_seconds=wait_seconds)


async def due(
    db: Database, tenant_id: UUID, connection_id: UUID, *, limit: int = 10, max_bytes: int = 1000
) -> list[Delivery]:
    async with db.transaction(tenant_id=tenant_id) as conn:
        return await inbox.list_due(
            conn,
            tenant_id=tenant_id,
            connection_id=connection_id,
            ahead_seconds=1.0,
            limit=limit,
            max_bytes=max_bytes,
        )


async def test_bodies_come_back_as_they_were_whatever_they_hold(db: Database, tenant_id: UUID):
    connection_id = await connect(db, tenant_id)
    bodies = ['[{"a":"\\u0000 \\\\ \\" , {} NULL"}]', "[]", "Größe 🙂", "null", '"x,y"']
    assert len(await keep(db, tenant_id, connection_id, bodies)) == len(bodies)
    assert sorted(each.body for each in await due(db, tenant_id, connection_id)) == sorted(bodies)


async def test_no_more_is_taken_at_once_than_fits_but_always_something(db: Database, tenant_id: UUID):
    connection_id = await connect(db, tenant_id)
    for body in ("a" * 5000, "b" * 300, "c" * 300):
        await keep(db, tenant_id, connection_id, [body])
    assert [each.body[0] for each in await due(db, tenant_id, connection_id)] == ["a"]
    assert len(await due(db, tenant_id, connection_id, max_bytes=5400)) == 3
    assert len(await due(db, tenant_id, connection_id, max_bytes=9000, limit=2)) == 2


async def test_what_follows_at_once_comes_along_but_is_not_due(db: Database, tenant_id: UUID):
    connection_id = await connect(db, tenant_id)
    await keep(db, tenant_id, connection_id, ["now"])
    await keep(db, tenant_id, connection_id, ["soon"], wait_seconds=0.9)
    await keep(db, tenant_id, connection_id, ["later"], wait_seconds=60)
    found = await due(db, tenant_id, connection_id)
    assert [(each.body, each.is_due) for each in found] == [("now", True), ("soon", False)]


async def test_nothing_is_kept_for_a_connection_that_is_no_more(db: Database, tenant_id: UUID):
    connection_id = await connect(db, tenant_id)
    assert await keep(db, tenant_id, uuid4(), ["x"]) == set()
    await keep(db, tenant_id, connection_id, ["y"])
    async with db.transaction(tenant_id=tenant_id) as conn:
        await connections.delete(conn, connection_id, tenant_id=tenant_id)
    async with db.statement() as conn:
        assert await inbox.list_waiting(conn) == []


async def test_analysts_see_how_the_inbox_stands_and_no_body(
    db: Database, tenant_id: UUID, database_urls: DatabaseUrls
):
    await keep(db, tenant_id, await connect(db, tenant_id), ["x"])
    async with await psycopg.AsyncConnection.connect(database_urls.reader, autocommit=False) as conn:
        await conn.execute("select app.set_tenant(%s)", [tenant_id])
        found = await conn.execute("select state, events from sync.inbox")
        assert await found.fetchall() == [("pending", 1)]
        for hidden in ("select body from sync.inbox", "select * from sync.refused_webhooks"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                async with conn.transaction():
                    await conn.execute(hidden.encode())


async def test_a_tenant_is_shown_refusals_of_its_own_connections_and_of_none(
    db: Database, tenant_id: UUID, database_urls: DatabaseUrls
):
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        await conn.execute(
            "insert into app.tenants (tenant_id, slug, label) values (%s, 'theirs', 'Theirs')", [OTHER_TENANT]
        )
    ours, theirs = await connect(db, tenant_id), await connect(db, OTHER_TENANT)
    at = now()
    async with db.transaction(tenant_id=None) as conn:
        await inbox.note_refusals(
            conn,
            [
                (new_id(), Refusal("hubspot", whose, "Stale.", "", at, at, 2))
                for whose in (ours, ours, theirs, None)
            ],
        )
    async with db.transaction(tenant_id=tenant_id) as conn:
        found = await inbox.list_refusals(conn, tenant_id=tenant_id, since=at - timedelta(days=1))
    assert {(each.connection_id, each.count) for each in found} == {(ours, 4), (None, 2)}


async def plan_of(conn: psycopg.AsyncConnection[Any], statement: str, values: dict[str, Any]) -> str:
    cursor = await conn.execute(f"explain {statement}".encode(), values)
    return "\n".join(str(row[0]) for row in await cursor.fetchall())


async def test_what_is_due_is_found_by_its_index_among_many_that_are_done(
    db: Database, tenant_id: UUID, database_urls: DatabaseUrls
):
    connection_id = await connect(db, tenant_id)
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        await conn.execute(
            "insert into sync.inbox (tenant_id, id, connection_id, received_at, body, events, state,"
            " not_before, ended_at)"
            " select %s, gen_random_uuid(), %s, now(), 'x', 1,"
            "   case when n %% 100 = 0 then 'pending' else 'done' end, now(),"
            "   case when n %% 100 = 0 then null else now() end from generate_series(1, 20000) n",
            [tenant_id, connection_id],
        )
        await conn.execute("analyze sync.inbox")
        values = {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "ahead_seconds": 0.2,
            "limit": 10,
            "max_bytes": 1000,
        }
        assert "inbox_pending" in await plan_of(conn, inbox.LIST_DUE, values)
        body = await (
            await conn.execute("select pg_get_functiondef('sync.waiting_inboxes'::regproc)")
        ).fetchone()
        assert body is not None
        inner = str(body[0]).partition("BEGIN ATOMIC")[2].rpartition("END")[0].strip().rstrip(";")
        assert "inbox_pending" in await plan_of(conn, inner.replace("%", "%%"), {})
