"""Carries an account's webhooks out: when, how many at once, and over which connections. Knows no service."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpcore2

from syncline.simulators.outbox import Outbox

T = TypeVar("T")

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Manner:
    """How deliveries go out."""

    concurrency: int
    #: Most events in one delivery.
    events_most: int = 1
    #: How long events are gathered before a delivery that is not full goes out.
    gather_seconds: float = 0.0


class Courier(ABC, Generic[T]):
    """One account's webhooks under way. Works in one loop; changes of the account may come from any thread.

    Until `start`, and after `stop`, events are only gathered.
    """

    def __init__(self, outbox: Outbox[T]) -> None:
        self.outbox = outbox
        outbox.on_put = self.notice
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._runner: asyncio.Task[None] | None = None
        self._deliveries: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._settled = asyncio.Event()
        self._slots = asyncio.Semaphore()

    @abstractmethod
    def manner(self) -> Manner | None:
        """Return how to deliver; None where nobody wants anything."""

    @abstractmethod
    async def deliver(
        self, pool: httpcore2.AsyncConnectionPool, slots: asyncio.Semaphore, batch: list[T]
    ) -> None:
        """Deliver a batch, again and again where that is due. Begins with a slot in hand and releases it."""

    def start(self) -> None:
        """Send from the running loop if somebody wants it. Raises `RuntimeError` where no loop runs."""
        loop, manner = asyncio.get_running_loop(), self.manner()
        if manner is not None and (self._runner is None or self._runner.done()):
            # These belong to the loop they first wait in.
            self._woken, self._settled = asyncio.Event(), asyncio.Event()
            self._slots = asyncio.Semaphore(manner.concurrency)
            self._loop, self._thread = loop, threading.get_ident()
            self._runner = loop.create_task(self._run())

    def changed(self, former: Manner | None) -> None:
        """Follow a change of what `manner` returns."""
        manner = self.manner()
        if manner is None:
            self._end()
        elif former is None or former.concurrency != manner.concurrency:
            # Deliveries under way keep the slots they were given.
            self._slots = asyncio.Semaphore(manner.concurrency)
        with contextlib.suppress(RuntimeError):  # there is no loop yet: `start` will come
            self.start()
        self.notice()

    async def stop(self) -> None:
        """Break off what is under way."""
        runner = self._end()
        self._loop = None
        if runner is not None:
            await asyncio.wait({runner})

    async def flush(self, timeout_seconds: float) -> dict[str, Any]:
        """Wait until everything was delivered or given up; tell whether that came to be in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self.waiting and self._runner is not None:
                    self._settled.clear()
                    await self._settled.wait()
        return {"flushed": not self.waiting, **self.stats()}

    @property
    def waiting(self) -> int:
        """Events not yet sent, and deliveries not yet done with."""
        return len(self.outbox) + len(self._deliveries)

    def stats(self) -> dict[str, Any]:
        return self.outbox.stats(self.waiting)

    def reset_stats(self) -> None:
        self.outbox.counts.clear()

    def notice(self) -> None:
        """Look again whether something is due."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        if threading.get_ident() == self._thread:
            self._woken.set()
        else:
            loop.call_soon_threadsafe(self._woken.set)

    def _end(self) -> asyncio.Task[None] | None:
        runner, self._runner = self._runner, None
        self.outbox.clear()
        if runner is not None:
            runner.cancel()
        self._settled.set()
        return runner

    async def _run(self) -> None:
        # The slots bound the connections.
        pool = httpcore2.AsyncConnectionPool(max_connections=None, keepalive_expiry=60)
        async with pool, asyncio.TaskGroup() as group:
            while True:
                await self._send_next(pool, group)

    async def _send_next(self, pool: httpcore2.AsyncConnectionPool, group: asyncio.TaskGroup) -> None:
        """Wait for something to be due, gather, and begin one delivery."""
        self._woken.clear()
        manner, wait = self.manner(), self.outbox.seconds_until_due()
        if manner is None or wait is None or wait > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if manner is None else wait):
                    await self._woken.wait()
            return
        if len(self.outbox) < manner.events_most:
            await asyncio.sleep(manner.gather_seconds)
        slots = self._slots
        await slots.acquire()
        batch = self.outbox.next_batch(manner.events_most)
        if not batch:
            slots.release()
            return
        task = group.create_task(self.deliver(pool, slots, batch))
        self._deliveries.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._deliveries.discard(task)
        self._settled.set()

    async def post(
        self, pool: httpcore2.AsyncConnectionPool, url: str, headers: Headers, body: bytes,
        timeout_seconds: float,
    ) -> tuple[int, httpcore2.Response | None]:  # fmt: skip
        """Send once; return the status and the answer, 0 and None where there was none."""
        self.outbox.counts["deliveries"] += 1
        status, answer = 0, None
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await pool.request("POST", url, headers=headers, content=body)
            status = answer.status
        except (TimeoutError, httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError):
            answer = None
        self.outbox.counts[f"answer {status}"] += 1
        return status, answer
