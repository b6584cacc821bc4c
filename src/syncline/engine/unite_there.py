"""Merges at a CRM what was merged here, where somebody asked for it and it is allowed. A CRM cannot undo it.

It is never done twice: that it is about to be done is committed before the call, and an attempt that was
never answered is looked into by reading both records. Works under the lease of pushing, so that nothing is
written to either record meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Literal
from uuid import UUID

import structlog

from syncline.clock import now
from syncline.config import Settings
from syncline.connectors.base import RemoteObject
from syncline.connectors.records import RemoteRecord
from syncline.engine.brakes import read_limits
from syncline.engine.lease import Lease, hold_lease
from syncline.engine.leave import WritingStopped
from syncline.engine.prepare import list_unreadable, prepare_page
from syncline.engine.push import PURPOSE
from syncline.engine.remotes import Remote
from syncline.engine.terms import set_terms
from syncline.engine.write import Target
from syncline.errors import PauseConnection, RetryLater, SynclineError, Unavailable
from syncline.store import (
    allowances,
    connections,
    definitions,
    merge_requests,
    merges,
    payloads,
    runs,
    sent,
)
from syncline.store.db import Conn, Database
from syncline.store.keys import ObjectKeys
from syncline.store.merge_requests import Request

ACTION = "merged"
_NOT_ALLOWED = "Merging is not allowed: `syncline writing allow` allows it."
_UNSEEN = "The CRM shows neither record; the next sync of the object says what became of them."
#: How long an attempt waits that came to nothing, and one that cannot be looked into yet.
_RETRY, _LOOK_AGAIN = timedelta(seconds=30), timedelta(minutes=5)
#: How often it is tried.
_MOST_ATTEMPTS = 12

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one merge at a CRM."""

    request: Request
    #: `wanted` and `sent` are tried again; `here` when there is nothing left to merge.
    state: merge_requests.State
    reason: str | None = None
    #: The id that means both there from now on.
    remote_id: str | None = None
    run_id: UUID | None = None


async def unite_there(
    db: Database, remote: Remote, settings: Settings, *, requested_by: str = "worker"
) -> list[Outcome]:
    """Carry out the merges that are due at one connection, one after the other. Costs a look when none is.

    Raises `Busy` while another process writes to the connection, `WritingStopped` when nothing may be
    written, and `PauseConnection` after pausing it.
    """
    async with db.transaction(tenant_id=remote.tenant_id) as conn:
        if not await merge_requests.list_due(conn, keys=remote.keys, now=now(), limit=1):
            return []
    async with hold_lease(db, **remote.keys, purpose=PURPOSE, seconds=settings.lease_seconds) as lease:
        async with db.transaction(tenant_id=remote.tenant_id) as conn:
            await lease.require(conn)
            await _brake(conn, remote)
            due = await merge_requests.list_due(conn, keys=remote.keys, now=now())
        return [await _Uniting(db, remote, lease, each, requested_by).run() for each in due]


async def _brake(conn: Conn, remote: Remote) -> None:
    """Leave it to a person when more merges followed others than a run may take away records."""
    most = read_limits(remote.connection.settings)["delete"].count
    count = await merge_requests.count_following(conn, keys=remote.keys)
    if count > most:
        reason = f"{count} merges were to follow at once, more than {most}."
        await merge_requests.ask_about_all(conn, reason, keys=remote.keys)
        _log.warning("merges_held", connection=remote.name, count=count)


