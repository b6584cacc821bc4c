"""Removes a person from everything that is here, table by table; each table commits with its count.

Stopped anywhere, it is begun again from the start: what is gone already costs a look. What the application's
own role may not alter (the change log, the audit) is done by the administrative role, or left with a word.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from syncline.clock import now
from syncline.connectors.http import ATTEMPT_SECONDS
from syncline.domain.identifiers import Needle
from syncline.domain.sealing import Vault
from syncline.domain.subject import Subject
from syncline.engine import barring
from syncline.engine.calls import GIVE_UP_AFTER_SECONDS
from syncline.engine.persons import find_unlinked, widen
from syncline.engine.slots import PATIENCE_SECONDS
from syncline.store import barred, erasing, erasures, receipts, sweeping, under_way
from syncline.store.administration import Administrator
from syncline.store.db import Conn, Database
from syncline.store.personal import COPIES, SOURCES, Place, raw_place, values_of

#: Tables that the application may add to and read, and nothing else.
APPEND_ONLY = frozenset({"crm.change_log", "app.audit_log"})
#: How long whoever goes on with an erasure is left alone; then another may. Kept up table by table.
CLAIM = timedelta(minutes=5)
#: What is committed later than this bears an earlier time than the look at it.
_LONGEST_TRANSACTION = timedelta(minutes=10)
#: After this nobody waits any more for the answer to a call, nor for what a CRM makes of it: one that waits
#: for its quota, does not get through until it is given up, and is then sent and answered as late as can be.
_ANSWERED_SECONDS = 2 * (PATIENCE_SECONDS + ATTEMPT_SECONDS) + GIVE_UP_AFTER_SECONDS + 60.0
BEING_WRITTEN = (
    "Something of the person is just being written to a CRM, or its answer was lost a moment ago. The worker "
    "goes on by itself when it is answered, and twelve minutes after it was sent at the latest."
)
NO_ADMINISTRATOR = (
    "The change log can be cleared by the administrative role only: set SYNCLINE_ADMIN_DATABASE_URL for the "
    "worker, or run the command where it is set."
)


class Removal:
    """One erasure on its way through the tables."""

    def __init__(
        self,
        db: Database,
        admin: Administrator | None,
        vault: Vault,
        *,
        tenant_id: UUID,
        erasure_id: UUID,
    ) -> None:
        self._db = db
        self._admin = admin
        self._vault = vault
        self._tenant_id = tenant_id
        self._erasure_id = erasure_id

    async def run(self, sealed: bytes) -> str | None:
        """Remove everything; return why something is left, in words, or None."""
        subject = msgspec.json.decode(self._vault.open(sealed), type=Subject)
        await self._gather(subject)
        if not await self._look_at_makings(subject):
            return BEING_WRITTEN
        await self._bury(subject)
        values, began_at = values_of(subject), now()
        for place, object_name in await self._list_sources():
            await self._clear(place, {**values, "object": object_name})
        # Whoever still read what was there has written it down by then.
        await self._close_gate()
        for place in COPIES:
            await self._clear(place, values)
        # A record may have been put back from its log, and written to its log, in between.
        for place in SOURCES:
            if place.changed is not None:
                await self._clear(place, values, since=began_at - _LONGEST_TRANSACTION)
        await self._write_down(subject)
        if self._admin is None:
            return NO_ADMINISTRATOR
        async with self._db.transaction(tenant_id=self._tenant_id) as conn:
            await erasing.settle_removed(conn, self._erasure_id, tenant_id=self._tenant_id, now=now())
        return None

    @asynccontextmanager
    async def _begin(self) -> AsyncGenerator[Conn]:
        opened = (
            self._db.transaction(tenant_id=self._tenant_id, bulk=True)
            if self._admin is None
            else self._admin.transaction()
        )
        async with opened as conn:
            # Tables are searched from end to end, however long that takes.
            await sweeping.limit_time(conn, 0)
            yield conn

    async def _close_gate(self) -> None:
        """Wait until nobody is under way any more who has not seen what is kept out by now."""
        async with self._begin() as conn:
            await barred.close_gate(conn, tenant_id=self._tenant_id)

    async def _gather(self, subject: Subject) -> None:
        """Find what became the person's since, until nobody is left who could add to it; keep that too."""
        searched_by: list[Needle] | None = None
        while True:
            await self._close_gate()
            before, known = msgspec.json.encode(subject), set(subject.refs)
            async with self._begin() as conn:
                await widen(conn, subject, tenant_id=self._tenant_id)
                # The mirrors are searched from end to end: again only if there is more to look for.
                if searched_by != subject.needles():
                    searched_by = subject.needles()
                    subject.add_refs(await find_unlinked(conn, subject, tenant_id=self._tenant_id))
            if msgspec.json.encode(subject) == before:
                return
            more = [each for each in subject.refs if each not in known]
            keys = {"tenant_id": self._tenant_id, "erasure_id": self._erasure_id}
            async with self._db.transaction(tenant_id=self._tenant_id) as conn:
                await barring.add_found(conn, self._vault, subject, more, **keys)

    async def _look_at_makings(self, subject: Subject) -> bool:
        """Have the person looked for where they were being made; False while an answer may be on its way."""
        keys = {"tenant_id": self._tenant_id}
        async with self._db.transaction(tenant_id=self._tenant_id) as conn:
            if await under_way.is_under_way(conn, subject.record_ids, **keys, seconds=_ANSWERED_SECONDS):
                return False
            makings = await under_way.list_makings(conn, subject.contact_ids, **keys)
            await barring.add_makings(conn, makings, **keys, erasure_id=self._erasure_id)
        return True

    async def _bury(self, subject: Subject) -> None:
        """Leave tombstones at the remote ids, while the links still say whose they are."""
        by_object: dict[tuple[UUID, str], list[str]] = {}
        for each in subject.refs:
            by_object.setdefault((each.connection_id, each.object), []).append(each.remote_id)
        async with self._begin() as conn:
            for (connection_id, object_name), remote_ids in by_object.items():
                await erasures.bury(
                    conn,
                    remote_ids,
                    tenant_id=self._tenant_id,
                    connection_id=connection_id,
                    object_name=object_name,
                    record_type="contact",
                    now=now(),
                )

    async def _list_sources(self) -> list[tuple[Place, str]]:
        async with self._begin() as conn:
            raws = await sweeping.list_raw_tables(conn, tenant_id=self._tenant_id)
        mirrors = [(raw_place(each.table), each.object) for each in raws]
        return [*mirrors, *((each, "") for each in SOURCES)]

    async def _clear(self, place: Place, values: Mapping[str, Any], *, since: datetime | None = None) -> None:
        """Clear a place; with `since`, take out of its texts what was written there again since then."""
        if self._admin is None and place.name in APPEND_ONLY:
            return
        async with self._begin() as conn:
            at, tenant_id = now(), self._tenant_id
            rows = 0
            if since is None:
                rows += await sweeping.remove_own(conn, place, values, tenant_id=tenant_id, now=at)
            rows += await sweeping.redact(conn, place, values, tenant_id=tenant_id, now=at, since=since)
            await erasing.note_removed(
                conn, self._erasure_id, place.name, rows, tenant_id=tenant_id, until=now() + CLAIM
            )

    async def _write_down(self, subject: Subject) -> None:
        async with self._db.transaction(tenant_id=self._tenant_id) as conn:
            receipt = await receipts.find(conn, self._erasure_id, tenant_id=self._tenant_id)
            if receipt is None:
                return
            await erasing.mark_records(
                conn,
                subject.contact_ids,
                tenant_id=self._tenant_id,
                by=receipt.requested_by,
                source=receipt.source,
                since=receipt.requested_at,
                now=now(),
            )
