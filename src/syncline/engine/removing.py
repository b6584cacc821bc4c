"""Removes a person from everything that is here, table by table; each table commits with its count.

Stopped anywhere, it is begun again from the start: what is gone already costs a look. What the application's
own role may not alter (the change log, the audit) is done by the administrative role, or left with a word.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from syncline.clock import now
from syncline.domain.sealing import Vault
from syncline.domain.subject import Subject
from syncline.engine import barring
from syncline.engine.persons import find_done_since, find_unlinked
from syncline.store import barred, erasing, erasures, receipts, sweeping
from syncline.store.administration import Administrator
from syncline.store.db import Conn, Database
from syncline.store.personal import PLACES, Place, raw_place, values_of

#: Tables that the application may add to and read, and nothing else.
APPEND_ONLY = frozenset({"crm.change_log", "app.audit_log"})
#: How long whoever goes on with an erasure is left alone; then another may. Kept up table by table.
CLAIM = timedelta(minutes=5)
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
        async with self._begin() as conn:
            # From here on nobody is under way who has not seen that the person must not come back.
            await barred.close_gate(conn, tenant_id=self._tenant_id)
        await self._look_for_more(subject)
        await self._bury(subject)
        values = values_of(subject)
        for place, object_name in await self._list_places():
            await self._clear(place, {**values, "object": object_name})
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

    async def _look_for_more(self, subject: Subject) -> None:
        """Look for what came since, and through the mirrors for what is linked to nobody; keep that too."""
        async with self._begin() as conn:
            found = await find_done_since(conn, subject, tenant_id=self._tenant_id)
            found += await find_unlinked(conn, subject, tenant_id=self._tenant_id)
        more = [each for each in found if each not in set(subject.refs)]
        if not more:
            return
        subject.add_refs(more)
        async with self._db.transaction(tenant_id=self._tenant_id) as conn:
            await barring.add_refs(
                conn, self._vault, more, tenant_id=self._tenant_id, erasure_id=self._erasure_id, now=now()
            )
            sealed = self._vault.seal(msgspec.json.encode(subject))
            await erasing.keep_subject(conn, self._erasure_id, sealed, tenant_id=self._tenant_id)

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

    async def _list_places(self) -> list[tuple[Place, str]]:
        async with self._begin() as conn:
            raws = await sweeping.list_raw_tables(conn, tenant_id=self._tenant_id)
        mirrors = [(raw_place(each.table), each.object) for each in raws]
        return [*mirrors, *((each, "") for each in PLACES)]

    async def _clear(self, place: Place, values: Mapping[str, Any]) -> None:
        if self._admin is None and place.name in APPEND_ONLY:
            return
        async with self._begin() as conn:
            at = now()
            keys = {"tenant_id": self._tenant_id}
            rows = await sweeping.remove_own(conn, place, values, **keys, now=at)
            rows += await sweeping.redact(conn, place, values, **keys, now=at)
            await erasing.note_removed(conn, self._erasure_id, place.name, rows, **keys, until=now() + CLAIM)

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
