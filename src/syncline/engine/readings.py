"""What a run can read: records of an object, associations of all pairs, the past of some fields."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from syncline.clock import now, to_ms
from syncline.connectors.base import RemoteObject
from syncline.connectors.reads import Walk
from syncline.engine import history, walk
from syncline.engine.absence import Absence
from syncline.engine.associate import Associator
from syncline.engine.doubts import take_up
from syncline.engine.follow import Follower, begin_following, find_watermark
from syncline.engine.lookups import refresh_pipelines, refresh_properties
from syncline.engine.naming import find_names
from syncline.engine.remap import catch_up
from syncline.engine.remotes import Remote
from syncline.engine.resolve import Resolver
from syncline.engine.terms import set_terms
from syncline.engine.write import Target
from syncline.store import calls, cursors, definitions, payloads, planner, runs
from syncline.store.keys import CursorKeys

#: Readings that are no objects of a CRM, in the order in which they follow the objects.
ASSOCIATIONS = "associations"
HISTORY = "history"
READINGS = (ASSOCIATIONS, HISTORY)
#: Changed records whose associations are read along; after more, all are read anew by their own run.
_ASSOCIATE_AT_MOST = 2000
#: Changed records after which every number that was called is looked at, rather than each change.
_MANY_CHANGES = 5000
#: Kinds of record that decide whom a call was with.
_JOINED = ("contact", "deal", "activity")
_CALLS_JOINED = "calls_joined"
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
#: How much the clocks of two workers may differ.
_CLOCKS_APART = timedelta(minutes=5)
_DEFINITIONS = "definitions"
_DEFINITIONS_LAST_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class _Plan:
    """How everything is going to be read."""

    walk: Walk
    #: From when on changes are followed afterwards, by the CRM's clock; None to leave it as it is.
    begin_ms: int | None
    #: Whether an earlier run has begun with it.
    resumed: bool


class Reading(Protocol):
    remote_object: RemoteObject

    async def read(self, target: Target, remote: Remote, *, full: bool) -> None:
        """Read it. What reads everything goes on in the lane `backfill`, whoever asked for it."""
        ...


async def find_reading(remote: Remote, object_name: str) -> Reading:
    """Return how `object_name` is read. Raises `NotFound` naming what there is."""
    if object_name == ASSOCIATIONS:
        return AllAssociations(remote.objects[0])
    if object_name == HISTORY:
        return FieldHistory(remote.objects[0])
    return Records(await remote.connector.get_object(object_name))


class Records:
    """Reads an object's records: all of them the first time, what changed from then on."""

    def __init__(self, remote_object: RemoteObject) -> None:
        self.remote_object = remote_object

    async def read(self, target: Target, remote: Remote, *, full: bool) -> None:
        began_at = now()
        watermark = await self._choose_mode(target, full=full)
        async with asyncio.TaskGroup() as group:
            # None of these needs another's answer, and together they take as long as one.
            refreshing = group.create_task(self._refresh(target, remote, full=full))
            planning = group.create_task(_plan(target, remote)) if watermark is None else None
        properties, refreshed = refreshing.result()
        remote = await find_names(target.db, remote, target.object_name)
        mapping = remote.mapping.get(target.object_name)
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            lookups = await set_terms(conn, target, remote)
        await catch_up(target, remote)
        absence = Absence(target, remote.connector, properties)
        resumed = True
        if planning is not None:
            remote.calls.lane = "backfill"
            plan = planning.result()
            listed = await self._backfill(target, remote, properties, plan)
            resumed = plan.resumed
            await target.refresh_statistics()
            await absence.run(always_archived=True, listed=listed)
            async with target.db.transaction(tenant_id=target.tenant_id) as conn:
                await walk.end(conn, target)
        elif watermark is not None:
            follower = Follower(target, remote.connector, properties)
            await follower.run(watermark)
            await target.refresh_statistics()
            await absence.run()
            await self._associate(target, remote, follower.touched)
        await take_up(target, remote.connector, properties)
        if mapping is not None:
            resolver = Resolver(target, remote, mapping, properties)
            await resolver.run(lookups, all_read=not resumed, pipelines_are_fresh=refreshed)
        if self.remote_object.record_type in _JOINED:
            await _join_calls(target, target.object_name, began_at, all_read=not resumed)

    async def _refresh(self, target: Target, remote: Remote, *, full: bool) -> tuple[list[str], bool]:
        """Return the properties to ask for, and whether definitions were read anew: at most once an hour."""
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            state = await cursors.find_state(conn, **target.cursor_keys(_DEFINITIONS))
            names = await definitions.list_property_names(conn, **target.object_keys)
        fresh = state is not None and to_ms(now()) - int(state["read_ms"]) < _DEFINITIONS_LAST_MS
        if fresh and not full:
            return names, False
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(
                refresh_properties(target.db, remote.connector, self.remote_object, **target.keys)
            )
            await refresh_pipelines(target.db, remote.connector, self.remote_object, **target.keys)
        names = reading.result()
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            await cursors.put(conn, {"read_ms": to_ms(now())}, **target.cursor_keys(_DEFINITIONS), now=now())
        return names, True

    async def _choose_mode(self, target: Target, *, full: bool) -> int | None:
        """Return from where changes are to be followed; None where everything is to be read."""
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            watermark = await find_watermark(conn, target)
            if full or not self.remote_object.incremental or await walk.is_unfinished(conn, target):
                watermark = None
            mode = "backfill" if watermark is None else "incremental"
            await runs.set_mode(conn, target.run_id, tenant_id=target.tenant_id, mode=mode)
        return watermark

    async def _backfill(
        self, target: Target, remote: Remote, properties: list[str], plan: _Plan
    ) -> set[str] | None:
        """Read everything; returns every living id where they are few."""
        # Changes are followed from before the first page on, by the CRM's clock: what is edited behind
        # the walk's back is read again afterwards. A walk that is resumed keeps its first mark.
        if plan.begin_ms is not None:
            async with target.db.transaction(tenant_id=target.tenant_id) as conn:
                await begin_following(conn, target, plan.begin_ms)
                await walk.begin(conn, target)
        walking = walk.Backfill(target, remote.connector, properties, plan=plan.walk)
        await walking.run()
        return walking.listed

    async def _associate(self, target: Target, remote: Remote, touched: Sequence[str]) -> None:
        if touched and len(touched) <= _ASSOCIATE_AT_MOST:
            await Associator(target, remote.connector, remote.record_types).read_of(touched)


