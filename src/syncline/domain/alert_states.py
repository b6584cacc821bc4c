"""What becomes of an alert when its rule is looked at again. Pure: times and values are given.

An alert waits for as long as its rule says, is then open, and is over when the rule has not held for as long
again. So a value that goes up and down across the threshold is told of once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from syncline.domain.alerts import AlertRule

State = Literal["waiting", "open", "closed"]
EndedBy = Literal["recovered", "unwatched"]
#: What people are told of a look: nothing, that it began, or that it is over.
Change = Literal["none", "opened", "closed", "dropped"]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """What a value is about: an object of a connection, a connection as a whole, or the tenant."""

    #: By its id as text; '' for the tenant.
    connection: str = ""
    object: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of a metric."""

    value: float
    connection_id: UUID | None = None
    #: The connection's name.
    connection: str | None = None
    object: str = ""

    @property
    def place(self) -> Place:
        return Place("" if self.connection_id is None else str(self.connection_id), self.object)


@dataclass(frozen=True, slots=True)
class Standing:
    """An alert that is not over, as far as time and values go."""

    state: State
    since_at: datetime
    value: float
    worst: float
    latest: float
    opened_at: datetime | None = None
    clear_since: datetime | None = None
    closed_at: datetime | None = None
    ended_by: EndedBy | None = None


def step(
    before: Standing | None, rule: AlertRule, value: float | None, at: datetime
) -> tuple[Standing | None, Change]:
    """Return an alert after a look, and what there is to tell.

    `value` is None where there is none: nothing happened that could be measured. `at` never lies before an
    earlier look; where clocks differ, it is taken for that one.
    """
    holds = value is not None and rule.condition.holds(value)
    if before is None:
        if not holds or value is None:
            return None, "none"
        fresh = Standing("waiting", at, value, value, value)
        return _open_in_time(fresh, rule, at)
    if holds and value is not None:
        worst = rule.condition.worse(before.worst, value)
        seen = replace(before, latest=value, worst=worst, clear_since=None)
        return _open_in_time(seen, rule, at) if before.state == "waiting" else (seen, "none")
    if before.state == "waiting":
        return None, "dropped"
    if value is None and rule.condition.metric.scope == "tenant":
        # Nothing was measured, which says nothing about recovery. Of the others, none is no trouble.
        return before, "none"
    seen = before if value is None else replace(before, latest=value)
    clear_since = before.clear_since or at
    if at - clear_since >= rule.hold_for:
        return end(seen, "recovered", at), "closed"
    return replace(seen, clear_since=clear_since), "none"


def _open_in_time(waiting: Standing, rule: AlertRule, at: datetime) -> tuple[Standing, Change]:
    if at - waiting.since_at < rule.hold_for:
        return waiting, "none"
    opened = replace(
        waiting, state="open", opened_at=max(at, waiting.since_at), value=waiting.latest, clear_since=None
    )
    return opened, "opened"


def end(before: Standing, ended_by: EndedBy, at: datetime) -> Standing:
    """Return an open alert as one that is over."""
    closed_at = at if before.opened_at is None else max(at, before.opened_at)
    return replace(before, state="closed", closed_at=closed_at, ended_by=ended_by, clear_since=None)


def list_matters(rule: AlertRule, readings: Mapping[str, Iterable[Reading]]) -> dict[Place, Reading]:
    """Return the values that a rule is to judge, by what they are about."""
    if not rule.enabled:
        return {}
    found = readings.get(rule.name, ())
    return {each.place: each for each in found if rule.covers(each.connection, each.object)}
