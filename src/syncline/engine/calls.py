"""Sending calls to a CRM: waits for quota, retries what may be retried, renews the token once.

Makes the `Send` that connectors are given. Knows no platform, no body and no statement.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from syncline import clock
from syncline.connectors.transport import Request, Response, Token
from syncline.engine.lanes import Lane
from syncline.engine.lease import Lease, hold_lease
from syncline.engine.quota import Governor
from syncline.engine.resting import rest
from syncline.engine.slots import Slot
from syncline.engine.telemetry import is_tracing, span
from syncline.errors import Busy, LeaseLost, RateLimited, RetryLater, TokenRejected, Unavailable
from syncline.store import leases
from syncline.store.db import Conn, Database

MAX_ATTEMPTS = 8
#: From the first failure of a call to the end of its last wait.
GIVE_UP_AFTER_SECONDS = 120.0
BACKOFF_SECONDS = 0.25
_LONGEST_BACKOFF_SECONDS = 30.0
#: A token that ends within this time is renewed before it is used.
_RENEW_BEFORE = timedelta(seconds=60)
_REFRESH_LEASE_SECONDS = 60.0
#: How often a worker looks whether another has the new token.
_REFRESH_LOOK_SECONDS = 0.2


#: Raises where a call must not be made any more.
Leave = Callable[[], Awaitable[None]]
_leave: ContextVar[Leave | None] = ContextVar("leave", default=None)


@contextmanager
def asking(leave: Leave) -> Generator[None]:
    """Have `leave` asked before each call that is made within, also by tasks that are started there.

    It is asked when a call has waited for its slot and would be sent next, and again for each attempt: a wait
    may be long, and the process may have been stopped in it while another took over what it does.
    """
    before = _leave.set(leave)
    try:
        yield
    finally:
        _leave.reset(before)


class OneAttempt(Protocol):
    """Sends a request exactly once; raises the classes of `errors` (`connectors.http.Http`)."""

    async def send(self, request: Request, token: Token | None) -> Response: ...


class TokenSource(Protocol):
    """Where the token of a connection comes from. Safe to use from many tasks."""

    async def current(self) -> Token:
        """Return the token to use now."""
        ...

    async def refresh(self, old: Token) -> Token | None:
        """Return a token other than `old`, exchanging it unless somebody has done so already.

        None when it is of a kind that is not exchanged. Raises `TokenRejected` when the grant is gone,
        `Unavailable` when that is not known yet.
        """
        ...


@dataclass(slots=True)
class CallCounts:
    """What a run has cost so far. Seconds add up over tasks, and may exceed the time that passed."""

    calls: int = 0
    retries: int = 0
    rate_limit_hits: int = 0
    bytes_received: int = 0
    #: In calls, from the request to the end of the answer.
    seconds: float = 0.0
    #: Waiting for a slot of the quota.
    quota_wait_seconds: float = 0.0


class Calls:
    """Sends the calls of one connection for one purpose. `send` is what a connector is given."""

    def __init__(
        self,
        http: OneAttempt,
        governor: Governor,
        tokens: TokenSource | None,
        *,
        counts: CallCounts | None = None,
        lane: Lane = "incremental",
        max_attempts: int = MAX_ATTEMPTS,
        give_up_after_seconds: float = GIVE_UP_AFTER_SECONDS,
        backoff_seconds: float = BACKOFF_SECONDS,
        count: Callable[[], Awaitable[None]] | None = None,
        ending: asyncio.Event | None = None,
    ) -> None:
        self._http = http
        #: Set when the process is to end: nobody waits any more for what failed.
        self._ending = ending or asyncio.Event()
        #: Asked before each attempt; raises where no more may be made.
        self._count = count
        self._governor = governor
        self._tokens = tokens
        self.counts = counts or CallCounts()
        #: How urgent the calls are from here on. May be changed at any time.
        self.lane: Lane = lane
        self._max_attempts = max_attempts
        self._give_up_after = give_up_after_seconds
        self._backoff = backoff_seconds

    async def send(self, request: Request) -> Response:
        """Send and return the answer, however many attempts that takes within the bounds.

        Raises the last `RetryLater` when the bounds are reached, the server asks for a longer wait than
        they allow or the process is to end, `RateLimited(daily=True)` at once, and everything that is no
        matter of waiting at once. What must not happen twice is sent again only if the server is known not
        to have begun with it. What a leave that is asked raises (`asking`) comes from before that attempt was
        sent.
        """
        token = await self._token(request)
        failures = 0
        failed_at: float | None = None
        renewed = False
        while True:
            try:
                return await self._attempt(request, token)
            except TokenRejected:
                if renewed or token is None or self._tokens is None:
                    raise
                token, renewed = await self._tokens.refresh(token), True
                if token is None:
                    raise
            except LeaseLost:
                raise
            except RetryLater as error:
                failures += 1
                failed_at = failed_at or time.monotonic()
                left = self._give_up_after - (time.monotonic() - failed_at)
                if failures >= self._max_attempts or not _may_repeat(request, error):
                    raise
                wait = self._wait_seconds(error, failures)
                if max(wait, error.after_seconds or 0.0) > left:
                    raise
                await rest(self._ending, wait)
                if self._ending.is_set():
                    raise
            self.counts.retries += 1

    async def _token(self, request: Request) -> Token | None:
        if not request.authorized or self._tokens is None:
            return None
        token = await self._tokens.current()
        soon = clock.to_ms(clock.now() + _RENEW_BEFORE)
        if token.expires_ms is not None and token.expires_ms <= soon:
            return await self._tokens.refresh(token) or token
        return token

    async def _attempt(self, request: Request, token: Token | None) -> Response:
        asked_at = time.monotonic()
        if self._count is not None:
            await self._count()
        slot = await self._governor.acquire(request.bucket, lane=self.lane)
        await _ask_leave(slot)
        if slot is not None:
            slot.cost = request.cost
        sent_at = time.monotonic()
        self.counts.quota_wait_seconds += sent_at - asked_at
        self.counts.calls += 1
        try:
            response = await self._carry(request, token)
        except RateLimited as error:
            self.counts.rate_limit_hits += 1
            if slot is not None:
                slot.refused(error.after_seconds, daily=error.daily)
            raise
        except Unavailable as error:
            _end(slot, unsent=error.unsent)
            raise
        except BaseException:
            _end(slot, unsent=False)
            raise
        finally:
            self.counts.seconds += time.monotonic() - sent_at
        if slot is not None:
            slot.passed(response.quota)
        self.counts.bytes_received += len(response.body)
        return response

    async def _carry(self, request: Request, token: Token | None) -> Response:
        if not is_tracing():
            return await self._http.send(request, token)
        path = request.template or "{}"
        told = {"http.request.method": request.method, "url.template": path}
        with span(f"{request.method} {path}", told, kind="client") as call:
            response = await self._http.send(request, token)
            call.note("http.response.status_code", response.status)
            return response

    def _wait_seconds(self, error: RetryLater, failures: int) -> float:
        if isinstance(error, RateLimited):
            # The governor has closed the bucket for everybody; waiting here as well would only add to it.
            return 0.0
        longest = min(_LONGEST_BACKOFF_SECONDS, self._backoff * 2 ** (failures - 1))
        return max(error.after_seconds or 0.0, random.uniform(0, longest))  # noqa: S311 - spreads, hides nothing


def _may_repeat(request: Request, error: RetryLater) -> bool:
    if isinstance(error, RateLimited):
        return not error.daily  # refused, and so not begun
    return request.idempotent or (isinstance(error, Unavailable) and error.unsent)


async def _ask_leave(slot: Slot | None) -> None:
    leave = _leave.get()
    if leave is None:
        return
    try:
        await leave()
    except BaseException as error:
        _end(slot, unsent=True)
        if isinstance(error, RetryLater) and not isinstance(error, LeaseLost):
            raise Unavailable(str(error), after_seconds=error.after_seconds, unsent=True) from error
        raise


def _end(slot: Slot | None, *, unsent: bool) -> None:
    if slot is None:
        return
    if unsent:
        slot.unsent()
    else:
        slot.passed()


class TokenStore(Protocol):
    """Reads and writes a connection's sealed token. Both run in a transaction of the connection's tenant."""

    async def load(self, conn: Conn) -> Token: ...

    async def save(self, conn: Conn, token: Token) -> None: ...


#: Exchanges a token for a new one at the CRM. Raises `TokenRejected` when the grant is gone.
Exchange = Callable[[Token], Awaitable[Token]]


class FixedToken:
    """A token that is not in the database yet, such as one that is being tried before it is stored."""

    def __init__(self, token: Token) -> None:
        self._token = token

    async def current(self) -> Token:
        return self._token

    async def refresh(self, old: Token) -> Token | None:
        del old
        return None


class StoredToken:
    """A connection's token in the database, exchanged by one process at a time.

    However many workers find it expired, one exchanges it; the others wait for what that one stores.
    Without `exchange` the token is of a kind that does not expire; a person may have stored another.
    """

    def __init__(
        self,
        db: Database,
        store: TokenStore,
        exchange: Exchange | None,
        *,
        tenant_id: UUID,
        connection_id: UUID,
    ) -> None:
        self._db = db
        self._store = store
        self._exchange = exchange
        self._tenant_id = tenant_id
        self._connection_id = connection_id
        self._token: Token | None = None
        self._refreshing = asyncio.Lock()

    async def current(self) -> Token:
        """Return the token last seen; another process may have stored a newer one, which a 401 will show."""
        if self._token is None:
            self._token = await self._load()
        return self._token

    async def refresh(self, old: Token) -> Token | None:
        """Return a token other than `old`. See `TokenSource`."""
        async with self._refreshing:
            if self._token is not None and self._token.access_token != old.access_token:
                return self._token  # another task of this process has been here
            give_up_at = time.monotonic() + _REFRESH_LEASE_SECONDS
            while True:
                self._token = await self._load()
                if self._token.access_token != old.access_token:
                    return self._token
                if self._exchange is None:
                    return None
                with suppress(Busy):
                    self._token = await self._exchange_under_lease(old, self._exchange)
                    return self._token
                if time.monotonic() > give_up_at:
                    raise Unavailable("Another worker has been renewing this token for too long.")
                await asyncio.sleep(_REFRESH_LOOK_SECONDS)

    async def _exchange_under_lease(self, old: Token, exchange: Exchange) -> Token:
        async with hold_lease(
            self._db,
            tenant_id=self._tenant_id,
            connection_id=self._connection_id,
            purpose=leases.TOKEN,
            seconds=_REFRESH_LEASE_SECONDS,
        ) as lease:
            stored = await self._load()
            if stored.access_token != old.access_token:
                return stored
            fresh = await exchange(stored)
            await self._save(lease, fresh)
            return fresh

    async def _load(self) -> Token:
        async with self._db.transaction(tenant_id=self._tenant_id) as conn:
            return await self._store.load(conn)

    async def _save(self, lease: Lease, token: Token) -> None:
        async with self._db.transaction(tenant_id=self._tenant_id) as conn:
            await lease.require(conn)
            await self._store.save(conn, token)
