"""How many records there are, for pages that are looked at often: counted anew only as often as it is worth.

Counting a million rows takes a good part of a second, and the next page comes before that is over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import structlog

from syncline.errors import RetryLater
from syncline.store.connections import Connection
from syncline.store.db import Conn, Database

_log = structlog.get_logger(__name__)

Count = Callable[[Conn, Connection, str], Awaitable[int]]

#: A count that is quicker is always made anew.
_QUICK_SECONDS = 0.02
#: What a slow one took, so many times over, it is good for; and no longer than this.
_GOOD_FOR_TIMES, _LONGEST_SECONDS = 100.0, 60.0
_MOST = 10_000


@dataclass(slots=True)
class _Known:
    count: int
    took_seconds: float
    counted_at: float

    @property
    def is_good(self) -> bool:
        lasts = min(_LONGEST_SECONDS, self.took_seconds * _GOOD_FOR_TIMES)
        return self.took_seconds > _QUICK_SECONDS and time.monotonic() < self.counted_at + lasts


class RememberedCounts:
    """Counts of one process: a slow one is told as it was, while it is made anew beside."""

    def __init__(self, db: Database, count: Count) -> None:
        self._db = db
        self._count = count
        self._known: dict[tuple[UUID, str], _Known] = {}
        self._tasks: dict[tuple[UUID, str], asyncio.Task[None]] = {}

    async def __call__(self, conn: Conn, connection: Connection, name: str) -> int:
        """Return how many living records an object of a connection has, up to a minute late."""
        key = (connection.id, name)
        known = self._known.get(key)
        if known is None or known.took_seconds <= _QUICK_SECONDS:
            return await self._look(conn, connection, name)
        if not known.is_good and key not in self._tasks:
            self._tasks[key] = task = asyncio.create_task(self._renew(connection, name))
            task.add_done_callback(lambda _: self._tasks.pop(key, None))
        return known.count

    async def _look(self, conn: Conn, connection: Connection, name: str) -> int:
        began = time.monotonic()
        count = await self._count(conn, connection, name)
        ended = time.monotonic()
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[connection.id, name] = _Known(count, ended - began, ended)
        return count

    async def _renew(self, connection: Connection, name: str) -> None:
        try:
            async with self._db.transaction(tenant_id=connection.tenant_id) as conn:
                await self._look(conn, connection, name)
        except RetryLater as error:
            _log.warning("count_waits", object=name, reason=str(error))
