"""Sends an account's webhooks: real HTTP, signed, in batches, again when nobody takes them.

Knows how HubSpot signs and when it tries again, and nothing of what an event says.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import re
import threading
from base64 import b64encode
from typing import Any
from urllib.parse import unquote

import httpcore2

from syncline.simulators.hubspot.account import Account
from syncline.simulators.hubspot.store import encode
from syncline.simulators.hubspot.webhooks import (
    Outbox,
    Target,
    Wire,
    describe,
    read_target,
    retry_waits,
)

_AGENT = "HubSpot Connect 2.0 (namespace: webhooks-nio-http-client)"
_DECODED = re.compile(r"%(3A|2F|3F|40|21|27|28|29|2A|2C|3B|24)", re.IGNORECASE)

Headers = list[tuple[str, str]]


def sign(target: Target, body: bytes, now_ms: int) -> Headers:
    """Return the headers that prove a POST of `body` to the target."""
    url = target.signed_url or target.url
    secret = target.secret.encode()
    if target.version == "v2":
        hashed = hashlib.sha256(secret + f"POST{url}".encode() + body).hexdigest()
        return [("X-HubSpot-Signature", hashed), ("X-HubSpot-Signature-Version", "v2")]
    headers = [
        ("X-HubSpot-Signature", hashlib.sha256(secret + body).hexdigest()),
        ("X-HubSpot-Signature-Version", "v1"),
    ]
    if target.version == "v3":
        decoded = _DECODED.sub(lambda found: unquote(found[0]), url)
        message = f"POST{decoded}".encode() + body + str(now_ms).encode()
        digest = hmac.new(secret, message, hashlib.sha256).digest()
        headers += [
            ("X-HubSpot-Signature-v3", b64encode(digest).decode()),
            ("X-HubSpot-Request-Timestamp", str(now_ms)),
        ]
    return headers


class Sender:
    """One account's webhooks under way. Works in one loop; changes of the account may come from any thread.

    Until `start`, and after `stop`, events are only gathered.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self.outbox = Outbox(account)
        self.outbox.on_put = self._notice
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._runner: asyncio.Task[None] | None = None
        self._deliveries: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._settled = asyncio.Event()
        self._slots = asyncio.Semaphore()

    def change(self, given: dict[str, Any]) -> dict[str, Any] | None:
        """Set webhooks up, or change what is set; an empty `url` ends them. Raises `ValueError`."""
        former, target = self.outbox.target, read_target(given, self.outbox.target)
        if target is None:
            self._end()
        elif former is None or former.concurrency != target.concurrency:
            # Deliveries under way keep the slots they were given.
            self._slots = asyncio.Semaphore(target.concurrency)
        if self.outbox.take not in self.account.listeners:
            self.account.listeners.append(self.outbox.take)
        self.outbox.target = target
        with contextlib.suppress(RuntimeError):  # there is no loop yet: `start` will come
            self.start()
        self._notice()
        return describe(target)

    def start(self) -> None:
        """Send from the running loop if there is a target. Raises `RuntimeError` where no loop runs."""
        loop = asyncio.get_running_loop()
        if self.outbox.target is not None and (self._runner is None or self._runner.done()):
            # These belong to the loop they first wait in.
            self._woken, self._settled = asyncio.Event(), asyncio.Event()
            self._slots = asyncio.Semaphore(self.outbox.target.concurrency)
            self._loop, self._thread = loop, threading.get_ident()
            self._runner = loop.create_task(self._run())

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
        """Return counts since the last reset: of events, but for `deliveries` (attempts) and `answers`."""
        counts = self.outbox.counts
        answers = {name[7:]: n for name, n in sorted(counts.items()) if name.startswith("answer ")}
        plain = ("events", "dropped", "duplicated", "delayed", "reordered", "delivered", "given_up",
                 "deliveries", "retries")  # fmt: skip
        return {**{name: counts[name] for name in plain}, "answers": answers, "waiting": self.waiting}

    def reset_stats(self) -> None:
        self.outbox.counts.clear()

    def _notice(self) -> None:
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
        target, wait = self.outbox.target, self.outbox.seconds_until_due()
        if target is None or wait is None or wait > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if target is None else wait):
                    await self._woken.wait()
            return
        if len(self.outbox) < target.events_most:
            await asyncio.sleep(target.gather_ms / 1000)
        slots = self._slots
        await slots.acquire()
        batch = self.outbox.next_batch(1 if target.version == "v2" else target.events_most)
        if not batch:
            slots.release()
            return
        task = group.create_task(self._deliver(pool, target, slots, batch))
        self._deliveries.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._deliveries.discard(task)
        self._settled.set()

    async def _deliver(
        self, pool: httpcore2.AsyncConnectionPool, target: Target, slots: asyncio.Semaphore, batch: list[Wire]
    ) -> None:
        """Deliver a batch, again and again where that is due. Begins with a slot in hand."""
        counts = self.outbox.counts
        waits = retry_waits(target, self.outbox.rng)
        for attempt in range(target.retries + 1):
            try:
                status, asked_seconds = await self._post(pool, target, batch, attempt)
            finally:
                slots.release()
            if 200 <= status < 300:
                counts["delivered"] += len(batch)
                return
            wait = next(waits, None)
            if wait is None or (target.version == "v2" and 400 <= status < 500 and status != 429):
                break
            counts["retries"] += 1
            await asyncio.sleep(asked_seconds or wait)
            await slots.acquire()
        counts["given_up"] += len(batch)

    async def _post(
        self, pool: httpcore2.AsyncConnectionPool, target: Target, batch: list[Wire], attempt: int
    ) -> tuple[int, float]:
        """Send once; return the status (0: no answer) and when to come again, in seconds (0: not said)."""
        if target.version == "v2":
            body = encode(batch[0])
        else:
            body = encode([told | {"attemptNumber": attempt} for told in batch])
        headers = [
            ("Content-Type", "application/json"),
            ("User-Agent", _AGENT),
            ("X-HubSpot-Timeout-Millis", str(round(target.timeout_seconds * 1000))),
            *sign(target, body, self.account.now_ms()),
        ]
        counts = self.outbox.counts
        counts["deliveries"] += 1
        status, asked_seconds = 0, 0.0
        try:
            async with asyncio.timeout(target.timeout_seconds):
                answer = await pool.request("POST", target.url, headers=headers, content=body)
            status = answer.status
            asked_seconds = _asked_seconds(answer) if target.version == "v2" else 0.0
        except (TimeoutError, httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError):
            status = 0
        counts[f"answer {status}"] += 1
        return status, asked_seconds


def _asked_seconds(answer: httpcore2.Response) -> float:
    """Read Retry-After, which workflows take for milliseconds."""
    for name, value in answer.headers:
        if name.lower() == b"retry-after" and value.isdigit():
            return int(value) / 1000
    return 0.0
