"""Writes the world of the compat tests into a database, and reads the views as their users do."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

from compat_world import MAIN, OTHER, SECOND, SYNCED_AT, Record, Remote, World
from psycopg import sql
from psycopg.types.json import Jsonb

from syncline.store.db import Conn, Database

#: Kind of record → its table, its records in a world, and the remote object its links name.
_RECORDS: dict[str, tuple[str, Callable[[World], list[Record]], str]] = {
    "owner": ("owners", lambda world: world.owners, "owners"),
    "company": ("companies", lambda world: world.companies, "companies"),
    "contact": ("contacts", lambda world: world.contacts, "contacts"),
    "deal": ("deals", lambda world: world.deals, "deals"),
    "activity": ("activities", lambda world: world.activities, "calls"),
}
_REMOTES: dict[str, Callable[[World], list[Remote]]] = {
    "hubspot_contacts": lambda world: world.raw_contacts,
    "hubspot_deals": lambda world: world.raw_deals,
    "hubspot_calls": lambda world: world.raw_calls,
}


async def insert(conn: Conn, schema: str, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows that all have the same columns."""
    if not rows:
        return
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier(schema, table),
        sql.SQL(", ").join(map(sql.Identifier, rows[0])),
        sql.SQL(", ").join(map(sql.Placeholder, rows[0])),
    )
    async with conn.cursor() as cursor:
        await cursor.executemany(statement, rows)


async def connect_accounts(conn: Conn, tenant_id: UUID) -> None:
    """Add the three connections, of which the second HubSpot account came after the first."""
    accounts = ((MAIN, "hubspot", "main"), (SECOND, "hubspot", "second"), (OTHER, "pipedrive", "other"))
    rows: list[dict[str, Any]] = [
        {
            "tenant_id": tenant_id,
            "id": connection,
            "platform": platform,
            "name": name,
            "base_url": "https://example.invalid",
            "credentials": b"sealed-5ec2e7",
            "settings": Jsonb({"every": "15 min", "api_token": "5ec2e7", "private_key_file": "5ec2e7"}),
            "created_at": SYNCED_AT - timedelta(days=30 - position),
            "updated_at": SYNCED_AT,
        }
        for position, (connection, platform, name) in enumerate(accounts)
    ]
    await insert(conn, "sync", "connections", rows)


async def insert_world(conn: Conn, tenant_id: UUID, world: World) -> None:
    """Write the world into a transaction opened with `bulk`, so that the change log stays empty."""
    await connect_accounts(conn, tenant_id)
    for kind, (table, records, remote_object) in _RECORDS.items():
        rows = [
            {
                "tenant_id": tenant_id,
                "id": r.id,
                "archived_at": world.now if r.archived else None,
                **r.columns,
            }
            for r in records(world)
        ]
        await insert(conn, "crm", table, rows)
        links: list[dict[str, Any]] = [
            {
                "tenant_id": tenant_id,
                "connection_id": connection,
                "object": remote_object,
                "remote_id": remote_id,
                "record_type": kind,
                "record_id": record.id,
                "is_primary": is_primary,
                "base": Jsonb({}),
                "linked_at": SYNCED_AT,
            }
            for record in records(world)
            for connection, remote_id, is_primary in record.links
        ]
        await insert(conn, "sync", "links", links)
    for table, remotes in _REMOTES.items():
        await insert(conn, "raw", table, [_raw_row(r, tenant_id, world.now) for r in remotes(world)])


def _raw_row(remote: Remote, tenant_id: UUID, now: datetime) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "connection_id": remote.connection,
        "remote_id": remote.id,
        "raw": Jsonb(remote.payload),
        "payload_hash": b"",
        "requested_at": SYNCED_AT,
        "archived_at": now if remote.archived else None,
        "archived_reason": "archived" if remote.archived else None,
        "synced_at": SYNCED_AT,
    }


@asynccontextmanager
async def open_compat(db: Database, tenant_id: UUID) -> AsyncGenerator[Conn]:
    """Open a transaction in which names without a schema mean the views, as they do in `syncline psql`."""
    async with db.transaction(tenant_id=tenant_id) as conn:
        await conn.execute("set local search_path = compat, public")
        await conn.execute("set local time zone 'UTC'")
        yield conn


async def select(conn: Conn, statement: LiteralString, values: dict[str, Any] | None = None) -> list[Any]:
    return await (await conn.execute(statement, values)).fetchall()
