"""Watches the inboxes of all tenants and has what is due worked off, one connection at a time.

Any number of workers may do this at once: a lease lets one of them have a connection's inbox. What working
off means is `engine.burst`'s matter.
"""

from __future__ import annotations

import asyncio
import random
import time
from datetime import timedelta
from uuid import UUID

import structlog

from syncline.clock import from_ms, now
from syncline.config import Settings
from syncline.engine.burst import drain
from syncline.engine.lease import hold_lease
from syncline.engine.remotes import Remotes
from syncline.engine.work import frames_of
from syncline.errors import Busy, NotFound, PauseConnection, RetryLater, SynclineError
from syncline.store import generations, inbox, retention, runs, tenants
from syncline.store.db import Database
from syncline.store.inbox import Waiting

#: What whoever works off a connection's inbox holds. Not a pull's: neither waits for the other.
LEASE = "webhook"
#: How often inboxes are looked at when nobody rings.
POLL_SECONDS = 0.2
_GAP_SECONDS = 0.05
#: How long a connection is left alone whose inbox another worker has, or that failed as a whole.
_BUSY_SECONDS = 1.0
_ERROR_SECONDS = 5.0
_TIDY_SECONDS = 3600.0
_KEEP_DONE = timedelta(days=7)
_KEEP_REFUSED = timedelta(days=30)
_KEEP_RUNS = timedelta(days=1)
_PRUNED_AT_ONCE = 5000
_KEEP_REFUSALS = 10_000
#: How long the bursts in hand may go on after the word to stop.
_GRACE_SECONDS = 20.0

_Key = tuple[UUID, UUID]
_log = structlog.get_logger(__name__)


async def serve_inbox(
    db: Database,
    remotes: Remotes,
    settings: Settings,
    *,
    stop: asyncio.Event,
    bell: asyncio.Event | None = None,
) -> None:
    """Work off the inboxes of all tenants until `stop`, then end the bursts in hand and return.

    `bell` is rung by an intake of the same process, which saves the wait for the next look.
    """
    await _Server(db, remotes, settings, stop, bell or asyncio.Event()).serve()


