"""The quota governor: lets calls to a CRM account out at the rate the account allows, and no faster.

One `Governor` per process and account; all of them share the counters in Postgres (`store.quota`). Knows
slots, windows and budgets; nothing of HTTP, retries or what a call is for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from uuid import UUID, uuid4

from syncline.connectors.base import Quota, QuotaFacts
from syncline.errors import RateLimited, RetryLater, SynclineError, Unavailable
from syncline.store import quota as store
from syncline.store.db import Database
from syncline.store.quota import Bucket, Grant, Report, Usage

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

    __slots__ = ("_ended", "_lane")

    def __init__(self, lane: _Lane) -> None:
        self._lane = lane
        self._ended = False

    def passed(self, facts: QuotaFacts | None = None) -> None:
        """Say that the server answered; `facts` are the headers of a good answer, else None."""
        if self._end():
            self._lane.note_passed(facts)

    def refused(self, after_seconds: float | None, *, daily: bool) -> None:
        """Say that the server refused the call, a quota being used up: the burst, or the day's."""
        if self._end():
            self._lane.note_refused(after_seconds, daily=daily)

    def unsent(self) -> None:
        """Say that the call was never made: the slot is free again at once."""
        if self._end():
            self._lane.note_unsent()

    def _end(self) -> bool:
        ended, self._ended = self._ended, True
        return not ended


@dataclass(slots=True)
class _News:
    """What has happened in a lane since the last call to the database. Times are the loop's."""

    passed_at: list[float] = field(default_factory=list[float])
    refused_at: list[float] = field(default_factory=list[float])
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
            passed_ages_ms=[_ms(now - at) for at in self.passed_at],
            refused_ages_ms=[_ms(now - at) for at in self.refused_at],
            close_ms=None if self.close_seconds is None else _ms(self.close_seconds),
            daily_refusals=self.daily_refusals,
            stated_calls=facts.limit,
            stated_window_ms=None if window is None else _ms(window.total_seconds()),
            remaining=facts.remaining,
            fact_age_ms=_ms(now - self.facts_at) + 1 if self.facts else 0,
            day_calls=facts.daily_limit,
            day_remaining=facts.daily_remaining,
            silent=self.silent,
            day_silent=self.day_silent,
        )

    def merge(self, older: _News) -> None:
        """Take back news that could not be delivered."""
        self.passed_at[:0] = older.passed_at
        self.refused_at[:0] = older.refused_at
        self.close_seconds = _longer(self.close_seconds, older.close_seconds)
        self.daily_refusals += older.daily_refusals
        self.silent += older.silent
        self.day_silent += older.day_silent
        if self.facts is None:
            self.facts, self.facts_at = older.facts, older.facts_at


@dataclass(slots=True)
class _Waiter:
    future: asyncio.Future[Slot]
    spends_reserve: bool


