"""Sending what waits to a connection now, while a person looks on, and past a brake where they say so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from uuid import UUID

from syncline.actions.differences import Difference, Outcome, compare
from syncline.actions.hub import Hub
from syncline.actions.plan import Plan, PushPlan, Watch, plan_push, unwatched
from syncline.clock import now
from syncline.engine.leave import WritingStopped
from syncline.engine.push import Drained, First, drain
from syncline.engine.rehearse import Write
from syncline.engine.remotes import Remote
from syncline.engine.unite_there import Outcome as MergedThere
from syncline.engine.unite_there import unite_there
from syncline.errors import Busy, Invalid
from syncline.store import allowances, effects, overrides, queue
from syncline.store.db import Conn
from syncline.store.effects import Change, Held, Unsent
from syncline.store.keys import ConnectionKeys

#: For how long a person's word holds.
OVERRIDE_LASTS = timedelta(hours=1)
#: How often it is looked whether another process has ended its drain.
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did."""

    connection: str
    #: False when it was not even begun, since it would not have been what was planned.
    was_sent: bool
    drained: Drained
    writes: list[Write] = field(default_factory=list[Write])
    #: What changed here, by merging with what was read.
    here: list[Change] = field(default_factory=list[Change])
    #: What it set aside.
    parked: list[Unsent] = field(default_factory=list[Unsent])
    held: list[Held] = field(default_factory=list[Held])
    #: What became of the records that were to be merged there; they went before the rest.
    merges: list[MergedThere] = field(default_factory=list[MergedThere])
    #: Between the plan that was given and what was done, or would have been.
    differences: list[Difference] = field(default_factory=list[Difference])
    api_calls: int = 0


async def list_held(hub: Hub, name: str) -> list[Held]:
    """Return what brakes hold of a connection, with their reasons."""
    connection = await hub.get_connection(name)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await effects.list_held(conn, tenant_id=hub.tenant_id, connection_id=connection.id)


async def push(
    hub: Hub,
    name: str,
    *,
    by: str,
    past_brake: Sequence[str] = (),
    planned: Plan | None = None,
    strict: bool = False,
    watch: Watch = unwatched,
) -> Pushed:
    """Merge at a connection what was merged here and is to follow, then send what is due, as a worker does.

    What another process is sending is waited for.
    `past_brake` names kinds of records whose brakes do not count for this run; `planned` is compared with
    what is done, and with `strict` nothing is sent unless it would be exactly that. Raises `NotFound`,
    `WritingStopped`, `PauseConnection`, `RetryLater`, and `Invalid` for the plan of another connection.
    """
    if planned is not None and planned.connection != name:
        raise Invalid(f"That plan is of {planned.connection}, not of {name}.")
    connection = await hub.get_connection(name)
    async with hub.remotes() as remotes:
        remote = remotes.open(connection, lane="person")
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            stop = await allowances.find_stop(conn, **remote.keys)
        if stop is not None:
            raise WritingStopped(f"{stop} See `syncline writing show {name}`.")
        if planned is not None and strict:
            would = await plan_push(hub, remote, watch=watch)
            differences = compare(_outcome(planned.push), _outcome(would))
            if differences:
                return Pushed(name, False, Drained(), differences=differences, api_calls=remote.count_calls())
        return await _push(hub, remote, by, past_brake, planned, watch)


async def _push(
    hub: Hub, remote: Remote, by: str, past_brake: Sequence[str], planned: Plan | None, watch: Watch
) -> Pushed:
    keys = remote.keys
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        before = {_key(each) for each in await effects.list_unsent(conn, ["parked"], **keys)}
        due = sum(each.count for each in await queue.count_due(conn, **keys))
    watch("push", 0, due)
    # A plan says nothing of merges, which no CRM takes back: they wait for a push without one, or the worker.
    merges = [] if planned is not None else await unite_now(hub, remote, by=by)
    drained = await drain_now(
        hub,
        remote,
        by=by,
        first=partial(grant_all, keys=keys, kinds=past_brake, by=by) if past_brake else None,
        on_progress=lambda so_far: watch("push", _count(so_far), max(due, _count(so_far))),
    )
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        sent = await effects.list_remote_changes(conn, drained.run_ids, tenant_id=hub.tenant_id)
        here = await effects.list_changes(conn, drained.run_ids, tenant_id=hub.tenant_id)
        parked = await effects.list_unsent(conn, ["parked"], **keys)
        held = await effects.list_held(conn, **keys)
    writes = [
        Write(each.object, each.record_type, each.record_id, each.remote_id, each.action, each.changes)
        for each in sent
        if each.state != "refused"
    ]
    parked = [each for each in parked if _key(each) not in before]
    differences: list[Difference] = []
    if planned is not None:
        done = Outcome(writes, here, {_key(each): each.reason for each in parked})
        differences = compare(_outcome(planned.push), done)
    return Pushed(
        remote.name, True, drained, writes, here, parked, held, merges, differences, remote.count_calls()
    )


async def unite_now(hub: Hub, remote: Remote, *, by: str) -> list[MergedThere]:
    """Carry out the merges that are due at a connection as soon as no other process writes to it."""
    while True:
        try:
            return await unite_there(hub.db, remote, hub.settings, requested_by=by)
        except Busy:
            await asyncio.sleep(_LOOK_SECONDS)


async def drain_now(
    hub: Hub,
    remote: Remote,
    *,
    by: str,
    first: First | None = None,
    on_progress: Callable[[Drained], None] | None = None,
) -> Drained:
    """Drain as soon as no other process does."""
    while True:
        try:
            return await drain(
                hub.db, remote, hub.settings, requested_by=by, first=first, on_progress=on_progress
            )
        except Busy:
            await asyncio.sleep(_LOOK_SECONDS)


async def grant_all(conn: Conn, *, keys: ConnectionKeys, kinds: Sequence[str], by: str) -> None:
    """Let the next run go beyond its brakes for some kinds of records, within the hour."""
    for kind in kinds:
        await overrides.grant(
            conn, **keys, record_type=kind, granted_by=by, expires_at=now() + OVERRIDE_LASTS, now=now()
        )


def _outcome(plan: PushPlan) -> Outcome:
    return Outcome(
        plan.writes, plan.here, {(each.record_type, each.record_id): each.reason for each in plan.parked}
    )


def _key(each: Unsent) -> tuple[str, UUID]:
    return each.record_type, each.record_id


def _count(drained: Drained) -> int:
    return drained.created + drained.updated + drained.archived + drained.parked
