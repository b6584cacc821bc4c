"""Answers that were worked out before and still hold: given again as long as nothing under them has changed.

A key says whose answer it is (the tenant, whose records the caller sees), what was asked, and by the tokens
of `store.generations` on what state of which tables it rests. The tokens are read anew for every question, so
that an answer is never older than the question, whoever changed something and by whatever road.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import pickle
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, TypeVar, cast
from uuid import UUID
from weakref import WeakKeyDictionary, WeakValueDictionary

import structlog

from syncline import clock
from syncline.actions.cache_store import Store, open_store
from syncline.actions.hub import Hub
from syncline.actions.measuring import Filters
from syncline.domain.callers import Caller
from syncline.domain.metrics import AT_A_MOMENT
from syncline.errors import Unavailable
from syncline.store import generations
from syncline.store.db import Database
from syncline.store.generations import WATCHED
from syncline.store.reports import Report

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")

Kind = Literal["contact", "company", "deal", "hot_leads", "dashboard", "metrics", "table"]
#: For how long an answer may be given again, in seconds, where nothing has changed.
LIFETIMES: Mapping[Kind, float] = {
    "contact": 300,
    "company": 600,
    "deal": 180,
    "hot_leads": 60,
    "dashboard": 300,
    "metrics": 300,
    "table": 300,
}
#: Two versions that share a Redis do not understand each other's answers.
_VERSION = importlib.metadata.version("syncline")
#: What hangs on the time of day holds until the next of these: midnight anywhere is one of them.
_QUARTER = timedelta(minutes=15)
#: Rows of counts that are read for a token before they are put together.
_MOST_ROWS = 400
#: When they could not be put together, that is tried again after so long.
_FOLD_AGAIN_SECONDS = 30.0
#: What whoever waits is told when nothing more is worked out.
_ENDING = "This process of Syncline is ending. Ask again in a moment."
#: What every number is asked with; see `measuring.find_scope`.
SCOPE = frozenset({"app.tenants", "app.metric_settings", "crm.owners", "crm.pipelines", "sync.connections"})


@dataclass(slots=True)
class Use:
    """What a door allows for one request, and what came of it."""

    #: False where the client wants nothing that was kept; what is worked out is kept all the same.
    may_read: bool = True
    hits: int = 0
    misses: int = 0
    #: When the oldest answer that was given again was worked out.
    oldest_at: datetime | None = None

    def age_seconds(self, now: datetime) -> int:
        return 0 if self.oldest_at is None else max(0, int((now - self.oldest_at).total_seconds()))


#: Outside of a door that opened one nothing is kept: a command lives too short for it.
_use: ContextVar[Use | None] = ContextVar("cache_use", default=None)


@contextmanager
def using(use: Use) -> Generator[Use]:
    """Let what is asked within the block be answered with what is known already."""
    token = _use.set(use)
    try:
        yield use
    finally:
        _use.reset(token)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, as far as it tells one answer from another; whose it is comes from the caller."""

    kind: Kind
    #: Everything else that the answer hangs on; told apart by their `repr`.
    asked: tuple[Any, ...]
    #: The tables that the answer rests on, with their schema.
    tables: frozenset[str]
    #: False where all who see everything are told the same, whichever owners they are.
    asks_for_me: bool = True


_RELATION = re.compile(r"\b(?:app|crm|raw|sync)\.\w+")
#: What views that reports ask are made of.
VIEWS: Mapping[str, frozenset[str]] = {"crm.deal_people": frozenset({"crm.deals", "crm.deal_contacts"})}
#: What is counted beside a report whose records may have no time.
_BESIDES = {"won": {"crm.deals"}, "closed": {"crm.deals"}, "calls": {"crm.activities"}}
#: Asked only about the records of one connection. It moves with everything that is synced.
_LINKS = "sync.links"


def ask_reports(kind: Kind, wanted: Iterable[Report], asked: object, by: Filters) -> Question:
    """Return the question for what reports come to, with what each number is asked with, by now's clock."""
    found: set[str] = set(SCOPE)
    names: list[str] = []
    for report in wanted:
        names.append(report.name)
        for relation in _RELATION.findall(report.statement):
            found |= VIEWS.get(relation, {relation})
        found |= _BESIDES.get(report.undated or "", set())
        if report.shape in AT_A_MOMENT:
            found.add("crm.field_history")
    tables = frozenset(found if by.connection is not None else found - {_LINKS})
    return Question(kind, (quarter_hour(clock.now()), tuple(names), asked), tables, by.is_for_me)


