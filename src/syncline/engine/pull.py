"""One sync run: brings one object of one connection from the CRM into the store.

A run holds the lease of its connection and object from beginning to end, is written down in `sync.runs`
with its counts at every commit, and ends as success, partial (records were parked) or failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import structlog

from syncline.clock import now
from syncline.config import Settings
from syncline.connectors.base import RemoteObject
from syncline.engine.cancel import heed_cancel
from syncline.engine.lease import Lease, hold_lease
from syncline.engine.notify import announce_conflicts
from syncline.engine.readings import READINGS, Reading, find_reading
from syncline.engine.remotes import Remote
from syncline.engine.telemetry import traced
from syncline.engine.write import Target, lease_purpose
from syncline.errors import (
    Busy,
    NotFound,
    PauseConnection,
    RetryLater,
    RunCancelled,
    SynclineError,
    TokenRejected,
)
from syncline.store import connections, limits, parked, payloads, runs
from syncline.store.db import Conn, Database
from syncline.store.runs import Run

__all__ = ["READINGS", "Order", "begin_run", "carry_out", "fail_run", "finish_run", "pause", "pull"]

_ACTOR = "syncline"
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Order:
    """What is to be pulled. `full` reads everything again, also what has been read before."""

    object_name: str
    full: bool = False
    requested_by: str = "cli"
    #: What the run is written down as until it is known what it turned out to be.
    mode: str = "incremental"
    #: A run that was written down before (by SQL, by the API); None makes a new one.
    run_id: UUID | None = None
    on_progress: Callable[[Target], None] | None = None
    #: Set when the process is to end: the chunk in hand is committed, then the run stops with `RetryLater`.
    stop: asyncio.Event | None = None
    #: Modes of runs that cannot go on beside this one, for want of its lease.
    excludes: Sequence[str] = runs.READING_MODES


async def pull(db: Database, remote: Remote, order: Order, settings: Settings) -> Run:
    """Run an order to its end and return the run as written down.

    Raises `Busy` when another worker is at it (a run that was asked for stays pending), and after writing
    the run down as failed whatever made it fail. A connection whose token or grant is gone is paused.
    """
    try:
        reading = await find_reading(remote, order.object_name)
    except TokenRejected as refusal:
        await pause(db, remote, refusal)
        raise
    await _read_owners_first(db, remote, order, settings)
    return await carry_out(db, remote, order, reading, settings, purpose=lease_purpose(order.object_name))


def _tell(_db: Database, remote: Remote, order: Order, *_: Any, **__: Any) -> dict[str, str]:
    return {
        "syncline.connection": remote.name,
        "syncline.object": order.object_name,
        "syncline.mode": order.mode,
    }


@traced("run", _tell)
async def carry_out(
    db: Database,
    remote: Remote,
    order: Order,
    reading: Reading,
    settings: Settings,
    *,
    purpose: str,
    tell: Callable[[], dict[str, Any]] = dict,
) -> Run:
    """Do a reading as a run under the lease of `purpose`, and return the run as written down.

    What `tell` returns at the end is kept in the run's details. A run that somebody cancelled is returned as
    such: it need not be tried again. Raises as `pull` does.
    """
    async with AsyncExitStack() as stack:
        try:
            lease = await stack.enter_async_context(
                hold_lease(db, **remote.keys, purpose=purpose, seconds=settings.lease_seconds)
            )
        except Busy:
            raise Busy(
                f"{order.object_name} of {remote.name} is being synced by another process. Wait for it, or "
                "see `syncline status`."
            ) from None
        try:
            target = await begin_run(db, remote, order, reading.remote_object, lease, settings)
        except RunCancelled:
            return await _get(db, remote, order)
        log = _log.bind(run=str(target.run_id), object=order.object_name, connection=remote.name)
        lane = remote.calls.lane
        try:
            async with heed_cancel(target):
                await reading.read(target, remote, full=order.full)
        except BaseException as error:
            failure = _leaf(error)
            await fail_run(db, remote, target, failure)
            if isinstance(failure, RunCancelled):
                log.info("run_cancelled")
                return await _get(db, remote, order, target.run_id)
            log.warning("run_failed", error=type(failure).__name__, reason=_reason(failure))
            raise failure from error
        finally:
            # Its owners, read first, are everything; what is asked for may be little.
            remote.calls.lane = lane
        return await finish_run(db, remote, target, log, tell())


async def _read_owners_first(db: Database, remote: Remote, order: Order, settings: Settings) -> None:
    """Read the owners of a connection that has none yet: nearly every other record refers to one.

    Whoever comes second waits for the first. An account that does not show its owners is read without.
    """
    if order.object_name in READINGS:
        return
    kinds = {each.name: each.record_type for each in remote.objects}
    owners = next((name for name, kind in kinds.items() if kind == "owner"), None)
    if owners is None or order.object_name == owners:
        return
    while True:
        async with db.transaction(tenant_id=remote.tenant_id) as conn:
            if await runs.find_last_success(conn, **remote.keys, object_name=owners) is not None:
                return
        try:
            await pull(db, remote, Order(owners, requested_by=order.requested_by), settings)
        except Busy:
            await asyncio.sleep(0.1)
        except (PauseConnection, RetryLater, NotFound):
            return


async def begin_run(
    db: Database, remote: Remote, order: Order, remote_object: RemoteObject, lease: Lease, settings: Settings
) -> Target:
    """Write down that a run has begun, under its lease, and return where its records go.

    Whatever comes of it, `finish_run` or `fail_run` has to be told.
    """
    keys = remote.keys
    async with db.transaction(tenant_id=remote.tenant_id) as conn:
        run_id = order.run_id
        if run_id is None or not await runs.start(conn, run_id, tenant_id=remote.tenant_id, now=now()):
            if run_id is not None and await runs.is_cancelled(conn, run_id, tenant_id=remote.tenant_id):
                raise RunCancelled
            # Nobody asked, or the run that was asked for has ended and its job is tried again.
            run_id = await runs.request(
                conn,
                **keys,
                object_name=order.object_name,
                mode=order.mode,
                requested_by=order.requested_by,
                now=now(),
            )
            await runs.start(conn, run_id, tenant_id=remote.tenant_id, now=now())
        await runs.abandon_others(
            conn,
            **keys,
            object_name=order.object_name,
            current=run_id,
            now=now(),
            modes=order.excludes,
        )
        # The first column of the frame all tables share exists from here on, also for custom objects.
        table = await payloads.ensure_table(conn, remote.platform_name, remote_object.name)
        room = await _find_room(conn, remote, remote_object)
        parked_ids = await parked.list_ids(conn, **keys, object_name=remote_object.name)
    target = Target(
        db=db,
        tenant_id=remote.tenant_id,
        connection_id=remote.connection_id,
        remote_object=remote_object,
        table=table,
        mapper=None,
        mapping_version=1,
        run_id=run_id,
        actor=_ACTOR,
        lease=lease,
        count_calls=remote.count_calls,
        parked_ids=set(parked_ids),
        stop=order.stop,
        room=room,
        chunk_rows=settings.chunk_rows,
        writers=settings.writers,
    )
    if order.on_progress is not None:
        notify = order.on_progress
        target.on_progress = lambda: notify(target)
    return target


async def _find_room(conn: Conn, remote: Remote, remote_object: RemoteObject) -> int | None:
    """Return how many more records the tenant may store; None for as many as there are."""
    if remote_object.record_type not in limits.COUNTED:
        return None
    most = (await limits.get(conn, tenant_id=remote.tenant_id)).stored_records
    if most is None:
        return None
    return max(0, most - await limits.count_records(conn, tenant_id=remote.tenant_id))


async def finish_run(
    db: Database, remote: Remote, target: Target, log: Any, told: dict[str, Any] | None = None
) -> Run:
    """End a run that did what it was for, and log it where it changed anything. `told` joins its details."""
    status = "partial" if target.faulty_ids or target.is_partial else "success"
    details = {**(told or {}), **(_details(target) or {})} or None
    run = await _end(db, remote, target.run_id, status, remote.count_calls(), details)
    if run.records_created or run.records_updated or run.records_archived or run.records_failed:
        log.info(
            "run_ended",
            status=status,
            mode=run.mode,
            read=run.records_read,
            created=run.records_created,
            updated=run.records_updated,
            archived=run.records_archived,
            failed=run.records_failed,
            api_calls=run.api_calls,
            ms=run.duration_ms,
        )
    return run


async def fail_run(db: Database, remote: Remote, target: Target, failure: BaseException) -> None:
    """Write the failure down; it must not hide the failure itself when the database is what failed."""
    told_to_stop = target.stop is not None and target.stop.is_set() and isinstance(failure, RetryLater)
    stopped = told_to_stop or isinstance(failure, RunCancelled) or not isinstance(failure, Exception)
    try:
        await _end(
            db,
            remote,
            target.run_id,
            "cancelled" if stopped else "failed",
            remote.count_calls(),
            {"error": _reason(failure), "kind": type(failure).__name__, **(_details(target) or {})},
        )
        # A missing permission is about this object; the others may go on.
        if isinstance(failure, TokenRejected):
            await pause(db, remote, failure)
    except (SynclineError, OSError) as second:
        _log.warning("run_not_written_down", run=str(target.run_id), reason=_reason(second))


async def pause(db: Database, remote: Remote, refusal: TokenRejected) -> None:
    """Stop using the connection until a person has acted."""
    async with db.transaction(tenant_id=remote.tenant_id) as conn:
        await connections.pause(
            conn, remote.connection_id, str(refusal), tenant_id=remote.tenant_id, now=now()
        )


def _details(target: Target) -> dict[str, Any] | None:
    details: dict[str, Any] = {}
    examples = [each for each in target.examples if each["remote_id"] in target.faulty_ids]
    if examples:
        details["parked"] = examples
    if target.refusals:
        details["refused"] = target.refusals
    return details or None


async def _get(db: Database, remote: Remote, order: Order, run_id: UUID | None = None) -> Run:
    wanted = run_id or order.run_id
    assert wanted is not None  # noqa: S101 - only a run that was asked for is cancelled before it begins
    async with db.transaction(tenant_id=remote.tenant_id) as conn:
        return await runs.get(conn, wanted, tenant_id=remote.tenant_id)


async def _end(
    db: Database, remote: Remote, run_id: UUID, status: str, api_calls: int, details: dict[str, Any] | None
) -> Run:
    async with db.transaction(tenant_id=remote.tenant_id) as conn:
        await runs.finish(
            conn,
            run_id,
            tenant_id=remote.tenant_id,
            status=status,
            now=now(),
            api_calls=api_calls,
            error_details=details,
        )
        await announce_conflicts(conn, tenant_id=remote.tenant_id, now=now(), run_id=run_id)
        return await runs.get(conn, run_id, tenant_id=remote.tenant_id)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _leaf(error: BaseException) -> BaseException:
    """Pick what is to be acted on out of what several tasks raised: what a person must mend goes first."""
    leaves = list(_leaves(error))
    for kind in (PauseConnection, SynclineError, Exception):
        for leaf in leaves:
            if isinstance(leaf, kind) and not isinstance(leaf, RetryLater):
                return leaf
    return leaves[0]


def _reason(error: BaseException) -> str:
    """Say what went wrong; an error that is not ours by its kind only, since its words may hold values."""
    if isinstance(error, SynclineError):
        return str(error)
    return f"an unexpected {type(error).__name__}; the log has its traceback"
