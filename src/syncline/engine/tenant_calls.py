"""A tenant's calls to CRMs in a day: counted for all connections, and stopped where the tenant has a limit.

Beside the quotas of accounts, which are the CRMs' own: this one is whoever's who runs the installation.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import date, datetime, timedelta
from types import TracebackType
from typing import Self
from uuid import UUID

from syncline.clock import now
from syncline.errors import RateLimited, RetryLater
from syncline.store import limits
from syncline.store.db import Database

LIMIT = "crm_calls_per_day"
#: So many calls are taken at once where there is a limit; what is left is given back.
_BLOCK = 8
#: How long a limit is believed, and how soon calls are written down where there is none.
_BELIEVED = timedelta(seconds=10)
_FLUSH_SECONDS = 1.0


class TenantCalls:
    """The calls of one tenant by this process. Safe to use from many tasks of one event loop."""

    def __init__(self, db: Database, tenant_id: UUID) -> None:
        self._db = db
        self._tenant_id = tenant_id
        self._limit: int | None = None
        self._asked_at: datetime | None = None
        self._day: date | None = None
        #: Taken and not made yet, where there is a limit; made and not written down, where there is none.
        self._left = 0
        self._untold = 0
        self._asking = asyncio.Lock()
        self._flushing: asyncio.Task[None] | None = None

    async def take(self) -> None:
        """Count one call. Raises `RateLimited` when the tenant's day is used up."""
        if self._is_believed() and self._limit is None:
            self._untold += 1
            if self._flushing is None or self._flushing.done():
                self._flushing = asyncio.create_task(self._flush_soon())
            return
        async with self._asking:
            if not self._is_believed():
                await self._ask()
            if self._limit is None:
                self._untold += 1
                return
            if self._left == 0:
                await self._take_block(self._limit)
            self._left -= 1

    def _is_believed(self) -> bool:
        at = now()
        return self._asked_at is not None and at - self._asked_at < _BELIEVED and at.date() == self._day

    async def _ask(self) -> None:
        await self.settle()
        at = now()
        async with self._db.transaction(tenant_id=self._tenant_id) as conn:
            self._limit = (await limits.get(conn, tenant_id=self._tenant_id)).crm_calls_per_day
        self._asked_at, self._day = at, at.date()

    async def _take_block(self, limit: int) -> None:
        at = now()
        async with self._db.transaction(tenant_id=self._tenant_id) as conn:
            used = await limits.add_calls(conn, _BLOCK, at.date(), tenant_id=self._tenant_id)
            over = min(_BLOCK, max(0, used - limit))
            if over:
                await limits.add_calls(conn, -over, at.date(), tenant_id=self._tenant_id)
        self._left = _BLOCK - over
        if self._left == 0:
            midnight = datetime.combine(at.date() + timedelta(days=1), datetime.min.time(), at.tzinfo)
            raise RateLimited(
                f"This tenant has made its {limit:,} calls to CRMs of this day ({LIMIT}). It goes on at "
                "midnight UTC; whoever runs this installation can allow more.",
                after_seconds=(midnight - at).total_seconds(),
                daily=True,
                limit=LIMIT,
            )

    async def _flush_soon(self) -> None:
        await asyncio.sleep(_FLUSH_SECONDS)
        with suppress(RetryLater):  # what is not written down stays, and is with the next
            await self.settle()

    async def settle(self) -> None:
        """Write down what was called, and give back what was taken and not used."""
        calls, self._untold = self._untold - self._left, 0
        left, self._left = self._left, 0
        if calls == 0:
            return
        try:
            async with self._db.transaction(tenant_id=self._tenant_id) as conn:
                await limits.add_calls(conn, calls, self._day or now().date(), tenant_id=self._tenant_id)
        except RetryLater:
            self._untold += calls + left
            self._left = left
            raise

    async def aclose(self) -> None:
        """Write down everything; what the database does not take now is lost."""
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.wait([self._flushing])
        with suppress(RetryLater):
            await self.settle()


class CallsOfTenants:
    """What counts the calls of each tenant, in one process. Use with `async with`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[UUID, TenantCalls] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def of_tenant(self, tenant_id: UUID) -> TenantCalls:
        if tenant_id not in self._known:
            self._known[tenant_id] = TenantCalls(self._db, tenant_id)
        return self._known[tenant_id]

    async def aclose(self) -> None:
        """Write down everything."""
        for each in self._known.values():
            await each.aclose()
