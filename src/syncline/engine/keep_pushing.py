"""Keeps pushing: merges at and drains whatever connection has something due, until it is told to stop.

Knows when to look and when to leave a connection alone; draining one is `push`'s matter.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog

from syncline.clock import now
from syncline.config import Settings
from syncline.engine.push import drain
from syncline.engine.remotes import Remotes
from syncline.engine.resting import rest
from syncline.engine.unite_there import unite_there
from syncline.errors import Busy, RetryLater, SynclineError
from syncline.store import connections, queue
from syncline.store.db import Database

#: How often the queue is looked at; an edit made in psql sends no notification.
LOOK_SECONDS = 0.2
#: How long a connection is left alone after its drain failed.
_PAUSE_SECONDS = 5.0
#: How long drains may go on after the worker was told to stop.
_GRACE_SECONDS = 25.0

_log = structlog.get_logger(__name__)


async def serve_push(db: Database, remotes: Remotes, settings: Settings, stop: asyncio.Event) -> None:
    """Drain whatever may be written, of all tenants, until `stop`. Any number of processes may do so."""
    draining: dict[UUID, asyncio.Task[None]] = {}
    rests: dict[UUID, float] = {}
    clock = asyncio.get_running_loop().time
    failing = False
    while not stop.is_set():
        try:
            async with db.statement() as conn:
                due = await queue.list_due_connections(conn, now=now())
            failing = False
        except RetryLater as error:
            due = []
            if not failing:
                _log.warning("push_waits", reason=str(error))
            failing = True
        except Exception as error:  # noqa: BLE001 - whatever befell one look, the next one may do
            due = []
            _log.error("push_look_failed", error=type(error).__name__)
        for tenant_id, connection_id in due:
            if connection_id not in draining and rests.get(connection_id, 0.0) <= clock():
                task = asyncio.create_task(_drain_one(db, remotes, settings, tenant_id, connection_id, stop))
                draining[connection_id] = task
        for connection_id, task in list(draining.items()):
            if task.done():
                del draining[connection_id]
                if _has_failed(task):
                    rests[connection_id] = clock() + _PAUSE_SECONDS
        await rest(stop, LOOK_SECONDS)
    if draining:
        # What is under way is answered in time, or seen by the next drain to have arrived.
        _, late = await asyncio.wait(draining.values(), timeout=_GRACE_SECONDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)


def _has_failed(task: asyncio.Task[None]) -> bool:
    if task.cancelled():
        return True
    error = task.exception()
    if error is None or isinstance(error, Busy):
        return error is not None
    known = isinstance(error, SynclineError)
    _log.warning("push_failed", error=type(error).__name__, reason=str(error) if known else None)
    return True


async def _drain_one(
    db: Database,
    remotes: Remotes,
    settings: Settings,
    tenant_id: UUID,
    connection_id: UUID,
    stop: asyncio.Event,
) -> None:
    async with db.transaction(tenant_id=tenant_id) as conn:
        connection = await connections.get(conn, connection_id, tenant_id=tenant_id)
    remote = remotes.open(connection, lane="push")
    await unite_there(db, remote, settings)
    await drain(db, remote, settings, stop=stop)
