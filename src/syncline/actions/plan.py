"""What a sync would change here and what a push would change there, with calls and time. Writes nothing.

A plan is data: it can be kept, and compared with what was done afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from syncline.actions.connect import chosen_objects
from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.connectors.registry import get_platform
from syncline.engine.brakes import Stop
from syncline.engine.push import AT_ONCE, rehearse_drain
from syncline.engine.quota import usage
from syncline.engine.readings import READINGS
from syncline.engine.rehearse import Rehearsal, Unsendable, Write
from syncline.engine.rehearse_pull import PullPlan, rehearse_pull
from syncline.engine.remotes import Remote
from syncline.engine.write import Target
from syncline.errors import Invalid
from syncline.store import allowances, waiting
from syncline.store.connections import Connection
from syncline.store.effects import Change
from syncline.store.waiting import Filter, WaitingCount

#: A call's length where none has been made to go by.
_USUAL_CALL_SECONDS = 0.15


@dataclass(frozen=True, slots=True)
class Effort:
    """What something costs at the CRM."""

    read_calls: int
    write_calls: int
    #: About, at the account's quota and with calls as long as they were just now.
    seconds: float


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What a drain of the queue would do now."""

    #: Why nothing is sent as things stand, in a sentence; None when it would be.
    stop: str | None
    writes: list[Write]
    #: What merging with what was just read would change here.
    here: list[Change]
    parked: list[Unsendable]
    #: Single records that would be held, as when both sides keep rewriting them.
    held: list[Unsendable]
    stops: list[Stop]
    #: What is in the queue, by state.
    waiting: list[WaitingCount]
    effort: Effort


@dataclass(frozen=True, slots=True)
class Plan:
    connection: str
    made_at: datetime
    #: By object; empty where only the push was asked for.
    pulls: list[PullPlan]
    push: PushPlan
    #: Of the pulls together.
    effort: Effort


#: (what is being looked at, how much of it, of how much where that is known)
Watch = Callable[[str, int, int | None], None]


def unwatched(what: str, done: int, total: int | None) -> None:
    """Watch nothing."""
    del what, done, total


async def plan(hub: Hub, name: str, *, objects: Sequence[str] = (), watch: Watch = unwatched) -> Plan:
    """Say what a sync of the connection and then a push to it would do, in the lane of who waits for it.

    `objects` names some of them. Reads at the CRM what the runs would read. Raises `NotFound`,
    `PauseConnection`, and what reading raises.
    """
    connection = await hub.get_connection(name)
    wanted = [each for each in dict.fromkeys(objects) if each not in READINGS]
    if objects and not wanted:
        raise Invalid("What associations and histories would change cannot be told without reading them.")
    pulls: list[PullPlan] = []
    async with hub.remotes() as remotes:
        remote = remotes.open(connection, lane="person")
        for object_name in wanted or _in_order(connection):
            watch(object_name, 0, None)
            remote_object = await remote.connector.get_object(object_name)

            def notify(target: Target, object_name: str = object_name) -> None:
                watch(object_name, target.counts.read, target.expected)

            pulls.append(await rehearse_pull(hub.db, remote, remote_object, hub.settings, on_progress=notify))
        calls = remote.count_calls()
        effort = Effort(calls, 0, await _estimate(hub, remote, calls))
        push = await plan_push(hub, remote, objects=wanted, watch=watch)
    return Plan(name, now(), pulls, push, effort)


def _in_order(connection: Connection) -> list[str]:
    """Return the objects a sync reads, owners first."""
    platform = get_platform(connection.platform)
    names = chosen_objects(connection, platform)
    owners = {each.name for each in platform.capabilities.objects if each.record_type == "owner"}
    return sorted(names, key=lambda name: name not in owners)


async def plan_push(
    hub: Hub, remote: Remote, *, objects: Sequence[str] = (), watch: Watch = unwatched
) -> PushPlan:
    """Say what a drain of the queue would do now; of some objects only, where `objects` names them."""
    before = remote.count_calls()
    rehearsal = Rehearsal(hub.tenant_id)
    watch("push", 0, None)
    await rehearse_drain(hub.db, remote, rehearsal)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        stop = await allowances.find_stop(conn, **remote.keys)
        counts = await waiting.list_counts(
            conn, Filter(connection_id=remote.connection_id), tenant_id=hub.tenant_id
        )
    read_calls = remote.count_calls() - before
    kinds = {remote.record_types.get(each) for each in objects}
    return PushPlan(
        stop,
        [each for each in rehearsal.writes if not objects or each.object in objects],
        [each for each in rehearsal.changes() if not objects or each.record_type in kinds],
        [each for each in rehearsal.parked if not objects or each.object in objects],
        [each for each in rehearsal.held if not objects or each.object in objects],
        [each for each in rehearsal.stops if not objects or each.record_type in kinds],
        counts,
        Effort(read_calls, rehearsal.calls, await _estimate(hub, remote, read_calls + rehearsal.calls)),
    )


async def _estimate(hub: Hub, remote: Remote, calls: int) -> float:
    """Return about how many seconds so many calls take: by the quota, or by their length."""
    quota = remote.connector.capabilities.quotas[0]
    limit, window = float(quota.limit), quota.window.total_seconds()
    for used in await usage(hub.db, remote.platform_name, remote.connection.account_id or ""):
        if used.bucket == quota.bucket:
            limit, window = float(used.limit or 0), used.window_ms / 1000
    counts = remote.calls.counts
    length = counts.seconds / counts.calls if counts.calls else _USUAL_CALL_SECONDS
    by_quota = calls / limit * window if limit else 0.0
    return round(max(by_quota, calls * length / AT_ONCE), 1)


def read_plan(text: bytes) -> Plan:
    """Read a plan as `syncline plan --json` wrote it. Raises `Invalid`."""
    try:
        return msgspec.json.Decoder(Plan, float_hook=_exactly).decode(text)
    except msgspec.DecodeError as error:
        raise Invalid(f"That is no plan as `syncline plan --json` writes it: {error}") from None


def _exactly(text: str) -> Any:
    return Decimal(text)
