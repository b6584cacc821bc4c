"""Rows that tests of the machinery need before they can begin."""

from __future__ import annotations

from uuid import UUID

from syncline.clock import new_id, now
from syncline.store import connections
from syncline.store.db import Database


async def make_connection(db: Database, tenant_id: UUID, name: str = "crm") -> UUID:
    connection_id = new_id()
    async with db.transaction(tenant_id=tenant_id) as conn:
        await connections.insert(
            conn,
            tenant_id=tenant_id,
            connection_id=connection_id,
            platform="test",
            name=name,
            base_url="http://127.0.0.1:9",
            account_id="a",
            account_name="A",
            account_url=None,
            credentials=b"first",
            settings={},
            now=now(),
        )
    return connection_id
