"""How things stand: per connection and object when it was last read, how much is here, and what is wrong."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from syncline.actions.connect import chosen_objects
from syncline.actions.counting import Count
from syncline.actions.hub import Hub
from syncline.actions.probe import PATIENCE_SECONDS
from syncline.connectors.base import Connector
from syncline.connectors.registry import get_platform
from syncline.engine.cron import next_after
from syncline.engine.quota import usage
from syncline.engine.readings import ASSOCIATIONS, HISTORY, READINGS
from syncline.engine.reconcile import MODE as RECONCILE
from syncline.engine.write import lease_purpose
from syncline.errors import SettingInvalid, SynclineError
from syncline.store import (
    allowances,
    conflicts,
    health,
    jobs,
    parked,
    payloads,
    runs,
    schedules,
    waiting,
    workers,
    writing,
)
from syncline.store.connections import Connection
from syncline.store.db import Conn
from syncline.store.jobs import QueueDepth
from syncline.store.keys import ConnectionKeys
from syncline.store.quota import Usage
from syncline.store.runs import Run
from syncline.store.schedules import Schedule
from syncline.store.workers import Worker

#: A worker shows every 5 seconds that it lives.
SILENT_SECONDS = 30.0
#: How much later than its schedule a run may end before it is called late.
_GRACE = timedelta(minutes=2)
#: More pages than these are not read only to be counted.
_MOST_PAGES = 10
#: A limit that nobody reaches is stated by servers that have none.
NO_LIMIT = 100_000_000

State = Literal["never", "running", "fresh", "late", "failed", "partial", "off", "paused"]


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """One object of one connection."""

    object: str
    state: State
    last_success_at: datetime | None
    #: The latest run, which may still be going on.
    run: Run | None
    #: Living records in the mirror.
    count_here: int
    #: What the CRM says it has; None when it was not asked or does not tell.
    count_there: int | None
    parked: int
    next_at: datetime | None
    #: Why it is not scheduled, or why its last run failed.
    problem: str | None


@dataclass(frozen=True, slots=True)
class WritingStatus:
    """What goes from here to one CRM."""

    #: Objects of which something may be written; none where the connection is only read.
    objects: list[str]
    #: Why nothing is sent now, in a sentence; None while it is.
    stopped: str | None
    #: Records that wait to be sent, wait for a person by a brake, and were refused.
    pending: int
    held: int
    parked: int
    #: Since when the first of those to be sent waits.
    oldest_at: datetime | None
    open_conflicts: int


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    connection: Connection
    objects: list[ObjectStatus]
    quota: list[Usage]
    writing: WritingStatus


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    worker: Worker
    is_alive: bool


@dataclass(frozen=True, slots=True)
class Status:
    """How one tenant's connections stand, and the workers that serve the installation."""

    at: datetime
    tenant: str
    queue: QueueDepth
    connections: list[ConnectionStatus] = field(default_factory=list[ConnectionStatus])
    workers: list[WorkerStatus] = field(default_factory=list[WorkerStatus])

    @property
    def living_workers(self) -> int:
        return sum(each.is_alive for each in self.workers)


@dataclass(frozen=True, slots=True)
class _Known:
    """What one look into the database told of all connections."""

    at: datetime
    latest: dict[tuple[UUID, str], Run]
    successes: dict[tuple[UUID, str], datetime]
    schedules: dict[tuple[UUID, str], Schedule]
    parked: dict[tuple[UUID, str], int]
    #: Leases that are held: a run without one has lost its process.
    held: set[tuple[UUID, str]]
    time_zone: str


async def read_status(hub: Hub, *, ask_source: bool = False, count: Count | None = None) -> Status:
    """Return how things stand. With `ask_source` each CRM is asked for its counts, a call per object.

    `count` counts what is here, where another than the exact way is good enough.
    """
    found = await hub.list_connections()
    there = await _count_there(hub, found) if ask_source else {}
    async with hub.db.statement() as conn:
        at = await health.read_clock(conn)
        served_by = await workers.list_workers(conn)
        depth = await jobs.measure(conn)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        known = await _look(conn, hub, at)
        objects = {each.id: await _objects(conn, each, known, there, count or count_here) for each in found}
        writes = {each.id: await _writing(conn, each) for each in found}
    return Status(
        at,
        hub.tenant.slug,
        depth,
        [
            ConnectionStatus(
                each,
                objects[each.id],
                await usage(hub.db, each.platform, each.account_id or ""),
                writes[each.id],
            )
            for each in found
        ],
        [WorkerStatus(each, is_alive(each, at)) for each in served_by],
    )


async def _writing(conn: Conn, connection: Connection) -> WritingStatus:
    tenant_id = connection.tenant_id
    keys: ConnectionKeys = {"tenant_id": tenant_id, "connection_id": connection.id}
    allowed = sorted({each.object for each in await writing.list_permissions(conn, **keys)})
    wanted = waiting.Filter(connection_id=connection.id)
    counts = {each.state: each for each in await waiting.list_counts(conn, wanted, tenant_id=tenant_id)}
    opened = await conflicts.count_open(
        conn, conflicts.Filter(connection_id=connection.id), tenant_id=tenant_id
    )
    pending = counts.get("pending")
    return WritingStatus(
        objects=allowed,
        stopped=await allowances.find_stop(conn, **keys) if allowed else None,
        pending=0 if pending is None else pending.count,
        held=counts["held"].count if "held" in counts else 0,
        parked=counts["parked"].count if "parked" in counts else 0,
        oldest_at=None if pending is None else pending.oldest_at,
        open_conflicts=sum(each.count for each in opened),
    )


