"""Reads again what webhooks spoke of, one object of one burst, and writes it by the way every pull takes.

An event is a hint and nothing more: the records are asked for by their ids, and what the CRM answers counts.
Nobody is taken for gone on an event's word alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import structlog

from syncline.clock import now
from syncline.config import Settings
from syncline.connectors.base import RemoteObject
from syncline.engine.absence import Absence
from syncline.engine.associate import Associator
from syncline.engine.barring import follow_erasure
from syncline.engine.hints import Hints
from syncline.engine.lease import Lease
from syncline.engine.lookups import refresh_pipelines, refresh_properties
from syncline.engine.prepare import list_unreadable, prepare_page
from syncline.engine.pull import Order, begin_run, fail_run, finish_run
from syncline.engine.remotes import Remote
from syncline.engine.telemetry import traced
from syncline.engine.terms import set_terms
from syncline.engine.write import Target
from syncline.store import absences, definitions, erasures, payloads
from syncline.store.db import Database

MODE = "webhook"
_ARCHIVED = "archived"

_log = structlog.get_logger(__name__)


class Rereading:
    """One run: the hints of one object. `read`, then `associate`, then `finish`; `fail` in place of the rest.

    The two steps are apart so that the records of a burst are all there before any are tied to each other.
    """

    def __init__(self, target: Target, remote: Remote, hints: Hints) -> None:
        self._target = target
        self.remote = remote
        self._hints = hints
        self._properties: list[str] = []
        #: Records that did not live here before: what they are tied to is not known.
        self._strangers: list[str] = []
        #: Records said to be erased that the CRM still has: on their way, or not true. Nothing was forgotten.
        self.doubtful: set[str] = set()

    @classmethod
    async def begin(
        cls,
        db: Database,
        remote: Remote,
        remote_object: RemoteObject,
        hints: Hints,
        lease: Lease,
        settings: Settings,
    ) -> Rereading:
        """Write down that the run has begun, under the lease of the connection's inbox."""
        order = Order(remote_object.name, requested_by=MODE, mode=MODE, excludes=(MODE,))
        return cls(await begin_run(db, remote, order, remote_object, lease, settings), remote, hints)

    @property
    def object_name(self) -> str:
        return self._target.object_name

    def _tell(self) -> dict[str, str]:
        return {
            "syncline.connection": self.remote.name,
            "syncline.object": self.object_name,
            "syncline.mode": MODE,
        }

    @traced("run", _tell)
    async def read(self) -> None:
        """Read the records again and commit them, batch by batch."""
        ids = list(self._hints.changed)
        # Merged ids are asked for as well: what a merge is said to have taken away may still be there.
        ids += sorted(self._hints.gone.difference(ids))
        if not ids:
            return
        await self._prepare()
        await self._read_batches(ids)

    async def associate(self) -> None:
        """Read the associations that were spoken of, and those of records that were not known before."""
        target, associated = self._target, self._hints.associated
        associator = Associator(target, self.remote.connector, self.remote.record_types)
        everything = associated.get("", set()).union(self._strangers)
        if everything:
            await associator.read_of(sorted(everything))
        for other in sorted(associated):
            left = associated[other] - everything
            if left:
                await associator.read_pair(other, sorted(left))

    async def finish(self) -> None:
        log = _log.bind(run=str(self._target.run_id), object=self.object_name, connection=self.remote.name)
        await finish_run(self._target.db, self.remote, self._target, log)

    async def fail(self, failure: BaseException) -> None:
        await fail_run(self._target.db, self.remote, self._target, failure)

    async def _prepare(self) -> None:
        target, connector = self._target, self.remote.connector
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            self._properties = await definitions.list_property_names(conn, **target.object_keys)
        if not self._properties and target.remote_object.has_properties:
            # Spoken of before it was ever read: the first run of the object finds it prepared.
            self._properties = await refresh_properties(
                target.db, connector, target.remote_object, **target.keys
            )
            await refresh_pipelines(target.db, connector, target.remote_object, **target.keys)
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            await set_terms(conn, target, self.remote)

    async def _read_batches(self, ids: Sequence[str]) -> None:
        target, hints = self._target, self._hints
        absence = Absence(target, self.remote.connector, self._properties)
        for batch in _batches(ids, absence.batch):
            async with target.db.transaction(tenant_id=target.tenant_id) as conn:
                known = await payloads.filter_living(conn, target.table, batch, **target.keys)
            page, absent = await absence.ask(batch)
            await target.commit(prepare_page(page, target.mapper), list_unreadable(page))
            found = {record.remote_id for record in page.records if record.archived_ms is None}
            self._strangers += sorted(found - known)
            gone = [each for each in absent if each in hints.gone and each not in hints.erased]
            if gone:
                await absence.mark(gone, _ARCHIVED, asked_ms=page.requested_ms)
            await self._erase([each for each in absent if each in hints.erased])
            self.doubtful |= found & hints.erased

    async def _erase(self, ids: Sequence[str]) -> None:
        """Archive ours, forget theirs, never read it again, and have the person erased everywhere here.

        What the other CRMs have of them is a matter of their connections' settings.
        """
        if not ids:
            return
        target = self._target
        kind = None if target.mapper is None else target.mapper.record_type
        async with target.db.transaction(tenant_id=target.tenant_id, bulk=True) as conn:
            await target.prove_lease(conn)
            for each in ids:
                await follow_erasure(conn, self.remote, target.object_name, each)
            if kind is not None:
                await absences.archive_records(
                    conn,
                    kind,
                    ids,
                    **target.keys,
                    object_name=target.object_name,
                    run_id=target.run_id,
                    actor=target.actor,
                    now=now(),
                )
            await target.release(conn, ids)
            await erasures.erase(
                conn,
                target.table,
                ids,
                **target.keys,
                object_name=target.object_name,
                record_type=target.object_name if kind is None else kind.name,
                now=now(),
            )


def _batches(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
