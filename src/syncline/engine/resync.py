"""Reads one record again, now, and merges it whether or not anything is new about it.

The run is written down in the transaction that writes the record, so that no other run of its object, which
may go on beside, ever takes it for one whose process died.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from syncline.clock import now
from syncline.config import Settings
from syncline.connectors.base import RemoteObject
from syncline.connectors.reads import Page
from syncline.engine.chunk import Agreed
from syncline.engine.compare import compare
from syncline.engine.lease import Lease, hold_lease
from syncline.engine.lookups import refresh_properties
from syncline.engine.prepare import Prepared, list_unreadable, prepare_page
from syncline.engine.remotes import Remote
from syncline.engine.terms import set_terms
from syncline.engine.write import Target
from syncline.errors import Busy
from syncline.store import definitions, drift, payloads, runs
from syncline.store.db import Conn, Database
from syncline.store.drift import Finding
from syncline.store.runs import RunCounts

MODE = "manual"
_LEASE = "resync"


@dataclass(frozen=True, slots=True)
class Reread:
    """What came of reading one record again."""

    run_id: UUID
    #: False when the CRM does not show it; then nothing has been changed here.
    is_there: bool
    #: True when it is new here.
    is_new: bool
    #: Why it could not be read whole, where it could not.
    fault: str | None
    #: Both sides before, and what was merged; None where it is no record of ours.
    agreed: Agreed | None
    #: What differs all the same, as drift.
    left: list[Finding]


async def reread(
    db: Database, remote: Remote, object_name: str, remote_id: str, settings: Settings, *, requested_by: str
) -> Reread:
    """Read a record by its id, merge it, queue what is to be pushed, and bring its drift up to date.

    Nothing is archived on the word of one reading: that it is gone is for a reconcile to say. Raises
    `NotFound` for an unknown object, `Busy` while many others do the same, and what the CRM's calls raise.
    """
    remote_object = await remote.connector.get_object(object_name)
    async with db.transaction(tenant_id=remote.tenant_id) as conn:
        names = await definitions.list_property_names(conn, **remote.keys, object_name=object_name)
    if not names:
        names = await refresh_properties(db, remote.connector, remote_object, **remote.keys)
    page = await remote.connector.read_many(object_name, [remote_id], names)
    try:
        async with hold_lease(db, **remote.keys, purpose=_LEASE, seconds=settings.lease_seconds) as lease:
            rereading = _Rereading(db, remote, remote_object, remote_id, lease, requested_by)
            return await rereading.write(page)
    except Busy:
        raise Busy(f"Another record of {remote.name} is being read again just now. Try once more.") from None


class _Rereading:
    """One record on its way, within one transaction."""

    def __init__(
        self,
        db: Database,
        remote: Remote,
        remote_object: RemoteObject,
        remote_id: str,
        lease: Lease,
        requested_by: str,
    ) -> None:
        self._db = db
        self._remote = remote
        self._object = remote_object
        self._remote_id = remote_id
        self._lease = lease
        self._requested_by = requested_by

    async def write(self, page: Page) -> Reread:
        async with self._db.transaction(tenant_id=self._remote.tenant_id, bulk=True) as conn:
            target = await self._begin(conn)
            await set_terms(conn, target, self._remote)
            prepared, unreadable = prepare_page(page, target.mapper), list_unreadable(page)
            counts = RunCounts(read=len(prepared) + len(unreadable))
            agreed = await target.write_chunk(
                conn, prepared, unreadable, counts, always=frozenset({self._remote_id})
            )
            await target.record_counts(conn, counts)
            left = await self._compare(conn, target, prepared)
            faults = [each.parked for each in prepared if each.parked is not None] + unreadable
            await runs.finish(
                conn,
                target.run_id,
                tenant_id=target.tenant_id,
                status="partial" if faults else "success",
                now=now(),
                api_calls=self._remote.count_calls(),
            )
        return Reread(
            target.run_id,
            bool(prepared or unreadable),
            counts.created > 0,
            faults[0].reason if faults else None,
            agreed.get(self._remote_id),
            left,
        )

    async def _begin(self, conn: Conn) -> Target:
        remote, name = self._remote, self._object.name
        run_id = await runs.request(
            conn,
            **remote.keys,
            object_name=name,
            mode=MODE,
            requested_by=self._requested_by,
            now=now(),
        )
        await runs.start(conn, run_id, tenant_id=remote.tenant_id, now=now())
        return Target(
            db=self._db,
            tenant_id=remote.tenant_id,
            connection_id=remote.connection_id,
            remote_object=self._object,
            table=await payloads.ensure_table(conn, remote.platform_name, name),
            mapper=None,
            mapping_version=1,
            run_id=run_id,
            actor=self._requested_by,
            lease=self._lease,
            count_calls=remote.count_calls,
            parked_ids={self._remote_id},
        )

    async def _compare(self, conn: Conn, target: Target, prepared: Sequence[Prepared]) -> list[Finding]:
        """Say what differs all the same, in place of what was known of it."""
        at = now()
        left = await compare(conn, target, prepared)
        await drift.put(conn, left, keys=target.object_keys, run_id=target.run_id, now=at)
        if prepared:
            await drift.remove_unchecked(
                conn, keys=target.object_keys, before=at, remote_ids=[self._remote_id]
            )
        return left