class _Shared(Generic[_T]):
    """Work that several wait for. It goes on for as long as one of them does, and ends with the last."""

    def __init__(self, work: Coroutine[Any, Any, _T], ended: Callable[[_Shared[_T]], None]) -> None:
        self._asking = 0
        self._is_left = False
        self._ended = ended
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._note_end)

    @property
    def is_over(self) -> bool:
        """True when nobody may join any more: it has ended, or is about to, since all have gone."""
        return self._is_left or self._task.done()

    async def result(self) -> _T:
        """Wait for it. Raises what it raised, and `Unavailable` when it was ended before it was done."""
        self._asking += 1
        try:
            await asyncio.wait([self._task])
        finally:
            self._asking -= 1
            if not self._asking:
                self._leave()
        if self._task.cancelled():
            raise Unavailable(_ENDING)
        return self._task.result()

    async def over(self) -> None:
        """Wait until it has ended, however it does; that alone keeps it going for nobody."""
        await asyncio.wait([self._task])

    async def end(self) -> None:
        """End it before it is done, and wait until it has."""
        self._leave()
        await self.over()

    def _leave(self) -> None:
        self._is_left = True
        self._task.cancel()

    def _note_end(self, task: asyncio.Task[_T]) -> None:
        self._ended(self)
        # Who waits is told how it ended. Where nobody does any more, a failure is nobody's concern.
        if not task.cancelled():
            task.exception()


@dataclass(slots=True)
class _Tokens:
    """Reads of one tenant's tokens: one at a time, and one for all who came while it was under way."""

    running: _Shared[Mapping[str, str]] | None = None
    waiting: _Shared[Mapping[str, str]] | None = None


@dataclass(slots=True)
class _Cache:
    """What one process knows of one database."""

    store: Store | None
    tokens: dict[UUID, _Tokens] = field(default_factory=dict[UUID, _Tokens])
    #: Key → the answer that is being worked out for all who ask for it; held below for as long as it is.
    answers: WeakValueDictionary[str, _Shared[Any]] = field(
        default_factory=WeakValueDictionary[str, _Shared[Any]]
    )
    #: All that was begun and has not ended: answers, and reads of tokens.
    under_way: set[_Shared[Any]] = field(default_factory=set[_Shared[Any]])
    is_closed: bool = False
    fold_at: float = 0.0
    is_fold_failing: bool = False


_caches: WeakKeyDictionary[Database, _Cache] = WeakKeyDictionary()


async def answer(hub: Hub, caller: Caller, question: Question, compute: Callable[[], Awaitable[_T]]) -> _T:
    """Return what `compute` returns, or what it returned before if that still holds.

    Nobody waits for more than one computation of the same thing. What was kept comes as a copy of its own.
    Whether the caller may ask at all was found out before.
    """
    use = _use.get()
    cache = None if use is None else _cache_of(hub)
    if use is None or cache is None or cache.store is None or not question.tables <= WATCHED:
        return await compute()
    tokens = await _read_tokens(cache, hub)
    key = _key(hub, caller, question, tokens)
    if use.may_read:
        found = await _find(cache.store, key)
        if found is not None:
            computed_at, value = found
            use.hits += 1
            use.oldest_at = min(use.oldest_at or computed_at, computed_at)
            return cast("_T", value)
    use.misses += 1
    return await _compute_once(cache, cache.store, key, question, compute)


def _cache_of(hub: Hub) -> _Cache:
    found = _caches.get(hub.db)
    if found is None:
        found = _caches[hub.db] = _Cache(open_store(hub.settings, hub.vault))
    return found


async def close_cache(db: Database) -> None:
    """End what was kept of a database in this process, and what is being worked out.

    Whoever waits for that is told `Unavailable`. When this returns nothing of it uses the database any more.
    """
    cache = _caches.pop(db, None)
    if cache is None:
        return
    cache.is_closed = True
    await asyncio.gather(*(each.end() for each in cache.under_way))
    if cache.store is not None:
        await cache.store.close()


