"""Mends what a reconcile found: reads the records again and merges them, whether or not anything is new.

What a merge leaves to be pushed is queued. What the CRM has no more is archived here, and a record that was
lost here is made again. Whether that is to be done has been decided before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial

from syncline.clock import now
from syncline.connectors.reads import Page
from syncline.engine.absence import Absence
from syncline.engine.compare import compare
from syncline.engine.prepare import list_unreadable, prepare_page
from syncline.engine.write import Target
from syncline.store import absences, drift, standing
from syncline.store.drift import Cause
from syncline.store.runs import RunCounts

#: What reading and merging a record mends.
_MERGED: tuple[Cause, ...] = ("unread", "unmerged", "unqueued", "undisputed", "missing_here", "record_lost")


class Mender:
    """Mends the open drift of one object, batch by batch, each in a transaction of its own."""

    def __init__(self, target: Target, absence: Absence) -> None:
        self._target = target
        self._absence = absence

    async def mend(self, since: datetime) -> None:
        """Mend what was found open since a moment. What still differs afterwards stays open."""
        lost = frozenset(await self._list("record_lost", since=since))
        for batch in in_batches(await self._list(*_MERGED, since=since), self._absence.batch):
            page, gone = await self._absence.ask(batch)
            await self._target.persist(partial(self._merge, page, batch, set(gone), lost))
            self._target.on_progress()
            self._target.check_stop()
        await self._archive_missing(await self._list("missing_there", since=since))
        for batch in in_batches(await self._list("archived_there", since=since), self._absence.batch):
            await self._target.persist(partial(self._archive, batch))

    async def _list(self, *causes: Cause, since: datetime) -> list[str]:
        target = self._target
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            return await drift.list_open_ids(conn, causes, keys=target.object_keys, since=since)

    async def _merge(self, page: Page, batch: Sequence[str], gone: set[str], lost: frozenset[str]) -> None:
        target = self._target
        prepared = prepare_page(page, target.mapper)
        counts = RunCounts()
        async with target.db.transaction(tenant_id=target.tenant_id, bulk=True) as conn:
            await target.prove_lease(conn)
            unlinked = [each for each in batch if each in lost]
            if unlinked:
                await standing.unlink(conn, target.table, unlinked, keys=target.object_keys)
            await target.write_chunk(conn, prepared, list_unreadable(page), counts, always=frozenset(batch))
            at = now()
            await drift.put(
                conn,
                await compare(conn, target, prepared),
                keys=target.object_keys,
                run_id=target.run_id,
                now=at,
            )
            mended = [each for each in batch if each not in gone or each in lost]
            await drift.heal(conn, mended, keys=target.object_keys, now=at)
            await target.record_counts(conn, counts)
        target.counts.add(counts)

    async def _archive_missing(self, ids: Sequence[str]) -> None:
        """Archive what is gone there: by what the CRM says of its archive first, which tells when."""
        if not ids:
            return
        target = self._target
        await self._absence.read_archived()
        for batch in in_batches(ids, self._absence.batch):
            async with target.db.transaction(tenant_id=target.tenant_id) as conn:
                known = await standing.list_known(conn, target.table, batch, keys=target.keys)
            living = [each for each in batch if each in known and known[each].archived_at is None]
            if living:
                await self._absence.mark(living, "missing")
            await target.persist(partial(self._archive, [each for each in batch if each not in known]))
            await target.persist(partial(self._note, batch))

    async def _note(self, batch: Sequence[str]) -> None:
        target = self._target
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            await target.prove_lease(conn)
            await drift.heal(conn, batch, keys=target.object_keys, now=now())

    async def _archive(self, batch: Sequence[str]) -> None:
        """Archive records of ours that were never told that theirs is gone."""
        target = self._target
        async with target.db.transaction(tenant_id=target.tenant_id, bulk=True) as conn:
            await target.prove_lease(conn)
            at = now()
            if target.mapper is not None:
                await absences.archive_records(
                    conn,
                    target.mapper.record_type,
                    batch,
                    **target.keys,
                    object_name=target.object_name,
                    run_id=target.run_id,
                    actor=target.actor,
                    now=at,
                )
            await drift.heal(conn, batch, keys=target.object_keys, now=at)


def in_batches(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