class _Uniting:
    """One merge on its way."""

    def __init__(self, db: Database, remote: Remote, lease: Lease, request: Request, by: str) -> None:
        self._db = db
        self._remote = remote
        self._lease = lease
        self._request = request
        self._by = by
        self._survivor = request.survivor_id
        #: True from when it may have been sent.
        self._is_sent = request.state == "sent"

    async def run(self) -> Outcome:
        request, connector = self._request, self._remote.connector
        try:
            remote_object = await connector.get_object(request.object)
            if request.object not in connector.capabilities.mergeable:
                return await self._settle("refused", "The CRM offers no way to merge these.")
            if request.state == "sent":
                found = await self._look()
                if found != "apart":
                    return await self._conclude(remote_object, found)
            return await self._send(remote_object)
        except PauseConnection as refusal:
            async with self._transaction() as conn:
                await connections.pause(
                    conn,
                    self._remote.connection_id,
                    str(refusal),
                    tenant_id=self._remote.tenant_id,
                    now=now(),
                )
            raise
        except RetryLater as error:
            return await self._put_off("sent" if self._is_sent else "wanted", str(error))

    async def _look(self) -> str | None:
        """Find out what became of an attempt without an answer: the id that means both, or `apart`.

        None where it cannot be told yet.
        """
        request = self._request
        async with self._transaction() as conn:
            table = await payloads.ensure_table(conn, self._remote.platform_name, request.object)
            standing = await merge_requests.find_standing(conn, table, request, keys=self._remote.keys)
        if standing is not None and standing.gone == "merged" and standing.survivor_id is not None:
            return standing.survivor_id  # a sync has read it since
        ids = [request.survivor_id, request.merged_id]
        page = await self._remote.connector.read_many(request.object, ids, ())
        return _judge(page.records, request.survivor_id, request.merged_id)

    async def _conclude(self, remote_object: RemoteObject, found: str | None) -> Outcome:
        if found is None:
            if self._request.attempts >= _MOST_ATTEMPTS:
                return await self._settle("refused", "The CRM has neither record any more.")
            return await self._put_off("sent", _UNSEEN, after=_LOOK_AGAIN)
        async with self._transaction() as conn:
            run_id = await self._begin_run(conn)
        return await self._agree(remote_object, found, run_id)

    async def _send(self, remote_object: RemoteObject) -> Outcome:
        request = self._request
        intended = await self._intend()
        if not isinstance(intended, UUID):
            return await self._settle(*intended)
        run_id, self._is_sent = intended, True
        connector = self._remote.connector
        try:
            survivor_id = await connector.merge_records(request.object, self._survivor, request.merged_id)
        except RetryLater as error:
            self._is_sent = not (isinstance(error, Unavailable) and error.unsent)
            await self._end_run(run_id, "failed", str(error))
            raise
        except PauseConnection as error:
            await self._refuse(run_id, "wanted", str(error))
            raise
        except SynclineError as error:
            return await self._refuse(run_id, "refused", str(error))
        return await self._agree(remote_object, survivor_id, run_id)

    async def _intend(self) -> UUID | tuple[Literal["here", "review"], str]:
        """Commit to what is about to be sent; returns its run, or where nothing is, its state and why."""
        request, keys = self._request, self._remote.keys
        object_keys: ObjectKeys = {**keys, "object_name": request.object}
        async with self._transaction() as conn:
            await self._lease.require(conn)
            stop = await allowances.find_stop(conn, **keys)
            if stop is not None:
                raise WritingStopped(stop)
            allowance = await allowances.find_allowance(conn, **object_keys)
            if not allowance.merge:
                return "review", _NOT_ALLOWED
            table = await payloads.ensure_table(conn, self._remote.platform_name, request.object)
            standing = await merge_requests.find_standing(conn, table, request, keys=keys)
            if standing is None or standing.is_primary or standing.survivor_id is None:
                return "here", "They are not two records of the CRM any more."
            if standing.gone is not None:
                return "here", f"One of them is {standing.gone} there."
            self._survivor = standing.survivor_id
            run_id = await self._begin_run(conn)
            row = {
                "id": request.id,
                "remote_id": request.merged_id,
                "record_id": standing.record_id,
                "action": ACTION,
                "changes": {"merged_into": [None, self._survivor]},
            }
            await sent.put_ties(
                conn, [row], **object_keys, record_type=request.record_type, run_id=run_id, now=now()
            )
            await merge_requests.set_state(
                conn,
                request.id,
                "sent",
                tenant_id=keys["tenant_id"],
                now=now(),
                run_id=run_id,
                survivor_id=self._survivor,
            )
            return run_id

    async def _agree(self, remote_object: RemoteObject, survivor_id: str, run_id: UUID) -> Outcome:
        """Let the id that means both be the record's, then read what it holds, as a pull does."""
        remote, request = self._remote, self._request
        target = await self._open_target(remote_object, run_id)
        await target.persist(partial(self._follow, target, survivor_id))
        try:
            async with self._transaction() as conn:
                names = await definitions.list_property_names(conn, **target.object_keys)
            page = await remote.connector.read_many(request.object, [survivor_id], names)
            await target.commit(prepare_page(page, target.mapper), list_unreadable(page))
        except RetryLater:
            _log.info("merged_not_read", connection=remote.name, object=request.object)  # a sync will
        await self._end_run(run_id, "success", None)
        return Outcome(request, "done", None, survivor_id, run_id)

    async def _follow(self, target: Target, survivor_id: str) -> None:
        request, keys = self._request, self._remote.keys
        at = now()
        async with self._db.transaction(tenant_id=keys["tenant_id"], bulk=True) as conn:
            await target.prove_lease(conn)
            if target.mapper is not None:
                await merges.follow(
                    conn,
                    target.mapper.record_type,
                    target.table,
                    **target.object_keys,
                    survivor_id=survivor_id,
                    merged_ids=[self._survivor, request.merged_id],
                    run_id=target.run_id,
                    actor=target.actor,
                    now=at,
                )
            done = {"id": request.id, "state": "done", "reason": None}
            await sent.answer_ties(conn, [done], tenant_id=keys["tenant_id"], now=at)
            await merge_requests.set_state(
                conn, request.id, "done", tenant_id=keys["tenant_id"], now=at, run_id=target.run_id
            )

    async def _refuse(self, run_id: UUID, state: Literal["wanted", "refused"], reason: str) -> Outcome:
        request = self._request
        async with self._transaction() as conn:
            answer = {"id": request.id, "state": "refused", "reason": reason}
            await sent.answer_ties(conn, [answer], tenant_id=self._remote.tenant_id, now=now())
        await self._end_run(run_id, "failed", reason)
        return await self._settle(state, reason, run_id=run_id)

    async def _settle(
        self, state: merge_requests.State, reason: str, *, run_id: UUID | None = None
    ) -> Outcome:
        async with self._transaction() as conn:
            await merge_requests.set_state(
                conn, self._request.id, state, reason, tenant_id=self._remote.tenant_id, now=now()
            )
        return Outcome(self._request, state, reason, run_id=run_id)

    async def _put_off(
        self,
        state: merge_requests.State,
        reason: str,
        *,
        after: timedelta = _RETRY,
    ) -> Outcome:
        async with self._transaction() as conn:
            await merge_requests.set_state(
                conn,
                self._request.id,
                state,
                reason,
                tenant_id=self._remote.tenant_id,
                now=now(),
                not_before=now() + after,
            )
        return Outcome(self._request, state, reason)

    async def _open_target(self, remote_object: RemoteObject, run_id: UUID) -> Target:
        remote = self._remote
        async with self._transaction() as conn:
            target = Target(
                db=self._db,
                tenant_id=remote.tenant_id,
                connection_id=remote.connection_id,
                remote_object=remote_object,
                table=await payloads.ensure_table(conn, remote.platform_name, remote_object.name),
                mapper=None,
                mapping_version=1,
                run_id=run_id,
                actor="syncline",
                lease=self._lease,
                count_calls=remote.count_calls,
            )
            await set_terms(conn, target, remote)
        return target

    async def _begin_run(self, conn: Conn) -> UUID:
        remote = self._remote
        run_id = await runs.request(
            conn,
            **remote.keys,
            object_name=self._request.object,
            mode="push",
            requested_by=self._request.wanted_by or self._by,
            now=now(),
        )
        await runs.start(conn, run_id, tenant_id=remote.tenant_id, now=now())
        return run_id

    async def _end_run(self, run_id: UUID, status: str, problem: str | None) -> None:
        async with self._transaction() as conn:
            await runs.finish(
                conn,
                run_id,
                tenant_id=self._remote.tenant_id,
                status=status,
                now=now(),
                api_calls=self._remote.count_calls(),
                error_details=None if problem is None else {"error": problem},
            )

    def _transaction(self) -> AbstractAsyncContextManager[Conn]:
        return self._db.transaction(tenant_id=self._remote.tenant_id)


def _judge(records: Sequence[RemoteRecord], survivor_id: str, merged_id: str) -> str | None:
    """Say what both ids lead to, by what was read under them: one id, or `apart`; None for nothing."""
    living = {each.remote_id: each for each in records if each.archived_ms is None}
    for each in living.values():
        known = {each.remote_id, *each.merged_ids}
        if {survivor_id, merged_id} <= known:
            return each.remote_id
    if survivor_id in living and merged_id in living:
        return "apart"
    if len(living) == 1:
        return next(iter(living))
    return None
