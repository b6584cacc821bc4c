"""Slots of one bucket of an account's quota, as one process takes, gives back and is refused them.

Who waits, what is out and what is to be reported are one state and change together. Knows slots, windows and
budgets; nothing of HTTP, retries or what a call is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from syncline.connectors.transport import QuotaFacts
from syncline.engine.lanes import LANES, WITHOUT_RESERVE, Lane, Line
from syncline.errors import RateLimited, RetryLater, SynclineError, Unavailable
from syncline.store import quota as store
from syncline.store.db import Database
from syncline.store.quota import Bucket, Grant, Report

#: A process that gave no sign of life for so long is dead, and so are its calls.
FORGET_AFTER_SECONDS = 120.0
#: A bucket closed for longer than this is not waited for.
PATIENCE_SECONDS = 120.0
#: How long a waiter sleeps at most before it looks whether another process learnt of a higher limit.
_LOOK_AGAIN_SECONDS = 1.0
_FLUSH_SECONDS = 0.5
_MOST_AHEAD = 256


class Slot:
    """The permission for one call. Say exactly once how the call ended; later words are ignored."""

    __slots__ = ("_ended", "_outlet", "cost")

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        #: What the call takes of the day's budget. Set it before saying how the call ended.
        self.cost = 1
        self._ended = False

    def passed(self, facts: QuotaFacts | None = None) -> None:
        """Say that the server answered; `facts` are the headers of a good answer, else None."""
        if self._end():
            self._outlet.note_passed(facts, self.cost)

    def refused(self, after_seconds: float | None, *, daily: bool) -> None:
        """Say that the server refused the call, a quota being used up: the burst, or the day's."""
        if self._end():
            self._outlet.note_refused(after_seconds, self.cost, daily=daily)

    def unsent(self) -> None:
        """Say that the call was never made: the slot is free again at once."""
        if self._end():
            self._outlet.note_unsent()

    def _end(self) -> bool:
        ended, self._ended = self._ended, True
        return not ended


@dataclass(slots=True)
class _News:
    """What has happened with a bucket since the last call to the database. Times are the loop's."""

    passed_at: list[float] = field(default_factory=list[float])
    refused_at: list[float] = field(default_factory=list[float])
    spent: int = 0
    close_seconds: float | None = None
    daily_refusals: int = 0
    facts: QuotaFacts | None = None
    facts_at: float = 0.0
    silent: int = 0
    day_silent: int = 0

    def __bool__(self) -> bool:
        return bool(self.passed_at or self.refused_at or self.daily_refusals)

    def report(self, now: float) -> Report:
        facts = self.facts or QuotaFacts()
        window = facts.window
        return Report(
            passed_ages_ms=[to_ms(now - at) for at in self.passed_at],
            refused_ages_ms=[to_ms(now - at) for at in self.refused_at],
            spent=self.spent,
            close_ms=None if self.close_seconds is None else to_ms(self.close_seconds),
            daily_refusals=self.daily_refusals,
            stated_calls=facts.limit,
            stated_window_ms=None if window is None else to_ms(window.total_seconds()),
            remaining=facts.remaining,
            fact_age_ms=to_ms(now - self.facts_at) + 1 if self.facts else 0,
            day_calls=facts.daily_limit,
            day_remaining=facts.daily_remaining,
            silent=self.silent,
            day_silent=self.day_silent,
        )

    def merge(self, older: _News) -> None:
        """Take back news that could not be delivered."""
        self.passed_at[:0] = older.passed_at
        self.refused_at[:0] = older.refused_at
        self.spent += older.spent
        self.close_seconds = _longer(self.close_seconds, older.close_seconds)
        self.daily_refusals += older.daily_refusals
        self.silent += older.silent
        self.day_silent += older.day_silent
        if self.facts is None:
            self.facts, self.facts_at = older.facts, older.facts_at


