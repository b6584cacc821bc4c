"""Works off one connection's inbox, burst by burst, under its lease.

A delivery is done when everything it spoke of was read again, so that repeating it costs calls and no more;
duplicates, disorder and replays come down to reading once more. One that fails is tried again, bounded.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import structlog

from syncline.clock import now
from syncline.config import Settings
from syncline.connectors.webhooks import WebhookEvent, Webhooks, load_heard
from syncline.engine.hints import Hints, gather_hints, objects_of
from syncline.engine.lease import Lease
from syncline.engine.pull import pause
from syncline.engine.remotes import Remote, Remotes, plain_settings
from syncline.engine.reread import MODE, Rereading
from syncline.engine.webhooks import COALESCE_SECONDS
from syncline.errors import (
    LeaseLost,
    NotFound,
    PauseConnection,
    RateLimited,
    RetryLater,
    SynclineError,
    TokenRejected,
    Unavailable,
)
from syncline.store import connections, inbox, runs
from syncline.store.connections import Connection
from syncline.store.db import Conn, Database
from syncline.store.inbox import Delivery

#: A delivery that failed so often is given up: an ordinary run reads what changed all the same.
MOST_ATTEMPTS = 10
_FIRST_DELAY_SECONDS = 2.0
_LONGEST_DELAY_SECONDS = 300.0
#: Deliveries and bytes worked off together at most.
_MOST_DELIVERIES = 500
_MOST_BYTES = 8_000_000
#: How long one call is tried again before its burst is put off, and others may go on.
_GIVE_UP_AFTER_SECONDS = 30.0

T = TypeVar("T")

_log = structlog.get_logger(__name__)


async def drain(
    db: Database, remotes: Remotes, settings: Settings, lease: Lease, stop: asyncio.Event
) -> None:
    """Work off what is due in the inbox of the lease's connection, until nothing is or `stop` is set.

    Raises `PauseConnection` when a person has to act first, `LeaseLost`, `Unavailable`; deliveries that were
    not worked off wait.
    """
    worker = _Worker(db, remotes, settings, lease)
    async with db.transaction(tenant_id=lease.tenant_id) as conn:
        await lease.require(conn)
        await runs.abandon_all(
            conn, tenant_id=lease.tenant_id, connection_id=lease.connection_id, modes=[MODE], now=now()
        )
    while not stop.is_set():
        async with db.transaction(tenant_id=lease.tenant_id) as conn:
            due = await inbox.list_due(
                conn,
                tenant_id=lease.tenant_id,
                connection_id=lease.connection_id,
                ahead_seconds=COALESCE_SECONDS,
                limit=_MOST_DELIVERIES,
                max_bytes=_MOST_BYTES,
            )
        if not any(each.is_due for each in due):
            return
        await worker.work_off(due)


@dataclass(slots=True)
class _Burst:
    """Deliveries worked off together, what each speaks of, and what stood in the way."""

    deliveries: Sequence[Delivery]
    events: dict[UUID, Sequence[WebhookEvent]] = field(default_factory=dict[UUID, Sequence[WebhookEvent]])
    #: Delivery → why it cannot be understood.
    unread: dict[UUID, Exception] = field(default_factory=dict[UUID, Exception])
    #: Object → why it could not be read again.
    failures: dict[str, Exception] = field(default_factory=dict[str, Exception])
    #: Object → records said to be erased that are still there.
    doubtful: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def outcome(self, delivery: Delivery) -> Exception | None:
        """Return why a delivery is not done; of several reasons the one that does not pass by itself."""
        if delivery.id in self.unread:
            return self.unread[delivery.id]
        events = self.events[delivery.id]
        objects = {name for event in events for name in objects_of(event)}
        found = [self.failures[name] for name in sorted(objects) if name in self.failures]
        if not found and any(
            event.kind == "erased" and event.remote_id in self.doubtful.get(event.object, ())
            for event in events
        ):
            return Unavailable("A record is said to be erased, but the CRM still has it. It is asked again.")
        return min(found, key=lambda error: isinstance(error, RetryLater), default=None)


class _Worker:
    def __init__(self, db: Database, remotes: Remotes, settings: Settings, lease: Lease) -> None:
        self._db = db
        self._remotes = remotes
        self._settings = settings
        self._lease = lease
        self._tenant_id = lease.tenant_id

    async def work_off(self, deliveries: Sequence[Delivery]) -> None:
        """Have everything that the deliveries speak of read again, and settle what became of each."""
        async with self._db.transaction(tenant_id=self._tenant_id) as conn:
            connection = await connections.get(conn, self._lease.connection_id, tenant_id=self._tenant_id)
        remote = self._open(connection)
        burst = _parse(deliveries, remote)
        events = [event for each in burst.events.values() for event in each]
        hints = gather_hints(events, remote.wanted, remote.connector.capabilities.association_pairs)
        await self._reread(connection, hints, burst)
        outcomes = {each.id: burst.outcome(each) for each in deliveries}
        suspects = [each for each in deliveries if _is_poison(outcomes[each.id])]
        if len(suspects) > 1:
            # One of them takes the others with it; halves find out which, and the rest is done.
            rest = [each for each in deliveries if each not in suspects]
            await self._settle(rest, outcomes)
            await self.work_off(suspects[: len(suspects) // 2])
            await self.work_off(suspects[len(suspects) // 2 :])
            return
        await self._settle(deliveries, outcomes)
        for error in outcomes.values():
            if isinstance(error, TokenRejected):
                raise error

    def _open(self, connection: Connection) -> Remote:
        return self._remotes.open(connection, lane="webhook", give_up_after_seconds=_GIVE_UP_AFTER_SECONDS)

    async def _reread(self, connection: Connection, hints: Mapping[str, Hints], burst: _Burst) -> None:
        """Read each object again, at the same time; then, when all records are there, what ties them."""
        begun = await _together(self._read(connection, name, each, burst) for name, each in hints.items())
        await _together(self._end(each, burst) for each in begun if each is not None)
        for error in burst.failures.values():
            if isinstance(error, LeaseLost):
                raise error

    async def _read(self, connection: Connection, name: str, hints: Hints, burst: _Burst) -> Rereading | None:
        remote = self._open(connection)  # of its own, since a run counts its calls
        reading: Rereading | None = None
        try:
            remote_object = await remote.connector.get_object(name)
            reading = await Rereading.begin(
                self._db, remote, remote_object, hints, self._lease, self._settings
            )
            await reading.read()
        except BaseException as error:  # noqa: BLE001 - its run is ended; what is not ours is raised again there
            if reading is None and isinstance(error, NotFound):
                return None  # an object that this account does not have
            await self._note(remote, reading, name, error, burst)
            return None
        burst.doubtful[name] = reading.doubtful
        return reading

    async def _end(self, reading: Rereading, burst: _Burst) -> None:
        try:
            await reading.associate()
        except BaseException as error:  # noqa: BLE001 - as above
            await self._note(reading.remote, reading, reading.object_name, error, burst)
        else:
            await reading.finish()

    async def _note(
        self, remote: Remote, reading: Rereading | None, name: str, error: BaseException, burst: _Burst
    ) -> None:
        """Write a failure down where it belongs; what ends the task goes on."""
        if reading is not None:
            await reading.fail(error)
        elif isinstance(error, TokenRejected):
            await pause(self._db, remote, error)
        if not isinstance(error, Exception):
            raise error
        _log.warning("webhooks_failed", object=name, connection=remote.name, reason=_reason(error))
        burst.failures[name] = error

    async def _settle(
        self, deliveries: Sequence[Delivery], outcomes: Mapping[UUID, Exception | None]
    ) -> None:
        async with self._db.transaction(tenant_id=self._tenant_id) as conn:
            await self._lease.require(conn)
            done = [each.id for each in deliveries if outcomes[each.id] is None]
            if done:
                await inbox.end(conn, done, tenant_id=self._tenant_id, now=now())
            for each in deliveries:
                error = outcomes[each.id]
                if error is not None:
                    await self._put_off(conn, each, error)

    async def _put_off(self, conn: Conn, delivery: Delivery, error: Exception) -> None:
        if isinstance(error, TokenRejected):
            return  # it waits, as it is, until somebody has connected again
        ids, reason = [delivery.id], _reason(error)
        counts = not isinstance(error, RateLimited)
        given_up = counts and delivery.attempts + 1 >= MOST_ATTEMPTS
        if given_up or isinstance(error, PauseConnection):
            await inbox.fail(conn, ids, tenant_id=self._tenant_id, reason=reason, now=now())
            return
        await inbox.defer(
            conn,
            ids,
            tenant_id=self._tenant_id,
            seconds=_delay_seconds(error, delivery.attempts),
            reason=reason,
            counts=counts,
        )


async def _together(steps: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """Take steps at the same time, all to their end; then raise what the first of them raised."""
    done = await asyncio.gather(*steps, return_exceptions=True)
    for each in done:
        if isinstance(each, BaseException):
            raise each
    return [each for each in done if not isinstance(each, BaseException)]


def _events_of(body: bytes, webhooks: Webhooks | None, remote: Remote) -> Sequence[WebhookEvent]:
    heard = load_heard(body)
    if heard is not None:
        return heard
    return [] if webhooks is None else webhooks.parse_for(plain_settings(remote.connection))(body)


def _parse(deliveries: Sequence[Delivery], remote: Remote) -> _Burst:
    webhooks = remote.platform.webhooks
    burst = _Burst(deliveries)
    for each in deliveries:
        try:
            burst.events[each.id] = _events_of(each.body.encode(), webhooks, remote)
        except Exception as error:  # noqa: BLE001 - it could be read when it came: another version did
            burst.unread[each.id] = error
    return burst


def _is_poison(error: Exception | None) -> bool:
    """Tell whether a failure may be one delivery's own, and not its connection's or the CRM's."""
    return error is not None and not isinstance(error, (RetryLater, PauseConnection))


def _delay_seconds(error: Exception, attempts: int) -> float:
    if isinstance(error, RetryLater) and error.after_seconds is not None:
        return error.after_seconds
    longest = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2 ** min(attempts, 10))
    return random.uniform(longest / 2, longest)  # noqa: S311 - parts those that failed together


def _reason(error: Exception) -> str:
    """Say what went wrong; an error that is not ours by its kind only, since its words may hold values."""
    return str(error) if isinstance(error, SynclineError) else f"an unexpected {type(error).__name__}"
