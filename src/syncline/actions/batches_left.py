"""Batches whose process ended in the middle: a worker goes on with them, on behalf of whoever began them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
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
#: How often a worker tries one that comes to nothing.
_MOST_ATTEMPTS = 5

_log = structlog.get_logger(__name__)


async def serve_batches(hub: Hub, stop: asyncio.Event) -> None:
    """Go on with whatever batch is left, of all tenants, until `stop`. Any number of workers may do so."""
    failed: dict[UUID, int] = {}
    while not stop.is_set():
        try:
            await go_on_with_left(hub, stop=stop, failed=failed)
        except RetryLater as error:
            _log.warning("batches_wait", reason=str(error))
        except Exception as error:  # noqa: BLE001 - whatever befell one look, the next one may do
            _log.error("batches_look_failed", error=type(error).__name__, frames=frames_of(error))
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                await stop.wait()


async def go_on_with_left(
    hub: Hub,
    *,
    seconds: float = LEFT_SECONDS,
    stop: asyncio.Event | None = None,
    failed: dict[UUID, int] | None = None,
) -> list[Batch]:
    """Go on with batches that have not moved for so long, one after the other; returns how they ended.

    Of several who do so each batch has one, and if that one ends as well another in its time. `failed` counts
    what came to nothing; what did too often is left to a person.
    """
    failures = {} if failed is None else failed
    async with hub.db.statement() as conn:
        left = await batches.list_left(conn, seconds=seconds)
        known = {each.tenant_id: each for each in await tenants.list_tenants(conn)} if left else {}
    ended: list[Batch] = []
    for tenant_id, batch_id in left:
        if tenant_id not in known or failures.get(batch_id, 0) >= _MOST_ATTEMPTS:
            continue
        there = replace(hub, tenant=known[tenant_id])
        try:
            taken = await _take_over(there, batch_id, seconds)
            if taken is not None:
                batch, caller = taken
                _log.info("batch_taken_over", batch=str(batch_id), done=batch.done, rows=batch.rows)
                if caller is not None:
                    batch = await go_on(there, caller, batch_id, stop=stop)
                ended.append(batch)
                failures.pop(batch_id, None)
        except RetryLater as error:
            _log.warning("batch_left", batch=str(batch_id), reason=str(error))
        except Exception as error:  # noqa: BLE001 - one batch that fails is no reason to leave the others
            failures[batch_id] = failures.get(batch_id, 0) + 1
            known_words = str(error) if isinstance(error, SynclineError) else None
            frames = None if known_words else frames_of(error)
            _log.error(
                "batch_failed",
                batch=str(batch_id),
                error=type(error).__name__,
                reason=known_words,
                frames=frames,
            )
    return ended


async def _take_over(hub: Hub, batch_id: UUID, seconds: float) -> tuple[Batch, Caller | None] | None:
    """Take a batch over, with whoever began it; where they may not any more, it is ended."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        if not await batches.take_over(conn, batch_id, tenant_id=hub.tenant_id, seconds=seconds):
            return None
        batch = await batches.get(conn, batch_id, tenant_id=hub.tenant_id)
        caller = await _find_caller(conn, hub, batch)
        if caller is None or not caller.may("records:bulk"):
            _log.warning("batch_ended", batch=str(batch_id), reason="Who began it may not any more.")
            await batches.end(conn, batch_id, "cancelled", tenant_id=hub.tenant_id, now=now())
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