async def _plan(target: Target, remote: Remote) -> _Plan:
    """Find out how everything can be read, and from when on changes are to be followed."""
    async with target.db.transaction(tenant_id=target.tenant_id) as conn:
        resumed = await walk.is_unfinished(conn, target)
    async with asyncio.TaskGroup() as group:
        planning = group.create_task(remote.connector.plan_walk(target.object_name))
        begin_ms: int | None = None
        if not resumed and target.remote_object.incremental:
            skew_seconds = await remote.skew.find(remote.connector)
            begin_ms = to_ms(now()) + int(skew_seconds * 1000) - 1000
    return _Plan(planning.result(), begin_ms, resumed)


async def _join_calls(target: Target, reading: str, began_at: datetime, *, all_read: bool = False) -> None:
    """Join calls to contacts by number where something changed since this reading last joined them.

    Not only since this run began: an earlier one may have been cut off between writing and joining.
    `all_read` says that this run read everything, so that nothing earlier counts.
    """
    keys: CursorKeys = {**target.keys, "object_name": reading, "kind": _CALLS_JOINED}
    async with target.db.transaction(tenant_id=target.tenant_id) as conn:
        state = await cursors.find_state(conn, **keys)
    since = began_at if all_read else _BEGINNING
    if state is not None and not all_read:
        since = min(began_at, datetime.fromisoformat(state["began_at"])) - _CLOCKS_APART
    many = target.counts.written > _MANY_CHANGES or since == _BEGINNING
    async with target.db.transaction(tenant_id=target.tenant_id) as conn:
        await planner.prefer_indexes(conn)
        numbers = await calls.list_numbers(conn, tenant_id=target.tenant_id, since=None if many else since)
    for start in range(0, max(1, len(numbers)), calls.AT_ONCE):
        part = numbers[start : start + calls.AT_ONCE]
        await target.persist(partial(_write_joins, target, since, part))
    async with target.db.transaction(tenant_id=target.tenant_id) as conn:
        await cursors.put(conn, {"began_at": began_at.isoformat()}, now=now(), **keys)


async def _write_joins(target: Target, since: datetime, numbers: Sequence[str]) -> None:
    async with target.db.transaction(tenant_id=target.tenant_id, bulk=True) as conn:
        await target.prove_lease(conn)
        await planner.prefer_indexes(conn)
        await calls.join_by_phone(
            conn,
            numbers,
            tenant_id=target.tenant_id,
            since=since,
            run_id=target.run_id,
            actor=target.actor,
            now=now(),
        )


class AllAssociations:
    """Reads the associations of every pair anew: what changes them moves no modified time."""

    def __init__(self, remote_object: RemoteObject) -> None:
        self.remote_object = remote_object

    async def read(self, target: Target, remote: Remote, *, full: bool) -> None:
        del full
        remote.calls.lane = "backfill"
        began_at = now()
        by_name = {each.name: each for each in remote.objects}
        for name in dict.fromkeys(pair[0] for pair in remote.connector.capabilities.association_pairs):
            if name not in by_name:
                continue
            target.remote_object = by_name[name]
            target.table = payloads.table_of(remote.platform_name, name)
            await Associator(target, remote.connector, remote.record_types).read_all()
            await target.refresh_statistics()
        # What could not be read of them is what this run was for.
        target.is_partial = bool(target.refusals)
        await _join_calls(target, ASSOCIATIONS, began_at)


class FieldHistory:
    """Reads the past of fields that numbers need: owner, stage, amount, close date."""

    def __init__(self, remote_object: RemoteObject) -> None:
        self.remote_object = remote_object

    async def read(self, target: Target, remote: Remote, *, full: bool) -> None:
        remote.calls.lane = "backfill"
        for remote_object in remote.objects:
            mapping = remote.mapping.get(remote_object.name)
            if mapping is None:
                continue
            target.remote_object = remote_object
            target.table = payloads.table_of(remote.platform_name, remote_object.name)
            await history.read_history(target, remote.connector, mapping, full=full)
            target.on_progress()
