"""Applies a changed mapping to records that are here already, from what was read of them: no call is made.

The new mapping is stored together with the old one of each object it concerns, so that a process that is
killed on the way leaves behind what is to be done; a chunk of records commits with how far it has come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from syncline.clock import now
from syncline.config import Settings
from syncline.connectors.base import Platform, RemoteObject
from syncline.domain.mapping import ObjectMap
from syncline.domain.mapping_file import ConnectionMapping
from syncline.domain.remapping import compare_mappings
from syncline.engine.lease import Lease, hold_lease
from syncline.engine.prepare import Prepared
from syncline.engine.push import PURPOSE as PUSHING
from syncline.engine.recall import RecallTerms, is_stale, load_terms, mapping_before
from syncline.engine.remotes import Remote, read_mapping
from syncline.engine.write import Target, lease_purpose
from syncline.errors import Busy, SynclineError
from syncline.store import barred, connections, cursors, locked, payloads, planner, remapping, runs
from syncline.store.connections import Connection
from syncline.store.db import Conn, Database
from syncline.store.keys import ConnectionKeys, CursorKeys
from syncline.store.remapping import StoredPayload
from syncline.store.runs import Run, RunCounts

#: Kind of the cursor that says what is left to be done, and by which mapping it was done before.
KIND = "remap"
_MODE = "manual"
#: How often it is looked whether another has ended what has to end first.
_LOOK_SECONDS = 0.3


async def store_mapping(
    db: Database,
    connection: Connection,
    platform: Platform,
    document: dict[str, Any] | None,
    mapping: ConnectionMapping,
) -> Connection:
    """Let a mapping hold from now on, and note what it leaves to be done.

    Returns the connection as it is then. Raises `Busy` when another has changed it since.
    """
    before = mapping_before(connection, platform).objects
    async with db.transaction(tenant_id=connection.tenant_id) as conn:
        stored = await connections.set_mapping(
            conn,
            connection.id,
            document,
            tenant_id=connection.tenant_id,
            version=connection.mapping_version,
            now=now(),
        )
        if not stored:
            raise Busy(f"Somebody else has just changed the mapping of {connection.name}. Look at it again.")
        for name, each in mapping.objects.items():
            if not compare_mappings(before[name], each).is_nothing:
                await note_remap(conn, connection, before[name])
        return await connections.get(conn, connection.id, tenant_id=connection.tenant_id)


async def note_remap(conn: Conn, connection: Connection, before: ObjectMap) -> None:
    """Note that an object's records were mapped by `before` and are to be mapped anew."""
    state = {"before": msgspec.to_builtins(before), "after": ""}
    await cursors.put(conn, state, **_cursor_keys(connection, before.object), now=now())


def _cursor_keys(connection: Connection, object_name: str) -> CursorKeys:
    return {
        "tenant_id": connection.tenant_id,
        "connection_id": connection.id,
        "object_name": object_name,
        "kind": KIND,
    }


async def list_pending(db: Database, connection: Connection, platform: Platform) -> list[str]:
    """Return the objects whose records the connection's mapping has not been applied to yet."""
    async with db.transaction(tenant_id=connection.tenant_id) as conn:
        return [
            each.name
            for each in platform.capabilities.objects
            if await cursors.find_state(conn, **_cursor_keys(connection, each.name)) is not None
        ]


@dataclass(slots=True)
class RemapOrder:
    """What is to be mapped anew, on whose behalf."""

    settings: Settings
    requested_by: str = "cli"
    #: Who stands in the change log.
    actor: str = "syncline"
    on_waits: Callable[[str], None] = lambda _: None
    on_progress: Callable[[Target], None] = lambda _: None
    stop: asyncio.Event | None = None


