"""Writes a chunk of remote records in one transaction: payloads, records, links, change log, cursor, counts.

A chunk commits with its cursor and proves first that its run still holds the lease. Killed at any moment,
a run loses at most the chunk in hand, which is read again; unchanged records cost a comparison of hashes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from uuid import UUID

from syncline.clock import from_ms, new_id, now, to_ms
from syncline.connectors.base import RemoteObject
from syncline.domain.agreement import Difference, agree_on_new, encode, find_difference
from syncline.domain.mapping import MappedRecord, Mapper
from syncline.domain.records import RecordType
from syncline.engine.lease import Lease
from syncline.engine.prepare import Prepared, is_meaningful, is_news, latest_of
from syncline.errors import RetryLater, Unavailable
from syncline.store import merges, parked, payloads, planner, records, runs
from syncline.store.db import Conn, Database
from syncline.store.keys import ConnectionKeys, CursorKeys, ObjectKeys
from syncline.store.payloads import KnownPayload, NewPayload, Table
from syncline.store.records import ExistingRecord, RecordWrite
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
    #: Up to twenty reasons, for the run's error details.
    examples: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    #: What could not be read for want of a permission, in sentences; the rest was.
    refusals: list[str] = field(default_factory=list[str])
    #: True when the run counts as partial though no record was parked.
    is_partial: bool = False
    #: True once a record referred to something that is not known here (yet).
    has_unresolved: bool = False
    on_progress: Callable[[], None] = lambda: None
    stop: asyncio.Event | None = None
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
        """Raise `RetryLater` once the process is to end. Call it behind what has been committed."""
        if self.stop is not None and self.stop.is_set():
            raise RetryLater("The worker is being ended; the next run goes on from here.", after_seconds=0)

    async def _write(
        self, batch: Sequence[Prepared], unreadable: Sequence[parked.Parked], also: AlsoCommit | None
    ) -> None:
        counts = RunCounts(read=len(batch) + len(unreadable))
        async with self.db.transaction(tenant_id=self.tenant_id, bulk=True) as conn:
            await planner.prefer_indexes(conn)
            await planner.commit_without_waiting(conn)
            await self.prove_lease(conn)
            if batch:
                await _Chunk(self, conn, counts, now()).write(batch)
            await self._park(conn, batch, unreadable, counts)
            if also is not None:
                await also(conn)
            await self.record_counts(conn, counts)
        self.counts.add(counts)

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
        """Add a chunk's counts, and the calls made so far, to the run's row, in the chunk's transaction."""
        await runs.add_counts(
            conn,
            self.run_id,
            counts,
            tenant_id=self.tenant_id,
            api_calls=self.count_calls(),
            expected=self.expected,
            now=now(),
        )

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


