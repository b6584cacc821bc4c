"""Reconciling now, while a person looks on, and looking at the drift that was found.

One object's failure does not stop the others. Objects that were never read to their end are passed over,
unless they were named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from syncline.actions.connect import chosen_objects
from syncline.actions.hub import Hub
from syncline.actions.sync import AT_ONCE, Outcome, Progress, Synced, Unseen
from syncline.connectors.registry import get_platform
from syncline.engine.pull import Order
from syncline.engine.reconcile import is_read, reconcile
from syncline.engine.remotes import Remotes
from syncline.errors import Invalid, SynclineError
from syncline.store import drift
from syncline.store.connections import Connection
from syncline.store.drift import Drift, DriftCount, Filter, SourceCount, State
from syncline.store.keys import ObjectKeys
from syncline.store.runs import Run


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be reconciled, and what becomes of what differs."""

    names: Sequence[str] = ()
    objects: Sequence[str] = ()
    #: Change nothing but what is known of the drift.
    report_only: bool = False
    #: Mend however much it is, this once.
    heal_all: bool = False
    requested_by: str = "cli"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What became of one object of one connection."""

    connection: str
    object: str
    outcome: Outcome
    run: Run | None = None
    counts: SourceCount | None = None
    #: Rows and records by state and cause.
    drift: list[DriftCount] = field(default_factory=list[DriftCount])
    error: SynclineError | None = None

    def count(self, state: State) -> int:
        """Return how many fields are in a state; a record that differs as a whole counts as one."""
        return sum(each.fields for each in self.drift if each.state == state)


async def reconcile_now(hub: Hub, wanted: Wanted, *, progress: Progress | None = None) -> list[Reconciled]:
    """Reconcile objects of the connections named, or of all that are active; one that was cut off goes on.

    Raises `NotFound` for an unknown connection, `Invalid` when there is none, `PauseConnection` for one
    that was named and is paused; failures of objects are in the answer.
    """
    found = await hub.list_connections(wanted.names)
    if not found:
        raise Invalid("There is no connection to reconcile. Make one: `syncline connect`.")
    async with hub.remotes() as remotes:
        for each in found:
            if each.status != "active" and wanted.names:
                remotes.open(each)  # raises, telling why it is paused
        active = [each for each in found if each.status == "active"]
        batches = [_Reconcile(hub, remotes, each, wanted, progress or Unseen()) for each in active]
        done = await asyncio.gather(*(batch.run() for batch in batches))
    return [item for items in done for item in items]


class _Reconcile:
    """The reconcile of one connection."""

    def __init__(
        self, hub: Hub, remotes: Remotes, connection: Connection, wanted: Wanted, progress: Progress
    ) -> None:
        self._hub = hub
        self._remotes = remotes
        self._connection = connection
        self._wanted = wanted
        self._progress = progress

    async def run(self) -> list[Reconciled]:
        objects = await self._choose()
        self._progress.planned(self._connection.name, objects)
        slots = asyncio.Semaphore(AT_ONCE)
        return list(await asyncio.gather(*(self._one(name, slots) for name in objects)))

    async def _choose(self) -> list[str]:
        if self._wanted.objects:
            return list(dict.fromkeys(self._wanted.objects))
        names = chosen_objects(self._connection, get_platform(self._connection.platform))
        remote = self._remotes.open(self._connection, lane="backfill")
        return [name for name in names if await is_read(self._hub.db, remote, name)]

    async def _one(self, name: str, slots: asyncio.Semaphore) -> Reconciled:
        connection = self._connection.name
        async with slots:
            self._progress.began(connection, name)
            try:
                run = await self._reconcile(name)
            except SynclineError as error:
                item = Reconciled(connection, name, "failed", error=error)
            else:
                outcome: Outcome = "partial" if run.status == "partial" else "success"
                item = await self._look(Reconciled(connection, name, outcome, run))
        self._progress.ended(Synced(connection, name, item.outcome, item.run, item.error))
        return item

    async def _reconcile(self, name: str) -> Run:
        progress, connection = self._progress, self._connection.name
        order = Order(
            name,
            requested_by=self._wanted.requested_by,
            on_progress=lambda target: progress.moved(connection, name, target),
        )
        return await reconcile(
            self._hub.db,
            self._remotes.open(self._connection, lane="backfill"),
            order,
            self._hub.settings,
            report_only=self._wanted.report_only,
            heal_all=self._wanted.heal_all,
        )

    async def _look(self, item: Reconciled) -> Reconciled:
        hub, connection = self._hub, self._connection
        keys: ObjectKeys = {
            "tenant_id": hub.tenant_id,
            "connection_id": connection.id,
            "object_name": item.object,
        }
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            counts = await drift.list_source_counts(
                conn, tenant_id=hub.tenant_id, connection_id=connection.id
            )
            rows = await drift.list_counts(conn, keys=keys)
        latest = next((each for each in counts if each.object == item.object), None)
        return Reconciled(item.connection, item.object, item.outcome, item.run, latest, rows)


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What is known of drift, and how many records either side has, as the latest runs found it."""

    drift: list[Drift]
    counts: list[SourceCount]


async def list_drift(
    hub: Hub,
    *,
    name: str | None = None,
    objects: Sequence[str] = (),
    states: Sequence[State] = (),
    limit: int = 1000,
) -> DriftReport:
    """Return drift, the latest found first, of the objects and states named or of all.

    Raises `NotFound` for an unknown connection.
    """
    connection_id = None if name is None else (await hub.get_connection(name)).id
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await drift.list_drift(
            conn, Filter(connection_id, objects, states), tenant_id=hub.tenant_id, limit=limit
        )
        counts = await drift.list_source_counts(conn, tenant_id=hub.tenant_id, connection_id=connection_id)
    return DriftReport(found, [each for each in counts if not objects or each.object in objects])