class Outlet:
    """One bucket as this process uses it: who waits, what is out, what is to be reported."""

    def __init__(self, db: Database, bucket: Bucket, holder: UUID, forget_after_seconds: float) -> None:
        self._db = db
        self._bucket = bucket
        self._holder = holder
        self._forget_after = forget_after_seconds
        self._loop = asyncio.get_running_loop()
        self._line: Line[Slot] = Line()
        self._news = _News()
        self._under_way = 0
        self._ahead = 0
        #: What the database takes for held, and for waiting; what is no longer so is told, too.
        self._told = 0
        self._told_waiting = 0
        self._reach = 0
        self._unlimited = False
        self._on_trial = False
        self._limit: int | None = bucket.calls
        self._window = bucket.window_ms / 1000
        self._called_at = float("-inf")
        self._opened = False
        #: Two calls at once would each overwrite what the other says this process holds.
        self._calling = asyncio.Lock()
        self._stir = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._tender: asyncio.Task[None] | None = None

    async def acquire(self, lane: Lane) -> Slot:
        if not self._line and (self._unlimited or self._ahead):
            return self._let_out()
        waiter: asyncio.Future[Slot] = self._loop.create_future()
        if self._line.join(lane, waiter):
            # The database has to know, so that no other process takes for a lower lane what comes free.
            self._stir.set()
        if self._pump is None or self._pump.done():
            self._pump = self._loop.create_task(self._serve())
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                waiter.result().unsent()
            elif not any(self._line.count()):
                self._stir.set()
            raise

    def note_passed(self, facts: QuotaFacts | None, cost: int) -> None:
        now = self._loop.time()
        self._under_way -= 1
        self._news.spent += cost
        self._news.passed_at.append(now)
        if facts is not None:
            self._note_facts(facts, now)
        if self._on_trial:
            self._stir.set()
        self._tend()

    def note_refused(self, after_seconds: float | None, cost: int, *, daily: bool) -> None:
        self._under_way -= 1
        self._news.spent += cost
        if daily:
            self._news.daily_refusals += 1
        else:
            self._news.close_seconds = _longer(self._news.close_seconds, after_seconds)
        self._news.refused_at.append(self._loop.time())
        # Nothing more goes out before the database has told for how long the bucket is closed.
        self._unlimited = False
        self._ahead = 0
        self._stir.set()
        self._tend()

    def note_unsent(self) -> None:
        self._under_way -= 1
        if self._line:
            self._ahead += 1
            self._stir.set()
        self._tend()

    async def close(self) -> None:
        """Report what is unreported and give everything back. Waiters are cancelled."""
        for task in (self._pump, self._tender):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(t for t in (self._pump, self._tender) if t), return_exceptions=True)
        self._line.cancel()
        self._ahead = 0
        if self._opened:
            await self._call()

    def _note_facts(self, facts: QuotaFacts, now: float) -> None:
        news = self._news
        if self._bucket.has_headers:
            news.silent += facts.limit is None
            news.day_silent += facts.daily_limit is None
            if facts.limit is not None and facts.limit != self._limit:
                self._stir.set()
        news.facts, news.facts_at = facts, now

    def _let_out(self) -> Slot:
        if not self._unlimited:
            self._ahead -= 1
        self._under_way += 1
        self._tend()
        return Slot(self)

    async def _serve(self) -> None:
        """Serve those who wait, by lane, until there are none."""
        while True:
            self._let_out_ahead()
            if not any(self._line.count()):
                break
            try:
                await self._ask()
            except SynclineError as error:
                self._line.turn_away(partial(Unavailable, str(error), unsent=True))
            except Exception as error:  # noqa: BLE001 - a bug must reach those who wait, not leave them waiting
                self._line.turn_away(partial(_same, error))
        if self._told_waiting:
            self._tend()

    async def _ask(self) -> None:
        """Ask for as many slots as are waited for, and wait when there are too few."""
        self._stir.clear()
        grant = await self._call()
        if not any(self._line.count()) or self._unlimited:
            return
        wait = grant.wait_ms / 1000
        if wait > PATIENCE_SECONDS:
            self._line.turn_away(partial(RateLimited, after_seconds=wait))
            return
        try:
            async with asyncio.timeout(min(wait, _LOOK_AGAIN_SECONDS)):
                await self._stir.wait()
        except TimeoutError:
            pass

    async def _call(self) -> Grant:
        """Report the news, ask for what is waited for, and let it out; one round trip."""
        async with self._calling:
            now = self._loop.time()
            wants = self._line.count()
            self._plan_reach(now, is_asking=any(wants))
            news, self._news = self._news, _News()
            self._called_at = now
            held = self._under_way + self._ahead
            try:
                grant = await self._take(news.report(now), wants, held)
            except BaseException:
                self._news.merge(news)
                raise
            granted = sum(grant.granted)
            self._told = held + granted + grant.taken_ahead
            self._told_waiting = sum(wants) - granted
            self._window = grant.window_ms / 1000
            self._limit = grant.max_calls
            self._on_trial = grant.on_trial
            # A refusal that came meanwhile is news the database does not know yet.
            self._unlimited = grant.unlimited and not self._news.refused_at
            self._hand_out(grant)
            return grant

    def _hand_out(self, grant: Grant) -> None:
        """Let out what each lane was granted; who left meanwhile leaves his slot to whoever is next."""
        self._ahead += sum(grant.granted) + grant.taken_ahead
        for lane, granted in zip(LANES, grant.granted, strict=True):
            for _ in range(granted):
                waiter = self._line.call_next((lane,))
                if waiter is None:
                    break
                waiter.set_result(self._let_out())
        if grant.reserve_wait_ms is not None:
            self._line.turn_away(partial(_used_up, grant.reserve_wait_ms), LANES[:1])
        if grant.day_wait_ms is not None:
            self._line.turn_away(partial(_used_up, grant.day_wait_ms), WITHOUT_RESERVE)

    def _let_out_ahead(self) -> None:
        while self._unlimited or self._ahead:
            waiter = self._line.call_next()
            if waiter is None:
                return
            waiter.set_result(self._let_out())

    async def _take(self, report: Report, wants: Sequence[int], held: int) -> Grant:
        while True:
            async with self._db.statement() as conn:
                if not self._opened:
                    await store.open_bucket(conn, self._bucket)
                    self._opened = True
                grant = await store.take(
                    conn,
                    self._bucket,
                    report,
                    holder=self._holder,
                    wants=wants,
                    held=held,
                    ahead=self._reach,
                    forget_after_ms=to_ms(self._forget_after),
                )
            if grant is not None:
                return grant
            self._opened = False  # a crash of the server has emptied the unlogged tables

    def _plan_reach(self, now: float, *, is_asking: bool) -> None:
        """Take more ahead the quicker slots go, and nothing when they go slowly."""
        if is_asking and now - self._called_at < 0.1:
            self._reach = min(_MOST_AHEAD, max(4, self._reach * 2))
        elif now - self._called_at > 1:
            self._reach = 0

    def _tend(self) -> None:
        if self._tender is None or self._tender.done():
            self._tender = self._loop.create_task(self._report_in_time())

    async def _report_in_time(self) -> None:
        """Report what nobody's asking reported, give back what was taken ahead and not used, show life."""
        while self._is_owing() or self._under_way:
            pause = max(0.02, min(_FLUSH_SECONDS, self._window / 10, self._forget_after / 8))
            seen = self._called_at
            await asyncio.sleep(pause)
            idle = self._called_at == seen
            urgent = bool(self._news.refused_at) and not self._line
            stale = self._loop.time() - self._called_at > self._forget_after / 4
            if not (urgent or (idle and self._is_owing()) or stale):
                continue
            if idle and not self._line:
                self._ahead = 0
            try:
                await self._call()
            except RetryLater:
                continue  # the news is kept; whoever asks for a slot will see the error

    def _is_owing(self) -> bool:
        """Whether the database does not know yet how things are here, or what is here could be given back."""
        held = self._under_way + self._ahead
        left = bool(self._told_waiting) and not self._line
        return bool(self._news or self._ahead) or left or (held != self._told and not self._unlimited)


def _used_up(wait_ms: int) -> RateLimited:
    message = "Today's budget of calls to this account is used up, but for the part kept for other tools."
    return RateLimited(message, after_seconds=wait_ms / 1000, daily=True)


def _same(error: Exception) -> Exception:
    return error


def to_ms(seconds: float) -> int:
    # Cut off: a call that seems younger than it is holds its slot a little longer, never too short.
    return max(0, int(seconds * 1000))


def _longer(one: float | None, other: float | None) -> float | None:
    return max(one, other) if one is not None and other is not None else one if other is None else other