async def remap(
    db: Database, connection: Connection, platform: Platform, object_name: str, order: RemapOrder
) -> Run:
    """Apply the connection's mapping to one object's records, from where an earlier run has come.

    Waits for runs of the object and for its connection's pushing, and keeps them waiting. Written down as a
    run, whatever becomes of it.
    """
    async with AsyncExitStack() as stack:
        await _hold(stack, db, connection, PUSHING, object_name, order)
        lease = await _hold(stack, db, connection, lease_purpose(object_name), object_name, order)
        target = await _begin(db, connection, platform, object_name, lease, order)
        try:
            await Remapper(target, connection, platform, read_mapping(connection, platform)).run()
        except BaseException as error:
            await _fail(target, error)
            raise
        status = "partial" if target.faulty_ids else "success"
        return await _end(target, status, {"parked": target.examples} if target.examples else None)


async def catch_up(target: Target, remote: Remote) -> None:
    """Finish, in a run of the object, what a process that was killed has left to be applied, if anything."""
    mapping = ConnectionMapping(remote.mapping, remote.policy)
    own = replace(target, on_progress=lambda: None)  # its terms leave out what is no matter of mappings
    await Remapper(own, remote.connection, remote.platform, mapping).run()


async def _hold(
    stack: AsyncExitStack,
    db: Database,
    connection: Connection,
    purpose: str,
    object_name: str,
    order: RemapOrder,
) -> Lease:
    while True:
        try:
            return await stack.enter_async_context(
                hold_lease(
                    db,
                    tenant_id=connection.tenant_id,
                    connection_id=connection.id,
                    purpose=purpose,
                    seconds=order.settings.lease_seconds,
                )
            )
        except Busy:
            if order.stop is not None and order.stop.is_set():
                raise
            order.on_waits(object_name)
            await asyncio.sleep(_LOOK_SECONDS)


async def _begin(
    db: Database,
    connection: Connection,
    platform: Platform,
    object_name: str,
    lease: Lease,
    order: RemapOrder,
) -> Target:
    keys: ConnectionKeys = {"tenant_id": connection.tenant_id, "connection_id": connection.id}
    async with db.transaction(tenant_id=connection.tenant_id) as conn:
        run_id = await runs.request(
            conn, **keys, object_name=object_name, mode=_MODE, requested_by=order.requested_by, now=now()
        )
        await runs.start(conn, run_id, tenant_id=connection.tenant_id, now=now())
        await runs.abandon_others(conn, **keys, object_name=object_name, current=run_id, now=now())
        expected = await remapping.count_stored(conn, **keys, object_name=object_name)
    target = Target(
        db=db,
        **keys,
        remote_object=_object_of(platform, object_name),
        table=payloads.table_of(connection.platform, object_name),
        mapper=None,
        mapping_version=connection.mapping_version,
        run_id=run_id,
        actor=order.actor,
        lease=lease,
        count_calls=lambda: 0,
        expected=expected,
        stop=order.stop,
        chunk_rows=order.settings.chunk_rows,
    )
    target.on_progress = partial(order.on_progress, target)
    return target


def _object_of(platform: Platform, object_name: str) -> RemoteObject:
    return next(each for each in platform.capabilities.objects if each.name == object_name)


async def _fail(target: Target, error: BaseException) -> None:
    """Write a failure down; it must not hide the failure itself."""
    known = isinstance(error, SynclineError)
    stopped = not isinstance(error, Exception) or (target.stop is not None and target.stop.is_set())
    details = {"error": str(error) if known else f"an unexpected {type(error).__name__}"}
    with suppress(SynclineError, OSError):
        await _end(target, "cancelled" if stopped else "failed", details)


async def _end(target: Target, status: str, details: dict[str, Any] | None) -> Run:
    async with target.db.transaction(tenant_id=target.tenant_id) as conn:
        await runs.finish(
            conn,
            target.run_id,
            tenant_id=target.tenant_id,
            status=status,
            now=now(),
            api_calls=0,
            error_details=details,
        )
        return await runs.get(conn, target.run_id, tenant_id=target.tenant_id)


