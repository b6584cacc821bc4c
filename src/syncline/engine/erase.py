"""Carries erasures out: first here, then at the CRMs, until nothing is left to do. Any number of workers may.

What is to be done is committed before anything is removed or called, and each step may be repeated: a process
that dies loses nothing, and the next one goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from datetime import timedelta
from uuid import UUID

import structlog

from syncline.clock import now
from syncline.connectors.base import Connector
from syncline.connectors.writes import RemoteWrite, WriteOutcome
from syncline.domain.subject import Ref
from syncline.engine import barring
from syncline.engine.remotes import Remotes
from syncline.engine.removing import CLAIM, Removal
from syncline.engine.resting import rest
from syncline.engine.work import frames_of
from syncline.errors import (
    NotFound,
    PauseConnection,
    RetryLater,
    SettingInvalid,
    StopForOperator,
    SynclineError,
)
from syncline.store import connections, erasing, remote_erasures
from syncline.store.administration import Administrator
from syncline.store.db import Conn, Database
from syncline.store.remote_erasures import RemoteErasure
from syncline.store.urls import UrlSource

_LOOK_SECONDS = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=15), timedelta(hours=1)
_ENDED = "The connection has been ended."
_NEVER_MADE = "It was never made there."
_UNKNOWN = "It was just being made there, and whether that came to anything cannot be told."

_log = structlog.get_logger(__name__)


class Eraser:
    """Goes on with erasures. `admin_url` is asked when something is to be removed, and may refuse."""

    def __init__(self, db: Database, remotes: Remotes, admin_url: UrlSource) -> None:
        self._db = db
        self._remotes = remotes
        self._admin_url = admin_url

    async def go_on(self, tenant_id: UUID, erasure_id: UUID) -> bool:
        """Do what can be done of an erasure now; returns whether it is done with."""
        async with self._transaction(tenant_id) as conn:
            at = now()
            claimed = await erasing.claim(conn, erasure_id, tenant_id=tenant_id, now=at, until=at + CLAIM)
        if claimed is None:
            return False
        problem: str | None = None
        try:
            if claimed.subject is not None:
                problem = await self._remove(tenant_id, erasure_id, claimed.subject)
            if problem is None:
                await self._ask_crms(tenant_id, erasure_id)
        except (RetryLater, StopForOperator) as error:
            problem = str(error)
        async with self._transaction(tenant_id) as conn:
            at = now()
            if problem is None and await erasing.complete(conn, erasure_id, tenant_id=tenant_id, now=at):
                return True
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(claimed.attempts, 10))
            await erasing.put_off(conn, erasure_id, problem, tenant_id=tenant_id, not_before=at + pause)
        return False

    async def _remove(self, tenant_id: UUID, erasure_id: UUID, subject: bytes) -> str | None:
        async with AsyncExitStack() as stack:
            admin: Administrator | None = None
            with suppress(SettingInvalid):
                url = self._admin_url if isinstance(self._admin_url, str) else await self._admin_url()
                admin = await stack.enter_async_context(Administrator.open(url))
            removal = Removal(
                self._db, admin, self._remotes.vault, tenant_id=tenant_id, erasure_id=erasure_id
            )
            return await removal.run(subject)

    async def _ask_crms(self, tenant_id: UUID, erasure_id: UUID) -> None:
        async with self._transaction(tenant_id) as conn:
            asked = await remote_erasures.list_remote(conn, [erasure_id], tenant_id=tenant_id)
            stopped = await remote_erasures.is_stopped(conn, tenant_id=tenant_id)
        due: dict[tuple[UUID, str], list[RemoteErasure]] = {}
        for each in asked:
            if each.state == "wanted":
                due.setdefault((each.connection_id, each.object), []).append(each)
        for (connection_id, object_name), rows in due.items():
            if stopped:
                await self._wait(tenant_id, rows, "All writing to CRMs is stopped.")
            else:
                await self._ask_crm(tenant_id, connection_id, object_name, rows)

    async def _ask_crm(
        self, tenant_id: UUID, connection_id: UUID, object_name: str, rows: Sequence[RemoteErasure]
    ) -> None:
        ids = [each.id for each in rows]
        try:
            async with self._transaction(tenant_id) as conn:
                connection = await connections.get(conn, connection_id, tenant_id=tenant_id)
            connector = self._remotes.open(connection, lane="push").connector
            size = connector.capabilities.write_batch
            wanted = await self._name(tenant_id, connector, object_name, rows)
            for start in range(0, len(wanted), size):
                part = wanted[start : start + size]
                outcomes = await connector.erase_many(object_name, [str(each.remote_id) for each in part])
                await self._settle(tenant_id, part, outcomes)
        except NotFound:
            async with self._transaction(tenant_id) as conn:
                await remote_erasures.set_remote(conn, ids, "kept", _ENDED, tenant_id=tenant_id, now=now())
        except PauseConnection as refusal:
            async with self._transaction(tenant_id) as conn:
                with suppress(NotFound):
                    await connections.pause(conn, connection_id, str(refusal), tenant_id=tenant_id, now=now())
            await self._wait(tenant_id, rows, str(refusal))
        except (RetryLater, StopForOperator) as error:
            await self._wait(tenant_id, rows, str(error))
        except SynclineError as error:
            async with self._transaction(tenant_id) as conn:
                await remote_erasures.set_remote(
                    conn, ids, "refused", str(error), tenant_id=tenant_id, now=now()
                )

    async def _name(
        self, tenant_id: UUID, connector: Connector, object_name: str, rows: Sequence[RemoteErasure]
    ) -> list[RemoteErasure]:
        """Return the rows whose records are known, those that were just being made after looking for them."""
        named = [each for each in rows if each.remote_id is not None]
        sought = [each for each in rows if each.remote_id is None and each.record_id is not None]
        if object_name in connector.capabilities.found_by_content:
            ids = [each.id for each in sought]
            async with self._transaction(tenant_id) as conn:
                await remote_erasures.set_remote(
                    conn, ids, "refused", _UNKNOWN, tenant_id=tenant_id, now=now()
                )
            return named
        size = connector.capabilities.write_batch
        for start in range(0, len(sought), size):
            part = sought[start : start + size]
            writes = [RemoteWrite(str(each.record_id), None, {}, str(each.record_id)) for each in part]
            found = await connector.find_made(object_name, writes, (), 0)
            for each in part:
                made = found.get(str(each.record_id), ())
                named += await self._take(tenant_id, each, [record.remote_id for record in made])
        return named

    async def _take(
        self, tenant_id: UUID, row: RemoteErasure, remote_ids: Sequence[str]
    ) -> list[RemoteErasure]:
        """Write down which records were made of one that was looked for; returns what is asked of the CRM."""
        async with self._transaction(tenant_id) as conn:
            if not remote_ids:
                await remote_erasures.set_remote(
                    conn, [row.id], "done", _NEVER_MADE, tenant_id=tenant_id, now=now()
                )
                return []
            assert row.record_id is not None  # noqa: S101 - looked for by it
            for each in remote_ids:
                await remote_erasures.name_remote(
                    conn,
                    row.erasure_id,
                    row.record_id,
                    each,
                    tenant_id=tenant_id,
                    connection_id=row.connection_id,
                    object_name=row.object,
                )
                ref = Ref(row.connection_id, row.object, each)
                await barring.add_made(
                    conn,
                    self._remotes.vault,
                    {row.record_id: ref},
                    tenant_id=tenant_id,
                    within=row.erasure_id,
                )
            asked = await remote_erasures.list_remote(conn, [row.erasure_id], tenant_id=tenant_id)
        return [
            each
            for each in asked
            if each.state == "wanted"
            and each.record_id == row.record_id
            and each.connection_id == row.connection_id
            and each.object == row.object
        ]

    async def _settle(
        self, tenant_id: UUID, rows: Sequence[RemoteErasure], outcomes: Sequence[WriteOutcome]
    ) -> None:
        async with self._transaction(tenant_id) as conn:
            for row, outcome in zip(rows, outcomes, strict=True):
                failure = outcome.failure
                if failure is None:
                    state, reason = "done", None
                elif isinstance(failure, RetryLater | PauseConnection):
                    state, reason = "wanted", str(failure)
                else:
                    state, reason = "refused", str(failure)
                await remote_erasures.set_remote(
                    conn, [row.id], state, reason, tenant_id=tenant_id, now=now()
                )

    async def _wait(self, tenant_id: UUID, rows: Sequence[RemoteErasure], reason: str) -> None:
        async with self._transaction(tenant_id) as conn:
            await remote_erasures.set_remote(
                conn, [each.id for each in rows], "wanted", reason, tenant_id=tenant_id, now=now()
            )

    def _transaction(self, tenant_id: UUID) -> AbstractAsyncContextManager[Conn]:
        return self._db.transaction(tenant_id=tenant_id)


async def serve_erasures(eraser: Eraser, db: Database, stop: asyncio.Event) -> None:
    """Go on with the erasures of all tenants until `stop`."""
    while not stop.is_set():
        try:
            async with db.statement() as conn:
                due = await erasing.list_open(conn, now())
            for tenant_id, erasure_id in due:
                if stop.is_set():
                    return
                await _go_on(eraser, tenant_id, erasure_id)
        except RetryLater as error:
            _log.warning("erasures_wait", reason=str(error))
        except Exception as error:  # noqa: BLE001 - the next look goes on
            _log.error("erasures_unread", error=type(error).__name__, frames=frames_of(error))
        await rest(stop, _LOOK_SECONDS)


async def _go_on(eraser: Eraser, tenant_id: UUID, erasure_id: UUID) -> None:
    """Go on with one erasure, which stops no other."""
    told = {"erasure": str(erasure_id), "tenant": str(tenant_id)}
    try:
        if await eraser.go_on(tenant_id, erasure_id):
            _log.info("erased", **told)
    except RetryLater as error:
        _log.warning("erasures_wait", reason=str(error), **told)
    except Exception as error:  # noqa: BLE001 - one erasure stops no other
        _log.error("erasure_failed", error=type(error).__name__, frames=frames_of(error), **told)
