"""Sends a company's webhooks: to each subscription its own, again when nobody takes them.

Knows when Pipedrive tries again, bans and gives up, and nothing of what an event says.
"""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpcore2

from syncline.simulators.answers import encode
from syncline.simulators.courier import Courier, Headers, Manner
from syncline.simulators.outbox import Outbox
from syncline.simulators.pipedrive.account import Event
from syncline.simulators.pipedrive.restructuring import Company, CompanyEvent
from syncline.simulators.pipedrive.webhooks import (
    BAN_AFTER,
    BAN_MS,
    Subscription,
    Teller,
    Weather,
    Wire,
    days_ms,
    read_weather,
)

#: Seconds before the second, third and fourth attempt.
RETRY_SECONDS = (3, 30, 150)
_REACH_SECONDS = 5

_Parcel = tuple[Subscription, Wire]


class Sender(Courier[_Parcel]):
    """One company's webhooks under way, and its subscriptions."""

    def __init__(self, account: Company) -> None:
        super().__init__(Outbox(f"webhooks {account.seed}", _copy))
        self.account = account
        self.weather = Weather()
        self.subscriptions: dict[int, Subscription] = {}
        self._teller = Teller(account)
        self._last_id = 4_710_826
        account.listeners.append(self._take)
        account.company_listeners.append(self._take_company)

    def manner(self) -> Manner | None:
        return Manner(self.weather.concurrency) if self.subscriptions else None

    def subscribe(
        self, url: str, action: str = "*", entity: str = "*", *, name: str = "", user_id: int = 0,
        owner_id: int = 0, http_user: str | None = None, http_password: str | None = None,
    ) -> Subscription:  # fmt: skip
        """Make a subscription. Nothing is checked."""
        former = self.manner()
        self._last_id += 1
        owner = owner_id or self.account.users[0].user_id
        made = Subscription(
            self._last_id, url, action, entity, name, user_id or owner, owner, self.account.now_ms(),
            http_user, http_password,
        )  # fmt: skip
        self.subscriptions[made.webhook_id] = made
        self.changed(former)
        return made

    def unsubscribe(self, webhook_id: int) -> None:
        """Remove a subscription, as its owner does. Raises `KeyError`."""
        former = self.manner()
        self.subscriptions.pop(webhook_id).active = False
        self.changed(former)

    def drop(self, webhook_id: int) -> None:
        """Remove a subscription, as Pipedrive does when nobody answers it for days. Raises `KeyError`."""
        found = self.subscriptions[webhook_id]
        found.active, found.removed_ms = False, self.account.now_ms()
        found.remove_reason = "No successful deliveries"
        if not self.weather.dropped_stay_listed:
            del self.subscriptions[webhook_id]

    def change(self, given: dict[str, Any]) -> Weather:
        """Change what goes wrong with deliveries. Raises `ValueError`."""
        former = self.manner()
        self.weather = read_weather(given, self.weather)
        self.changed(former)
        return self.weather

    def _take(self, event: Event) -> None:
        entity = event.kind.entity
        self._tell(event.action, entity, lambda: self._teller.tell(event))

    def _take_company(self, event: CompanyEvent) -> None:
        self._tell(event.action, event.entity, lambda: self._teller.tell_company(event))

    def _tell(self, action: str, entity: str, write: Callable[[], Wire]) -> None:
        """Put in what the subscriptions make of an event."""
        wanting = [each for each in self.subscriptions.values() if each.wants(action, entity)]
        if not wanting:
            return
        told = write()
        for subscription in wanting:
            if self.account.now_ms() < subscription.banned_until_ms:
                # What happens during a ban is never told.
                self.outbox.counts["banned"] += 1
                continue
            meta = told["meta"] | {
                "webhook_id": str(subscription.webhook_id),
                "webhook_owner_id": str(subscription.owner_id),
            }
            self.outbox.put((subscription, told | {"meta": meta}), self.weather)

    async def reaches(self, url: str) -> bool:
        """Tell whether somebody listens at an address, as Pipedrive finds out before it takes one."""
        parts = urlsplit(url)
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(_REACH_SECONDS):
                port = parts.port or (443 if parts.scheme == "https" else 80)
                _, writer = await asyncio.open_connection(parts.hostname, port)
            writer.close()
            return True
        return False

    async def deliver(
        self, pool: httpcore2.AsyncConnectionPool, slots: asyncio.Semaphore, batch: list[_Parcel]
    ) -> None:
        """Deliver an event, up to four times. Begins with a slot in hand."""
        subscription, told = batch[0]
        counts = self.outbox.counts
        for attempt in range(1, len(RETRY_SECONDS) + 2):
            try:
                status = await self._send(pool, subscription, told, attempt)
            finally:
                slots.release()
            if self._noted(subscription, status, attempt):
                counts["delivered"] += 1
                return
            if attempt > len(RETRY_SECONDS) or not subscription.active:
                break
            counts["retries"] += 1
            await asyncio.sleep(RETRY_SECONDS[attempt - 1] * self.weather.retry_pace)
            await slots.acquire()
        counts["given_up"] += 1

    async def _send(
        self, pool: httpcore2.AsyncConnectionPool, subscription: Subscription, told: Wire, attempt: int
    ) -> int:
        body = encode(told | {"meta": told["meta"] | {"attempt": attempt}})
        headers: Headers = [("Content-Type", "application/json"), ("User-Agent", "Pipedrive Webhooks")]
        if subscription.http_user is not None:
            proof = f"{subscription.http_user}:{subscription.http_password or ''}"
            headers.append(("Authorization", f"Basic {b64encode(proof.encode()).decode()}"))
        status, _ = await self.post(pool, subscription.url, headers, body, self.weather.timeout_seconds)
        return status

    def _noted(self, subscription: Subscription, status: int, attempt: int) -> bool:
        """Keep account of an attempt; tell whether it got through."""
        now = self.account.now_ms()
        subscription.last_status, subscription.last_delivery_ms = status or None, now
        if 200 <= status < 300:
            subscription.failing_since_ms = None
            return True
        if subscription.failing_since_ms is None:
            subscription.failing_since_ms = now
        days = self.weather.drop_after_days
        if days and now - subscription.failing_since_ms >= days_ms(days) and subscription.active:
            self.drop(subscription.webhook_id)
        if attempt == 1:
            subscription.failures += 1
            if subscription.failures >= BAN_AFTER:
                subscription.failures, subscription.banned_until_ms = 0, now + BAN_MS
        return False


def _copy(parcel: _Parcel) -> _Parcel:
    subscription, told = parcel
    return subscription, dict(told)
