"""Tells subscribers what happened: finds it, signs it, sends it until they have taken it.

At least once: a subscriber tells repetitions by the event's id. Of one record things are told in the order in
which they happened: the next waits until the one before was taken, or was given up after a day.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog

from syncline.clock import now
from syncline.domain.sealing import Vault
from syncline.engine.feed import Window
from syncline.engine.notify_http import Posted, Poster
from syncline.engine.resting import rest
from syncline.errors import RetryLater, SettingInvalid
from syncline.store import deliveries, feed, outgoing
from syncline.store.db import Database
from syncline.store.deliveries import Due, Try
from syncline.store.outgoing import Place

LOOK_SECONDS = 0.5
#: How long something is tried.
GIVEN_UP_AFTER = timedelta(hours=24)
#: Longer than any attempt takes.
_CLAIM = timedelta(seconds=60)
_FIRST_DELAY_SECONDS = 5.0
_LONGEST_DELAY_SECONDS = 3600.0
_AT_ONCE = 20
_TENANTS_AT_ONCE = 4

_log = structlog.get_logger(__name__)


async def serve_outgoing(db: Database, vault: Vault, *, private: bool, stop: asyncio.Event) -> None:
    """Tell subscribers of all tenants until `stop`. Any number of processes may do so.

    `private` lets addresses of private networks be called.
    """
    async with Poster(private=private) as poster:
        await _Teller(db, vault, poster, stop).serve()


class _Teller:
    def __init__(self, db: Database, vault: Vault, poster: Poster, stop: asyncio.Event) -> None:
        self._db = db
        self._vault = vault
        self._poster = poster
        self._stop = stop
        self._slots = asyncio.Semaphore(_TENANTS_AT_ONCE)

    async def serve(self) -> None:
        while not self._stop.is_set():
            busy = False
            try:
                async with self._db.statement() as conn:
                    wanted = await outgoing.list_tenants(conn)
                busy = any(await asyncio.gather(*(self._serve_tenant(each) for each in wanted)))
            except RetryLater as error:
                _log.warning("outgoing_waits", reason=str(error))
            except Exception as error:  # noqa: BLE001 - whatever befell one look, the next one may do
                _log.error("outgoing_failed", error=type(error).__name__)
            if not busy:
                await rest(self._stop, LOOK_SECONDS)

    async def _serve_tenant(self, tenant_id: UUID) -> bool:
        """Find what is new and send what is due; True when there may be more that is due now."""
        async with self._slots:
            await find_news(self._db, tenant_id)
            at = now()
            async with self._db.transaction(tenant_id=tenant_id) as conn:
                due = await deliveries.claim_due(
                    conn, tenant_id=tenant_id, now=at, until=at + _CLAIM, limit=_AT_ONCE
                )
            await asyncio.gather(*(self._deliver(tenant_id, each) for each in due))
            return bool(due)

    async def _deliver(self, tenant_id: UUID, due: Due) -> None:
        made = await self._try(tenant_id, due)
        async with self._db.transaction(tenant_id=tenant_id) as conn:
            await deliveries.end_try(conn, due.id, made, tenant_id=tenant_id)
        if made.state == "dead":
            _log.warning(
                "delivery_dead",
                tenant=str(tenant_id),
                subscription=str(due.subscription_id),
                reason=made.error,
            )

    async def _try(self, tenant_id: UUID, due: Due) -> Try:
        at = now()
        if due.body is None and due.changes is None:
            return Try(at, None, 0, "The change log has this change no more.", "dead", at)
        try:
            secret = self._vault.open(due.secret)
        except SettingInvalid:
            return Try(at, None, 0, "The secret cannot be opened with this installation's key.", "dead", at)
        body = msgspec.json.encode(describe(tenant_id, due))
        posted = await self._poster.post(due.url, body, sign(secret, body, at, due))
        return judge(due, posted, at)


async def find_news(db: Database, tenant_id: UUID) -> int:
    """Write down what a tenant's subscribers are to be told of all that was committed since the last look."""
    async with db.transaction(tenant_id=tenant_id) as conn:
        look = await feed.look(conn)
        await outgoing.begin(conn, look.at, tenant_id=tenant_id)
        place = await outgoing.lock_place(conn, tenant_id=tenant_id)
        if place is None:
            return 0
        window = Window(
            place.looked_at,
            {int(each): datetime.fromtimestamp(since, UTC) for each, since in place.under_way.items()},
        )
        made = await outgoing.write_deliveries(conn, tenant_id=tenant_id, after=window.begins_at, now=now())
        # Looked at again after the lock: another worker may have looked since.
        if look.at > place.looked_at:
            window.move(look)
            since = {str(each): at.timestamp() for each, at in window.under_way.items()}
            await outgoing.move_place(conn, Place(window.at, since), tenant_id=tenant_id)
        return made


def describe(tenant_id: UUID, due: Due) -> dict[str, Any]:
    """Return what a subscriber is told."""
    told: dict[str, Any] = {
        "id": str(due.event_id),
        "event": due.event,
        "at": due.happened_at.isoformat(),
        "tenant_id": str(tenant_id),
    }
    if due.record_id is not None:
        told |= {"record_type": due.record_type, "record_id": str(due.record_id)}
    if due.body is not None:
        return told | {"data": due.body}
    return told | {
        "data": {
            "action": due.action,
            "changes": due.changes,
            "source": due.source,
            "actor": due.actor,
            "run_id": None if due.run_id is None else str(due.run_id),
        }
    }


def sign(secret: bytes, body: bytes, at: datetime, due: Due) -> Mapping[str, str]:
    """Return the headers of a delivery: HMAC-SHA256 over the time in seconds, a full stop, and the body."""
    seconds = str(int(at.timestamp()))
    proof = hmac.new(secret, seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {
        "content-type": "application/json",
        "syncline-signature": f"t={seconds},v1={proof}",
        "syncline-event": due.event,
        "syncline-event-id": str(due.event_id),
        "syncline-delivery-id": str(due.id),
        "syncline-attempt": str(due.attempts + 1),
    }


@dataclass(frozen=True, slots=True)
class _Delay:
    seconds: float

    @classmethod
    def after(cls, attempts: int) -> _Delay:
        """Return the wait after so many attempts: doubled each time up to an hour, and spread."""
        longest = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2 ** min(attempts, 20))
        return cls(random.uniform(longest / 2, longest))  # noqa: S311 - spreads, hides nothing


def judge(due: Due, posted: Posted, at: datetime) -> Try:
    """Say what follows from an attempt: taken, to be tried again, or given up after a day."""
    if posted.error is None:
        return Try(at, posted.status, posted.ms, None, "delivered", now())
    next_at = now() + timedelta(seconds=_Delay.after(due.attempts).seconds)
    if posted.status == 410:
        return Try(at, 410, posted.ms, "The answer was 410: this address is gone.", "dead", now())
    if next_at > due.created_at + GIVEN_UP_AFTER:
        return Try(at, posted.status, posted.ms, f"Given up after a day. {posted.error}", "dead", now())
    return Try(at, posted.status, posted.ms, posted.error, "pending", next_at)
