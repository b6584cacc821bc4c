"""Working as the owner of the schema: for what the application's own role may not, erasing and tidying up.

Row-level security does not hold the owner: every statement names its tenant.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from psycopg import sql

from syncline.store.db import Conn, Database
from syncline.store.roles import OWNER
from syncline.store.urls import UrlSource

BECOME_OWNER = sql.SQL("set local role {}").format(sql.Identifier(OWNER))


class Administrator:
    """A database opened by its administrative address."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @classmethod
    @asynccontextmanager
    async def open(
        cls, source: UrlSource, *, application_name: str = "syncline administration"
    ) -> AsyncGenerator[Administrator]:
        """Connect as `syncline_owner` or a member of it. Raises as `Database.open` does."""
        async with Database.open(source, application_name=application_name, max_size=2) as db:
            yield cls(db)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Conn]:
        """Open a transaction as the owner, passed over by the row triggers of change capture."""
        async with self._db.transaction(tenant_id=None, bulk=True) as conn:
            await conn.execute(BECOME_OWNER)
            yield conn
