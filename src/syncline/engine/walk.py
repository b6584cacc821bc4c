"""Backfill: reads an object from end to end, several id ranges at once, as fast as the quota allows.

Each range has a cursor of its own that commits with its records. A range belongs to one writer, so that
its cursor never runs ahead of a chunk that is still being written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from syncline.clock import now
from syncline.connectors.base import Connector
from syncline.connectors.reads import Page, Walk
from syncline.engine.prepare import Prepared, list_unreadable, prepare_page
from syncline.engine.write import CHUNK_BYTES, AlsoCommit, Target
from syncline.errors import SynclineError
from syncline.store import cursors
from syncline.store.db import Conn
from syncline.store.parked import Parked

KIND = "backfill"
#: Ranges walked at once. At 150 ms a call, 190 calls in 10 s need three; more shorten the tail.
WALKERS = 8
#: Pages a writer lets wait before the walkers pause: two chunks and a half of 20 pages of 100. Where a quota
#: makes everybody wait now and then, this is what can be read meanwhile.
_WAITING_PAGES = 50
#: A range with fewer expected records left is not worth the page that a split reads twice, in part; nor is
#: one that would give halves smaller than `Walk.smallest_range`.
_SMALLEST_SPLIT = 1000
_WORTH_STATISTICS = 4000
#: Above every id: the last range is open, since records are created while the walk goes on.
OPEN_END = ""

#: Writes a chunk and what has to commit with it. As `Target.commit`, and safe to repeat like that.
WriteChunk = Callable[[Sequence[Prepared], Sequence[Parked], AlsoCommit], Awaitable[None]]


@dataclass(slots=True)
class IdRange:
    """Records with an id above `after`, up to and including `until` ("" is open)."""

    part: int
    after: str
    until: str
    #: Records seen, and ids passed over, to guess how many are left.
    seen: int = 0
    begun_at: int = 0
    done: bool = False
    busy: bool = False

    def state(self) -> dict[str, object]:
        return {"after": self.after, "until": self.until, "done": self.done}


@dataclass(slots=True)
class _Delivery:
    """A page on its way to a writer, with the cursor that becomes true when it is written."""

    part: int
    after: str
    done: bool
    records: list[Prepared]
    unreadable: list[Parked]


@dataclass(slots=True)
class _Batch:
    records: list[Prepared] = field(default_factory=list[Prepared])
    unreadable: list[Parked] = field(default_factory=list[Parked])
    cursors: dict[int, tuple[str, bool]] = field(default_factory=dict[int, tuple[str, bool]])
    size: int = 0

    def add(self, delivery: _Delivery) -> None:
        self.records.extend(delivery.records)
        self.unreadable.extend(delivery.unreadable)
        self.cursors[delivery.part] = (delivery.after, delivery.done)
        self.size += sum(len(record.payload) for record in delivery.records)

    def is_full(self, chunk_rows: int) -> bool:
        return len(self.records) >= chunk_rows or self.size >= CHUNK_BYTES


class Backfill:
    """One walk over one object; it begins where the last one of its `kind` was cut off.

    Walks of several kinds may go on beside each other. `write` takes the place of `Target.commit`. `plan` is
    what `plan_walk` found just now, where it was asked already.
    """

    def __init__(
        self,
        target: Target,
        connector: Connector,
        properties: list[str],
        *,
        kind: str = KIND,
        write: WriteChunk | None = None,
        plan: Walk | None = None,
    ) -> None:
        self._target = target
        self._connector = connector
        self._properties = properties
        self._kind = kind
        self._write_chunk: WriteChunk = write or target.commit
        self._ranges: list[IdRange] = []
        self._plan = plan
        self._walk = plan or Walk("serial")
        #: True when an earlier run has read a part of it, nobody knows how much.
        self._is_resumed = False
        #: True once the planner has been told of the first thousands of records.
        self._has_statistics = False
        #: True once no more bounds will come.
        self._is_cut = False
        self._queues: list[asyncio.Queue[_Delivery | None]] = []
        self._splitting = asyncio.Lock()
        #: Ids of living records, of objects that are read from end to end each time, and so are few.
        self._listed: set[str] | None = None if target.remote_object.incremental else set()

    @property
    def is_resumed(self) -> bool:
        """True when an earlier run has read a part of it; known once it runs."""
        return self._is_resumed

    @property
    def listed(self) -> set[str] | None:
        """Every living id that the walk came by; None where it began before this run, or they are many."""
        return None if self._is_resumed else self._listed

    async def run(self) -> None:
        """Read everything. Raises what the connector raises; what was committed stays."""
        await self._prepare()
        self._queues = [asyncio.Queue(_WAITING_PAGES) for _ in range(self._target.writers)]
        async with asyncio.TaskGroup() as group:
            writers = [group.create_task(self._write(queue)) for queue in self._queues]
            async with asyncio.TaskGroup() as walking:
                walking.create_task(self._cut())
                for _ in range(WALKERS if self._walk.kind != "serial" else 1):
                    walking.create_task(self._walk_ranges())
            for queue in self._queues:
                await queue.put(None)
            del writers

    async def _prepare(self) -> None:
        target = self._target
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            parts = await cursors.list_parts(conn, **self._target.cursor_keys(self._kind))
        resumable = {part.part: part.state for part in parts}
        kind = str(resumable.get(0, {}).get("kind", ""))
        self._walk = self._plan or await self._connector.plan_walk(target.object_name)
        target.expected = self._walk.total
        if resumable and kind == self._walk.kind:
            self._is_resumed = True
            self._ranges = [
                IdRange(part, str(state["after"]), str(state["until"]), done=bool(state["done"]))
                for part, state in resumable.items()
            ]
            for each in self._ranges:
                each.begun_at = _position(each.after)
            return
        self._ranges = _first_ranges(self._walk)
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            await cursors.remove(conn, **self._target.cursor_keys(self._kind))
            for each in self._ranges:
                await self._put(conn, each.part, each.state() | {"kind": self._walk.kind})

    async def _put(self, conn: Conn, part: int, state: dict[str, object]) -> None:
        await cursors.put(conn, state, part=part, now=now(), **self._target.cursor_keys(self._kind))

    async def _cut(self) -> None:
        """Cut the last range at the ids that the CRM counts off, while it is being walked.

        Ids come in clusters with gaps of billions between them, so that equal spans are no equal parts: each
        empty one costs a page. Where it fails, halves are guessed.
        """
        try:
            if self._is_resumed or not _is_worth_cutting(self._walk):
                return
            with suppress(SynclineError):
                async for bound in self._connector.find_bounds(self._target.object_name, self._walk, WALKERS):
                    async with self._splitting:
                        last = self._ranges[-1]
                        if last.done or _position(last.after) >= bound:
                            continue
                        (await self._split_at(last, bound)).busy = False
        finally:
            self._is_cut = True

    async def _walk_ranges(self) -> None:
        while (mine := await self._take_range()) is not None:
            try:
                while not mine.done:
                    await self._read_page(mine)
            finally:
                mine.busy = False

    async def _take_range(self) -> IdRange | None:
        """Return a range to walk: a waiting one, else half of the largest; None when nothing is left."""
        while True:
            for each in self._ranges:
                if not each.done and not each.busy:
                    each.busy = True
                    return each
            split = await self._split_largest() if self._is_cut else None
            if split is not None:
                return split
            if all(each.done for each in self._ranges):
                return None
            # Whoever is still reading may turn out to have more than one call's worth left.
            await asyncio.sleep(0.02)

    async def _split_largest(self) -> IdRange | None:
        """Give the upper half of the largest range to a new one, for the caller; None when all are small.

        The database knows of a split before we act on it, and of one split at a time. Otherwise a crash could
        leave a half to nobody: the lower one walked to its new end, the upper one not yet written down.
        """
        if self._walk.kind == "serial":
            return None
        async with self._splitting:
            return await self._split()

    async def _split(self) -> IdRange | None:
        left = [(self._expect_left(each), each) for each in self._ranges if not each.done]
        if not left:
            return None
        expected, largest = max(left, key=lambda pair: pair[0])
        if expected < _smallest_split(self._walk):
            return None
        return await self._split_at(largest, self._middle_of(largest, expected))

    async def _split_at(self, lower: IdRange, middle: int) -> IdRange:
        part = max(each.part for each in self._ranges) + 1
        new = IdRange(part, str(middle), lower.until, begun_at=middle, busy=True)
        async with self._target.db.transaction(tenant_id=self._target.tenant_id) as conn:
            await self._put(conn, lower.part, {"until": str(middle)})
            await self._put(conn, part, new.state())
        # Whoever walks the lower half may have gone past the middle meanwhile, or to the end. What he has
        # delivered must not come again while it is still being written: two writers would both make it new.
        if lower.done:
            new.done = True
        else:
            new.begun_at = max(middle, _position(lower.after))
            lower.until = new.after = str(new.begun_at)
        self._ranges.append(new)
        return new

    def _end_of(self, each: IdRange) -> int:
        return self._walk.last if each.until == OPEN_END else int(each.until)

    def _middle_of(self, each: IdRange, expected: float) -> int:
        """Guess the id with half of the expected records below it.

        Ids come in clusters with gaps of billions between them: half the way would nearly always be a gap.
        """
        start = _position(each.after)
        halfway = (self._end_of(each) - start) // 2
        passed = start - each.begun_at
        if each.seen and passed:
            return start + max(1, min(halfway, int(expected / 2 * passed / each.seen)))
        return start + halfway

    def _expect_left(self, each: IdRange) -> float:
        """Guess the records left in a range from how dense its ids, or all ids, have been so far.

        There cannot be more of them than are left at all.
        """
        left = max(0, self._end_of(each) - _position(each.after))
        passed = _position(each.after) - each.begun_at
        if each.seen and passed:
            expected = left * each.seen / passed
        else:
            span = max(1, self._walk.last - self._walk.first)
            expected = left * (self._walk.total or 0) / span
        if not self._walk.total or self._is_resumed:
            return expected
        return min(expected, max(0, self._walk.total - sum(other.seen for other in self._ranges)))

    async def _read_page(self, mine: IdRange) -> None:
        target = self._target
        page = await self._connector.walk_page(
            target.object_name, self._properties, self._walk, mine.after, mine.until
        )
        delivery = self._deliver(mine, page)
        await self._queues[mine.part % self._target.writers].put(delivery)

    def _deliver(self, mine: IdRange, page: Page) -> _Delivery:
        if self._listed is not None:
            self._listed.update(each.remote_id for each in page.records if each.archived_ms is None)
            self._listed.update(remote_id for remote_id, _, _ in page.unreadable if remote_id)
        records = prepare_page(page, self._target.mapper)
        mine.seen += len(records)
        after = page.after
        if self._walk.kind != "serial" and mine.until != OPEN_END:
            # Another walker may have taken the upper half while this page was on its way.
            until = int(mine.until)
            records = [record for record in records if _position(record.remote_id) <= until]
            if after is not None and _position(after) >= until:
                after = None
        mine.done = after is None
        if after is not None:
            mine.after = after
        return _Delivery(mine.part, mine.after, mine.done, records, list_unreadable(page))

    async def _write(self, queue: asyncio.Queue[_Delivery | None]) -> None:
        batch = _Batch()
        while (delivery := await queue.get()) is not None:
            batch.add(delivery)
            if batch.is_full(self._target.chunk_rows):
                await self._commit(batch)
                batch = _Batch()
        if batch.cursors:
            await self._commit(batch)

    async def _commit(self, batch: _Batch) -> None:
        await self._write_chunk(
            batch.records, batch.unreadable, partial(self._advance, positions=batch.cursors)
        )
        if not self._has_statistics and self._target.counts.created >= _WORTH_STATISTICS:
            # Once in the middle of a load is enough: sizes are extrapolated from then on.
            self._has_statistics = True
            await self._target.refresh_statistics()

    async def _advance(self, conn: Conn, positions: dict[int, tuple[str, bool]]) -> None:
        states = {part: {"after": after, "done": done} for part, (after, done) in positions.items()}
        await cursors.put_parts(conn, states, now=now(), **self._target.cursor_keys(self._kind))


async def begin(conn: Conn, target: Target) -> None:
    """Write down that a walk is to be made, in the transaction that marks from where changes are followed."""
    await cursors.put(conn, IdRange(0, "", OPEN_END).state(), now=now(), **target.cursor_keys(KIND))


async def is_unfinished(conn: Conn, target: Target) -> bool:
    return bool(await cursors.list_parts(conn, **target.cursor_keys(KIND)))


async def end(conn: Conn, target: Target) -> None:
    """Forget the walk, once it and what belongs to it is done: from then on changes are followed."""
    await cursors.remove(conn, **target.cursor_keys(KIND))


def _position(after: str) -> int:
    return int(after) if after.isascii() and after.isdigit() else 0


def _first_ranges(walk: Walk) -> list[IdRange]:
    """Cut the ids into as many equal ranges as there are walkers; the last one is open.

    What is worth more than a guess begins as one range and is cut while it is being walked.
    """
    if walk.kind == "serial":
        return [IdRange(0, "", OPEN_END)]
    first, last = walk.first - 1, walk.last
    count = max(1, min(WALKERS, (walk.total or 0) // walk.smallest_range))
    if _is_worth_cutting(walk):
        count = 1
    bounds = [first + (last - first) * step // count for step in range(count + 1)]
    end = len(bounds) - 2
    return [
        IdRange(part, str(max(0, after)), OPEN_END if part == end else str(until), begun_at=max(0, after))
        for part, (after, until) in enumerate(pairwise(bounds))
    ]


def _is_worth_cutting(walk: Walk) -> bool:
    return walk.kind != "serial" and (walk.total or 0) >= WALKERS * _smallest_split(walk)


def _smallest_split(walk: Walk) -> int:
    return max(_SMALLEST_SPLIT, 2 * walk.smallest_range)
