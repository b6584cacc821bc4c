"""The worker: takes jobs from the queue and has them done, until it is told to stop.

Knows when a job is to be tried again and when it has failed for good; what a job does is given to it.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import random
import signal
import socket
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from pgqueuer.core.executors import EntrypointExecutor, EntrypointExecutorParameters
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job
from pgqueuer.qm import QueueManager

from syncline import clock
from syncline.config import Settings
from syncline.engine.schedule import enqueue_due
from syncline.engine.snapshot import Snapshots
from syncline.engine.telemetry import span
from syncline.errors import Busy, RetryLater, SynclineError
from syncline.store import jobs, queueing, runs, workers
from syncline.store.db import Database
from syncline.store.jobs import RunOrder
from syncline.store.queueing import QueueDriver

#: How often schedules, asked-for runs and the queue are looked at; no notification is needed.
LOOK_SECONDS = 0.5
_BEAT_SECONDS = 5.0
_TIDY_SECONDS = 3600.0
_KEEP_LOG = timedelta(days=7)
#: How long jobs may go on after the worker was told to stop, to end their chunk.
GRACE_SECONDS = 30.0
_MOST_ATTEMPTS = 10
_LONGEST_DELAY_SECONDS = 300.0
#: How soon a job is tried again that found another at its work.
_BUSY_SECONDS = 5.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunJob:
    """A job as the one who does it sees it."""

    tenant_id: UUID
    connection_id: UUID
    object_name: str
    mode: str
    #: The run that was asked for; None for what a schedule wants.
    run_id: UUID | None
    #: Set when the worker is to end: commit the chunk, then raise `RetryLater(after_seconds=0)`, and another
    #: worker goes on. A job that has not ended `GRACE_SECONDS` later is cancelled, and done again elsewhere.
    stop: asyncio.Event


#: Does a job. `Busy` and `RetryLater` have it tried again later, every other error ends it.
DoJob = Callable[[RunJob], Awaitable[None]]


class RunFailed(Exception):
    """A job ended by an error of the class named. Its text and its values stay out of the queue's log."""


async def work(
    db: Database,
    settings: Settings,
    run_job: DoJob,
    *,
    concurrency: int = 4,
    stop: asyncio.Event | None = None,
    grace_seconds: float = GRACE_SECONDS,
) -> None:
    """Serve the queue until SIGTERM, SIGINT or `stop`, then let the jobs end and return.

    Does at most `concurrency` jobs at once, but never fewer than two. Any number of workers may serve one
    database, which may go away and come back. A second signal cancels the jobs at once.
    """
    worker = _Worker(db, settings, run_job, max(2, concurrency), stop or asyncio.Event(), grace_seconds)
    async with _signals(worker):
        await worker.serve()