class _Chunk:
    """One chunk within its transaction."""

    def __init__(self, target: Target, conn: Conn, counts: RunCounts, at: datetime) -> None:
        self._target = target
        self._conn = conn
        self._counts = counts
        self._now = at

    async def write(self, batch: Sequence[Prepared]) -> None:
        target, conn = self._target, self._conn
        latest = latest_of(batch)
        known = await payloads.lock_known(conn, target.table, remote_ids=list(latest), **target.keys)
        fresh = [record for record in latest.values() if is_news(record, known.get(record.remote_id))]
        self._counts.unchanged += len(batch) - len(fresh)
        target.has_unresolved |= any(each.mapped and each.mapped.digest is None for each in fresh)
        if not fresh:
            return
        await payloads.upsert(
            conn, target.table, (_payload_row(record) for record in fresh), now=self._now, **target.keys
        )
        if target.mapper is None:
            created = sum(record.remote_id not in known for record in fresh)
            self._counts.created += created
            self._counts.updated += len(fresh) - created
            await self._mark_merged(fresh)
            return
        moved = [record for record in fresh if is_meaningful(record, known.get(record.remote_id))]
        self._counts.updated += len(fresh) - len(moved)
        if moved:
            await self._write_records(target.mapper.record_type, moved, known)

    async def _mark_merged(self, fresh: Sequence[Prepared]) -> None:
        for record in fresh:
            gone = [remote_id for remote_id in record.merged_ids if remote_id != record.remote_id]
            if gone:
                await payloads.mark_gone(
                    self._conn,
                    self._target.table,
                    gone,
                    **self._target.keys,
                    reason="merged",
                    merged_into=record.remote_id,
                    now=self._now,
                )

    async def _write_records(
        self, kind: RecordType, moved: Sequence[Prepared], known: Mapping[str, KnownPayload]
    ) -> None:
        target, conn = self._target, self._conn
        if kind.identity is not None and any(record.remote_id not in known for record in moved):
            # Before any record is locked: whoever waits for this must hold nothing others may want.
            await records.lock_identities(conn, kind, tenant_id=target.tenant_id)
        survivors = {record.remote_id: record.merged_ids for record in moved if record.merged_ids}
        # In a chain of merges an earlier survivor may be in the same chunk, as it was read before the next.
        merged_away = {remote_id for ids in survivors.values() for remote_id in ids}
        survivors = {each: ids for each, ids in survivors.items() if each not in merged_away}
        moved = [record for record in moved if record.remote_id not in merged_away]
        for survivor_id, merged_ids in survivors.items():
            await merges.follow(
                conn,
                kind,
                target.table,
                **target.keys,
                object_name=target.object_name,
                survivor_id=survivor_id,
                merged_ids=merged_ids,
                run_id=target.run_id,
                actor=target.actor,
                now=self._now,
            )
            await target.release(conn, merged_ids)
        await self._store(kind, await self._plan_writes(kind, moved))
        if survivors:
            await merges.remember(
                conn, kind, survivors, **target.keys, object_name=target.object_name, now=self._now
            )

    async def _plan_writes(self, kind: RecordType, moved: Sequence[Prepared]) -> list[RecordWrite]:
        target, conn = self._target, self._conn
        found = await records.lock_linked_records(
            conn,
            kind,
            **target.keys,
            object_name=target.object_name,
            remote_ids=[record.remote_id for record in moved],
        )
        # An id that was merged away means the survivor; a state of it that was read before is no news.
        own = [each for each in moved if each.remote_id not in found or found[each.remote_id].is_primary]
        self._counts.unchanged += len(moved) - len(own)
        strangers = [record for record in own if record.remote_id not in found]
        found.update(await self._recognise(kind, strangers))
        planned = (_plan_write(kind, each, found.get(each.remote_id), self._counts) for each in own)
        return [write for write in planned if write is not None]

    async def _store(self, kind: RecordType, writes: Sequence[RecordWrite]) -> None:
        target, conn = self._target, self._conn
        if not writes:
            return
        await records.stage(conn, kind, writes)
        await records.write_staged(
            conn,
            kind,
            **target.keys,
            object_name=target.object_name,
            mapping_version=target.mapping_version,
            run_id=target.run_id,
            actor=target.actor,
            now=self._now,
            any_new=any(write.version is None for write in writes),
            any_existing=any(write.version is not None for write in writes),
        )

    async def _recognise(self, kind: RecordType, strangers: Sequence[Prepared]) -> dict[str, ExistingRecord]:
        """Match records new to this connection with records of ours by identity; never by a guess.

        Two candidates, or two strangers with one key, are left apart: that is for a person to decide.
        """
        if kind.identity is None or not strangers:
            return {}
        field_name = kind.identity[1]
        by_key: dict[str, list[Prepared]] = {}
        for record in strangers:
            value = record.mapped.values.get(field_name) if record.mapped is not None else None
            if isinstance(value, str) and value.strip() and record.archived_ms is None:
                by_key.setdefault(value.strip().lower(), []).append(record)
        if not by_key:
            return {}
        candidates = await records.lock_by_identity(self._conn, kind, keys=list(by_key), **self._target.keys)
        return {
            by_key[key][0].remote_id: found[0]
            for key, found in candidates.items()
            if len(found) == 1 and len(by_key.get(key, ())) == 1
        }


def _payload_row(record: Prepared) -> NewPayload:
    return NewPayload(
        record.remote_id,
        record.payload.decode(),
        record.payload_hash,
        record.mapped.digest if record.mapped is not None else None,
        None if record.updated_ms is None else from_ms(record.updated_ms),
        from_ms(record.requested_ms),
        None if record.archived_ms is None else from_ms(record.archived_ms),
        None if record.archived_ms is None else "archived",
    )


def _plan_write(
    kind: RecordType, record: Prepared, existing: ExistingRecord | None, counts: RunCounts
) -> RecordWrite | None:
    mapped = record.mapped
    if mapped is None:
        raise Unavailable("A record reached its writing without having been mapped.")
    if existing is None:
        base, changes = agree_on_new(kind, mapped)
        counts.created += 1
        return RecordWrite(
            new_id(), record.remote_id, None, mapped.values, base, changes, "created", new_id()
        )
    difference = _compare(kind, record, mapped, existing)
    if difference.is_empty:
        counts.unchanged += 1
        return None
    if difference.action == "archived":
        counts.archived += 1
    else:
        counts.updated += 1
    return RecordWrite(
        existing.record_id,
        record.remote_id,
        existing.version,
        difference.values,
        encode(difference.base),
        encode(difference.changes) if difference.changes else None,
        difference.action,
        new_id(),
    )


def _compare(
    kind: RecordType, record: Prepared, mapped: MappedRecord, existing: ExistingRecord
) -> Difference:
    ours_ms = to_ms(datetime.fromisoformat(existing.row["updated_at"]))
    return find_difference(
        kind,
        existing.row,
        existing.base,
        mapped,
        theirs_is_newer=record.updated_ms is None or record.updated_ms >= ours_ms,
    )
