"""Finds records the CRM no longer has: archived, merged away or erased. None of them moves a modified time.

A partial read is never taken for a deletion: a record counts as missing only after a whole list of ids,
read without a failure, does not have it, and reading it by its id finds nothing either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from syncline.clock import now
from syncline.connectors.base import Connector
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


class Absence:
    """Compares what the CRM lists with what the mirror holds as living."""

    def __init__(self, target: Target, connector: Connector, properties: list[str]) -> None:
        self._target = target
        self._connector = connector
        self._properties = properties

    async def run(self, *, always_archived: bool = False) -> None:
        """Notice what went away or came back. Costs one call when nothing did.

        `always_archived` reads the archived records whatever the counts say, as after a first load.
        """
        target = self._target
        counts = await self._count()
        if counts.agree and not always_archived:
            return
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            state = await cursors.find_state(conn, **target.cursor_keys(KIND)) or {}
        explained = state.get("explained") == [counts.there, counts.here]
        if counts.there is not None and explained and not always_archived:
            # The same disagreement was looked into before, and nothing was found to be gone.
            return
        await self._read_archived()
        counts = await self._count()
        if not counts.agree and (counts.there is None or counts.here > counts.there or "short" in state):
            await self._compare_ids()
            counts = await self._count()
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            # Fewer here than there is mostly an index that is ahead of the list or a record of this very
            # moment: looked into only when the next run finds it so as well.
            short = counts.there is not None and counts.here < counts.there and "short" not in state
            await cursors.remove(conn, **target.cursor_keys(KIND))
            remembered = {"short": True} if short else {"explained": [counts.there, counts.here]}
            await cursors.put(conn, remembered, now=now(), **target.cursor_keys(KIND))

    async def _count(self) -> _Counts:
        target = self._target
        there = await self._connector.count(target.object_name)
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            return _Counts(there, await payloads.count_living(conn, target.table, **target.keys))

    async def _read_archived(self) -> None:
        after = ""
        while True:
            page = await self._connector.archived_page(self._target.object_name, self._properties, after)
            await self._target.commit(prepare_page(page, self._target.mapper), list_unreadable(page))
            if page.after is None:
                return
            after = page.after

    async def _compare_ids(self) -> None:
        """Compare the ids of both sides, and read by id whatever only one of them has."""
        target = self._target
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            living = set(await payloads.list_living_ids(conn, target.table, **target.keys))
        strangers: list[str] = []
        after = ""
        while True:
            ids, following = await self._connector.list_ids(target.object_name, after, "")
            strangers.extend(remote_id for remote_id in ids if remote_id not in living)
            living.difference_update(ids)
            if following is None:
                break
            after = following
        batch = self._connector.capabilities.read_batch
        suspects = sorted(living) + strangers
        for start in range(0, len(suspects), batch):
            await self._confirm(suspects[start : start + batch])

    async def _confirm(self, suspects: Sequence[str]) -> None:
        """Ask for each by its id: it may have been created, or merged, while the list was read."""
        target = self._target
        page = await self._connector.read_many(target.object_name, suspects, self._properties)
        found = {record.remote_id for record in page.records}
        await target.commit(prepare_page(page, target.mapper), list_unreadable(page))
        gone = [remote_id for remote_id in suspects if remote_id not in found]
        if not gone:
            return
        counts = RunCounts()
        async with target.db.transaction(tenant_id=target.tenant_id, bulk=True) as conn:
            await target.prove_lease(conn)
            await self._mark(conn, gone, counts)
            await target.record_counts(conn, counts)
        target.counts.add(counts)

    async def _mark(self, conn: Conn, gone: Sequence[str], counts: RunCounts) -> None:
        target = self._target
        at = now()
        marked = await payloads.mark_gone(conn, target.table, gone, reason="missing", now=at, **target.keys)
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
