"""Writes a chunk of remote records in one transaction: payloads, records, links, change log, cursor, counts.

A chunk commits with its cursor and proves first that its run still holds the lease. Killed at any moment,
a run loses at most the chunk in hand, which is read again; unchanged records cost a comparison of hashes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from syncline.clock import now
from syncline.connectors.base import RemoteObject
from syncline.domain.mapping import Mapper
from syncline.domain.merge import Access
from syncline.domain.policies import Policy
from syncline.engine.chunk import Agreed, Chunk
from syncline.engine.doubts import Doubts
from syncline.engine.gate import Gate
from syncline.engine.lease import Lease
from syncline.engine.prepare import Prepared
from syncline.errors import LimitReached, RetryLater, RunCancelled, Unavailable
from syncline.store import connections, parked, planner, runs
from syncline.store.db import Conn, Database
from syncline.store.keys import ConnectionKeys, CursorKeys, ObjectKeys
from syncline.store.payloads import Table
from syncline.store.runs import RunCounts

#: A chunk is closed at this size if it has not reached its number of rows before.
CHUNK_BYTES = 5_000_000
#: A planner that knows nothing of so many new records makes plans that do not end.
_WORTH_STATISTICS = 500
#: How often a transaction is tried before the run fails.
_ATTEMPTS = 4

#: Something that has to commit with a chunk, such as its cursor.
AlsoCommit = Callable[[Conn], Awaitable[None]]


@dataclass(slots=True)
class Target:
    """Where a run's records go, and on whose behalf."""

    db: Database
    tenant_id: UUID
    connection_id: UUID
    remote_object: RemoteObject
    table: Table
    mapper: Mapper | None
    mapping_version: int
    run_id: UUID
    actor: str
    #: The lease that the run holds, proven at each commit.
    lease: Lease
    #: Calls made so far by the run's connection; read at each commit.
    count_calls: Callable[[], int]
    counts: RunCounts = field(default_factory=RunCounts)
    expected: int | None = None
    #: Ids parked before or during this run; whenever one is read whole, it is released.
    parked_ids: set[str] = field(default_factory=set[str])
    #: Ids that this run parked and has not read whole since.
    faulty_ids: set[str] = field(default_factory=set[str])
    #: Who wins where both sides changed a field, and which fields may be written on which side.
    policy: Policy = field(default_factory=Policy)
    access: Access = field(default_factory=lambda: Access(push=()))
    #: Tells what may be ours though it does not say so; None where everything we make says so.
    doubts: Doubts | None = None
    #: What keeps erased persons out; None where nothing that a CRM said is written.
    gate: Gate | None = None
    #: The connection's name, for policies that trust one source more than another.
    source: str = ""
    #: Up to twenty reasons, for the run's error details.
    examples: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    #: What could not be read for want of a permission, in sentences; the rest was.
    refusals: list[str] = field(default_factory=list[str])
    #: True when the run counts as partial though no record was parked.
    is_partial: bool = False
    #: True once a record referred to something that is not known here (yet).
    has_unresolved: bool = False
    #: In a rehearsal: how many more records of the CRM live here than the tables show, nothing being kept.
    unkept: int = 0
    on_progress: Callable[[], None] = lambda: None
    stop: asyncio.Event | None = None
    #: How many more records the tenant may store; None for as many as there are.
    room: int | None = None
    #: True once somebody has asked for the run to end.
    is_cancelled: bool = False
    #: Below 1,000 rows each statement's fixed cost shows; above 2,000 only the memory grows.
    chunk_rows: int = 2000
    writers: int = 2

    @property
    def object_name(self) -> str:
        return self.remote_object.name

    @property
    def keys(self) -> ConnectionKeys:
        return {"tenant_id": self.tenant_id, "connection_id": self.connection_id}

    @property
    def object_keys(self) -> ObjectKeys:
        return {**self.keys, "object_name": self.object_name}

    def cursor_keys(self, kind: str) -> CursorKeys:
        return {**self.keys, "object_name": self.object_name, "kind": kind}

    async def prove_lease(self, conn: Conn) -> None:
        """Raise `LeaseLost` unless this run still holds its lease; it then keeps it until the commit."""
        await self.lease.require(conn)

    async def commit(
        self,
        batch: Sequence[Prepared],
        unreadable: Sequence[parked.Parked] = (),
        also: AlsoCommit | None = None,
    ) -> None:
        """Write a batch and `also` in one transaction. Safe to repeat, and repeated where Postgres gave up.

        Raises `LeaseLost` when another worker has taken the run over; then nothing is written.
        """
        await self.persist(partial(self._write, batch, unreadable, also))
        self.on_progress()
        self.check_stop()

    async def persist(self, write: Callable[[], Awaitable[None]]) -> None:
        """Run a transaction, again if it was the victim of a deadlock or of a server that went away."""
        for attempt in range(1, _ATTEMPTS):
            with suppress(Unavailable):
                return await write()
            await asyncio.sleep(random.uniform(0.05, 0.5) * attempt)  # noqa: S311 - parts rivals
        return await write()

    def check_stop(self) -> None:
        """Raise `RetryLater` once the process is to end, `RunCancelled` once the run is.

        Call it behind what has been committed.
        """
        if self.is_cancelled:
            raise RunCancelled
        if self.stop is not None and self.stop.is_set():
            raise RetryLater("The worker is being ended; the next run goes on from here.", after_seconds=0)

    async def _write(
        self, batch: Sequence[Prepared], unreadable: Sequence[parked.Parked], also: AlsoCommit | None
    ) -> None:
        counts = RunCounts(read=len(batch) + len(unreadable))
        async with self.db.transaction(tenant_id=self.tenant_id, bulk=True) as conn:
            await planner.commit_without_waiting(conn)
            await self.prove_lease(conn)
            await self.write_chunk(conn, batch, unreadable, counts)
            if also is not None:
                await also(conn)
            await self.record_counts(conn, counts)
        self.counts.add(counts)

    async def write_chunk(
        self,
        conn: Conn,
        batch: Sequence[Prepared],
        unreadable: Sequence[parked.Parked],
        counts: RunCounts,
        *,
        always: AbstractSet[str] = frozenset(),
    ) -> dict[str, Agreed]:
        """Write a batch in a transaction of the caller's, which passes over the row triggers (`bulk`).

        Returns, by remote id, what was merged with records of ours. Those in `always` are merged even if
        nothing is new about them.
        """
        await planner.prefer_indexes(conn)
        if self.mapper is not None:
            # A mapping that was changed since must not be written by any more.
            await connections.require_mapping(
                conn, self.connection_id, self.mapping_version, tenant_id=self.tenant_id
            )
        chunk = Chunk(self, conn, counts, now(), always=always)
        if batch:
            await chunk.write(batch)
            batch = [each for each in batch if each.remote_id not in chunk.shut_out]
        await self._park(conn, batch, unreadable, counts)
        return chunk.agreed

    async def _park(
        self, conn: Conn, batch: Sequence[Prepared], unreadable: Sequence[parked.Parked], counts: RunCounts
    ) -> None:
        faults = [record.parked for record in batch if record.parked is not None]
        faults.extend(unreadable)
        if faults:
            latest = {fault.remote_id: fault for fault in faults}
            await parked.park(
                conn,
                list(latest.values()),
                **self.keys,
                object_name=self.object_name,
                run_id=self.run_id,
                now=now(),
            )
            counts.failed += len(latest)
            self.parked_ids.update(latest)
            self.faulty_ids.update(latest)
            for fault in latest.values():
                example = {"remote_id": fault.remote_id, "reason": fault.reason}
                if len(self.examples) < 20 and example not in self.examples:
                    self.examples.append(example)
        if self.parked_ids:
            clean = [
                record.remote_id
                for record in batch
                if record.parked is None and record.remote_id in self.parked_ids
            ]
            if clean:
                await self.release(conn, clean)

    async def record_counts(self, conn: Conn, counts: RunCounts) -> None:
        """Add a chunk's counts, and the calls made so far, to the run's row, in the chunk's transaction.

        Raises `LimitReached` when the chunk has made more records than the tenant may store.
        """
        if self.room is not None and counts.created and self.counts.created + counts.created > self.room:
            raise LimitReached(
                "This tenant may store no more records (stored_records), and nothing more is read until "
                "there is room. Delete some, or ask whoever runs this installation for more.",
                limit="stored_records",
            )
        if await runs.add_counts(
            conn,
            self.run_id,
            counts,
            tenant_id=self.tenant_id,
            api_calls=self.count_calls(),
            expected=self.expected,
            now=now(),
        ):
            self.is_cancelled = True

    async def refresh_statistics(self) -> None:
        """Tell the planner of what this run has added, once that is much; the known costs nothing."""
        if self.counts.created + self.counts.read >= _WORTH_STATISTICS:
            async with self.db.transaction(tenant_id=self.tenant_id) as conn:
                await planner.refresh_statistics(conn, "crm", "sync", "raw")

    async def release(self, conn: Conn, remote_ids: Sequence[str]) -> None:
        """Forget what was parked of records that have been read whole, or are no more."""
        known = self.parked_ids.intersection(remote_ids)
        if known:
            # They stay known: if this transaction is taken back, its repetition has to release them again.
            await parked.release(conn, list(known), **self.keys, object_name=self.object_name)
            self.faulty_ids -= known


def lease_purpose(object_name: str) -> str:
    """Name the lease that makes two runs of one connection and object impossible."""
    return f"pull:{object_name}"