class _Server:
    def __init__(
        self, db: Database, remotes: Remotes, settings: Settings, stop: asyncio.Event, bell: asyncio.Event
    ) -> None:
        self._db = db
        self._remotes = remotes
        self._settings = settings
        self._stop = stop
        self._bell = bell
        self._draining: dict[_Key, asyncio.Task[None]] = {}
        #: Connection → until when (monotonic) it is left alone.
        self._resting: dict[_Key, float] = {}

    async def serve(self) -> None:
        tidying = asyncio.create_task(self._keep_tidy())
        try:
            while not self._stop.is_set():
                await self._wait(await self._look())
            if self._draining:
                await asyncio.wait(list(self._draining.values()), timeout=_GRACE_SECONDS)
        finally:
            left = [tidying, *self._draining.values()]
            for task in left:
                task.cancel()
            await asyncio.wait(left)

    async def _look(self) -> float:
        """Set to work what is due; return in how many seconds to look again."""
        self._bell.clear()
        try:
            async with self._db.statement() as conn:
                waiting = await inbox.list_waiting(conn)
        except RetryLater as error:
            _log.warning("inbox_waits", reason=str(error))
            return _ERROR_SECONDS
        except Exception as error:  # noqa: BLE001 - whatever befell one look, the next one may do
            _log.error("inbox_failed", error=type(error).__name__, frames=frames_of(error))
            return _ERROR_SECONDS
        at = time.monotonic()
        pause = POLL_SECONDS
        for each in waiting:
            key = (each.tenant_id, each.connection_id)
            if key in self._draining or self._resting.get(key, 0.0) > at:
                continue
            if each.due_in_seconds <= 0:
                self._begin(key, each)
            else:
                pause = min(pause, each.due_in_seconds)
        return pause

    def _begin(self, key: _Key, waiting: Waiting) -> None:
        task = asyncio.create_task(self._drain(key, waiting))
        self._draining[key] = task

        def end(_: asyncio.Task[None]) -> None:
            del self._draining[key]
            self._bell.set()

        task.add_done_callback(end)

    async def _drain(self, key: _Key, waiting: Waiting) -> None:
        rest = 0.0
        try:
            async with hold_lease(
                self._db,
                tenant_id=waiting.tenant_id,
                connection_id=waiting.connection_id,
                purpose=LEASE,
                seconds=self._settings.lease_seconds,
            ) as lease:
                await drain(self._db, self._remotes, self._settings, lease, self._stop)
        except (Busy, NotFound):
            rest = _BUSY_SECONDS
        except PauseConnection as refusal:
            rest = _BUSY_SECONDS
            _log.warning("inbox_paused", connection=str(waiting.connection_id), reason=str(refusal))
        except SynclineError as error:
            rest = _ERROR_SECONDS
            _log.warning("inbox_waits", connection=str(waiting.connection_id), reason=str(error))
        except Exception as error:  # noqa: BLE001 - one connection's inbox stops no other's
            rest = _ERROR_SECONDS
            _log.error(
                "inbox_failed",
                connection=str(waiting.connection_id),
                error=type(error).__name__,
                frames=frames_of(error),
            )
        if rest:
            self._resting[key] = time.monotonic() + rest
        else:
            self._resting.pop(key, None)

    async def _wait(self, seconds: float) -> None:
        """Wait until somebody rings, or says stop, or the time is over.

        Rings that follow on each other are one: nothing that came since the last look can be due yet.
        """
        gap = min(seconds, _GAP_SECONDS)
        await self._wait_for(gap, self._stop)
        await self._wait_for(seconds - gap, self._stop, self._bell)

    @staticmethod
    async def _wait_for(seconds: float, *events: asyncio.Event) -> None:
        if seconds <= 0 or any(each.is_set() for each in events):
            return
        waits = [asyncio.create_task(each.wait()) for each in events]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def _keep_tidy(self) -> None:
        while True:
            try:
                await prune_inboxes(self._db)
            except RetryLater as error:
                _log.warning("inbox_untidied", reason=str(error))
            await asyncio.sleep(_TIDY_SECONDS * random.uniform(0.9, 1.1))  # noqa: S311 - spreads workers out


async def prune_inboxes(db: Database) -> None:
    """Forget, over all tenants, what was worked off a week ago and what was refused.

    Adds up the counts of changes on the way (`store.generations`).
    """
    at = now()
    async with db.statement() as conn:
        everybody = await tenants.list_tenants(conn)
    for tenant in everybody:
        tenant_id = tenant.tenant_id
        async with db.transaction(tenant_id=tenant_id) as conn:
            keep = (await retention.list_keeps(conn, tenant_id=tenant_id))["inbox"].cutoff(at)
            await generations.fold(conn, tenant_id=tenant_id)
        # What was worked off says nothing any more.
        done_before = at - _KEEP_DONE if keep is None else max(at - _KEEP_DONE, keep)
        failed_before = from_ms(0) if keep is None else keep
        most = _PRUNED_AT_ONCE
        while most == _PRUNED_AT_ONCE:
            async with db.transaction(tenant_id=tenant_id) as conn:
                most = await inbox.prune(
                    conn,
                    tenant_id=tenant_id,
                    done_before=done_before,
                    failed_before=failed_before,
                    limit=_PRUNED_AT_ONCE,
                )
                known = await runs.prune_uneventful(
                    conn, tenant_id=tenant_id, before=at - _KEEP_RUNS, limit=_PRUNED_AT_ONCE
                )
            most = max(most, known)
    async with db.transaction(tenant_id=None) as conn:
        await inbox.prune_refusals(conn, before=at - _KEEP_REFUSED, keep=_KEEP_REFUSALS)
