"""Follows what happens in tenants that somebody watches: one reader for a process, however many watch.

Looks every quarter of a second and needs no notification. Nothing is missed that commits late: as long as a
transaction that was seen under way has not ended, it is looked back to before it. Memory is bounded: where
very much happens at once, watchers are told to read anew instead of each change; who is too slow is let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID
from weakref import WeakKeyDictionary

import structlog

from syncline.errors import Invalid, RetryLater
from syncline.store import feed
from syncline.store.db import Conn, Database
from syncline.store.feed import ChangeKey, Look, RecordChange

POLL_SECONDS = 0.25
#: Clocks of two machines, and of a row and its transaction, differ by less.
SLACK = timedelta(seconds=3)
#: Of more changes than these at once nobody is told one by one.
MOST_CHANGES = 1000
#: How far behind a watcher may be.
MOST_WAITING = 2000
_MOST_RUNS = 500
#: Looks from one counting, or one call for a reload, to the next.
_COUNT_EVERY = 4
_AT_ONCE = 4

Topic = Literal["record", "run", "queue", "conflicts"]
TOPICS: tuple[Topic, ...] = ("record", "run", "queue", "conflicts")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `reload` means that more did than is told one by one: read anew."""

    kind: Topic | Literal["reload"]
    data: dict[str, Any]
    #: Where it stands in the change log, to go on behind it; None for what is not in it.
    place: str | None = None
    #: The change itself, for those who filter.
    change: RecordChange | None = field(default=None, repr=False)


RELOAD = Event("reload", {"reason": "More has happened than is told one by one. Read again what you show."})


class Overtaken(Exception):
    """A watcher was so slow that it was let go; it can come back and say where it was."""


class Window:
    """How far back to look so that nothing is missed that committed after the last look."""

    def __init__(self, at: datetime, under_way: dict[int, datetime] | None = None) -> None:
        self.at = at
        #: Transactions that had not ended → since when at the earliest.
        self.under_way = under_way or {}

    @property
    def begins_at(self) -> datetime:
        return min([self.at, *self.under_way.values()]) - SLACK

    def move(self, look: Look) -> None:
        """Go on from a look: what was not under way at the one before began after that."""
        self.under_way = {each: self.under_way.get(each, self.at) for each in look.under_way}
        self.at = look.at