def _begin(cache: _Cache, work: Coroutine[Any, Any, _T]) -> _Shared[_T]:
    """Begin what several may wait for. Raises `Unavailable` once the cache is closed."""
    if cache.is_closed:
        work.close()
        raise Unavailable(_ENDING)
    shared = _Shared(work, cache.under_way.discard)
    cache.under_way.add(shared)
    return shared


async def _read_tokens(cache: _Cache, hub: Hub) -> Mapping[str, str]:
    """Return tokens that are read from now on. A read that is under way may have begun too early."""
    known = cache.tokens.setdefault(hub.tenant_id, _Tokens())
    if known.running is None or known.running.is_over:
        known.running = _begin(cache, _look(cache, hub))
        return await known.running.result()
    if known.waiting is None or known.waiting.is_over:
        known.waiting = _begin(cache, _look_after(cache, known, known.running, hub))
    return await known.waiting.result()


async def _look_after(
    cache: _Cache, known: _Tokens, running: _Shared[Mapping[str, str]], hub: Hub
) -> Mapping[str, str]:
    await running.over()
    # From here on whoever comes waits for the next one.
    known.running, known.waiting = known.waiting, None
    return await _look(cache, hub)


async def _look(cache: _Cache, hub: Hub) -> Mapping[str, str]:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        tokens, rows = await generations.read(conn, tenant_id=hub.tenant_id)
    if rows > _MOST_ROWS and time.monotonic() >= cache.fold_at:
        await _fold(cache, hub)
    return tokens


async def _fold(cache: _Cache, hub: Hub) -> None:
    """Put counts together if that can be done now. Tokens are good without: no read fails for it."""
    try:
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            await generations.fold(conn, tenant_id=hub.tenant_id)
    except Exception as error:  # noqa: BLE001 - a lock, a server that only reads: see above
        cache.fold_at = time.monotonic() + _FOLD_AGAIN_SECONDS
        if not cache.is_fold_failing:
            cache.is_fold_failing = True
            _log.warning("cache_counts_unfolded", reason=type(error).__name__)
    else:
        cache.is_fold_failing = False


def _key(hub: Hub, caller: Caller, question: Question, tokens: Mapping[str, str]) -> str:
    # Of whoever sees everything the owners matter only where what is asked for is theirs.
    owner_ids = () if caller.sees_all and not question.asks_for_me else caller.owner_ids
    view = (caller.sees_all, sorted(str(each) for each in owner_ids))
    states = [(name, tokens[name]) for name in sorted(question.tables)]
    told = repr((_VERSION, str(hub.tenant_id), view, question.kind, question.asked, states))
    # Hashed: what somebody asked for may name a person.
    return f"syncline:{question.kind}:{hashlib.sha256(told.encode()).hexdigest()}"


async def _find(store: Store, key: str) -> tuple[datetime, Any] | None:
    kept = await store.find(key)
    if kept is None:
        return None
    try:
        # From this process, or sealed by one with the installation's key.
        return pickle.loads(kept)  # noqa: S301 - see the line above
    except Exception as error:  # noqa: BLE001 - of another build of this version: as good as not there
        _log.warning("cached_answer_unreadable", reason=type(error).__name__)
        return None


async def _compute_once(
    cache: _Cache, store: Store, key: str, question: Question, compute: Callable[[], Awaitable[_T]]
) -> _T:
    known = cache.answers.get(key)
    if known is not None and not known.is_over:
        # A copy: nobody may find in their answer what somebody else has written into theirs.
        return cast("_T", pickle.loads((await known.result())[1])[1])  # noqa: S301 - made here
    mine = cache.answers[key] = _begin(cache, _compute(store, key, question, compute))
    return (await mine.result())[0]


async def _compute(
    store: Store, key: str, question: Question, compute: Callable[[], Awaitable[_T]]
) -> tuple[_T, bytes]:
    computed_at = clock.now()
    value = await compute()
    kept = pickle.dumps((computed_at, value), protocol=pickle.HIGHEST_PROTOCOL)
    await store.keep(key, kept, LIFETIMES[question.kind])
    return value, kept


def this_minute(now: datetime) -> str:
    """Return the minute that it is, for what hangs on more than the day."""
    return now.replace(second=0, microsecond=0).isoformat()


def quarter_hour(now: datetime) -> str:
    """Return the quarter of an hour that it is: part of every question whose answer hangs on the day."""
    return (now - (now - datetime.min.replace(tzinfo=now.tzinfo)) % _QUARTER).isoformat()
