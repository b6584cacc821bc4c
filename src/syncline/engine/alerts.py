"""Looks at every tenant's alert rules again and again, and writes down what began, what is over, who is told.

Any number of processes may look: whoever holds a tenant's row does. Delivering is another matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

import structlog

from syncline.clock import new_id, now
from syncline.domain.alert_defaults import DEFAULT_RULES
from syncline.domain.alert_states import (
    Change,
    Place,
    Reading,
    Standing,
    end,
    list_matters,
    step,
)
from syncline.domain.alerts import AlertRule, RuleSet, parse_rules
from syncline.engine.alert_news import write_news
from syncline.engine.cron import next_after
from syncline.errors import Invalid, RetryLater, SettingInvalid
from syncline.store import alert_readings, alerts, notifications, sync_metrics, tenants
from syncline.store.alerts import Alert
from syncline.store.db import Conn, Database
from syncline.store.notifications import Notification
from syncline.store.tenants import Tenant

#: How often a tenant's rules are looked at.
LOOK_EVERY = timedelta(seconds=15)
_CHECK_SECONDS = 3.0
_TENANTS_AT_ONCE = 4
#: How much later than its schedule an object may be before its age is told.
_GRACE = timedelta(minutes=2)

_NEVER = datetime.min.replace(tzinfo=UTC)

_log = structlog.get_logger(__name__)


async def serve_alerts(db: Database, stop: asyncio.Event, *, every: timedelta = LOOK_EVERY) -> None:
    """Look at the rules of all active tenants until `stop`."""
    slots = asyncio.Semaphore(_TENANTS_AT_ONCE)
    failing: set[UUID] = set()
    looked_at: dict[UUID, datetime] = {}

    async def look_once(tenant: Tenant) -> None:
        # What was looked at here just now needs no asking; a quarter sooner, so that none is passed over.
        if now() - looked_at.get(tenant.tenant_id, _NEVER) < every * 0.75:
            return
        async with slots:
            try:
                if await look(db, tenant, every=every) is not None:
                    looked_at[tenant.tenant_id] = now()
                failing.discard(tenant.tenant_id)
            except RetryLater as error:
                _log.warning("alerts_wait", reason=str(error))
            except Exception as error:  # noqa: BLE001 - one tenant's trouble must not silence the others
                if tenant.tenant_id not in failing:
                    _log.error("alerts_failed", tenant=str(tenant.tenant_id), error=type(error).__name__)
                failing.add(tenant.tenant_id)

    while not stop.is_set():
        try:
            async with db.statement() as conn:
                found = await tenants.list_tenants(conn)
            await asyncio.gather(*(look_once(each) for each in found if each.status == "active"))
        except RetryLater as error:
            _log.warning("alerts_wait", reason=str(error))
        with suppress(TimeoutError):
            async with asyncio.timeout(min(_CHECK_SECONDS, every.total_seconds())):
                await stop.wait()


@dataclass(slots=True)
class Looked:
    """What a look came to."""

    opened: list[Alert] = field(default_factory=list[Alert])
    closed: list[Alert] = field(default_factory=list[Alert])


async def look(db: Database, tenant: Tenant, *, every: timedelta = LOOK_EVERY) -> Looked | None:
    """Judge a tenant's rules; None when another does, or somebody has within `every`.

    Alerts and the notifications about them are committed together: each change is told once.
    """
    at, tenant_id = now(), tenant.tenant_id
    async with db.transaction(tenant_id=tenant_id) as conn:
        if not await alerts.claim_look(conn, tenant_id=tenant_id, now=at, before=at - every):
            return None
        rules = await read_rules(conn, tenant_id=tenant_id)
        seen = await read_all(conn, rules.rules, tenant, at)
        looked = await _judge(conn, rules, seen, tenant_id, at)
    for alert in looked.opened:
        _log.warning("alert_opened", tenant=str(tenant_id), rule=alert.rule, place=alert.place)
    for alert in looked.closed:
        _log.info("alert_closed", tenant=str(tenant_id), rule=alert.rule, place=alert.place)
    return looked


async def read_rules(conn: Conn, *, tenant_id: UUID) -> RuleSet:
    """Return the rules that hold for a tenant: its own, or the shipped ones."""
    own = await alerts.find_rules(conn, tenant_id=tenant_id)
    if own is not None:
        try:
            return _parse(own.document)
        except Invalid as error:  # written by a version that knew other metrics
            _log.error("alert_rules_unreadable", tenant=str(tenant_id), reason=str(error))
    return _parse(DEFAULT_RULES)


@lru_cache(maxsize=256)
def _parse(document: str) -> RuleSet:
    """Read rules once: they are looked at far more often than changed. Nobody changes what is returned."""
    return parse_rules(document)


@dataclass(slots=True)
class Seen:
    """What was measured in one look."""

    #: Rule → values of its metric.
    readings: dict[str, list[Reading]]
    #: Connections that are used, or that a failure keeps from it.
    watched: set[UUID]
    #: Objects that are read on schedule.
    scheduled: set[Place]

    def is_watched(self, rule: AlertRule, connection_id: UUID | None, object_name: str) -> bool:
        """Tell whether a place that has no value now could have one."""
        if connection_id is None:
            return rule.condition.metric.scope == "tenant"
        if connection_id not in self.watched:
            return False
        if rule.condition.metric.name == "minutes_since_sync":
            return Place(str(connection_id), object_name) in self.scheduled
        return True


async def read_all(conn: Conn, rules: Sequence[AlertRule], tenant: Tenant, at: datetime) -> Seen:
    """Measure what rules watch. What no rule asks for is not measured."""
    tenant_id = tenant.tenant_id
    reader = _Reader(conn, tenant, at)
    connections = await alert_readings.list_connections(conn, tenant_id=tenant_id)
    readings: dict[str, list[Reading]] = {}
    for rule in rules:
        if not rule.enabled:
            continue
        if rule.condition.metric.name == "paused":
            readings[rule.name] = [Reading(float(each.is_broken), each.id, each.name) for each in connections]
        else:
            readings[rule.name] = await reader.read(rule)
    return Seen(
        readings,
        {each.id for each in connections if each.is_active or each.is_broken},
        reader.scheduled,
    )


class _Reader:
    """Measures each thing once a look, however many rules ask for it."""

    def __init__(self, conn: Conn, tenant: Tenant, at: datetime) -> None:
        self._conn = conn
        self._tenant = tenant
        self._at = at
        self._known: dict[tuple[str, timedelta | None], list[Reading]] = {}
        self.scheduled: set[Place] = set()

    async def read(self, rule: AlertRule) -> list[Reading]:
        key = (rule.condition.metric.name, rule.condition.window)
        if key not in self._known:
            if rule.condition.metric.scope == "tenant":
                await self._read_metrics()
            else:
                self._known[key] = await self._measure(*key)
        return self._known.get(key, [])

    async def _read_metrics(self) -> None:
        found = await sync_metrics.read(self._conn, tenant_id=self._tenant.tenant_id, now=self._at)
        for name, value in zip((each.name for each in fields(found)), astuple(found), strict=True):
            self._known[name, None] = [] if value is None else [Reading(float(value))]

    async def _measure(self, metric: str, window: timedelta | None) -> list[Reading]:
        conn, tenant_id = self._conn, self._tenant.tenant_id
        since = self._at - (window or timedelta())
        match metric:
            case "minutes_since_sync":
                return await self._measure_age()
            case "failed_runs":
                return await alert_readings.list_failed_runs(conn, tenant_id=tenant_id, since=since)
            case "records_failed_share":
                return await alert_readings.list_failed_shares(conn, tenant_id=tenant_id, since=since)
            case "queue_age_minutes":
                return await alert_readings.list_queue_ages(conn, tenant_id=tenant_id, now=self._at)
            case _:
                return await alert_readings.list_open_drift(conn, tenant_id=tenant_id)

    async def _measure_age(self) -> list[Reading]:
        found: dict[Place, Reading] = {}
        known = await alert_readings.list_freshness(self._conn, tenant_id=self._tenant.tenant_id)
        for each in known:
            age = (self._at - each.fresh_at).total_seconds() / 60
            late = self._at > self._due_after(each.cron, each.fresh_at) + _GRACE
            # What is read once an hour is not stale after ten minutes.
            minutes = max(0.0, age) if late else 0.0
            reading = Reading(minutes, each.connection_id, each.connection, each.object)
            # Of an object's several schedules the one that is missed the longest tells.
            if reading.place not in found or minutes > found[reading.place].value:
                found[reading.place] = reading
        self.scheduled.update(found)
        return list(found.values())

    def _due_after(self, cron: str, fresh_at: datetime) -> datetime:
        try:
            return next_after(cron, fresh_at, self._tenant.time_zone)
        except SettingInvalid:
            return fresh_at


async def _judge(conn: Conn, rules: RuleSet, seen: Seen, tenant_id: UUID, at: datetime) -> Looked:
    live = {(each.rule, _place_of(each)): each for each in await alerts.list_live(conn, tenant_id=tenant_id)}
    round_ = _Round(tenant_id, at)
    for rule in rules.rules:
        matters = list_matters(rule, seen.readings)
        for place, reading in matters.items():
            before = live.pop((rule.name, place), None)
            round_.follow(rule, before, reading)
        for key, before in [each for each in live.items() if each[0][0] == rule.name]:
            watched = rule.enabled and rule.covers(before.connection, before.object)
            if watched and seen.is_watched(rule, before.connection_id, before.object):
                del live[key]
                round_.follow(rule, before, None)
    for before in live.values():
        round_.leave(before)
    await round_.store(conn)
    return round_.looked


class _Round:
    """Collects what one look changes, then writes it down at once."""

    def __init__(self, tenant_id: UUID, at: datetime) -> None:
        self._tenant_id = tenant_id
        self._at = at
        self._new: list[Alert] = []
        self._changed: list[tuple[UUID, Standing, Sequence[str]]] = []
        self._dropped: list[UUID] = []
        self._news: list[Notification] = []
        self.looked = Looked()

    def follow(self, rule: AlertRule, before: Alert | None, reading: Reading | None) -> None:
        """Take the next step of one rule and place."""
        standing = None if before is None else _standing_of(before)
        value = None if reading is None else reading.value
        after, change = step(standing, rule, value, self._at)
        if before is None:
            if after is not None and reading is not None:
                self._new.append(self._begin(rule, reading, after, change))
            return
        if after is None:
            self._dropped.append(before.id)
        elif after != standing:
            told = [str(each) for each in rule.recipients] if change == "opened" else []
            changed = _with(before, after, told)
            self._changed.append((before.id, after, told))
            self._tell(changed, change)

    def leave(self, before: Alert) -> None:
        """End an alert whose rule, connection or schedule is watched no more."""
        if before.state == "waiting":
            self._dropped.append(before.id)
            return
        after = end(_standing_of(before), "unwatched", self._at)
        self._changed.append((before.id, after, []))
        self._tell(_with(before, after, []), "closed")

    def _begin(self, rule: AlertRule, reading: Reading, after: Standing, change: Change) -> Alert:
        alert = Alert(
            id=new_id(),
            rule=rule.name,
            severity=rule.severity,
            condition=str(rule.condition),
            metric=rule.condition.metric.name,
            connection_id=reading.connection_id,
            connection=reading.connection,
            object=reading.object,
            state=after.state,
            since_at=after.since_at,
            opened_at=after.opened_at,
            clear_since=None,
            closed_at=None,
            ended_by=None,
            value=after.value,
            worst=after.worst,
            latest=after.latest,
            told=[str(each) for each in rule.recipients] if change == "opened" else [],
            acknowledged_at=None,
            acknowledged_by=None,
        )
        self._tell(alert, change)
        return alert

    def _tell(self, alert: Alert, change: Change) -> None:
        if change == "opened":
            self.looked.opened.append(alert)
        elif change == "closed":
            self.looked.closed.append(alert)
        else:
            return
        self._news += write_news(alert)

    async def store(self, conn: Conn) -> None:
        for alert in self._new:
            await alerts.insert(conn, alert, tenant_id=self._tenant_id)
        if self._changed:
            await alerts.update_many(conn, self._changed, tenant_id=self._tenant_id)
        if self._dropped:
            await alerts.drop_waiting(conn, self._dropped, tenant_id=self._tenant_id)
        if self._news:
            await notifications.insert_many(conn, self._news, tenant_id=self._tenant_id, now=self._at)


def _place_of(alert: Alert) -> Place:
    return Place("" if alert.connection_id is None else str(alert.connection_id), alert.object)


def _standing_of(alert: Alert) -> Standing:
    return Standing(
        alert.state,
        alert.since_at,
        alert.value,
        alert.worst,
        alert.latest,
        alert.opened_at,
        alert.clear_since,
        alert.closed_at,
        alert.ended_by,
    )


def _with(alert: Alert, after: Standing, told: Sequence[str]) -> Alert:
    values = {each.name: getattr(after, each.name) for each in fields(after)}
    return replace(alert, **values, told=list(told) or alert.told)


@dataclass(frozen=True, slots=True)
class WouldFire:
    """What one rule says of what is measured now."""

    rule: AlertRule
    #: Values with the worst first; all that the rule judges.
    readings: Sequence[Reading]
    firing: Sequence[Reading]


async def preview(conn: Conn, rules: Iterable[AlertRule], tenant: Tenant, at: datetime) -> list[WouldFire]:
    """Say of each rule what it would make of what is measured now. Writes nothing."""
    listed = list(rules)
    seen = await read_all(conn, listed, tenant, at)
    return [_foresee(each, seen.readings) for each in listed]


def _foresee(rule: AlertRule, readings: Mapping[str, list[Reading]]) -> WouldFire:
    found = sorted(
        list_matters(rule, readings).values(),
        key=lambda each: each.value,
        reverse=rule.condition.operator in (">", ">="),
    )
    return WouldFire(rule, found, [each for each in found if rule.condition.holds(each.value)])
