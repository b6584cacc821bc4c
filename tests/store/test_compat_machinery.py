"""Queue, settings and audit log under their old names, and who may read the views."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from compat_rows import connect_accounts, insert, open_compat, select
from compat_world import MAIN, SECOND, make_world
from psycopg import sql
from psycopg.types.json import Jsonb

from syncline.clock import new_id
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

STRANGER = UUID("00000000-0000-7000-8000-0000000000ff")


@pytest.fixture
async def connected(db: Database, tenant_id: UUID) -> None:
    async with db.transaction(tenant_id=tenant_id) as conn:
        await connect_accounts(conn, tenant_id)


async def test_readers_can_read_every_view_and_see_no_other_tenant(
    database_urls: DatabaseUrls, tenant_id: UUID, connected: None
):
    assert database_urls.reader
    async with await psycopg.AsyncConnection.connect(database_urls.reader) as conn:
        names = await select(
            conn, "select table_name from information_schema.views where table_schema = 'compat' order by 1"
        )
        assert ("sync_logs",) in names
        await conn.execute("select app.set_tenant(%(tenant_id)s)", {"tenant_id": tenant_id})
        assert await select(conn, "select count(*) > 10 from compat.app_settings") == [(True,)]
        await conn.rollback()
        await conn.execute("select app.set_tenant(%(tenant_id)s)", {"tenant_id": STRANGER})
        for (name,) in names:
            rows = await conn.execute(sql.SQL("select * from compat.{}").format(sql.Identifier(name)))
            assert await rows.fetchall() == [], name
        assert await select(conn, "select * from compat.get_latest_sync_status()") == []


async def test_the_page_on_coming_from_own_tables_names_every_view_and_function(db: Database):
    async with db.statement() as conn:
        names = await select(
            conn,
            "select c.relname from pg_class c where c.relnamespace = 'compat'::regnamespace "
            "union all select p.proname || '(' from pg_proc p where p.pronamespace = 'compat'::regnamespace",
        )
    page = (Path(__file__).parents[2] / "docs" / "coming-from-your-own-tables.md").read_text(encoding="utf-8")
    assert [name for (name,) in names if f"`{name}" not in page] == []


async def test_every_view_asks_with_the_rights_of_its_user(db: Database):
    async with db.statement() as conn:
        rows = await select(
            conn,
            "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where n.nspname = 'compat' and c.relkind = 'v' "
            "and not coalesce(c.reloptions, '{}') @> array['security_invoker=true']",
        )
    assert rows == []


async def test_settings_are_shown_without_secrets(db: Database, tenant_id: UUID, connected: None):
    async with open_compat(db, tenant_id) as conn:
        rows = await select(conn, "SELECT key, value FROM app_settings")
        none = await select(
            conn, "SELECT * FROM app_settings WHERE key IN ('supabase_url', 'service_role_key')"
        )
    settings = dict(rows)
    assert none == []
    assert settings["tenant"] == "default"
    assert settings["hubspot.main.status"] == "active"
    assert settings["hubspot.main.settings.every"] == "15 min"
    assert settings["pipedrive.other.writes_enabled"] == "false"
    assert "5ec2e7" not in str(rows)


async def test_the_queue_says_what_waits_and_records_say_it_too(
    db: Database, tenant_id: UUID, connected: None
):
    world = make_world(3, datetime(2026, 11, 21, tzinfo=UTC))
    update, create, gone, refused = (
        world.contacts[0],
        world.contacts[4],
        world.contacts[10],
        world.contacts[5],
    )
    rows = [
        queue_row(tenant_id, update.id, "pending"),
        queue_row(tenant_id, create.id, "held"),
        queue_row(tenant_id, gone.id, "pending"),
        queue_row(tenant_id, refused.id, "parked"),
    ]
    contacts = [
        {
            "tenant_id": tenant_id,
            "id": c.id,
            "archived_at": world.now if c is gone else None,
            "email": c.columns["email"],
        }
        for c in world.contacts[:11]
    ]
    links = [link_row(tenant_id, c.id, str(n)) for n, c in enumerate(world.contacts[:11]) if c is not create]
    async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        await insert(conn, "crm", "contacts", contacts)
        await insert(conn, "sync", "links", links)
        await insert(conn, "sync", "queue", rows)
    async with open_compat(db, tenant_id) as conn:
        queue = await select(
            conn,
            "SELECT entity_id, entity_type, operation, status, payload, error_message, created_at "
            "FROM sync_queue",
        )
        states = await select(conn, "SELECT id, hubspot_sync_status FROM contacts")
    payload = {"fields": ["phone"]}
    expected = [
        (
            c.id,
            "contact",
            operation,
            status,
            {"contact_id": str(c.id), **payload},
            error,
            rows[0]["queued_at"],
        )
        for c, operation, status, error in (
            (update, "update", "pending", None),
            (create, "create", "pending", None),
            (gone, "delete", "pending", None),
            (refused, "update", "failed", "phone is not valid"),
        )
    ]
    assert sorted(queue, key=lambda r: r[0]) == sorted(expected, key=lambda r: r[0])
    changed = {update.id: "pending", create.id: "pending", refused.id: "failed"}
    assert dict(states) == {c.id: changed.get(c.id, "synced") for c in world.contacts[:10]}


def queue_row(tenant_id: UUID, record_id: UUID, state: str) -> dict[str, Any]:
    at = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
    return {
        "tenant_id": tenant_id,
        "connection_id": MAIN,
        "record_type": "contact",
        "record_id": record_id,
        "state": state,
        "fields": ["phone"],
        "queued_at": at,
        "not_before": at,
        "last_error": "phone is not valid" if state == "parked" else None,
    }


def link_row(tenant_id: UUID, record_id: UUID, remote_id: str) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "connection_id": MAIN,
        "object": "contacts",
        "remote_id": remote_id,
        "record_type": "contact",
        "record_id": record_id,
        "base": Jsonb({}),
        "linked_at": datetime.now(UTC),
    }


async def test_the_audit_log_tells_who_changed_what_in_the_documents_words(
    db: Database, tenant_id: UUID, connected: None
):
    company, person = new_id(), new_id()
    values = {"tenant_id": tenant_id, "id": company, "actor": str(person), "connection": str(SECOND)}
    async with db.transaction(tenant_id=tenant_id) as conn:
        await conn.execute(
            "insert into crm.companies (tenant_id, id, name) values (%(tenant_id)s, %(id)s, 'Old')", values
        )
        await conn.execute("select set_config('app.actor', %(actor)s, true)", values)
        await conn.execute("update crm.companies set name = 'New' where id = %(id)s", values)
        await conn.execute("set local app.source = 'pull'")
        await conn.execute("select set_config('app.connection_id', %(connection)s, true)", values)
        await conn.execute("update crm.companies set archived_at = now() where id = %(id)s", values)
        await conn.execute("delete from crm.companies where id = %(id)s", values)
    async with open_compat(db, tenant_id) as conn:
        rows = await select(
            conn,
            "SELECT action, changes -> 'name', user_id, source FROM crm_audit_log "
            "WHERE entity_type = 'company' AND entity_id = %(id)s ORDER BY timestamp",
            {"id": company},
        )
    assert rows == [
        ("created", [None, "Old"], None, "manual"),
        ("updated", ["Old", "New"], person, "manual"),
        ("deleted", None, person, "hubspot"),
        ("deleted", ["New", None], person, "hubspot"),
    ]
