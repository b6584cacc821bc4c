"""Batches whose process ended in the middle: a worker goes on with them, on behalf of whoever began them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from syncline.actions.access import role_of_key
from syncline.actions.batches import go_on
from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.domain.callers import Caller
from syncline.engine.work import frames_of
from syncline.errors import RetryLater, SynclineError
from syncline.store import api_keys, batches, memberships, tenants
from syncline.store.batches import Batch
from syncline.store.db import Conn

#: A batch that has not moved for so long was left by its process.
LEFT_SECONDS = 15.0
_LOOK_SECONDS = 3.0
#: How often workers try one that comes to nothing, without a row done in between, before it ends.
_MOST_ATTEMPTS = 5
#: How many chunks of one batch are done before the next one has its turn.
TURN_CHUNKS = 5

_log = structlog.get_logger(__name__)


async def serve_batches(hub: Hub, stop: asyncio.Event) -> None:
    """Go on with whatever batch is left, of all tenants, until `stop`. Any number of workers may do so."""
    while not stop.is_set():
        try:
            await go_on_with_left(hub, stop=stop)
        except RetryLater as error:
            _log.warning("batches_wait", reason=str(error))
        except Exception as error:  # noqa: BLE001 - whatever befell one look, the next one may do
            _log.error("batches_look_failed", error=type(error).__name__, frames=frames_of(error))
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                await stop.wait()


@dataclass(frozen=True, slots=True)
class _Going:
    """A batch that was taken over: its tenant's hub, and on whose behalf it is gone on with."""

    hub: Hub
    caller: Caller


async def go_on_with_left(
    hub: Hub, *, seconds: float = LEFT_SECONDS, stop: asyncio.Event | None = None
) -> list[Batch]:
    """Go on with batches that have not moved for so long, a turn of some rows each; returns how they ended.

    Of several who do so each batch has one, and if that one ends as well another in its time. One that came
    to nothing is tried again by the next look, and ended when that was too often.
    """
    ended: list[Batch] = []
    failed: set[UUID] = set()
    going: dict[UUID, _Going] = {}
    while stop is None or not stop.is_set():
        await _take_left(hub, seconds, going, failed, ended)
        if not going:
            break
        for batch_id, each in list(going.items()):
            batch = await _take_turn(each, batch_id, stop)
            if batch is None:
                failed.add(batch_id)
            elif batch.state == "running":
                continue
            else:
                ended.append(batch)
            del going[batch_id]
    return ended


async def _take_left(
    hub: Hub, seconds: float, going: dict[UUID, _Going], failed: set[UUID], ended: list[Batch]
) -> None:
    """Add to `going` what is left by now, and to `ended` what could only be ended."""
    async with hub.db.statement() as conn:
        left = await batches.list_left(conn, seconds=seconds)
        known = {each.tenant_id: each for each in await tenants.list_tenants(conn)} if left else {}
    for tenant_id, batch_id in left:
        if tenant_id not in known or batch_id in going or batch_id in failed:
            continue
        there = replace(hub, tenant=known[tenant_id])
        try:
            taken = await _take_over(there, batch_id, seconds)
        except Exception as error:  # noqa: BLE001 - one batch that fails is no reason to leave the others
            failed.add(batch_id)
            await _note(there, batch_id, error)
            continue
        if taken is not None:
            batch, caller = taken
            _log.info("batch_taken_over", batch=str(batch_id), done=batch.done, rows=batch.rows)
            if caller is None:
                ended.append(batch)
            else:
                going[batch_id] = _Going(there, caller)


async def _take_turn(going: _Going, batch_id: UUID, stop: asyncio.Event | None) -> Batch | None:
    """Do some rows, so that a big batch keeps no small one waiting; None where that came to nothing."""
    try:
        return await go_on(going.hub, going.caller, batch_id, stop=stop, chunks=TURN_CHUNKS)
    except Exception as error:  # noqa: BLE001 - as above
        await _note(going.hub, batch_id, error)
        return None


async def _note(hub: Hub, batch_id: UUID, error: Exception) -> None:
    """Write down that a batch came to nothing; what may do later does not count."""
    if isinstance(error, RetryLater):
        _log.warning("batch_left", batch=str(batch_id), reason=str(error))
        return
    words = str(error) if isinstance(error, SynclineError) else None
    frames = None if words else frames_of(error)
    _log.error("batch_failed", batch=str(batch_id), error=type(error).__name__, reason=words, frames=frames)
    reason = words or f"An unexpected {type(error).__name__}; the worker's log says where."
    try:
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            if await batches.note_failure(
                conn, batch_id, reason, tenant_id=hub.tenant_id, most=_MOST_ATTEMPTS, now=now()
            ):
                _log.error("batch_given_up", batch=str(batch_id), tries=_MOST_ATTEMPTS)
    except RetryLater as second:
        _log.warning("batch_failure_not_noted", batch=str(batch_id), reason=str(second))


async def _take_over(hub: Hub, batch_id: UUID, seconds: float) -> tuple[Batch, Caller | None] | None:
    """Take a batch over, with whoever began it; where they may not any more, it is ended."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        if not await batches.take_over(conn, batch_id, tenant_id=hub.tenant_id, seconds=seconds):
            return None
        batch = await batches.get(conn, batch_id, tenant_id=hub.tenant_id)
        caller = await _find_caller(conn, hub, batch)
        if caller is None or not caller.may("records:bulk"):
            reason = "Who began it may not any more."
            _log.warning("batch_ended", batch=str(batch_id), reason=reason)
            await batches.end(conn, batch_id, "cancelled", tenant_id=hub.tenant_id, now=now(), reason=reason)
            return await batches.get(conn, batch_id, tenant_id=hub.tenant_id), None
        return batch, caller


async def _find_caller(conn: Conn, hub: Hub, batch: Batch) -> Caller | None:
    """Return whoever began a batch with what they may by now; None when they are switched off or gone."""
    terms = batch.terms
    name = str(terms.get("begun_by") or batch.planned_by)
    caller = Caller(hub.tenant_id, "manager", name, str(terms.get("begun_from") or batch.source))
    if terms.get("begun_user"):
        person = await memberships.find_person(conn, UUID(terms["begun_user"]), tenant_id=hub.tenant_id)
        if person is None or not person.is_active:
            return None
        caller = replace(caller, role=person.role, user_id=person.id)
    if terms.get("begun_key"):
        key = await api_keys.find_usable(conn, UUID(terms["begun_key"]), tenant_id=hub.tenant_id, now=now())
        role = None if key is None else role_of_key(key)
        if key is None or role is None:
            return None
        scopes = None if key.scopes is None else frozenset(key.scopes)
        caller = replace(caller, role=role, key_id=key.id, scopes=scopes)
    return caller
