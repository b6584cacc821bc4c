"""Drains the queue: brings what differs here to the CRMs, connection by connection, as soon as it is there.

One drain of a connection runs at a time, over all processes; that, and that no record is in two batches at
once, keeps the order per record. Knows what is due and when to stop; how a batch is sent is `sending`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from syncline.clock import now
from syncline.config import Settings
from syncline.engine.brakes import Brakes, Stop
from syncline.engine.intents import cut
from syncline.engine.lease import Lease, hold_lease
from syncline.engine.leave import TermsChanged, WritingStopped
from syncline.engine.notify import announce_conflicts
from syncline.engine.rehearse import NoLease, Rehearsal
from syncline.engine.remotes import Remote
from syncline.engine.sending import Sender
from syncline.engine.telemetry import span
from syncline.engine.terms import open_sender
from syncline.engine.write import Target
from syncline.errors import PauseConnection, SynclineError
from syncline.store import connections, payloads, queue, runs
from syncline.store.db import Conn, Database
from syncline.store.queue import Waiting

PURPOSE = "push"
#: Batches of one connection under way at once: enough to use its quota up at a second per call.
AT_ONCE = 8

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Drained:
    """What a drain has done. `stops` says what a brake held back, in sentences."""

    run_ids: list[UUID] = field(default_factory=list[UUID])
    created: int = 0
    updated: int = 0
    archived: int = 0
    parked: int = 0
    stops: list[str] = field(default_factory=list[str])


#: Something that has to commit once nobody else drains the connection, and before anything is sent.
First = Callable[[Conn], Awaitable[None]]


async def drain(
    db: Database,
    remote: Remote,
    settings: Settings,
    *,
    stop: asyncio.Event | None = None,
    requested_by: str = "worker",
    first: First | None = None,
    on_progress: Callable[[Drained], None] | None = None,
) -> Drained:
    """Send everything that is due to one connection, and return what became of it.

    Raises `Busy` while another process drains it, `WritingStopped` when nothing may be sent (any more),
    `PauseConnection` after pausing the connection, `RetryLater`.
    """
    async with hold_lease(db, **remote.keys, purpose=PURPOSE, seconds=settings.lease_seconds) as lease:
        if first is not None:
            async with db.transaction(tenant_id=remote.tenant_id) as conn:
                await lease.require(conn)
                await first(conn)
        draining = _Drain(db, remote, lease, stop or asyncio.Event(), requested_by)
        draining.on_progress = on_progress
        try:
            await draining.run()
        except PauseConnection as refusal:
            async with db.transaction(tenant_id=remote.tenant_id) as conn:
                await connections.pause(
                    conn, remote.connection_id, str(refusal), tenant_id=remote.tenant_id, now=now()
                )
            raise
        return draining.result


async def rehearse_drain(db: Database, remote: Remote, rehearsal: Rehearsal) -> Drained:
    """Do what `drain` would do now, up to the calls that write; `rehearsal` has it, and nothing stays.

    Whether anything may be sent is not asked. May run beside a drain. Raises `PauseConnection`, `RetryLater`.
    """
    draining = _Drain(
        db.rehearsed(rehearsal.look), remote, NoLease(remote.keys), asyncio.Event(), "plan", rehearsal
    )
    await draining.run()
    return draining.result


class _Drain:
    def __init__(
        self,
        db: Database,
        remote: Remote,
        lease: Lease,
        stop: asyncio.Event,
        requested_by: str,
        rehearsal: Rehearsal | None = None,
    ) -> None:
        self._db = db
        self._remote = remote
        self._lease = lease
        self._stop = stop
        self._requested_by = requested_by
        self._rehearsal = rehearsal
        self.on_progress: Callable[[Drained], None] | None = None
        self._senders: dict[str, Sender] = {}
        self._opening = asyncio.Lock()
        self._brakes = Brakes(db, remote)
        self._under_way: dict[asyncio.Task[None], Sequence[Waiting]] = {}
        self.result = Drained()

    async def run(self) -> None:
        failure: BaseException | None = None
        try:
            with span("push", {"syncline.connection": self._remote.name}):
                await self._run()
        except BaseException as error:
            failure = error
            raise
        finally:
            for task in self._under_way:
                task.cancel()
            if self._under_way:
                await asyncio.wait(self._under_way)
            await asyncio.shield(self._finish(failure))

    async def _run(self) -> None:
        size = self._remote.connector.capabilities.write_batch
        while True:
            rows: list[Waiting] = []
            free = AT_ONCE - len(self._under_way)
            if free and not self._stop.is_set():
                busy = [row.record_id for part in self._under_way.values() for row in part]
                if self._rehearsal is not None:
                    busy.extend(self._rehearsal.seen)
                async with self._db.transaction(tenant_id=self._remote.tenant_id) as conn:
                    rows = await queue.list_due(
                        conn, **self._remote.keys, now=now(), limit=free * size, without=busy
                    )
                rows = await self._brake(rows)
            for object_name, part in cut(rows, self._object_of, size):
                task = asyncio.create_task(self._send(object_name, part))
                self._under_way[task] = part
            if not self._under_way:
                return
            finished, _ = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                del self._under_way[task]
                task.result()
            if self.on_progress is not None:
                self.on_progress(self._tally())

    async def _brake(self, rows: list[Waiting]) -> list[Waiting]:
        """Hold back what goes beyond a brake; return what may go on."""
        rehearsal = self._rehearsal
        # A rehearsal leaves all rows where they are, and so has seen everything at its first look.
        stops = [] if rehearsal is not None and rehearsal.seen else await self._brakes.check(rows)
        for each in stops:
            self.result.stops.append(each.reason)
            if rehearsal is None:
                await self._write_stop_down(each)
        stopped = {each.record_type for each in stops}
        if rehearsal is not None:
            rehearsal.stops.extend(stops)
            rehearsal.seen.update(row.record_id for row in rows)
            stopped = {each.record_type for each in rehearsal.stops}
        return [row for row in rows if row.record_type not in stopped]

    async def _write_stop_down(self, stopped: Stop) -> None:
        _log.warning("push_stopped", connection=self._remote.name, reason=stopped.reason)
        async with self._db.transaction(tenant_id=self._remote.tenant_id) as conn:
            run_id = await runs.request(
                conn,
                **self._remote.keys,
                object_name=stopped.object_name,
                mode="push",
                requested_by=self._requested_by,
                now=now(),
            )
            await runs.start(conn, run_id, tenant_id=self._remote.tenant_id, now=now())
            await runs.finish(
                conn,
                run_id,
                tenant_id=self._remote.tenant_id,
                status="stopped",
                now=now(),
                api_calls=0,
                error_details={"error": stopped.reason, "held": stopped.held},
            )
        self.result.run_ids.append(run_id)

    def _object_of(self, row: Waiting) -> str | None:
        """Name the object a record belongs to at this CRM; None when there is none for it."""
        if row.object is not None:
            return row.object
        for name, mapping in self._remote.mapping.items():
            fits = not mapping.constants or row.subtype in mapping.constants.values()
            if mapping.record_type == row.record_type and fits:
                return name
        return None

    async def _send(self, object_name: str | None, rows: Sequence[Waiting]) -> None:
        if object_name is None:
            async with self._db.transaction(tenant_id=self._remote.tenant_id) as conn:
                await queue.done(conn, rows, **self._remote.keys)
            return
        sender = await self._sender(object_name)
        while True:
            try:
                await _send_by(sender, rows)
            except TermsChanged:
                sender = await self._renew(object_name, sender)
            else:
                return

    async def _renew(self, object_name: str, stale: Sender) -> Sender:
        """Return a sender on the terms that hold now, in the run of the one before."""
        async with self._opening:
            if self._senders[object_name] is stale:
                async with self._db.transaction(tenant_id=self._remote.tenant_id) as conn:
                    fresh = await open_sender(conn, stale.target, self._remote)
                fresh.former = stale
                self._senders[object_name] = fresh
            return self._senders[object_name]

    async def _sender(self, object_name: str) -> Sender:
        async with self._opening:
            if object_name not in self._senders:
                self._senders[object_name] = await self._open(object_name)
            return self._senders[object_name]

    async def _open(self, object_name: str) -> Sender:
        remote, keys = self._remote, self._remote.keys
        remote_object = await remote.connector.get_object(object_name)
        async with self._db.transaction(tenant_id=remote.tenant_id) as conn:
            run_id = await runs.request(
                conn,
                **keys,
                object_name=object_name,
                mode="push",
                requested_by=self._requested_by,
                now=now(),
            )
            await runs.start(conn, run_id, tenant_id=remote.tenant_id, now=now())
            await runs.abandon_others(
                conn, **keys, object_name=object_name, current=run_id, now=now(), modes=("push",)
            )
            self.result.run_ids.append(run_id)
            if self._rehearsal is not None:
                self._rehearsal.run_ids.append(run_id)
            table = await payloads.ensure_table(conn, remote.platform_name, object_name)
            target = Target(
                db=self._db,
                tenant_id=remote.tenant_id,
                connection_id=remote.connection_id,
                remote_object=remote_object,
                table=table,
                mapper=None,
                mapping_version=1,
                run_id=run_id,
                actor="syncline",
                lease=self._lease,
                count_calls=remote.count_calls,
            )
            sender = await open_sender(conn, target, remote)
            if self._rehearsal is not None:
                sender.rehearse = partial(self._rehearsal.note, object_name)
            return sender

    def _tally(self) -> Drained:
        """Return what has been done so far."""
        counts = [sender.target.counts for sender in self._senders.values()]
        return Drained(
            list(self.result.run_ids),
            sum(each.created for each in counts),
            sum(each.updated for each in counts),
            sum(each.archived for each in counts),
            sum(sender.parked for sender in self._senders.values()),
            list(self.result.stops),
        )

    async def _finish(self, failure: BaseException | None) -> None:
        """End the runs; it must not hide why, when the database is what failed."""
        self.result = self._tally()
        if self._rehearsal is not None:
            return
        try:
            for sender in self._senders.values():
                await self._finish_one(sender, failure)
        except (SynclineError, OSError) as second:
            _log.warning("run_not_written_down", reason=str(second))

    async def _finish_one(self, sender: Sender, failure: BaseException | None) -> None:
        target = sender.target
        counts = target.counts
        details: dict[str, Any] | None = None
        if failure is None:
            status = "partial" if sender.parked else "success"
        elif isinstance(failure, SynclineError):
            status = "stopped" if isinstance(failure, WritingStopped) else "failed"
            details = {"error": str(failure), "kind": type(failure).__name__}
        else:
            status, details = "cancelled", {"error": f"an unexpected {type(failure).__name__}"}
        async with self._db.transaction(tenant_id=target.tenant_id) as conn:
            await runs.finish(
                conn,
                target.run_id,
                tenant_id=target.tenant_id,
                status=status,
                now=now(),
                api_calls=self._remote.count_calls(),
                error_details=details,
            )
            await announce_conflicts(conn, tenant_id=target.tenant_id, now=now(), run_id=target.run_id)
        if counts.written or sender.parked:
            _log.info(
                "push_ended",
                run=str(target.run_id),
                connection=self._remote.name,
                object=target.object_name,
                status=status,
                created=counts.created,
                updated=counts.updated,
                archived=counts.archived,
                parked=sender.parked,
            )


async def _send_by(sender: Sender, rows: Sequence[Waiting]) -> None:
    deleted = [row for row in rows if row.what == "deleted"]
    known = [row for row in rows if row.what != "deleted" and row.object is not None]
    new = [row for row in rows if row.what != "deleted" and row.object is None]
    if known:
        await sender.send_changes(known)
    if new:
        await sender.send_new(new)
    if deleted:
        await sender.send_deleted(deleted)
