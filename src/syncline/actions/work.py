"""Serving an installation: what schedules and people want done is done, until the process is told to stop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import structlog

from syncline.actions.batches_left import serve_batches
from syncline.actions.hub import Hub
from syncline.actions.schedules import schedule_reconciles
from syncline.clock import now
from syncline.config import Settings
from syncline.engine.alerts import serve_alerts
from syncline.engine.deliver import serve_notifications
from syncline.engine.erase import Eraser, serve_erasures
from syncline.engine.inbox import serve_inbox
from syncline.engine.keep_pushing import serve_push
from syncline.engine.listen import serve_listening
from syncline.engine.outgoing import serve_outgoing
from syncline.engine.pull import Order, pull
from syncline.engine.reconcile import MODE as RECONCILE
from syncline.engine.reconcile import is_read, reconcile
from syncline.engine.remotes import Remotes
from syncline.engine.retain import serve_retention
from syncline.engine.work import RunJob, work
from syncline.errors import RetryLater
from syncline.store import connections, partitions, runs, tenants
from syncline.store.db import Database

_log = structlog.get_logger(__name__)

#: The mode that reads everything again; all others go on from where the last run ended.
_FULL = "backfill"
_PARTITIONS_EVERY = timedelta(hours=6)
_PARTITIONS_AGAIN = timedelta(minutes=1)


async def run_worker(
    hub: Hub,
    *,
    concurrency: int = 4,
    stop: asyncio.Event | None = None,
    bell: asyncio.Event | None = None,
) -> None:
    """Serve all tenants until SIGTERM, SIGINT or `stop`. Any number of workers may serve one database.

    Beside the jobs it works off the inboxes of webhooks, where `bell` tells of new ones at once, sends what
    differs here to CRMs that may be written to, listens to those that can be listened to, tells
    subscribers of webhooks, judges alert rules and delivers notifications, erases persons, goes on with edits
    and imports that were left, throws away at night what nobody keeps, and keeps the change log's
    partitions ahead of the calendar.
    """
    stop = stop or asyncio.Event()
    with suppress(RetryLater):  # the next start makes up for it
        await schedule_reconciles(hub.db)
    async with hub.remotes(ending=stop) as remotes:
        runner = Runner(hub.db, remotes, hub.settings)
        partitioning = asyncio.create_task(_keep_partitions(hub.db))
        inboxes = asyncio.create_task(serve_inbox(hub.db, remotes, hub.settings, stop=stop, bell=bell))
        pushing = asyncio.create_task(serve_push(hub.db, remotes, hub.settings, stop))
        eraser = Eraser(hub.db, remotes, hub.location.admin_url)
        erasing = asyncio.create_task(serve_erasures(eraser, hub.db, stop))
        retaining = asyncio.create_task(serve_retention(hub.db, hub.location.admin_url, stop))
        telling = asyncio.create_task(
            serve_outgoing(
                hub.db, remotes.vault, private=hub.settings.webhooks_to_private_addresses, stop=stop
            )
        )
        batching = asyncio.create_task(serve_batches(hub, stop))
        listening = asyncio.create_task(serve_listening(hub.db, remotes, hub.settings, stop=stop, bell=bell))
        alerting = [
            asyncio.create_task(serve_alerts(hub.db, stop)),
            asyncio.create_task(serve_notifications(hub.db, remotes.vault, hub.settings, stop)),
        ]
        try:
            await work(hub.db, hub.settings, runner.run, concurrency=concurrency, stop=stop)
        finally:
            stop.set()
            partitioning.cancel()
            await asyncio.wait(
                [partitioning, inboxes, pushing, erasing, retaining, telling, batching, listening, *alerting]
            )


class Runner:
    """Does the worker's jobs: each is one run of one object."""

    def __init__(self, db: Database, remotes: Remotes, settings: Settings) -> None:
        self._db = db
        self._remotes = remotes
        self._settings = settings

    async def run(self, job: RunJob) -> None:
        """Do a job. When the worker is to stop, it ends behind a committed chunk, to be done again.

        Raises `RetryLater` then, `Busy` while another is at it, and what `pull` and `reconcile` raise.
        """
        requested_by = "schedule"
        async with self._db.transaction(tenant_id=job.tenant_id) as conn:
            if not await tenants.is_active(conn, tenant_id=job.tenant_id):
                return  # suspended since this was queued; a run that was asked for waits until it goes on
            connection = await connections.get(conn, job.connection_id, tenant_id=job.tenant_id)
            if job.run_id is not None:
                requested_by = (await runs.get(conn, job.run_id, tenant_id=job.tenant_id)).requested_by
                if await runs.is_cancelled(conn, job.run_id, tenant_id=job.tenant_id):
                    return
        # Whoever asked for a run waits for it. One that reads everything goes on in the lane for that.
        remote = self._remotes.open(connection, lane="incremental" if job.run_id is None else "person")
        order = Order(
            job.object_name,
            full=job.mode == _FULL,
            requested_by=requested_by,
            run_id=job.run_id,
            stop=job.stop,
        )
        if job.mode != RECONCILE:
            await pull(self._db, remote, order, self._settings)
        elif job.run_id is not None or await is_read(self._db, remote, job.object_name):
            # A schedule may come round before the first load has ended: then there is nothing to compare.
            await reconcile(self._db, remote, order, self._settings)


async def _keep_partitions(db: Database) -> None:
    while True:
        pause = _PARTITIONS_EVERY
        try:
            async with db.transaction(tenant_id=None) as conn:
                made = await partitions.ensure(conn, now())
            if made:
                _log.info("partitions_made", count=made)
        except RetryLater as error:
            _log.warning("partitions_wait", reason=str(error))
            pause = _PARTITIONS_AGAIN
        await asyncio.sleep(pause.total_seconds())
