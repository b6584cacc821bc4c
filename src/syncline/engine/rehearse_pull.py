"""What an incremental run of an object would change here: the run itself, with nothing of it kept.

Reads what the run would read, and takes back each transaction. What only follows from rows that are not there
(what a new record belongs to, calls joined to it by number) is left for the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from syncline.clock import new_id
from syncline.config import Settings
from syncline.connectors.base import RemoteObject
from syncline.engine import walk
from syncline.engine.follow import find_watermark
from syncline.engine.prepare import Prepared
from syncline.engine.readings import Records
from syncline.engine.rehearse import NoLease, Rehearsal
from syncline.engine.remotes import Remote
from syncline.engine.write import AlsoCommit, Target
from syncline.store import payloads
from syncline.store.db import Database
from syncline.store.effects import Change
from syncline.store.parked import Parked
from syncline.store.runs import RunCounts

#: Records that a CRM delivers per call when everything is read.
_PER_CALL = 100


@dataclass(frozen=True, slots=True)
class PullPlan:
    """What a run of one object would do here."""

    object: str
    #: `changes`: what changed since the last run; `everything`: it would be read from end to end.
    state: Literal["changes", "everything"]
    #: Records that would be read; of `everything` what the CRM says it has, where it tells.
    read: int | None
    #: Calls that the run would cost, about.
    api_calls: int
    changes: list[Change] = field(default_factory=list[Change])
    #: Records of an object that is only mirrored.
    mirrored: int = 0
    unreadable: int = 0


@dataclass(slots=True)
class _Trial(Target):
    """Where records go that are not to stay."""

    #: Remote id → its payload, as it was last put to the trial: what is read twice would be written once.
    tried: dict[str, bytes] = field(default_factory=dict[str, bytes])
    #: Remote id → 1 for one that would live here from now on, -1 for one that would no more.
    moved: dict[str, int] = field(default_factory=dict[str, int])

    async def commit(
        self,
        batch: Sequence[Prepared],
        unreadable: Sequence[Parked] = (),
        also: AlsoCommit | None = None,
    ) -> None:
        fresh = [each for each in batch if self.tried.get(each.remote_id) != each.payload_hash]
        ids = [each.remote_id for each in fresh]
        async with self.db.transaction(tenant_id=self.tenant_id) as conn:
            lived = await payloads.filter_living(conn, self.table, ids, **self.keys)
        # By name: a class with slots is made anew, and `super()` does not know it.
        await Target.commit(self, fresh, unreadable, also)
        for each in fresh:
            self.tried[each.remote_id] = each.payload_hash
            self.moved[each.remote_id] = (each.archived_ms is None) - (each.remote_id in lived)
        self.unkept = sum(self.moved.values())


async def rehearse_pull(
    db: Database,
    remote: Remote,
    remote_object: RemoteObject,
    settings: Settings,
    *,
    on_progress: Callable[[Target], None] | None = None,
) -> PullPlan:
    """Return what an incremental run would change here now. Writes nothing; may run beside a real one.

    An object that has never been read to its end would be read whole, which is not tried. Raises what reading
    raises.
    """
    calls_before = remote.count_calls()
    target = _make_trial(db, remote, remote_object, settings)
    if on_progress is not None:
        notify = on_progress
        target.on_progress = lambda: notify(target)
    async with db.transaction(tenant_id=remote.tenant_id) as conn:
        watermark = await find_watermark(conn, target)
        unread = remote_object.incremental and (watermark is None or await walk.is_unfinished(conn, target))
    if unread:
        there = await remote.connector.count(remote_object.name)
        return PullPlan(remote_object.name, "everything", there, -(-(there or 0) // _PER_CALL))
    rehearsal = Rehearsal(remote.tenant_id, [target.run_id])
    target.db = db.rehearsed(rehearsal.look)
    lane = remote.calls.lane
    try:
        await Records(remote_object).read(target, remote, full=False)
    finally:
        remote.calls.lane = lane
    counts: RunCounts = target.counts
    return PullPlan(
        remote_object.name,
        "changes",
        len(target.tried),
        remote.count_calls() - calls_before,
        rehearsal.changes(),
        counts.written if remote.mapping.get(remote_object.name) is None else 0,
        len(target.faulty_ids),
    )


def _make_trial(db: Database, remote: Remote, remote_object: RemoteObject, settings: Settings) -> _Trial:
    return _Trial(
        db=db,
        tenant_id=remote.tenant_id,
        connection_id=remote.connection_id,
        remote_object=remote_object,
        table=payloads.table_of(remote.platform_name, remote_object.name),
        mapper=None,
        mapping_version=1,
        run_id=new_id(),
        actor="plan",
        lease=NoLease(remote.keys),
        count_calls=remote.count_calls,
        chunk_rows=settings.chunk_rows,
        writers=1,
    )
