"""Who wins when both sides changed a field: rules, policies made of them, and the policies that come along.

Knows the kinds of record and their fields; must not know any CRM, nor how a merge is carried out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast, get_args

from syncline.domain.records import CUSTOM, INDEXED_TEXT, RECORD_TYPES
from syncline.errors import Invalid

Rule = Literal[
    "newest",
    "source_priority",
    "ours",
    "theirs",
    "append",
    "prefer_nonempty",
    "fill_if_empty",
    "max",
    "min",
    "union",
    "review",
]
Side = Literal["ours", "theirs"]

#: How a source priority names this database among the connections.
HERE = "here"
#: Clocks are known to about a second; two changes closer than that happened at one time.
DEFAULT_SKEW_MS = 1_000
_MAX_SKEW_MS = 3_600_000

_RULES = frozenset[str](get_args(Rule))
#: Rules that make sense for some fields only, and never for a whole kind of record.
_TEXT_RULES = frozenset({"append", "union"})
_SIZE_RULES = frozenset({"max", "min"})
#: Fields that matching fills in. They are columns, which a mapping may or may not reach.
_MATCHED: Mapping[str, tuple[str, ...]] = {
    "company": (
        "uei",
        "cage_code",
        "primary_naics",
        "sam_registered",
        "readiness_score",
        "qualification_status",
        "contractor_id",
    ),
    "deal": ("match_score", "win_probability", "opportunity_id", "match_id"),
}


@dataclass(frozen=True, slots=True)
class RecordRules:
    """What a policy says of one kind of record."""

    #: For fields without a rule of their own; None leaves it to the policy.
    rule: Rule | None = None
    fields: Mapping[str, Rule] = field(default_factory=dict[str, Rule])
    #: Field → whose value stands here while ours may not be written to the CRM.
    push_off: Mapping[str, Side] = field(default_factory=dict[str, Side])


@dataclass(frozen=True, slots=True)
class Policy:
    """How the conflicts of one connection are decided. Raises `Invalid` when it cannot be followed."""

    rule: Rule = "newest"
    #: Kind of record → its own rules.
    records: Mapping[str, RecordRules] = field(default_factory=dict[str, RecordRules])
    #: Connections by name, the most trusted first; `HERE` is this database. Whoever is not named comes
    #: after them, and this database last of all.
    priority: tuple[str, ...] = ()
    #: Changes no further apart than this, in milliseconds, count as made at one time.
    clock_skew_ms: int = DEFAULT_SKEW_MS
    #: Decides a field that was never agreed on and is filled on both sides; None: the field's own rule.
    first_link: Rule | None = None
    #: Whose value stands here where ours may not be written to the CRM.
    push_off: Side = "ours"

    def __post_init__(self) -> None:
        _check_rule(self.rule, "the policy as a whole")
        if self.first_link is not None:
            _check_rule(self.first_link, "the first link")
        _check_side(self.push_off, "push_off")
        if len(set(self.priority)) != len(self.priority) or "" in self.priority:
            raise Invalid("The source priority names a connection twice, or an empty name.")
        if not 0 <= self.clock_skew_ms <= _MAX_SKEW_MS:
            raise Invalid(f"clock_skew_ms is {self.clock_skew_ms}; it must be 0 to {_MAX_SKEW_MS}.")
        for record_type, rules in self.records.items():
            _check_record(record_type, rules)

    def rule_for(self, record_type: str, name: str) -> Rule:
        rules = self.records.get(record_type)
        if rules is None:
            return self.rule
        return rules.fields.get(name) or rules.rule or self.rule

    def first_rule_for(self, record_type: str, name: str) -> Rule:
        """Return the rule for a field that both sides have filled and never agreed on."""
        return self.first_link or self.rule_for(record_type, name)

    def stands_unpushed(self, record_type: str, name: str) -> Side:
        """Return whose value stands here when ours differs and may not be written to the CRM."""
        rules = self.records.get(record_type)
        return self.push_off if rules is None else rules.push_off.get(name, self.push_off)

    def rank(self, source: str) -> int:
        """Return the place of a source in the priority, 0 for the most trusted."""
        if source in self.priority:
            return self.priority.index(source)
        return len(self.priority) + (source == HERE)


def _one_of(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _check_rule(rule: str, where: str) -> None:
    if rule not in _RULES:
        raise Invalid(f"There is no rule “{rule}” for {where}. Rules are {_one_of(_RULES)}.")
    if rule in _TEXT_RULES | _SIZE_RULES:
        raise Invalid(f"The rule “{rule}” cannot stand for {where}, only for single fields.")


def _check_side(side: object, where: str) -> None:
    if side not in ("ours", "theirs"):
        raise Invalid(f"{where} is “{side}”; it must be ours or theirs.")


def _check_record(record_type: str, rules: RecordRules) -> None:
    if record_type not in RECORD_TYPES:
        raise Invalid(f"There is no kind of record “{record_type}”. Kinds are {_one_of(RECORD_TYPES)}.")
    if rules.rule is not None:
        _check_rule(rules.rule, f"{record_type} as a whole")
    for name, rule in rules.fields.items():
        _check_field(record_type, name)
        _check_field_rule(record_type, name, rule)
    for name, side in rules.push_off.items():
        _check_field(record_type, name)
        _check_side(side, f"push_off of {record_type}.{name}")


def _check_field(record_type: str, name: str) -> None:
    kind = RECORD_TYPES[record_type]
    if name in kind.derived:
        sources = " and ".join(kind.derived[name])
        raise Invalid(f"{record_type}.{name} follows from {sources}; give the rule to that.")
    if name in kind.content or name in _MATCHED.get(record_type, ()):
        return
    if not name.startswith(CUSTOM) or name == CUSTOM:
        raise Invalid(f"A {record_type} has no field “{name}”. Custom fields are written {CUSTOM}name.")


def _check_field_rule(record_type: str, name: str, rule: str) -> None:
    where = f"{record_type}.{name}"
    if rule not in _RULES:
        raise Invalid(f"There is no rule “{rule}” for {where}. Rules are {_one_of(_RULES)}.")
    kind = RECORD_TYPES[record_type]
    if name not in kind.fields:
        return  # what a custom field holds is seen only when it is read
    sort = kind.fields[name]
    sources = {source for each in kind.derived.values() for source in each}
    if rule in _TEXT_RULES and (sort != "text" or name in INDEXED_TEXT | sources):
        raise Invalid(f"The rule “{rule}” is for texts that may hold several values; {where} holds one.")
    if rule in _SIZE_RULES and sort not in ("number", "time", "date"):
        raise Invalid(f"The rule “{rule}” is for numbers and times; {where} is a {sort}.")


_OURS_MATCHED: Mapping[str, Mapping[str, Rule]] = {
    record_type: dict.fromkeys(names, "ours") for record_type, names in _MATCHED.items()
}

#: Name → what it does in a line, and the policy.
POLICIES: Mapping[str, tuple[str, Policy]] = {
    "newest": ("The later change wins, field by field.", Policy()),
    "source_priority": (
        "The more trusted source wins: connections in the order given, this database last.",
        Policy(rule="source_priority"),
    ),
    "field_level": (
        "E-mail is theirs where they have one, phone is ours where we have one, long texts are joined.",
        Policy(
            records={
                "contact": RecordRules(fields={"email": "prefer_nonempty", "phone": "fill_if_empty"}),
                "company": RecordRules(fields={"phone": "fill_if_empty", "description": "append"}),
                "deal": RecordRules(fields={"phone": "fill_if_empty"}),
                "activity": RecordRules(fields={"body": "append"}),
                "task": RecordRules(fields={"body": "append"}),
            }
        ),
    ),
    "review": ("A person decides every conflict.", Policy(rule="review")),
    "b2g": (
        "What matching found is ours; what sales people work on is the CRM's; the rest is the newer.",
        Policy(
            records={
                "company": RecordRules(fields=_OURS_MATCHED["company"]),
                "deal": RecordRules(rule="theirs", fields=_OURS_MATCHED["deal"]),
                "contact": RecordRules(rule="theirs"),
                "activity": RecordRules(rule="theirs"),
                "task": RecordRules(rule="theirs"),
            }
        ),
    ),
}

_KEYS = frozenset({"extends", "rule", "records", "priority", "clock_skew_ms", "first_link", "push_off"})
_RECORD_KEYS = frozenset({"rule", "fields", "push_off"})


def load_policy(document: object) -> Policy:
    """Read a policy: the name of one in `POLICIES`, or a mapping that may extend one by `extends`.

    Raises `Invalid` with a sentence that names the entry at fault.
    """
    if isinstance(document, str):
        return _named(document)
    settings = _mapping(document, "A policy", _KEYS)
    extended = settings.pop("extends", "newest")
    policy = _named(_text(extended, "extends"))
    changes: dict[str, Any] = {}
    for key in ("rule", "push_off"):
        if key in settings:
            changes[key] = _text(settings[key], key)
    if settings.get("first_link") is not None:
        changes["first_link"] = _text(settings["first_link"], "first_link")
    if "priority" in settings:
        names = settings["priority"]
        if not isinstance(names, (list, tuple)):
            raise Invalid("priority must be a list of connections' names.")
        changes["priority"] = tuple(_text(each, "priority") for each in cast("list[object]", names))
    if "clock_skew_ms" in settings:
        skew = settings["clock_skew_ms"]
        if not isinstance(skew, int) or isinstance(skew, bool):
            raise Invalid("clock_skew_ms must be a whole number of milliseconds.")
        changes["clock_skew_ms"] = skew
    if "records" in settings:
        found = _mapping(settings["records"], "records", None)
        changes["records"] = dict(policy.records) | {
            name: _load_record(name, each, policy.records.get(name, RecordRules()))
            for name, each in found.items()
        }
    return replace(policy, **changes)


def _load_record(record_type: str, document: object, extended: RecordRules) -> RecordRules:
    settings = _mapping(document, f"records.{record_type}", _RECORD_KEYS)
    fields = _texts(settings.get("fields", {}), f"{record_type}.fields")
    sides = _texts(settings.get("push_off", {}), f"{record_type}.push_off")
    rule = settings.get("rule", extended.rule)
    return RecordRules(
        rule=None if rule is None else cast("Rule", _text(rule, f"{record_type}.rule")),
        fields=dict(extended.fields) | cast("dict[str, Rule]", fields),
        push_off=dict(extended.push_off) | cast("dict[str, Side]", sides),
    )


def _named(name: str) -> Policy:
    if name not in POLICIES:
        raise Invalid(f"There is no policy “{name}”. Policies are {_one_of(POLICIES)}.")
    return POLICIES[name][1]


def _mapping(document: object, where: str, keys: frozenset[str] | None) -> dict[str, object]:
    if not isinstance(document, Mapping):
        raise Invalid(f"{where} must be a mapping of names to settings.")
    found = {str(key): value for key, value in cast("Mapping[object, object]", document).items()}
    unknown: set[str] = set() if keys is None else set(found) - keys
    if unknown:
        raise Invalid(f"{where} has no setting “{min(unknown)}”. Settings are {_one_of(keys or ())}.")
    return found


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{where} must be a name, in quotes if need be.")
    return value


def _texts(document: object, where: str) -> dict[str, str]:
    found = _mapping(document, where, None)
    return {name: _text(value, f"{where}.{name}") for name, value in found.items()}


def dump_policy(policy: Policy) -> dict[str, Any]:
    """Write a policy as plain values that `load_policy` reads back; what is as by default is left out."""
    plain = Policy()
    document: dict[str, Any] = {"rule": policy.rule}
    if policy.priority:
        document["priority"] = list(policy.priority)
    if policy.clock_skew_ms != plain.clock_skew_ms:
        document["clock_skew_ms"] = policy.clock_skew_ms
    if policy.first_link is not None:
        document["first_link"] = policy.first_link
    if policy.push_off != plain.push_off:
        document["push_off"] = policy.push_off
    records = {name: _dump_record(rules) for name, rules in policy.records.items()}
    if records:
        document["records"] = records
    return document


def _dump_record(rules: RecordRules) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if rules.rule is not None:
        document["rule"] = rules.rule
    if rules.fields:
        document["fields"] = dict(rules.fields)
    if rules.push_off:
        document["push_off"] = dict(rules.push_off)
    return document