async def measure_quota(hub: Hub) -> float | None:
    """Return which share of its quota the busiest account uses now, 0 to 1; None where none has a limit."""
    found = await hub.list_connections()
    shares = [
        (used.used + used.others) / used.limit
        for each in found
        for used in await usage(hub.db, each.platform, each.account_id or "")
        if used.limit and used.limit < NO_LIMIT and used.bucket == used.budget
    ]
    return min(1.0, max(shares)) if shares else None


def is_alive(worker: Worker, at: datetime) -> bool:
    """Tell whether a worker has shown lately that it lives; `at` is the database's time."""
    return (at - worker.seen_at).total_seconds() <= SILENT_SECONDS


async def _look(conn: Conn, hub: Hub, at: datetime) -> _Known:
    tenant_id = hub.tenant_id
    latest = await runs.list_latest(conn, tenant_id=tenant_id)
    planned = await schedules.list_schedules(conn, tenant_id=tenant_id)
    counts = await parked.list_counts(conn, tenant_id=tenant_id)
    return _Known(
        at,
        {(each.connection_id, each.object): each for each in latest},
        await health.list_successes(conn, tenant_id=tenant_id),
        {(each.connection_id, each.object): each for each in planned if each.mode != RECONCILE},
        {(each.connection_id, each.object): each.count for each in counts},
        await health.list_held(conn, tenant_id=tenant_id),
        hub.tenant.time_zone,
    )


async def _objects(
    conn: Conn,
    connection: Connection,
    known: _Known,
    there: dict[tuple[UUID, str], int | None],
    count: Count,
) -> list[ObjectStatus]:
    names = [*chosen_objects(connection, get_platform(connection.platform)), *READINGS]
    others = {name for of, name in (*known.latest, *known.schedules) if of == connection.id}
    found: list[ObjectStatus] = []
    for name in [*names[: -len(READINGS)], *sorted(others.difference(names)), *READINGS]:
        key = (connection.id, name)
        run, schedule = known.latest.get(key), known.schedules.get(key)
        found.append(
            ObjectStatus(
                name,
                _judge(connection, run, known.successes.get(key), schedule, known),
                known.successes.get(key),
                run,
                await count(conn, connection, name),
                there.get(key),
                known.parked.get(key, 0),
                schedule.next_at if schedule is not None and schedule.enabled else None,
                _problem(connection, run, schedule, known),
            )
        )
    return found


def _judge(
    connection: Connection,
    run: Run | None,
    success_at: datetime | None,
    schedule: Schedule | None,
    known: _Known,
) -> State:
    if run is not None and run.status == "running" and not _is_orphaned(run, known):
        return "running"
    if connection.status == "paused":
        return "paused"
    if run is not None and (run.status in ("failed", "stopped") or _is_orphaned(run, known)):
        return "failed"
    if success_at is None:
        return "never"
    if schedule is None or not schedule.enabled:
        return "off"
    if _is_late(schedule, success_at, known):
        return "late"
    return "partial" if run is not None and run.status == "partial" else "fresh"


def _is_late(schedule: Schedule, success_at: datetime, known: _Known) -> bool:
    try:
        return known.at > next_after(schedule.cron, success_at, known.time_zone) + _GRACE
    except SettingInvalid:
        return True


def _is_orphaned(run: Run, known: _Known) -> bool:
    """Tell whether a run's process has died: the next run of the object writes that down."""
    return run.status == "running" and (run.connection_id, lease_purpose(run.object)) not in known.held


def _problem(connection: Connection, run: Run | None, schedule: Schedule | None, known: _Known) -> str | None:
    if connection.status == "paused":
        return connection.paused_reason
    if run is not None and _is_orphaned(run, known):
        return "The process ended before the run did; the next run goes on from there."
    if run is not None and run.status == "failed" and run.error_details is not None:
        return str(run.error_details.get("error", "")) or None
    return schedule.problem if schedule is not None else None


async def count_here(conn: Conn, connection: Connection, name: str) -> int:
    """Return how many living records of an object are in the mirror, exactly."""
    keys = {"tenant_id": connection.tenant_id, "connection_id": connection.id}
    if name == ASSOCIATIONS:
        return await health.count_associations(conn, **keys)
    if name == HISTORY:
        return await health.count_history(conn, tenant_id=connection.tenant_id)
    if not await health.has_table(conn, "raw", f"{connection.platform}_{name}"):
        return 0
    return await payloads.count_living(conn, payloads.table_of(connection.platform, name), **keys)


async def count_source(connector: Connector, name: str) -> int | None:
    """Return how many living records the CRM has: as it says, else counted where they are few."""
    count = await connector.count(name)
    if count is not None:
        return count
    found, after = 0, ""
    for _ in range(_MOST_PAGES):
        ids, following = await connector.list_ids(name, after, "")
        found += len(ids)
        if following is None:
            return found
        after = following
    return None


async def _count_there(hub: Hub, found: list[Connection]) -> dict[tuple[UUID, str], int | None]:
    """Ask each CRM how many records it has; one that does not answer leaves a gap."""
    counts: dict[tuple[UUID, str], int | None] = {}
    async with hub.remotes() as remotes:

        async def count(connection: Connection, name: str) -> None:
            try:
                remote = remotes.open(connection, lane="person", give_up_after_seconds=PATIENCE_SECONDS)
                counts[connection.id, name] = await count_source(remote.connector, name)
            except SynclineError:
                counts[connection.id, name] = None

        await asyncio.gather(
            *(
                count(each, name)
                for each in found
                for name in chosen_objects(each, get_platform(each.platform))
            )
        )
    return counts
