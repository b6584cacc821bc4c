"""Asking for a sync in SQL: who may, what it adds, what it refuses."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest
from compat_rows import connect_accounts, insert, open_compat, select
from compat_world import MAIN, SECOND
from psycopg.errors import (
    InsufficientPrivilege,
    InvalidParameterValue,
    ObjectNotInPrerequisiteState,
    ReadOnlySqlTransaction,
)
from psycopg.types.json import Jsonb

from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio


@pytest.fixture
async def connected(db: Database, tenant_id: UUID) -> None:
    async with db.transaction(tenant_id=tenant_id) as conn:
        await connect_accounts(conn, tenant_id)


async def ask(db: Database, tenant_id: UUID, sync_type: str) -> list[UUID]:
    async with open_compat(db, tenant_id) as conn:
        rows = await select(conn, "SELECT trigger_hubspot_sync(%(type)s)", {"type": sync_type})
    return [row[0] for row in rows]


async def test_asking_adds_one_pending_run_for_each_active_hubspot_connection(
    db: Database, tenant_id: UUID, connected: None
):
    ids = await ask(db, tenant_id, "deals")
    async with db.transaction(tenant_id=tenant_id) as conn:
        rows = await select(
            conn,
            "select id, connection_id, object, mode, status, requested_by from sync.runs "
            "order by connection_id",
        )
    common = ("deals", "incremental", "pending", "sql")
    assert rows == [(ids[0], MAIN, *common), (ids[1], SECOND, *common)]


async def test_asking_again_returns_the_runs_that_wait(db: Database, tenant_id: UUID, connected: None):
    first = await ask(db, tenant_id, "contacts")
    assert await ask(db, tenant_id, "Contacts ") == first
    assert set(await ask(db, tenant_id, "owners")).isdisjoint(first)
    async with db.transaction(tenant_id=tenant_id) as conn:
        statement = "update sync.runs set status = 'running', started_at = now() where connection_id = %(id)s"
        await conn.execute(statement, {"id": MAIN})
    again = await ask(db, tenant_id, "contacts")
    assert again[0] != first[0]
    assert again[1] == first[1]


async def test_many_who_ask_at_once_get_the_same_runs(db: Database, tenant_id: UUID, connected: None):
    answers = await asyncio.gather(*(ask(db, tenant_id, "calls") for _ in range(6)))
    assert len({tuple(answer) for answer in answers}) == 1


async def test_a_paused_connection_is_passed_over(db: Database, tenant_id: UUID, connected: None):
    async with db.transaction(tenant_id=tenant_id) as conn:
        statement = "update sync.connections set status = 'paused', paused_reason = 'token' where id = %(id)s"
        await conn.execute(statement, {"id": MAIN})
    (run,) = await ask(db, tenant_id, "deals")
    async with db.transaction(tenant_id=tenant_id) as conn:
        assert await select(conn, "select id, connection_id from sync.runs") == [(run, SECOND)]


@pytest.mark.parametrize("sync_type", ["deal", "", "runs; drop table sync.runs", "associations"])
async def test_an_unknown_type_is_refused_with_those_that_are_known(
    db: Database, tenant_id: UUID, connected: None, sync_type: str
):
    with pytest.raises(InvalidParameterValue) as refusal:
        await ask(db, tenant_id, sync_type)
    hint = refusal.value.diag.message_hint or ""
    assert "calls, companies, contacts, deals, emails, meetings, notes, owners, tasks" in hint


async def test_a_custom_object_is_synced_by_the_connections_that_have_it(
    db: Database, tenant_id: UUID, connected: None
):
    with pytest.raises(InvalidParameterValue):
        await ask(db, tenant_id, "cars")
    async with db.transaction(tenant_id=tenant_id) as conn:
        await conn.execute("select raw.add_object('hubspot', 'cars')")
        row = {"tenant_id": tenant_id, "connection_id": SECOND, "object": "cars", "name": "colour"}
        row |= {"label": "Colour", "type": "string", "read_only": False, "calculated": False}
        row |= {"definition": Jsonb({}), "first_seen_at": datetime.now(UTC)}
        await insert(conn, "sync", "properties", [row])
    (run,) = await ask(db, tenant_id, "cars")
    async with db.transaction(tenant_id=tenant_id) as conn:
        rows = await select(
            conn, "select connection_id, object from sync.runs where id = %(id)s", {"id": run}
        )
    assert rows == [(SECOND, "cars")]


async def test_asking_without_an_active_hubspot_connection_says_what_to_do(db: Database, tenant_id: UUID):
    with pytest.raises(ObjectNotInPrerequisiteState, match="No HubSpot connection is active") as refusal:
        await ask(db, tenant_id, "deals")
    assert "syncline connect hubspot" in (refusal.value.diag.message_hint or "")


async def test_a_session_without_tenant_cannot_ask(db: Database, connected: None):
    async with db.statement() as conn:
        with pytest.raises(InsufficientPrivilege, match="No tenant"):
            await conn.execute("select compat.trigger_hubspot_sync('deals')")


async def test_a_reader_may_ask_in_a_transaction_that_may_write(
    database_urls: DatabaseUrls, tenant_id: UUID, connected: None
):
    assert database_urls.reader
    async with await psycopg.AsyncConnection.connect(database_urls.reader) as conn:
        await conn.execute("select app.set_tenant(%(tenant_id)s)", {"tenant_id": tenant_id})
        with pytest.raises(ReadOnlySqlTransaction) as refusal:
            await conn.execute("select compat.trigger_hubspot_sync('deals')")
        assert "syncline sync" in (refusal.value.diag.message_hint or "")
        await conn.rollback()
        await conn.set_read_only(value=False)
        await conn.execute("select app.set_tenant(%(tenant_id)s)", {"tenant_id": tenant_id})
        ids = await select(conn, "select compat.trigger_hubspot_sync('deals')")
        assert len(ids) == 2
        with pytest.raises(InsufficientPrivilege):
            await conn.execute("delete from sync.runs")