class Watcher:
    """Somebody who is told what happens in a tenant. Read from one task."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Event | None] = asyncio.Queue(MOST_WAITING + 1)
        self._overtaken = False

    def tell(self, event: Event) -> None:
        if self._overtaken:
            return
        if self._waiting.qsize() >= MOST_WAITING:
            self._overtaken = True
            self._waiting.put_nowait(None)
            return
        self._waiting.put_nowait(event)

    async def next(self, timeout_seconds: float) -> Event | None:
        """Return what happened next; None when nothing did for so long. Raises `Overtaken`."""
        try:
            async with asyncio.timeout(timeout_seconds):
                event = await self._waiting.get()
        except TimeoutError:
            return None
        if event is None:
            raise Overtaken
        return event


class _Tail:
    """One tenant that is watched."""

    def __init__(self, tenant_id: UUID) -> None:
        self.tenant_id = tenant_id
        self.watchers: set[Watcher] = set()
        #: Set once it is known what had happened before.
        self.begun = asyncio.Event()
        self._window: Window | None = None
        #: Changes of the window that were told.
        self._seen: dict[UUID, datetime] = {}
        #: Nothing before it is told one by one, but what transactions in `_owed` commit calls for a reload.
        self._floor: datetime | None = None
        self._owed: set[int] = set()
        self._must_reload = False
        self._runs: dict[UUID, datetime] = {}
        self._counts: dict[str, list[dict[str, Any]]] = {}
        self._turns = 0

    async def look(self, db: Database) -> None:
        """Tell the watchers what happened since the last look; the first one only takes note of it."""
        async with db.transaction(tenant_id=self.tenant_id) as conn:
            look = await feed.look(conn)
            window = self._window or Window(look.at)
            events = await self._read_changes(conn, window, look)
            events += await self._read_runs(conn, window)
            if self._turns % _COUNT_EVERY == 0:
                events += await self._read_counts(conn)
        self._turns += 1
        window.move(look)
        if self._window is not None:
            for event in events:
                for watcher in self.watchers:
                    watcher.tell(event)
        self._window = window
        self.begun.set()

    async def _read_changes(self, conn: Conn, window: Window, look: Look) -> list[Event]:
        begins_at = window.begins_at if self._floor is None else max(window.begins_at, self._floor)
        keys = await feed.list_keys(
            conn, tenant_id=self.tenant_id, after=begins_at, limit=MOST_CHANGES + len(self._seen) + 1
        )
        fresh = [each for each in keys if each.id not in self._seen]
        if self._owed and not self._owed & set(look.under_way):
            self._owed, self._must_reload = set(), True
        if len(fresh) > MOST_CHANGES:
            self._floor, self._seen, self._owed = look.at - SLACK, {}, set(look.under_way)
            self._must_reload = True
            fresh = []
        events: list[Event] = []
        if self._must_reload and self._turns % _COUNT_EVERY == 0:  # a flood goes on for many looks
            self._must_reload = False
            events.append(RELOAD)
        found = await feed.get_changes(conn, fresh, tenant_id=self.tenant_id)
        self._seen = {key: at for key, at in self._seen.items() if at > begins_at}
        self._seen.update((each.id, each.changed_at) for each in fresh)
        return events + [describe(each) for each in found]

    async def _read_runs(self, conn: Conn, window: Window) -> list[Event]:
        begins_at = window.begins_at
        found = await feed.list_runs(conn, tenant_id=self.tenant_id, after=begins_at, limit=_MOST_RUNS)
        fresh = [each for each in found if self._runs.get(each.id) != each.updated_at]
        self._runs = {key: at for key, at in self._runs.items() if at > begins_at}
        self._runs.update((each.id, each.updated_at) for each in fresh)
        return [Event("run", feed.as_json(each)) for each in fresh]

    async def _read_counts(self, conn: Conn) -> list[Event]:
        queue = await feed.count_queue(conn, tenant_id=self.tenant_id)
        conflicts = await feed.count_conflicts(conn, tenant_id=self.tenant_id)
        now: dict[Topic, list[dict[str, Any]]] = {
            "queue": [{"connection": e.connection, "state": e.state, "count": e.count} for e in queue],
            "conflicts": [{"connection": e.connection, "open": e.count} for e in conflicts],
        }
        news = [Event(kind, {"counts": of}) for kind, of in now.items() if self._counts.get(kind) != of]
        self._counts = {**now}
        return news


class Feed:
    """The reader of one process. Works while there are watchers."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tails: dict[UUID, _Tail] = {}
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    @asynccontextmanager
    async def watch(self, tenant_id: UUID) -> AsyncGenerator[Watcher]:
        """Watch a tenant for the length of the block: whatever commits within it is told.

        Raises `RetryLater` when the database does not answer.
        """
        tail = self._tails.setdefault(tenant_id, _Tail(tenant_id))
        watcher = Watcher()
        tail.watchers.add(watcher)
        try:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._serve())
            self._hurry.set()
            await tail.begun.wait()
            yield watcher
        finally:
            tail.watchers.discard(watcher)
            if not tail.watchers and self._tails.get(tenant_id) is tail:
                del self._tails[tenant_id]
            if not self._tails and self._task is not None:
                task, self._task = self._task, None
                task.cancel()
                await asyncio.wait([task])

    async def _serve(self) -> None:
        slots = asyncio.Semaphore(_AT_ONCE)
        while True:
            await asyncio.gather(*(self._look(tail, slots) for tail in list(self._tails.values())))
            self._hurry.clear()
            # Somebody came while we looked: they wait for their first look.
            if any(not tail.begun.is_set() for tail in self._tails.values()):
                await asyncio.sleep(0.01)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._hurry.wait()

    async def _look(self, tail: _Tail, slots: asyncio.Semaphore) -> None:
        async with slots:
            try:
                await tail.look(self._db)
            except RetryLater as error:
                _log.warning("feed_waits", reason=str(error))
                await asyncio.sleep(POLL_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever befell one look, the next one may do
                _log.error("feed_failed", error=type(error).__name__)
                await asyncio.sleep(POLL_SECONDS)


_feeds: WeakKeyDictionary[Database, Feed] = WeakKeyDictionary()


def feed_of(db: Database) -> Feed:
    """Return the feed of this process for a database."""
    return _feeds.setdefault(db, Feed(db))


def describe(change: RecordChange) -> Event:
    """Return a change as it is told: which fields, and no values."""
    return Event(
        "record",
        {
            "id": str(change.id),
            "at": change.changed_at.isoformat(),
            "type": change.record_type,
            "record_id": str(change.record_id),
            "action": change.action,
            "fields": change.fields,
            "source": change.source,
            "actor": change.actor,
            "run_id": None if change.run_id is None else str(change.run_id),
        },
        write_place(ChangeKey(change.changed_at, change.id)),
        change,
    )


def write_place(key: ChangeKey) -> str:
    """Write where a change stands, for whoever wants to go on behind it."""
    return f"{int(key.changed_at.timestamp() * 1_000_000)}-{key.id}"


def read_place(text: str) -> datetime:
    """Return the time of a place. Raises `Invalid`."""
    microseconds, _, rest = text.partition("-")
    try:
        UUID(rest)
        return datetime.fromtimestamp(int(microseconds) / 1_000_000, UTC)
    except (ValueError, OverflowError, OSError):
        raise Invalid("This is no place in the stream. Begin without Last-Event-ID.") from None


async def read_since(db: Database, tenant_id: UUID, place: str) -> list[Event] | None:
    """Return what happened behind a place, oldest first, the latest before it again; None where that is much.

    Raises `Invalid`.
    """
    after = read_place(place) - 10 * SLACK
    async with db.transaction(tenant_id=tenant_id) as conn:
        keys = await feed.list_keys(conn, tenant_id=tenant_id, after=after, limit=MOST_CHANGES + 1)
        if len(keys) > MOST_CHANGES:
            return None
        return [describe(each) for each in await feed.get_changes(conn, keys, tenant_id=tenant_id)]
