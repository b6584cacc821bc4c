"""How the syncs stand and how they have been doing: what the status pages show."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from weakref import WeakKeyDictionary

from syncline.actions.counting import RememberedCounts
from syncline.actions.hub import Hub
from syncline.actions.status import ConnectionStatus, ObjectStatus, Status, count_here, read_status
from syncline.engine.readings import READINGS
from syncline.store import drift, run_stats, schedules, writing
from syncline.store.db import Database
from syncline.store.run_stats import RunPoint, RunRate, Traffic
from syncline.store.schedules import Schedule
from syncline.store.writing import Stopped

#: Rates and charts look back so far.
DAY = timedelta(hours=24)
#: Within so long of the beginning of a look others join it.
_SHARED_SECONDS = 0.15
#: Runs that a row's little chart shows.
POINTS = 24


@dataclass(frozen=True, slots=True)
class ObjectHealth:
    """One object of one connection, with how it has been doing."""

    status: ObjectStatus
    #: None where it is not scheduled.
    schedule: Schedule | None
    #: How often it is read, in words: 'every 5 minutes'; "" where it is not scheduled.
    rhythm: str
    #: Within the last day; None where there was no run.
    rate: RunRate | None
    #: The last runs, the oldest first.
    points: Sequence[RunPoint]
    #: What the CRM had when it was last counted, and when.
    count_there: int | None
    counted_at: datetime | None
    #: True for what belongs to the objects rather than being one: associations, history.
    is_reading: bool


@dataclass(frozen=True, slots=True)
class ConnectionHealth:
    status: ConnectionStatus
    objects: Sequence[ObjectHealth]

    @property
    def worst(self) -> str:
        """Return the state that deserves to be looked at first."""
        states = {each.status.state for each in self.objects}
        order = ("paused", "failed", "late", "partial", "running", "never", "fresh", "off")
        return next((state for state in order if state in states), "never")


@dataclass(frozen=True, slots=True)
class Health:
    """Everything about the syncs of a tenant, as one page shows it."""

    status: Status
    connections: Sequence[ConnectionHealth]
    #: Whether all writing of the tenant is stopped.
    stopped: Stopped

    @property
    def freshest_at(self) -> datetime | None:
        """Return when anything was last read to its end; a page shows it."""
        moments = [
            one.status.last_success_at
            for each in self.connections
            for one in each.objects
            if one.status.last_success_at is not None
        ]
        return max(moments, default=None)


#: Of each database of this process.
_counts: WeakKeyDictionary[Database, RememberedCounts] = WeakKeyDictionary()


def _counts_of(db: Database) -> RememberedCounts:
    found = _counts.get(db)
    if found is None:
        found = _counts[db] = RememberedCounts(db, count_here)
    return found


#: Looks that have begun: of which database and tenant, since when, and what will be seen.
_looks: WeakKeyDictionary[Database, dict[UUID, tuple[float, asyncio.Task[Health]]]] = WeakKeyDictionary()


async def read_health(hub: Hub) -> Health:
    """Return how the tenant's syncs stand and went. Asks no CRM.

    Whoever asks within moments of another sees what that one sees: open pages ask all at once when something
    has happened. The moments are shorter than it takes until they are told, so that nobody misses it.
    """
    looks = _looks.setdefault(hub.db, {})
    begun_at, task = looks.get(hub.tenant_id, (0.0, None))
    if task is None or task.done() or time.monotonic() > begun_at + _SHARED_SECONDS:
        task = asyncio.create_task(_read(hub))
        looks[hub.tenant_id] = time.monotonic(), task
    # One who goes away must not take the others' look along.
    return await asyncio.shield(task)


async def _read(hub: Hub) -> Health:
    status = await read_status(hub, count=_counts_of(hub.db))
    keys = [(each.connection.id, one.object) for each in status.connections for one in each.objects]
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        rates = await run_stats.list_rates(conn, tenant_id=hub.tenant_id, since=status.at - DAY)
        points = await run_stats.list_points(conn, keys, tenant_id=hub.tenant_id, limit=POINTS)
        counts = await drift.list_source_counts(conn, tenant_id=hub.tenant_id)
        planned = await schedules.list_schedules(conn, tenant_id=hub.tenant_id)
        stopped = await writing.get_stopped(conn, tenant_id=hub.tenant_id)
    rate_of = {(each.connection_id, each.object): each for each in rates}
    count_of = {(each.connection, each.object): each for each in counts}
    schedule_of = {
        (each.connection_id, each.object): each
        for each in planned
        if each.mode != "reconcile" and each.enabled
    }
    points_of: dict[tuple[UUID, str], list[RunPoint]] = {}
    for each in points:
        points_of.setdefault((each.connection_id, each.object), []).append(each)

    def describe(connection: ConnectionStatus, one: ObjectStatus) -> ObjectHealth:
        key = (connection.connection.id, one.object)
        counted = count_of.get((connection.connection.name, one.object))
        schedule = schedule_of.get(key)
        return ObjectHealth(
            one,
            schedule,
            "" if schedule is None else tell_rhythm(schedule.cron),
            rate_of.get(key),
            points_of.get(key, []),
            None if counted is None else counted.at_source or counted.listed,
            None if counted is None else counted.counted_at,
            one.object in READINGS,
        )

    return Health(
        status,
        [
            ConnectionHealth(each, [describe(each, one) for one in each.objects])
            for each in status.connections
        ],
        stopped,
    )


async def read_traffic(hub: Hub, at: datetime) -> list[Traffic]:
    """Return what came and went within the last day, hour by hour, the oldest first."""
    first = (at - DAY).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await run_stats.list_traffic(conn, tenant_id=hub.tenant_id, since=first)
    by_hour = {each.hour: each for each in found}
    hours = [first + timedelta(hours=number) for number in range(24)]
    return [by_hour.get(hour) or Traffic(hour, 0, 0, 0) for hour in hours]


def tell_rhythm(cron: str) -> str:
    """Say in words how often a schedule comes, as far as it is one that can be said shortly."""
    parts = cron.split()
    if len(parts) != 5:
        return cron
    minute, hour, day, month, weekday = parts
    if (day, month, weekday) == ("*", "*", "*"):
        told = _tell_minutes(minute) if hour == "*" else _tell_hours(minute, hour)
        if told is not None:
            return told
    return f"at “{cron}”"


def _tell_minutes(minute: str) -> str | None:
    if minute in {"*", "*/1"}:
        return "every minute"
    if minute.startswith("*/") and minute[2:].isdigit():
        return f"every {int(minute[2:])} minutes"
    return "every hour" if minute.isdigit() else None


def _tell_hours(minute: str, hour: str) -> str | None:
    if minute.isdigit() and hour.isdigit():
        return f"daily at {int(hour):02}:{int(minute):02}"
    if minute.isdigit() and hour.startswith("*/") and hour[2:].isdigit():
        return f"every {int(hour[2:])} hours"
    return None
