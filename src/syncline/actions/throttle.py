"""Slowing down whoever guesses: so many attempts in so long, counted in the database for all processes."""

from __future__ import annotations

import asyncio
import ipaddress
import random
from datetime import datetime, timedelta
from uuid import UUID

from syncline import clock
from syncline.actions.hub import Hub
from syncline.domain.tokens import hash_token
from syncline.errors import LimitReached
from syncline.store import attempts
from syncline.store.attempts import Purpose

WINDOW = timedelta(minutes=15)
#: Attempts for one account from one address, and from one address for whatever accounts.
PER_ACCOUNT = 5
PER_ADDRESS = 100
#: How long looking at a password may take; an attempt that nobody decided by then counts as wrong.
_LONGEST_LOOK = timedelta(seconds=15)
_PAUSE_SECONDS = 0.2


async def admit(hub: Hub, purpose: Purpose, account: str, *, address: str | None) -> UUID:
    """Count an attempt before it is made, and return its id. Raises `LimitReached` when there were too many.

    It is counted first, so that guesses made at once are not each let through for not being counted yet.
    Where so many are being looked at that one more could be too many, it waits for what becomes of them.
    """
    until = clock.now() + _LONGEST_LOOK
    while True:
        admitted, undecided = await _try_to_admit(hub, purpose, hash_token(account), _place(address))
        if isinstance(admitted, UUID):
            return admitted
        if not undecided or clock.now() > until:
            raise admitted
        await asyncio.sleep(_PAUSE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - spreads those who wait


async def _try_to_admit(
    hub: Hub, purpose: Purpose, account: bytes, place: str
) -> tuple[UUID | LimitReached, bool]:
    """Return the attempt's id, or why it is one too many and whether that may change in a moment."""
    now = clock.now()
    async with hub.db.transaction(tenant_id=None) as conn:
        tried = await attempts.count(
            conn,
            purpose,
            account,
            address=place,
            since=now - WINDOW,
            undecided_since=now - _LONGEST_LOOK,
        )
        if tried.of_account >= PER_ACCOUNT:
            failed = tried.of_account - tried.undecided
            return _too_many(tried.account_since, now), failed < PER_ACCOUNT
        if tried.of_address >= PER_ADDRESS:
            return _too_many(tried.address_since, now), False
        attempt = await attempts.insert(conn, purpose, account, address=place, now=now)
        if purpose == "reset":  # there is nothing to be right about
            await attempts.set_failed(conn, attempt, now=now)
        return attempt, False


async def fail(hub: Hub, attempt: UUID) -> None:
    """Say that an attempt was wrong."""
    async with hub.db.transaction(tenant_id=None) as conn:
        await attempts.set_failed(conn, attempt, now=clock.now())


async def forget(hub: Hub, purpose: Purpose, account: str, *, address: str | None) -> None:
    """Forget the attempts of somebody who was right in the end, and those that no longer count."""
    async with hub.db.transaction(tenant_id=None) as conn:
        await attempts.clear(conn, purpose, hash_token(account), address=_place(address))
        if await attempts.lock_purge(conn):
            await attempts.purge(conn, before=clock.now() - 2 * WINDOW)


def _place(address: str | None) -> str:
    """Return what counts as one place: an address, or the network of 2^64 that one line is given of IPv6."""
    try:
        known = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is None:
        return str(ipaddress.ip_network((known, 64), strict=False))
    return str(known)


def _too_many(since: datetime | None, now: datetime) -> LimitReached:
    wait = WINDOW if since is None else since + WINDOW - now
    minutes = max(1, -(-int(wait.total_seconds()) // 60))
    unit = "minute" if minutes == 1 else "minutes"
    return LimitReached(
        f"There were too many attempts. Try again in {minutes} {unit}.",
        limit="attempts",
        after_seconds=max(1.0, wait.total_seconds()),
    )
