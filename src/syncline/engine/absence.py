"""Finds records the CRM no longer has: archived, merged away or erased. None of them moves a modified time.

A partial read is never taken for a deletion: a record counts as missing only after a whole list of ids,
read without a failure, does not have it, and reading it by its id finds nothing either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from syncline.clock import from_ms, now
from syncline.connectors.base import Connector
from syncline.connectors.reads import Page
from syncline.engine.prepare import list_unreadable, prepare_page
from syncline.engine.write import Target
from syncline.store import absences, cursors, payloads
from syncline.store.db import Conn
from syncline.store.runs import RunCounts

KIND = "absence"


@dataclass(frozen=True, slots=True)
class _Counts:
    there: int | None
    here: int

    @property
    def agree(self) -> bool:
        return self.there == self.here


@dataclass(frozen=True, slots=True)
class Suspects:
    """Ids that one side has and the other has not."""

    #: Living here, and not in their list.
    unlisted: list[str]
    #: In their list, and not living here.
    strangers: list[str]
    #: How many the list holds.
    listed: int


class Absence:
    """Compares what the CRM lists with what the mirror holds as living."""

    def __init__(self, target: Target, connector: Connector, properties: list[str]) -> None:
        self._target = target
        self._connector = connector
        self._properties = properties

    @property
    def batch(self) -> int:
        """How many ids may be asked for at once."""
        return self._connector.capabilities.read_batch

    async def run(self, *, always_archived: bool = False, listed: Iterable[str] | None = None) -> None:
        """Notice what went away or came back. Costs one call when nothing did.

        `always_archived` reads the archived records whatever the counts say, as after a first load.
        `listed` is every living id, as read from end to end just now without a failure, where that is known.
        """
        target = self._target
        counts = await self._count()
        if counts.agree and not always_archived:
            return
        if counts.there is None and target.remote_object.incremental:
            await self._look_without_counts(counts.here, always_archived=always_archived)
            return
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            state = await cursors.find_state(conn, **target.cursor_keys(KIND)) or {}
        explained = state.get("explained") == [counts.there, counts.here]
        if counts.there is not None and explained and not always_archived:
            # The same disagreement was looked into before, and nothing was found to be gone.
            return
        await self.read_archived()
        counts = await self._count()
        if not counts.agree and (counts.there is None or counts.here > counts.there or "short" in state):
            await self._compare_ids(listed)
            counts = await self._count()
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            # Fewer here than there is mostly an index that is ahead of the list or a record of this very
            # moment: looked into only when the next run finds it so as well.
            short = counts.there is not None and counts.here < counts.there and "short" not in state
            await cursors.remove(conn, **target.cursor_keys(KIND))
            remembered = {"short": True} if short else {"explained": [counts.there, counts.here]}
            await cursors.put(conn, remembered, now=now(), **target.cursor_keys(KIND))

    async def _look_without_counts(self, here: int, *, always_archived: bool) -> None:
        """Notice absences where the CRM counts nothing: only its whole list of ids would tell.

        That is too dear for every run, and read by each reconcile. After a walk it is read where the walk
        brought fewer records than live here.
        """
        if not always_archived:
            return
        walked = self._target.counts.read
        await self.read_archived()
        if walked < here:
            await self._compare_ids()

    async def _count(self) -> _Counts:
        target = self._target
        there = await self._connector.count(target.object_name)
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            here = await payloads.count_living(conn, target.table, **target.keys)
        return _Counts(there, here + target.unkept)

    async def read_archived(self) -> None:
        """Bring in the archived records, and so those that were archived since."""
        after = ""
        while True:
            page = await self._connector.archived_page(self._target.object_name, self._properties, after)
            await self._target.commit(prepare_page(page, self._target.mapper), list_unreadable(page))
            if page.after is None:
                return
            after = page.after

    async def _compare_ids(self, listed: Iterable[str] | None = None) -> None:
        """Compare the ids of both sides, and read by id whatever only one of them has."""
        suspects = await self.find_suspects(listed)
        ids = suspects.unlisted + suspects.strangers
        for start in range(0, len(ids), self.batch):
            await self.confirm(ids[start : start + self.batch])

    async def find_suspects(self, listed: Iterable[str] | None = None) -> Suspects:
        """Return the ids that only one side has, after a whole list of theirs.

        `listed` is one that the caller has read from end to end without a failure; else it is read now, and
        a failure raised. That a record is not listed proves nothing yet: ask `confirm`.
        """
        target = self._target
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            living = set(await payloads.list_living_ids(conn, target.table, **target.keys))
        if listed is not None:
            there = set(listed)
            return Suspects(sorted(living - there), sorted(there - living), len(there))
        strangers: list[str] = []
        after, count = "", 0
        while True:
            ids, following = await self._connector.list_ids(target.object_name, after, "")
            count += len(ids)
            strangers.extend(remote_id for remote_id in ids if remote_id not in living)
            living.difference_update(ids)
            if following is None:
                return Suspects(sorted(living), strangers, count)
            after = following

    async def confirm(self, suspects: Sequence[str]) -> list[str]:
        """Ask for each by its id, archive those that are gone and return them; the others are written.

        A record may have been created, or merged, while the list was read. Up to `read_batch` ids.
        """
        page, gone = await self.ask(suspects)
        await self._target.commit(prepare_page(page, self._target.mapper), list_unreadable(page))
        if gone:
            await self.mark(gone, "missing", asked_ms=page.requested_ms)
        return gone

    async def ask(self, suspects: Sequence[str]) -> tuple[Page, list[str]]:
        """Read up to `read_batch` records by id; returns them, and the ids of those the CRM does not have.

        What came but cannot be read is there. Which record that is may not be known: then it is found out by
        asking for halves.
        """
        page = await self._connector.read_many(self._target.object_name, suspects, self._properties)
        found = {record.remote_id for record in page.records}
        found.update(remote_id for remote_id, _, _ in page.unreadable)
        if "" in found and len(suspects) > 1:
            middle = len(suspects) // 2
            first, gone = await self.ask(suspects[:middle])
            second, more = await self.ask(suspects[middle:])
            records, unreadable = first.records + second.records, first.unreadable + second.unreadable
            return Page(records, page.requested_ms, unreadable=unreadable), gone + more
        if "" in found:
            return page, []
        return page, [remote_id for remote_id in suspects if remote_id not in found]

    async def mark(self, gone: Sequence[str], reason: str, *, asked_ms: int | None = None) -> None:
        """Archive records that are known to be gone: they have been asked for by their ids, in vain.

        What was read of them before `asked_ms`, and is committed later, does not bring them back.
        """
        target = self._target
        counts = RunCounts()
        async with target.db.transaction(tenant_id=target.tenant_id, bulk=True) as conn:
            await target.prove_lease(conn)
            await self._mark(conn, gone, reason, asked_ms, counts)
            await target.record_counts(conn, counts)
        target.counts.add(counts)

    async def _mark(
        self, conn: Conn, gone: Sequence[str], reason: str, asked_ms: int | None, counts: RunCounts
    ) -> None:
        target = self._target
        at = now()
        marked = await payloads.mark_gone(
            conn,
            target.table,
            gone,
            reason=reason,
            now=at,
            asked_at=None if asked_ms is None else from_ms(asked_ms),
            **target.keys,
        )
        counts.archived += len(marked)
        await target.release(conn, gone)
        if target.mapper is not None and marked:
            await absences.archive_records(
                conn,
                target.mapper.record_type,
                marked,
                **target.keys,
                object_name=target.object_name,
                run_id=target.run_id,
                actor=target.actor,
                now=at,
            )
