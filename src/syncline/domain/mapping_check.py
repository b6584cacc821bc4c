"""Whether a mapping fits the properties a CRM says it has: what is missing, read-only or of another kind.

Knows mappings and what connectors tell of properties in neutral words; must not know any CRM's own words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from syncline.domain.mapping import Convert, FieldMap, ObjectMap
from syncline.domain.records import RECORD_TYPES

#: What a property holds, whatever its CRM calls it. `other`: a kind not known here.
PropertyKind = Literal["text", "number", "boolean", "time", "date", "choice", "other"]
Level = Literal["error", "warning"]

#: Kind of property → converters that read every value of it.
_READ: Mapping[PropertyKind, frozenset[Convert]] = {
    "text": frozenset({"text", "owner"}),
    "number": frozenset({"number", "percent", "text", "owner"}),
    "boolean": frozenset({"boolean", "text"}),
    "time": frozenset({"time", "date", "text"}),
    "date": frozenset({"date", "time", "text"}),
    "choice": frozenset({"choice", "text", "owner"}),
    "other": frozenset({"text"}),
}
#: And those that read some of them: a text may hold a number.
_MAY_READ: Mapping[PropertyKind, frozenset[Convert]] = {
    "text": frozenset({"number", "percent", "boolean", "time", "date", "choice"}),
    "number": frozenset({"time", "date", "boolean", "choice"}),
    "boolean": frozenset({"choice"}),
    "choice": frozenset({"boolean", "number"}),
    "other": frozenset({"number", "percent", "boolean", "time", "date", "owner", "choice"}),
}
_NAMED_AT_MOST = 6


@dataclass(frozen=True, slots=True)
class PropertyFact:
    """What is known of a property."""

    name: str
    kind: PropertyKind
    #: False where the CRM lets nobody set it.
    settable: bool
    #: Its choices, as values; empty where it is free or they are not known.
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit, and what to do about it."""

    object: str
    field: str
    property: str
    level: Level
    problem: str
    advice: str


def check_mapping(
    objects: Mapping[str, ObjectMap],
    default: Mapping[str, ObjectMap],
    facts: Mapping[str, Mapping[str, PropertyFact]],
) -> list[Finding]:
    """Compare every field with the properties of its object, in the order of the mapping.

    `facts` is object → property by name. An object that is not in it has no properties to compare with; one
    with none has not been read yet. What is as by default is never an error: no account has all of it.
    """
    found: list[Finding] = []
    for name, mapping in objects.items():
        known = facts.get(name)
        if known is None:
            continue
        if not known:
            advice = "Run a sync of this object, then check again."
            found.append(Finding(name, "", "", "warning", "Its properties have not been read yet.", advice))
            continue
        found += _check_object(mapping, default[name], known)
    return found


def _check_object(
    mapping: ObjectMap, default: ObjectMap, known: Mapping[str, PropertyFact]
) -> Iterator[Finding]:
    for each in mapping.fields:
        fact = known.get(each.property)
        problems = _check_presence(each) if fact is None else _check_field(each, fact)
        for found, problem, advice in problems:
            level: Level = "warning" if each in default.fields else found
            yield Finding(mapping.object, each.field, each.property, level, problem, advice)
    identity = RECORD_TYPES[mapping.record_type].identity
    if identity is not None and identity[1] not in {each.field for each in mapping.fields}:
        yield Finding(
            mapping.object,
            identity[1],
            "",
            "warning",
            "It is not mapped: records that come by another road are not recognised by it.",
            f"Map {identity[1]}, unless each record shall stand for itself.",
        )


_Problem = tuple[Level, str, str]


def _check_presence(each: FieldMap) -> Iterator[_Problem]:
    yield (
        "error",
        "The CRM has no such property.",
        f"Name another property, make this one at the CRM, or say “{each.field}: off”.",
    )


def _check_field(each: FieldMap, fact: PropertyFact) -> Iterator[_Problem]:
    if each.direction != "pull" and not fact.settable:
        yield (
            "error",
            "The CRM does not let it be set, but the field is to be written.",
            "Say “direction: pull”.",
        )
    yield from _check_kind(each, fact)
    if each.convert == "choice" and fact.choices:
        yield from _check_choices(each, fact)


def _check_kind(each: FieldMap, fact: PropertyFact) -> Iterator[_Problem]:
    if each.convert in _READ[fact.kind]:
        return
    what = f"It holds {_PLURALS[fact.kind]}, which the converter {each.convert}"
    if each.convert in _MAY_READ.get(fact.kind, ()):
        if not (each.convert == "boolean" and fact.choices and set(fact.choices) <= {"true", "false"}):
            advice = "See with `syncline mapping diff` whether all can be read; others are left empty."
            yield "warning", f"{what} reads some of only.", advice
        return
    yield "error", f"{what} cannot read.", "Map the field to a property of its own kind."


_PLURALS: Mapping[PropertyKind, str] = {
    "text": "texts",
    "number": "numbers",
    "boolean": "yes and no",
    "time": "times",
    "date": "dates",
    "choice": "choices",
    "other": "values of a kind of the CRM's own",
}


def _check_choices(each: FieldMap, fact: PropertyFact) -> Iterator[_Problem]:
    missing = [value for value in fact.choices if value not in each.choices]
    if missing:
        problem = f"It has choices that the mapping does not know: {_some(missing)}."
        yield "warning", problem, "Add them to choices (null leaves them empty); now they are unreadable."
    unknown = [value for value in each.choices if value not in fact.choices]
    if unknown:
        level: Level = "warning" if each.direction == "pull" else "error"
        problem = f"The mapping has choices that the CRM does not: {_some(unknown)}."
        yield level, problem, "Correct them, or take them out."


def _some(values: list[str]) -> str:
    more = len(values) - _NAMED_AT_MOST
    return ", ".join(values[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