class _Worker:
    def __init__(
        self,
        db: Database,
        settings: Settings,
        run_job: DoJob,
        concurrency: int,
        stop: asyncio.Event,
        grace_seconds: float,
    ) -> None:
        self._db = db
        self._lease_seconds = float(settings.lease_seconds)
        self._run_job = run_job
        self._concurrency = concurrency
        self._grace = grace_seconds
        self.stop = stop
        #: Set when the jobs' time is over as well.
        self.abort = asyncio.Event()
        self._id = clock.new_id()
        self._snapshots = Snapshots(db)
        self._driver: QueueDriver | None = None
        self._running: set[asyncio.Task[Any]] = set()

    async def serve(self) -> None:
        _log.info("worker_started", worker=str(self._id), pid=os.getpid(), concurrency=self._concurrency)
        chores = [
            asyncio.create_task(self._repeat("beat", self._beat, _BEAT_SECONDS)),
            asyncio.create_task(self._repeat("enqueue", self._enqueue, LOOK_SECONDS)),
            asyncio.create_task(self._repeat("tidy", self._tidy, _TIDY_SECONDS)),
            asyncio.create_task(self._end_in_time()),
        ]
        try:
            await self._serve_queue()
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.wait(chores)
            with suppress(RetryLater):
                async with self._db.statement() as conn:
                    await workers.remove(conn, self._id)
            _log.info("worker_ended", worker=str(self._id))

    async def _serve_queue(self) -> None:
        """Run PgQueuer, again if it should fail, until we are told to stop."""
        pause = 0.5
        while not self.stop.is_set():
            started_at = clock.now()
            try:
                await self._run_queue()
            except Exception as error:  # noqa: BLE001 - the worker outlives whatever befell its queue
                if self.stop.is_set():
                    return
                _log.warning("queue_failed", error=type(error).__name__, frames=frames_of(error))
                pause = 0.5 if clock.now() - started_at > timedelta(minutes=1) else min(30.0, pause * 2)
                await self._sleep(pause)

    async def _run_queue(self) -> None:
        self._driver = QueueDriver(self._db, give_up=self.stop)
        manager = QueueManager(queueing.make_queries(self._driver), channel=queueing.CHANNEL)
        # One event for both: whoever sets it ends the fetching of jobs, and tells those that run.
        manager.shutdown = self.stop
        parameters = EntrypointExecutorParameters(func=self._do, concurrency_limit=0)
        manager.register_executor(queueing.RUN, EntrypointExecutor(parameters))
        try:
            await manager.run(
                dequeue_timeout=timedelta(seconds=LOOK_SECONDS),
                batch_size=max(1, self._concurrency // 2),
                max_concurrent_tasks=self._concurrency,
                heartbeat_timeout=timedelta(seconds=self._lease_seconds),
            )
        finally:
            self._driver = None

    async def _do(self, job: Job) -> None:
        """Do one job. Raises `RetryRequested` to have it done again, `RunFailed` when it failed for good."""
        if self.stop.is_set():  # fetched while we were being told
            raise RetryRequested(reason="The worker is being ended.")
        order = jobs.decode_order(job.payload)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in a task
        self._running.add(task)
        try:
            await self._carry_out(
                RunJob(
                    order.tenant_id, order.connection_id, order.object, order.mode, order.run_id, self.stop
                )
            )
        except asyncio.CancelledError:
            if not self.abort.is_set():
                raise
            task.uncancel()
            raise RetryRequested(reason="The worker was stopped.") from None
        except Busy:
            await self._leave_to_other(order)
        except RetryLater as error:
            if job.attempts >= _MOST_ATTEMPTS and not self.stop.is_set():
                await self._fail(order, error)
            raise RetryRequested(_delay(error, job.attempts), type(error).__name__) from None
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this job and no other
            await self._fail(order, error)
        finally:
            self._running.discard(task)

    async def _carry_out(self, job: RunJob) -> None:
        with span("job", {"syncline.object": job.object_name, "syncline.mode": job.mode}):
            await self._run_job(job)

    async def _leave_to_other(self, order: RunOrder) -> None:
        """Come back when the other has ended, or died; a run that was taken off the list is done with."""
        if order.run_id is not None:
            async with self._db.transaction(tenant_id=order.tenant_id) as conn:
                if not await jobs.is_pending(conn, order.run_id, tenant_id=order.tenant_id):
                    return
        delay = min(_BUSY_SECONDS, self._lease_seconds / 3)
        raise RetryRequested(timedelta(seconds=delay), Busy.__name__) from None

    async def _fail(self, order: RunOrder, error: Exception) -> None:
        name = type(error).__name__
        known = isinstance(error, SynclineError)
        _log.error(
            "job_failed",
            error=name,
            reason=str(error) if known else None,
            frames=None if known else frames_of(error),
            tenant=str(order.tenant_id),
            connection=str(order.connection_id),
            object=order.object,
        )
        if order.run_id is not None:
            # Otherwise it would be found waiting, and be queued again, for ever.
            reason = str(error) if known else f"An unexpected error: {name}."
            with suppress(RetryLater):
                async with self._db.transaction(tenant_id=order.tenant_id) as conn:
                    await runs.finish(
                        conn,
                        order.run_id,
                        tenant_id=order.tenant_id,
                        status="failed",
                        now=clock.now(),
                        api_calls=0,
                        error_details={"error": reason, "kind": name},
                    )
        raise RunFailed(name) from None

    async def _enqueue(self) -> None:
        # First, so that a day is kept as it began, and not as the reconcile of that hour left it.
        await self._snapshots.take(clock.now())
        if await enqueue_due(self._db, clock.now()) and self._driver is not None:
            await self._driver.wake()

    async def _beat(self) -> None:
        async with self._db.statement() as conn:
            await workers.beat(
                conn,
                self._id,
                host=socket.gethostname(),
                pid=os.getpid(),
                version=importlib.metadata.version("syncline"),
                concurrency=self._concurrency,
            )

    async def _tidy(self) -> None:
        async with self._db.statement() as conn:
            await jobs.prune(conn, keep=_KEEP_LOG)
            await workers.forget_silent(conn)

    async def _repeat(
        self, name: str, chore: Callable[[], Coroutine[Any, Any, None]], seconds: float
    ) -> None:
        """Do a chore now and every `seconds`, whatever becomes of it, with some jitter between workers."""
        failing = False
        while not self.stop.is_set():
            try:
                await chore()
                failing = False
            except RetryLater as error:
                if not failing:
                    _log.warning("chore_waits", chore=name, reason=str(error))
                failing = True
            except Exception as error:  # noqa: BLE001 - a chore that fails is done again
                _log.error("chore_failed", chore=name, error=type(error).__name__, frames=frames_of(error))
            await self._sleep(seconds * random.uniform(0.9, 1.1))  # noqa: S311 - spreads workers out

    async def _end_in_time(self) -> None:
        """After the word to stop give the jobs their grace, then cancel those that are left."""
        await self.stop.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await self.abort.wait()
        self.abort.set()
        for task in list(self._running):
            task.cancel()

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stop.wait()


@asynccontextmanager
async def _signals(worker: _Worker) -> AsyncGenerator[None]:
    """Let SIGTERM and SIGINT stop the worker, and the second of them its jobs."""

    def on_signal() -> None:
        if worker.stop.is_set():
            worker.abort.set()
        worker.stop.set()

    loop = asyncio.get_running_loop()
    handled: list[signal.Signals] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
            loop.add_signal_handler(number, on_signal)
            handled.append(number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


def _delay(error: RetryLater, attempts: int) -> timedelta:
    if error.after_seconds is not None:
        return timedelta(seconds=error.after_seconds)
    longest = min(_LONGEST_DELAY_SECONDS, 5.0 * 2 ** min(attempts, 10))
    return timedelta(seconds=random.uniform(longest / 2, longest))  # noqa: S311 - spreads workers out


def frames_of(error: BaseException) -> list[str]:
    """Where it happened, without the error's text, which may hold values of records."""
    return [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)[-6:]]
