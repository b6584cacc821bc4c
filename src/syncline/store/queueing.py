"""The queue of jobs: PgQueuer in the schema `jobs`, reached through our own pool.

Knows how PgQueuer talks to a database; not what a job does. Apart from `jobs`, which all commands ask,
since importing PgQueuer takes a tenth of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, LiteralString, Self, cast

import msgspec
from pgqueuer.adapters.persistence.qb import (
    QueryBuilderEnvironment,
    QueryQueueBuilder,
    QuerySchedulerBuilder,
)
from pgqueuer.core.tm import TaskManager
from pgqueuer.domain.settings import DBSettings
from pgqueuer.domain.types import Channel
from pgqueuer.ports.driver import Driver, NotifyCallback
from pgqueuer.queries import Queries
from psycopg import AsyncRawCursor
from psycopg.rows import dict_row

from syncline.clock import now
from syncline.errors import RetryLater
from syncline.store.db import Conn, Database
from syncline.store.jobs import RunOrder, encode_order

#: Told in full, so that no PGQUEUER_* variable of the surroundings changes where the queue is.
SETTINGS = DBSettings(
    prefix="",
    db_schema="jobs",
    channel=Channel("ch_pgqueuer"),
    function="fn_pgqueuer_changed",
    statistics_table="pgqueuer_statistics",
    queue_status_type="pgqueuer_status",
    queue_table="pgqueuer",
    queue_table_log="pgqueuer_log",
    trigger="tg_pgqueuer_changed",
    schedules_table="pgqueuer_schedules",
)
CHANNEL = Channel("ch_pgqueuer")
#: The one kind of job there is: run what a `RunOrder` says.
RUN = "run"
#: A person waits for what was asked for by hand.
_PRIORITY_REQUESTED = 10


async def enqueue(conn: Conn, orders: Sequence[RunOrder]) -> int:
    """Queue orders in the caller's transaction and return how many; what is queued or runs is passed over."""
    if not orders:
        return 0
    ids = await make_queries(_OneConnection(conn)).enqueue(
        [RUN] * len(orders),
        [encode_order(order) for order in orders],
        [_PRIORITY_REQUESTED if order.run_id else 0 for order in orders],
        dedupe_key=[order.key for order in orders],
        on_conflict="skip",
    )
    return sum(job_id is not None for job_id in ids)


def make_queries(driver: Driver) -> Queries:
    """Make PgQueuer's statements for our schema."""
    return Queries(
        driver,
        qbe=QueryBuilderEnvironment(SETTINGS),
        qbq=QueryQueueBuilder(SETTINGS),
        qbs=QuerySchedulerBuilder(SETTINGS),
    )


async def _fetch(conn: Conn, query: str, args: tuple[object, ...]) -> list[dict[str, Any]]:
    # PgQueuer's own statement, with $1 for its parameters.
    statement = cast("LiteralString", query)
    async with AsyncRawCursor(conn, row_factory=dict_row) as cursor:
        await cursor.execute(statement, args or None)
        return await cursor.fetchall() if cursor.description else []


class _LocalDriver(Driver):
    """What all our drivers share: notifications stay within the process, for polling is the truth."""

    def __init__(self) -> None:
        self._shutdown = asyncio.Event()
        self._tasks = TaskManager()
        self._callbacks: list[tuple[str, NotifyCallback]] = []

    @property
    def shutdown(self) -> asyncio.Event:
        return self._shutdown

    @property
    def tm(self) -> TaskManager:
        return self._tasks

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        self._callbacks.append((channel, callback))

    async def notify(self, channel: str, payload: str) -> None:
        for name, callback in self._callbacks:
            if name == channel:
                callback(payload)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._shutdown.set()
        self._callbacks.clear()


class _OneConnection(_LocalDriver):
    """Runs PgQueuer's statements in the caller's transaction."""

    def __init__(self, conn: Conn) -> None:
        super().__init__()
        self._conn = conn

    async def fetch(self, query: str, *args: object) -> list[dict[str, Any]]:
        return await _fetch(self._conn, query, args)

    async def execute(self, query: str, *args: object) -> str:
        await _fetch(self._conn, query, args)
        return ""


class QueueDriver(_LocalDriver):
    """Runs PgQueuer's statements each on a connection of the pool, again and again until one gets through.

    So a database that restarts stops nothing but new jobs, and a transaction-mode pooler does no harm.
    All of PgQueuer's statements may be repeated: a job claimed by one whose answer was lost is claimed again
    when its heartbeat has grown old.
    """

    def __init__(self, db: Database, *, give_up: asyncio.Event) -> None:
        super().__init__()
        self._db = db
        #: Once set, a statement that fails is not repeated.
        self._give_up = give_up

    async def fetch(self, query: str, *args: object) -> list[dict[str, Any]]:
        pause = 0.1
        while True:
            try:
                async with self._db.statement() as conn:
                    return await _fetch(conn, query, args)
            except RetryLater:
                if self._give_up.is_set():
                    raise
            try:
                async with asyncio.timeout(pause):
                    await self._give_up.wait()
            except TimeoutError:
                pause = min(5.0, pause * 2)

    async def execute(self, query: str, *args: object) -> str:
        await self.fetch(query, *args)
        return ""

    async def wake(self) -> None:
        """Have the queue looked at now, and not when the next look is due."""
        event = {
            "channel": CHANNEL,
            "operation": "insert",
            "sent_at": now().isoformat(),
            "table": SETTINGS.queue_table,
            "type": "table_changed_event",
        }
        await self.notify(CHANNEL, msgspec.json.encode(event).decode())
