"""Alert rules as people write them: what is watched, from when on it is too much, and who is told.

Turns YAML into rules and back into words. Pure: what the numbers are, and whether a channel works, is told by
others. A condition is a metric, an operator, a number and a time to look back; it is never evaluated as code.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, cast, get_args

from syncline.domain.callers import ROLES, Role
from syncline.domain.people import find_email_fault
from syncline.domain.plain_yaml import read_yaml
from syncline.domain.spans import read_span, write_span
from syncline.errors import Invalid

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
#: What one value of a metric is about.
Scope = Literal["tenant", "connection", "object"]
Unit = Literal["ms", "share", "minutes", "count"]
Operator = Literal[">", ">=", "<", "<="]
_OPERATORS: Mapping[Operator, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
#: By which way a recipient is reached.
RecipientKind = Literal["role", "email", "slack", "webhook"]

MAX_RULES = 100
#: Each metric and time to look back is a statement of its own at every look, however many rules share it.
MAX_WINDOWS = 12
_MAX_TEXT = 65_536
_MOST_RECIPIENTS = 50
_LONGEST_NUMBER = 18
_LONGEST_CONDITION = 200
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
CHANNEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
#: Of a condition with single spaces: two places for any number of them beside each other take cubic time.
_CONDITION = re.compile(
    r"(?P<metric>[a-z][a-z0-9_]*) ?(?P<operator>>=|<=|>|<) ?"
    r"(?P<number>-?[0-9]+(?:\.[0-9]+)?)(?: ?(?P<percent>%))?(?: ?\bin (?P<window>[0-9]+[smhd]))?"
)
_LONGEST_WINDOW = timedelta(days=7)
_LONGEST_FOR = timedelta(days=1)
_RULE_KEYS = frozenset(
    {"name", "condition", "for", "connection", "object", "severity", "notify", "action", "enabled"}
)
#: The documents' `action: notify_devops` and `action: create_incident`.
_ACTION = re.compile(r"(?:notify_(?P<group>[a-z][a-z0-9_]*)|create_(?P<made>incident))")


@dataclass(frozen=True, slots=True)
class Metric:
    """Something that a rule may watch."""

    name: str
    label: str
    scope: Scope
    unit: Unit
    #: How far it looks back unless the condition says; None where that is not to be chosen.
    window: timedelta | None = None


_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
METRICS: Mapping[str, Metric] = {
    each.name: each
    for each in (
        Metric("avg_sync_latency_ms", "Average latency of syncs", "tenant", "ms"),
        Metric("sync_success_rate", "Success rate of syncs", "tenant", "share"),
        Metric("webhook_processing_time_ms", "Time to work off a webhook", "tenant", "ms"),
        Metric("contacts_synced_24h", "Contacts synced in 24 h", "tenant", "count"),
        Metric("deals_synced_24h", "Deals synced in 24 h", "tenant", "count"),
        Metric("activities_synced_24h", "Activities synced in 24 h", "tenant", "count"),
        Metric("sync_failures_24h", "Failed syncs in 24 h", "tenant", "count"),
        Metric("conflict_count_24h", "Conflicts in 24 h", "tenant", "count"),
        Metric("api_rate_limit_hits", "Rate limits met", "tenant", "count"),
        Metric("paused", "Paused by a failure", "connection", "count"),
        Metric("queue_age_minutes", "Oldest unsent change", "connection", "minutes"),
        Metric("minutes_since_sync", "Time since the last good sync", "object", "minutes"),
        Metric("failed_runs", "Failed syncs since the last good one", "object", "count", _DAY),
        Metric("records_failed_share", "Records that failed", "object", "share", _HOUR),
        Metric("open_drift", "Records that differ", "object", "count"),
    )
}


@dataclass(frozen=True, slots=True)
class Condition:
    metric: Metric
    operator: Operator
    #: In the metric's unit; a share is 0 to 1.
    threshold: float
    window: timedelta | None

    def holds(self, value: float) -> bool:
        return _OPERATORS[self.operator](value, self.threshold)

    def worse(self, one: float, other: float) -> float:
        """Return the one of two values that is farther on the wrong side."""
        return max(one, other) if self.operator in (">", ">=") else min(one, other)

    def __str__(self) -> str:
        number = f"{self.threshold:.15g}"
        back = "" if self.window is None else f" in {write_span(self.window)}"
        return f"{self.metric.name} {self.operator} {number}{back}"


@dataclass(frozen=True, slots=True)
class Recipient:
    kind: RecipientKind
    #: A role, an address, or a channel's name.
    name: str

    def __str__(self) -> str:
        return self.name if self.kind == "email" else f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class AlertRule:
    name: str
    condition: Condition
    #: How long it has to hold before anybody is told, and not to hold before it is over.
    hold_for: timedelta
    severity: Severity
    recipients: tuple[Recipient, ...]
    #: Only this connection, by name, and only this object; None for each.
    connection: str | None = None
    object: str | None = None
    enabled: bool = True

    def covers(self, connection: str | None, object_name: str) -> bool:
        """Tell whether a value about a connection's object is this rule's matter."""
        return self.connection in (None, connection) and self.object in (None, object_name)


@dataclass(frozen=True, slots=True)
class RuleSet:
    rules: tuple[AlertRule, ...]
    groups: Mapping[str, tuple[Recipient, ...]]

    def channels(self) -> set[tuple[str, str]]:
        """Return the channels (kind, name) that somebody is told by."""
        told = (*(each for rule in self.rules for each in rule.recipients), *_flatten(self.groups))
        return {(each.kind, each.name) for each in told if each.kind in ("slack", "webhook")}


def _flatten(groups: Mapping[str, tuple[Recipient, ...]]) -> list[Recipient]:
    return [each for members in groups.values() for each in members]


def parse_rules(text: str, *, channels: Collection[tuple[str, str]] | None = None) -> RuleSet:
    """Read rules from YAML. `channels` are those there are, as (kind, name); None leaves that unasked.

    Raises `Invalid` naming the rule and the field, all faults at once; `fields` is 'rule.field' → fault.
    """
    if len(text) > _MAX_TEXT:
        raise Invalid(f"The rules are longer than {_MAX_TEXT:,} characters.")
    return _Reader(channels).read(read_yaml(text))


class _Reader:
    def __init__(self, channels: Collection[tuple[str, str]] | None) -> None:
        self._channels = channels
        self._faults: dict[str, str] = {}
        self._groups: dict[str, tuple[Recipient, ...]] = {}

    def read(self, document: object) -> RuleSet:
        if not isinstance(document, dict):
            raise Invalid("The rules begin with “alerts:”, and under it a list of rules.")
        settings = cast("dict[str, Any]", document)
        for key in settings:
            if key not in ("alerts", "groups"):
                self._refuse(key, "is not known here; there are “groups” and “alerts”")
        self._read_groups(settings.get("groups"))
        entries = settings.get("alerts")
        if not isinstance(entries, list):
            self._refuse("alerts", "is a list of rules")
            entries = []
        rules = self._read_rules(cast("list[object]", entries))
        if self._faults:
            told = " ".join(f"{where}: {fault}." for where, fault in list(self._faults.items())[:10])
            raise Invalid(told, fields=self._faults)
        return RuleSet(tuple(rules), self._groups)

    def _refuse(self, where: str, fault: str) -> None:
        self._faults.setdefault(where, fault)

    def _read_groups(self, entries: object) -> None:
        if entries is None:
            return
        if not isinstance(entries, dict):
            self._refuse("groups", "is a name and a list of recipients each")
            return
        for name, members in cast("dict[str, object]", entries).items():
            where = f"groups.{name}"
            if not _NAME.fullmatch(name):
                self._refuse(where, "is no name: small letters, digits and underscores")
                continue
            found = [self._recipient(each, where) for each in self._list(members, where)]
            self._groups[name] = _distinct(each for each in found if each is not None)

    def _list(self, value: object, where: str) -> list[object]:
        found = cast("list[object]", value) if isinstance(value, list) else [value]
        if len(found) > _MOST_RECIPIENTS:
            self._refuse(where, f"names more than {_MOST_RECIPIENTS} recipients")
            return []
        return found

    def _recipient(self, value: object, where: str) -> Recipient | None:
        fault = "is told by role:admin, an e-mail address, slack:CHANNEL or webhook:CHANNEL"
        kind, colon, name = value.partition(":") if isinstance(value, str) else ("", "", "")
        if isinstance(value, str) and "@" in value and not colon:
            if find_email_fault(value) is None:
                return Recipient("email", value.strip())
            fault = f"{value} is not an e-mail address"
        elif kind == "role" and name in ROLES:
            return Recipient("role", name)
        elif kind == "role":
            fault = f"there is no role {name}; there are {', '.join(ROLES)}"
        elif kind in ("slack", "webhook") and CHANNEL_NAME.fullmatch(name):
            if self._channels is None or (kind, name) in self._channels:
                return Recipient("slack" if kind == "slack" else "webhook", name)
            fault = f"there is no channel {kind}:{name}; add it first"
        self._refuse(where, fault)
        return None

    def _read_rules(self, entries: list[object]) -> list[AlertRule]:
        if len(entries) > MAX_RULES:
            self._refuse("alerts", f"holds more than {MAX_RULES} rules")
            return []
        found: list[AlertRule] = []
        names: set[str] = set()
        for number, entry in enumerate(entries, 1):
            if not isinstance(entry, dict):
                self._refuse(f"rule {number}", "is no rule: it has a name and a condition")
                continue
            rule = self._rule(cast("dict[str, object]", entry), number)
            if rule is not None and rule.name in names:
                self._refuse(f"{rule.name}.name", "stands here a second time")
            elif rule is not None:
                names.add(rule.name)
                found.append(rule)
        conditions = (each.condition for each in found)
        windows = {(each.metric.name, each.window) for each in conditions if each.window is not None}
        if len(windows) > MAX_WINDOWS:
            self._refuse(
                "alerts", f"look back over more than {MAX_WINDOWS} different times: let some share one"
            )
        return found

    def _rule(self, entry: dict[str, object], number: int) -> AlertRule | None:
        name = entry.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self._refuse(f"rule {number}.name", "is small letters, digits and underscores")
            return None
        for key in entry:
            if key not in _RULE_KEYS:
                self._refuse(f"{name}.{key}", f"is not known; there are {', '.join(sorted(_RULE_KEYS))}")
        condition = self._condition(entry.get("condition"), f"{name}.condition")
        severity = entry.get("severity", "warning")
        if severity not in SEVERITIES:
            self._refuse(f"{name}.severity", f"is one of {', '.join(SEVERITIES)}")
            severity = "warning"
        enabled = entry.get("enabled", True)
        if not isinstance(enabled, bool):
            self._refuse(f"{name}.enabled", "is true or false")
        recipients = self._notify(entry, name)
        hold_for = self._hold_for(entry.get("for", 0), f"{name}.for")
        if condition is None:
            return None
        connection, object_name = self._filters(entry, name, condition.metric)
        return AlertRule(
            name, condition, hold_for, severity, recipients, connection, object_name, enabled is not False
        )

    def _condition(self, value: object, where: str) -> Condition | None:
        written = " ".join(value.split()) if isinstance(value, str) else ""
        found = _CONDITION.fullmatch(written) if len(written) <= _LONGEST_CONDITION else None
        if found is None or len(found["number"]) > _LONGEST_NUMBER:
            self._refuse(
                where, "is a metric, one of > >= < <= and a number, such as sync_success_rate < 0.95"
            )
            return None
        metric = METRICS.get(found["metric"])
        if metric is None:
            self._refuse(where, f"there is no metric {found['metric']}; there are {', '.join(METRICS)}")
            return None
        number = float(found["number"])
        if found["percent"] and metric.unit != "share":
            self._refuse(where, f"{metric.name} is no share: take the % away")
        window = metric.window
        if found["window"] and window is None:
            self._refuse(where, f"{metric.name} has no time to look back: take “in …” away")
        elif found["window"]:
            window = read_span(found["window"])
            if window is None or not timedelta(minutes=1) <= window <= _LONGEST_WINDOW:
                self._refuse(where, "looks back from 1m to 7d")
        return Condition(
            metric,
            cast("Operator", found["operator"]),
            number / 100 if found["percent"] else number,
            window,
        )

    def _filters(self, entry: dict[str, object], name: str, metric: Metric) -> tuple[str | None, str | None]:
        found: list[str | None] = []
        for key, scopes in (("connection", ("connection", "object")), ("object", ("object",))):
            value = entry.get(key)
            if value is not None and (not isinstance(value, str) or not value.strip() or len(value) > 100):
                self._refuse(f"{name}.{key}", "is one name")
                value = None
            elif value is not None and metric.scope not in scopes:
                self._refuse(f"{name}.{key}", f"{metric.name} is not counted by {key}: take this away")
            found.append(value if isinstance(value, str) else None)
        return found[0], found[1]

    def _hold_for(self, value: object, where: str) -> timedelta:
        span = timedelta() if value == 0 and not isinstance(value, bool) else None
        if isinstance(value, str):
            span = read_span(value)
        if span is None or span > _LONGEST_FOR:
            self._refuse(where, "is a time up to 1d, such as 30s, 2m or 1h")
            return timedelta()
        return span

    def _notify(self, entry: dict[str, object], name: str) -> tuple[Recipient, ...]:
        where, value = f"{name}.notify", entry.get("notify")
        if "action" in entry:
            where = f"{name}.action"
            action = entry["action"]
            found = _ACTION.fullmatch(action) if isinstance(action, str) else None
            if found is None or value is not None:
                fault = "goes without “notify”" if found else "is notify_GROUP or create_incident"
                self._refuse(where, fault)
                return ()
            value = found["group"] or found["made"]
        if value is None:
            self._refuse(where, "says who is told: groups, or recipients")
            return ()
        told: list[Recipient] = []
        for each in self._list(value, where):
            if isinstance(each, str) and ":" not in each and "@" not in each:
                if each not in self._groups:
                    self._refuse(where, f"there is no group {each}; add it under “groups”")
                told += self._groups.get(each, ())
            elif (one := self._recipient(each, where)) is not None:
                told.append(one)
        return _distinct(told)


def _distinct(found: Any) -> tuple[Recipient, ...]:
    return tuple(dict.fromkeys(found))


def read_recipient(text: str) -> Recipient:
    """Read a recipient back that was written by `str`."""
    kind, colon, name = text.partition(":")
    if not colon or kind not in ("role", "slack", "webhook"):
        return Recipient("email", text)
    return Recipient(cast("RecipientKind", kind), name)


def roles_reached(role: str) -> list[Role]:
    """Return the roles that are meant by one: it, and those that may more."""
    return list(ROLES[ROLES.index(cast("Role", role)) :])


def tell_value(metric: str, value: float) -> str:
    """Write a value of a metric for people, with its unit."""
    known = METRICS.get(metric)
    unit = "count" if known is None else known.unit
    if unit == "share":
        return f"{value * 100:.3g} %"
    if unit == "minutes":
        return f"{value:,.0f} min"
    if unit == "ms":
        return f"{value:,.0f} ms"
    return f"{value:,.15g}"


def label_of(metric: str) -> str:
    """Return what people call a metric."""
    return METRICS[metric].label if metric in METRICS else metric