class _Lane:
    """One bucket as this process uses it: who waits, what is out, what is to be reported."""

    def __init__(self, db: Database, bucket: Bucket, holder: UUID, forget_after_seconds: float) -> None:
        self._db = db
        self._bucket = bucket
        self._holder = holder
        self._forget_after = forget_after_seconds
        self._loop = asyncio.get_running_loop()
        self._waiters: deque[_Waiter] = deque()
        self._news = _News()
        self._under_way = 0
        self._ahead = 0
        #: What the database takes for held; what is given back unused is told, too.
        self._told = 0
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

    async def acquire(self, *, spends_reserve: bool) -> Slot:
        if not self._waiters and (self._unlimited or self._ahead):
            return self._let_out()
        waiter = _Waiter(self._loop.create_future(), spends_reserve)
        self._waiters.append(waiter)
        if self._pump is None or self._pump.done():
            self._pump = self._loop.create_task(self._serve())
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and not waiter.future.exception():
                waiter.future.result().unsent()
            raise

    def note_passed(self, facts: QuotaFacts | None) -> None:
        now = self._loop.time()
        self._under_way -= 1
        self._news.passed_at.append(now)
        if facts is not None:
            self._note_facts(facts, now)
        if self._on_trial:
            self._stir.set()
        self._tend()

    def note_refused(self, after_seconds: float | None, *, daily: bool) -> None:
        self._under_way -= 1
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
        if self._waiters:
            self._ahead += 1
            self._stir.set()
        self._tend()

    async def close(self) -> None:
        """Report what is unreported and give everything back. Waiters are cancelled."""
        for task in (self._pump, self._tender):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(t for t in (self._pump, self._tender) if t), return_exceptions=True)
        while self._waiters:
            self._waiters.popleft().future.cancel()
        self._ahead = 0
        if self._opened:
            await self._call(0, spends_reserve=False)

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
        """Serve the waiters, first come first served, until there are none."""
        while self._waiters:
            self._drop_cancelled()
            while self._waiters and (self._unlimited or self._ahead):
                waiter = self._waiters.popleft()
                if not waiter.future.done():
                    waiter.future.set_result(self._let_out())
            if not self._waiters:
                return
            try:
                await self._ask()
            except SynclineError as error:
                while self._waiters:
                    self._fail(self._waiters.popleft(), Unavailable(str(error), unsent=True))
            except Exception as error:  # noqa: BLE001 - a bug must reach those who wait, not leave them waiting
                while self._waiters:
                    self._fail(self._waiters.popleft(), error)

    async def _ask(self) -> None:
        """Ask for as many slots as are wanted alike at the head of the line, and wait when there are none."""
        spends_reserve = self._waiters[0].spends_reserve
        wanted = 0
        for waiter in self._waiters:
            if waiter.spends_reserve is not spends_reserve:
                break
            wanted += 1
        self._stir.clear()
        grant = await self._call(wanted, spends_reserve=spends_reserve)
        if grant.granted or grant.unlimited:
            return
        if grant.day_wait_ms is not None:
            self._stop_for_the_day(grant.day_wait_ms / 1000, spends_reserve=spends_reserve)
            return
        wait = grant.wait_ms / 1000
        if wait > PATIENCE_SECONDS:
            while self._waiters:
                self._fail(self._waiters.popleft(), RateLimited(after_seconds=wait))
            return
        try:
            async with asyncio.timeout(min(wait, _LOOK_AGAIN_SECONDS)):
                await self._stir.wait()
        except TimeoutError:
            pass

    async def _call(self, wanted: int, *, spends_reserve: bool) -> Grant:
        """Report the news and ask for slots, in one round trip."""
        async with self._calling:
            now = self._loop.time()
            self._plan_reach(wanted, now)
            news, self._news = self._news, _News()
            self._called_at = now
            held = self._under_way + self._ahead
            try:
                grant = await self._take(news.report(now), wanted, held, spends_reserve=spends_reserve)
            except BaseException:
                self._news.merge(news)
                raise
            self._ahead += grant.granted
            self._told = held + grant.granted
            self._window = grant.window_ms / 1000
            self._limit = grant.max_calls
            self._on_trial = grant.on_trial
            # A refusal that came meanwhile is news the database does not know yet.
            self._unlimited = grant.unlimited and not self._news.refused_at
            return grant

    async def _take(self, report: Report, wanted: int, held: int, *, spends_reserve: bool) -> Grant:
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
                    wanted=wanted,
                    held=held,
                    ahead=self._reach,
                    spends_reserve=spends_reserve,
                    forget_after_ms=_ms(self._forget_after),
                )
            if grant is not None:
                return grant
            self._opened = False  # a crash of the server has emptied the unlogged tables

    def _plan_reach(self, wanted: int, now: float) -> None:
        """Take more ahead the quicker slots go, and nothing when they go slowly."""
        if wanted and now - self._called_at < 0.1:
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
            urgent = bool(self._news.refused_at) and not self._waiters
            stale = self._loop.time() - self._called_at > self._forget_after / 4
            if not (urgent or (idle and self._is_owing()) or stale):
                continue
            if idle and not self._waiters:
                self._ahead = 0
            try:
                await self._call(0, spends_reserve=False)
            except RetryLater:
                continue  # the news is kept; whoever asks for a slot will see the error

    def _is_owing(self) -> bool:
        """Whether the database does not know yet how things are here, or what is here could be given back."""
        held = self._under_way + self._ahead
        return bool(self._news or self._ahead) or (held != self._told and not self._unlimited)

    def _stop_for_the_day(self, wait: float, *, spends_reserve: bool) -> None:
        message = "Today's budget of calls to this account is used up, but for the part kept for other tools."
        kept = [waiter for waiter in self._waiters if waiter.spends_reserve and not spends_reserve]
        for waiter in self._waiters:
            if waiter not in kept:
                self._fail(waiter, RateLimited(message, after_seconds=wait, daily=True))
        self._waiters = deque(kept)

    def _drop_cancelled(self) -> None:
        while self._waiters and self._waiters[0].future.done():
            self._waiters.popleft()

    @staticmethod
    def _fail(waiter: _Waiter, error: Exception) -> None:
        if not waiter.future.done():
            waiter.future.set_exception(error)


