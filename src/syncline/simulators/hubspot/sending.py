"""Sends an account's webhooks: signed, in batches, again when nobody takes them.

Knows how HubSpot signs and when it tries again, and nothing of what an event says.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from base64 import b64encode
from typing import Any
from urllib.parse import unquote

import httpcore2

from syncline.simulators.answers import encode
from syncline.simulators.courier import Courier, Headers, Manner
from syncline.simulators.hubspot.account import Account
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


class Sender(Courier[Wire]):
    """One account's webhooks under way, to one target."""

    outbox: Outbox

    def __init__(self, account: Account) -> None:
        self.account = account
        super().__init__(Outbox(account))

    def manner(self) -> Manner | None:
        target = self.outbox.target
        if target is None:
            return None
        most = 1 if target.version == "v2" else target.events_most
        return Manner(target.concurrency, most, target.gather_ms / 1000)

    def change(self, given: dict[str, Any]) -> dict[str, Any] | None:
        """Set webhooks up, or change what is set; an empty `url` ends them. Raises `ValueError`."""
        former, target = self.manner(), read_target(given, self.outbox.target)
        if self.outbox.take not in self.account.listeners:
            self.account.listeners.append(self.outbox.take)
        self.outbox.target = target
        self.changed(former)
        return describe(target)

    async def deliver(
        self, pool: httpcore2.AsyncConnectionPool, slots: asyncio.Semaphore, batch: list[Wire]
    ) -> None:
        """Deliver a batch, again and again where that is due. Begins with a slot in hand."""
        counts, target = self.outbox.counts, self.outbox.target
        if target is None:
            slots.release()
            return
        waits = retry_waits(target, self.outbox.rng)
        for attempt in range(target.retries + 1):
            try:
                status, asked_seconds = await self._send(pool, target, batch, attempt)
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

    async def _send(
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
        status, answer = await self.post(pool, target.url, headers, body, target.timeout_seconds)
        return status, _asked_seconds(answer) if answer is not None and target.version == "v2" else 0.0


def _asked_seconds(answer: httpcore2.Response) -> float:
    """Read Retry-After, which workflows take for milliseconds."""
    for name, value in answer.headers:
        if name.lower() == b"retry-after" and value.isdigit():
            return int(value) / 1000
    return 0.0
