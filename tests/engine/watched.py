"""Connections, schedules and runs as alert rules find them, made by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import AsyncConnection

from syncline.clock import now
from syncline.store import alerts, tenants
from syncline.store.db import Database
from syncline.store.tenants import Tenant

DEFAULT = UUID("00000000-0000-7000-8000-000000000001")
_LONG_AGO = timedelta(days=30)


class Watched:
    """Makes what is watched, of one tenant, as a superuser."""

    def __init__(self, admin: AsyncConnection[Any], tenant_id: UUID = DEFAULT) -> None:
        self._admin = admin
        self.tenant_id = tenant_id

    async def connection(self, name: str = "acme", *, made: timedelta = _LONG_AGO) -> UUID:
        connection_id = uuid4()
        await self._admin.execute(
            "insert into sync.connections (tenant_id, id, platform, name, base_url, account_id, created_at,"
            " updated_at) values (%s, %s, 'hubspot', %s, 'http://127.0.0.1:1', %s, %s, %s)",
            [self.tenant_id, connection_id, name, name, now() - made, now() - made],
        )
        return connection_id

    async def schedule(self, connection_id: UUID, name: str, cron: str = "*/5 * * * *") -> None:
        await self._admin.execute(
            "insert into sync.schedules (tenant_id, connection_id, object, mode, cron, next_at)"
            " values (%s, %s, %s, 'incremental', %s, now() + interval '1 day')",
            [self.tenant_id, connection_id, name, cron],
        )

    async def run(
        self,
        connection_id: UUID,
        name: str,
        status: str = "success",
        *,
        ago: timedelta = timedelta(),
        mode: str = "incremental",
        read: int = 0,
        failed: int = 0,
    ) -> None:
        ended: datetime = now() - ago
        going = status == "running"
        await self._admin.execute(
            "insert into sync.runs (tenant_id, id, connection_id, object, mode, status, requested_by,"
            " requested_at, started_at, completed_at, records_read, records_failed, updated_at)"
            " values (%s, gen_random_uuid(), %s, %s, %s, %s, 'test', %s, %s, %s, %s, %s, %s)",
            [
                self.tenant_id,
                connection_id,
                name,
                mode,
                status,
                ended,
                ended,
                None if going else ended,
                read,
                failed,
                ended,
            ],
        )

    async def execute(self, statement: str, **values: Any) -> None:
        await self._admin.execute(statement, {"tenant_id": self.tenant_id, **values})  # pyright: ignore[reportArgumentType]


async def tenant_of(db: Database, tenant_id: UUID = DEFAULT) -> Tenant:
    async with db.statement() as conn:
        return next(each for each in await tenants.list_tenants(conn) if each.tenant_id == tenant_id)


async def put_rules(db: Database, text: str, tenant_id: UUID = DEFAULT) -> None:
    async with db.transaction(tenant_id=tenant_id) as conn:
        await alerts.put_rules(conn, text, tenant_id=tenant_id, by="test", now=now())