class Governor:
    """Gives out slots for calls to one account, for all tasks of one event loop. Use with `async with`."""

    def __init__(
        self,
        db: Database,
        *,
        platform: str,
        account_id: str,
        quotas: Sequence[Quota],
        forget_after_seconds: float = FORGET_AFTER_SECONDS,
    ) -> None:
        self._db = db
        self._buckets = {q.bucket: _bucket(q, quotas, platform, account_id) for q in quotas}
        self._holder = uuid4()
        self._forget_after = forget_after_seconds
        self._lanes: dict[str, _Lane] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def acquire(self, bucket: str, *, spends_reserve: bool = False) -> Slot | None:
        """Wait for a slot of `bucket`, first come first served; None when it has no quota to be kept.

        The day's last tenth is kept for other tools: only `spends_reserve` may touch it.
        Raises `RateLimited` when the day's budget is used up (`daily`) or the server closed the bucket for
        longer than is worth waiting, `Unavailable` when the database does not answer.
        """
        lane = self._lanes.get(bucket)
        if lane is None:
            if bucket not in self._buckets:
                return None
            lane = _Lane(self._db, self._buckets[bucket], self._holder, self._forget_after)
            self._lanes[bucket] = lane
        return await lane.acquire(spends_reserve=spends_reserve)

    async def aclose(self) -> None:
        """Report and give back everything, so that no other process waits for it."""
        lanes, self._lanes = self._lanes, {}
        await asyncio.gather(*(lane.close() for lane in lanes.values()), return_exceptions=True)


class Governors:
    """The governors of one process, one per account. Use with `async with`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._governors: dict[tuple[str, str], Governor] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for governor in self._governors.values():
            await governor.aclose()

    def of_account(self, platform: str, account_id: str, quotas: Sequence[Quota]) -> Governor:
        """Return this process's governor of an account; `quotas` count at its first use."""
        key = (platform, account_id)
        if key not in self._governors:
            self._governors[key] = Governor(self._db, platform=platform, account_id=account_id, quotas=quotas)
        return self._governors[key]


async def usage(db: Database, platform: str, account_id: str) -> list[Usage]:
    """Return how far an account's buckets and daily budgets are used, for status pages."""
    async with db.statement() as conn:
        return await store.list_usage(conn, platform=platform, account_id=account_id)


def _bucket(quota: Quota, quotas: Sequence[Quota], platform: str, account_id: str) -> Bucket:
    # A bucket without a daily limit of its own counts to the account's, which the first one names.
    budget = quota.bucket if quota.daily_limit is not None else quotas[0].bucket
    daily = quota.daily_limit if quota.daily_limit is not None else quotas[0].daily_limit
    return Bucket(
        platform=platform,
        account_id=account_id,
        name=quota.bucket,
        budget=budget,
        calls=quota.limit,
        window_ms=_ms(quota.window.total_seconds()),
        has_headers=quota.has_headers,
        daily_calls=daily,
    )


def _ms(seconds: float) -> int:
    # Cut off: a call that seems younger than it is holds its slot a little longer, never too short.
    return max(0, int(seconds * 1000))


def _longer(one: float | None, other: float | None) -> float | None:
    return max(one, other) if one is not None and other is not None else one if other is None else other