class Remapper:
    """Takes an object's records through the change of its mapping, chunk by chunk, under the run's lease."""

    def __init__(
        self, target: Target, connection: Connection, platform: Platform, mapping: ConnectionMapping
    ) -> None:
        self._target = target
        self._connection = connection
        self._platform = platform
        self._mapping = mapping
        #: Parked for their payload, of which the stored one is not the whole.
        self._defective: set[str] = set()

    async def run(self) -> None:
        """Apply what is left to be applied. Does nothing where nothing is."""
        target = self._target
        keys = target.cursor_keys(KIND)
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            state = await cursors.find_state(conn, **keys)
            if state is None:
                return
            before = msgspec.convert(state["before"], ObjectMap)
            terms = await load_terms(conn, self._connection, self._platform, self._mapping, before)
            parked = await remapping.list_parked_kinds(conn, **target.object_keys)
        target.mapper, target.policy, target.access = terms.mapper, terms.policy, terms.access
        target.source, target.mapping_version = terms.source, self._mapping.objects[before.object].version
        target.parked_ids = {remote_id for remote_id, kind in parked.items() if kind == "value"}
        self._defective = parked.keys() - target.parked_ids
        after: str | None = str(state["after"])
        while after is not None:
            after = await self._advance(terms, after)
            target.on_progress()
            if after is not None:
                target.check_stop()

    async def _advance(self, terms: RecallTerms, after: str) -> str | None:
        """Write the next chunk and return how far that has come; None at the end."""
        last: str | None = None

        async def write() -> None:
            nonlocal last
            last = await self._write(terms, after)

        await self._target.persist(write)
        return last

    async def _write(self, terms: RecallTerms, after: str) -> str | None:
        target, keys = self._target, self._target.cursor_keys(KIND)
        async with target.db.transaction(tenant_id=target.tenant_id, bulk=True) as conn:
            await planner.prefer_indexes(conn)
            await planner.commit_without_waiting(conn)
            await target.prove_lease(conn)
            # An erasure waits for this: what it clears must not be written anew from what was read before.
            await barred.pass_gate(conn, tenant_id=target.tenant_id)
            await connections.require_mapping(
                conn, target.connection_id, self._connection.mapping_version, tenant_id=target.tenant_id
            )
            rows = await remapping.list_stored(
                conn, target.table, **target.object_keys, after=after, limit=target.chunk_rows, lock=True
            )
            counts = await self._remap(conn, terms, rows)
            last = rows[-1].remote_id if len(rows) == target.chunk_rows else None
            if last is None:
                await cursors.remove(conn, **keys)
            else:
                await cursors.put(conn, {"after": last}, **keys, now=now())
            await target.record_counts(conn, counts)
        target.counts.add(counts)
        return last

    async def _remap(self, conn: Conn, terms: RecallTerms, rows: Sequence[StoredPayload]) -> RunCounts:
        target, kind = self._target, terms.change.kind
        linked = await locked.lock_linked_records(
            conn, kind, **target.object_keys, remote_ids=[row.remote_id for row in rows]
        )
        patches: dict[str, dict[str, list[Any] | None]] = {}
        whole: list[Prepared] = []
        for row in rows:
            existing = linked.get(row.remote_id)
            if existing is None:
                continue
            prepared = terms.recall(row)
            patches[row.remote_id] = terms.rebase(existing, prepared)
            if prepared is None or prepared.mapped is None or is_stale(row):
                continue  # the next reading finds what is to be done
            if row.remote_id in self._defective:
                prepared.parked = None
            whole.append(prepared)
        await remapping.rebase(conn, patches, **target.object_keys, mapping_version=target.mapping_version)
        hashes = {each.remote_id: each.mapped.digest for each in whole if each.mapped is not None}
        await remapping.set_hashes(conn, target.table, hashes, **target.keys)
        done = RunCounts()
        agreed = await target.write_chunk(conn, whole, (), done, always=frozenset(hashes))
        changed = sum(bool(each.merged.write or each.merged.derived) for each in agreed.values())
        return RunCounts(read=len(rows), updated=changed, unchanged=len(rows) - changed, failed=done.failed)
