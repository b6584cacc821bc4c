"""A connection's mapping as a person writes it: a document of what differs from the platform's default.

Turns documents into `ObjectMap`s and a `Policy` and back. Knows fields and converters; must not know which
properties a CRM has, nor where documents are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

from syncline.domain.mapping import CLOSE_DATE, FOLLOWING, Convert, Direction, FieldMap, ObjectMap, mappable
from syncline.domain.policies import Policy, RecordRules, Rule, dump_policy, load_policy
from syncline.domain.records import CUSTOM, RECORD_TYPES, FieldType
from syncline.errors import Invalid

VERSION = 1
#: In mappings: a property is meant by its label, and not by a name that differs by account.
LABELLED = "custom:"
_NO_NAMES: Mapping[str, Mapping[str, str]] = {}
#: What a field is set to that no property is mapped to.
OFF = "off"
_CONVERTERS = get_args(Convert)
_DIRECTIONS = get_args(Direction)
#: Type of a field → converters whose values it can hold, the usual one first.
_READ_BY: Mapping[FieldType, tuple[Convert, ...]] = {
    "text": ("text", "choice"),
    "number": ("number", "percent"),
    "boolean": ("boolean",),
    "time": ("time",),
    "date": ("date",),
    "reference": ("owner",),
}
_KEYS = frozenset({"version", "policy", "objects"})
_OBJECT_KEYS = frozenset({"record", "fields", "stages", "only"})
_FIELD_KEYS = frozenset({"property", "direction", "convert", "choices", "policy"})
#: A deal is in a stage, or it is no deal: what it is worth to anybody follows from that.
_PLACE = ("pipeline", "stage")


@dataclass(frozen=True, slots=True)
class ConnectionMapping:
    """What holds for one connection: how each object becomes records, and who wins a conflict."""

    objects: Mapping[str, ObjectMap]
    policy: Policy


def load_mapping(
    document: object,
    default: Mapping[str, ObjectMap],
    *,
    version: int = 1,
    names: Mapping[str, Mapping[str, str]] = _NO_NAMES,
) -> ConnectionMapping:
    """Read a document; None is the default. What it does not mention is as in `default`.

    `version` is what the maps carry. `names` is object → `custom:label` → the property it means; what it does
    not hold stays a name that no property has. Raises `Invalid`, naming the entry at fault in a sentence.
    """
    if document is None:
        usual = {name: replace(each, version=version) for name, each in default.items()}
        return ConnectionMapping(_with_names(usual, names), Policy())
    settings = _mapping(document, "The mapping", _KEYS)
    if settings.get("version") != VERSION or settings.get("version") is True:
        raise Invalid(f"The mapping must begin with “version: {VERSION}”.")
    policy = Policy() if settings.get("policy") is None else load_policy(settings["policy"])
    entries = _mapping(settings.get("objects"), "objects", None)
    for name in entries:
        if name not in default:
            raise Invalid(f"objects.{name}: there is no such object. Objects are {_list(default)}.")
    objects: dict[str, ObjectMap] = {}
    rules: dict[str, dict[str, tuple[Rule, str]]] = {}
    for name, usual in default.items():
        reader = _ObjectReader(usual, rules.setdefault(usual.record_type, {}))
        objects[name] = replace(reader.read(entries.get(name)), version=version)
    return ConnectionMapping(_with_names(objects, names), _with_rules(policy, rules))


def _with_names(
    objects: Mapping[str, ObjectMap], names: Mapping[str, Mapping[str, str]]
) -> Mapping[str, ObjectMap]:
    """Replace labels by the properties that they mean in this account."""
    if not names:
        return objects
    return {
        name: replace(
            each,
            fields=tuple(
                replace(one, property=names.get(name, {}).get(label_key(one.property), one.property))
                for one in each.fields
            ),
        )
        for name, each in objects.items()
    }


def label_key(prop: str) -> str:
    """Write a label so that capitals and spaces around it make no difference."""
    return LABELLED + prop.removeprefix(LABELLED).strip().casefold() if prop.startswith(LABELLED) else prop


def list_labels(mapping: ObjectMap) -> frozenset[str]:
    """Return the labels, as `label_key` writes them, by which a mapping names properties."""
    return frozenset(
        label_key(each.property) for each in mapping.fields if each.property.startswith(LABELLED)
    )


def shorthand(name: str, prop: str, usual: ObjectMap) -> FieldMap:
    """Return what `name: prop` means, with nothing else said."""
    known = {each.field: each for each in usual.fields}.get(name)
    if known is not None and known.property == prop:
        return known
    if name.startswith(CUSTOM):
        return FieldMap(name, prop)
    types: dict[str, FieldType] = {**mappable(usual.record_type), **_own_types(usual)}
    return FieldMap(name, prop, _READ_BY[types[name]][0])


def _own_types(usual: ObjectMap) -> dict[str, FieldType]:
    """Return fields that follow from others elsewhere, and that this CRM has properties of its own for."""
    kind = RECORD_TYPES[usual.record_type]
    return {each.field: kind.fields[each.field] for each in usual.fields if each.field in kind.fields}


class _ObjectReader:
    """Reads the entries of one object."""

    def __init__(self, usual: ObjectMap, rules: dict[str, tuple[Rule, str]]) -> None:
        self._usual = usual
        self._where = f"objects.{usual.object}"
        self._types: dict[str, FieldType] = {**mappable(usual.record_type), **_own_types(usual)}
        self._known = {each.field: each for each in usual.fields}
        #: Field → its rule and where that stands, of all objects that become this kind of record.
        self._rules = rules

    def read(self, document: object) -> ObjectMap:
        settings = _mapping(document, self._where, _OBJECT_KEYS)
        record_type = settings.get("record", self._usual.record_type)
        if record_type != self._usual.record_type:
            raise Invalid(
                f"{self._where}.record is “{record_type}”; {self._usual.object} become "
                f"{self._usual.record_type} records, which cannot be changed."
            )
        entries = _mapping(settings.get("fields"), f"{self._where}.fields", None)
        fields = dict(self._known)
        for name, entry in entries.items():
            self._require_field(name)
            found = self._read_field(name, entry)
            if found is None:
                fields.pop(name, None)
            else:
                fields[name] = found
        self._require_place(fields)
        self._require_single(fields.values())
        stages = self._usual.stages
        if "stages" in settings:
            stages = self._read_stages(settings["stages"])
        only = _read_only(settings.get("only"), f"{self._where}.only")
        return replace(self._usual, fields=tuple(fields.values()), stages=stages, only=only)

    def _read_stages(self, document: object) -> dict[str, str]:
        where = f"{self._where}.stages"
        if self._usual.record_type != "deal":
            raise Invalid(f"{where}: only deals are in stages.")
        found = _mapping(document, where, None)
        for theirs, ours in found.items():
            for place in (theirs, ours):
                if not isinstance(place, str) or not all(part.strip() for part in place.partition("/")):
                    raise Invalid(f"{where}.{theirs} must lead from pipeline/stage to pipeline/stage.")
        return cast("dict[str, str]", found)

    def _require_field(self, name: str) -> None:
        record_type, where = self._usual.record_type, self._place_of(name)
        kind = RECORD_TYPES[record_type]
        if name in kind.derived:
            sources = " and ".join(kind.derived[name])
            raise Invalid(f"{where}: it follows from {sources}; map that.")
        if name in FOLLOWING.get(record_type, ()) and name not in self._known:
            raise Invalid(f"{where}: it follows from {FOLLOWING[record_type][name]}; map that.")
        if name == "archived_at":
            raise Invalid(f"{where}: it says when the CRM archived the record, and is mapped by itself.")
        if name in self._usual.constants:
            raise Invalid(f"{where}: it is “{self._usual.constants[name]}” for every record of this object.")
        if name.startswith(CUSTOM) and name != CUSTOM:
            return
        if name not in self._types:
            raise Invalid(f"{where}: a {record_type} has no such field. Fields are {_list(self._types)}.")

    def _read_field(self, name: str, entry: object) -> FieldMap | None:
        """Return how a field is mapped; None for one that is off."""
        where = self._place_of(name)
        if entry is None or entry == OFF:
            return None
        if isinstance(entry, str):
            return shorthand(name, _text(entry, where), self._usual)
        settings = _mapping(entry, where, _FIELD_KEYS)
        prop = settings.get("property")
        if prop is None:
            if name not in self._known:
                raise Invalid(f"{where}: say which property it comes from.")
            prop = self._known[name].property
        found = shorthand(name, _text(prop, f"{where}.property"), self._usual)
        choices = settings.get("choices")
        convert = settings.get("convert") or (None if choices is None else "choice")
        if convert is not None:
            found = self._with_convert(found, convert, where)
        if choices is not None:
            found = replace(found, choices=_choices(choices, f"{where}.choices"))
        if settings.get("direction") is not None:
            direction = _one_of(settings["direction"], _DIRECTIONS, f"{where}.direction")
            found = replace(found, direction=cast("Direction", direction))
        if (found.convert == "choice") != bool(found.choices):
            problem = "needs its choices" if found.convert == "choice" else "takes no choices"
            raise Invalid(f"{where}: the converter {found.convert} {problem}.")
        if settings.get("policy") is not None:
            self._remember_rule(name, _text(settings["policy"], f"{where}.policy"), where)
        return found

    def _with_convert(self, found: FieldMap, convert: object, where: str) -> FieldMap:
        chosen = cast("Convert", _one_of(convert, _CONVERTERS, f"{where}.convert"))
        if found.field.startswith(CUSTOM):
            return found if chosen == found.convert else replace(found, convert=chosen, choices={})
        possible = _READ_BY[self._types[found.field]]
        if chosen not in possible:
            raise Invalid(
                f"{where}.convert: {found.field} is a {self._types[found.field]}, which {chosen} does not "
                f"give. Converters for it are {_list(possible)}."
            )
        return found if chosen == found.convert else replace(found, convert=chosen, choices={})

    def _remember_rule(self, name: str, rule: str, where: str) -> None:
        earlier = self._rules.get(name)
        if earlier is not None and earlier[0] != rule:
            raise Invalid(
                f"{where}.policy is “{rule}”, but {earlier[1]}.policy is “{earlier[0]}”: both become "
                f"{self._usual.record_type} records, and a field of those has one rule."
            )
        self._rules[name] = (cast("Rule", rule), where)

    def _require_place(self, fields: Mapping[str, FieldMap]) -> None:
        if self._usual.record_type != "deal":
            return
        for name in _PLACE:
            if name in self._known and name not in fields:
                raise Invalid(f"{self._place_of(name)} cannot be off: a deal's status follows from it.")
            if name in fields and fields[name].direction == "push":
                raise Invalid(f"{self._place_of(name)}.direction must be both or pull.")
        directions = {fields[name].direction for name in _PLACE if name in fields}
        if len(directions) > 1:
            raise Invalid(f"{self._where}.fields: pipeline and stage must have the same direction.")

    def _require_single(self, fields: Iterable[FieldMap]) -> None:
        pulled: dict[str, str] = {}
        pushed: dict[str, str] = {}
        for each in fields:
            for direction, taken in (("push", pulled), ("pull", pushed)):
                if each.direction == direction:
                    continue
                if each.property in taken:
                    verb = "read into" if taken is pulled else "written from"
                    raise Invalid(
                        f"{self._place_of(each.field)}: the property {each.property} is {verb} "
                        f"{taken[each.property]} already. A property belongs to one field; switch one off."
                    )
                taken[each.property] = each.field

    def _place_of(self, name: str) -> str:
        return f"{self._where}.fields.{name}"


def _with_rules(policy: Policy, rules: Mapping[str, Mapping[str, tuple[Rule, str]]]) -> Policy:
    records = dict(policy.records)
    for record_type, by_field in rules.items():
        if not by_field:
            continue
        known = records.get(record_type, RecordRules())
        fields = dict(known.fields)
        for name, (rule, _) in by_field.items():
            targets = [name]
            if name == CLOSE_DATE:
                targets = [of for of, lead in FOLLOWING[record_type].items() if lead == CLOSE_DATE]
            fields |= dict.fromkeys(targets, rule)
        records[record_type] = replace(known, fields=fields)
    return replace(policy, records=records)


def _mapping(document: object, where: str, keys: frozenset[str] | None) -> dict[str, object]:
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise Invalid(f"{where} must be a mapping of names to settings.")
    found = {str(key): value for key, value in cast("Mapping[object, object]", document).items()}
    unknown: set[str] = set() if keys is None else set(found) - keys
    if unknown:
        raise Invalid(f"{where} has no setting “{min(unknown)}”. Settings are {_list(sorted(keys or ()))}.")
    return found


def _read_only(document: object, where: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for prop, values in _mapping(document, where, None).items():
        listed = cast("list[object]", values) if isinstance(values, list) else [values]
        if not listed or not all(
            isinstance(each, str | int) and not isinstance(each, bool) for each in listed
        ):
            raise Invalid(f"{where}.{prop} must be a value, or a list of values, as the CRM has them.")
        found[prop] = tuple(str(each) for each in listed)
    return found


def _choices(document: object, where: str) -> dict[str, str | None]:
    found = _mapping(document, where, None)
    for theirs, ours in found.items():
        if not theirs or not (ours is None or (isinstance(ours, str) and ours)):
            raise Invalid(f"{where}.{theirs} must be a text (in quotes if need be) or null.")
    if not any(ours is not None for ours in found.values()):
        raise Invalid(f"{where} must lead to a value at least once.")
    return cast("dict[str, str | None]", found)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Invalid(f"{where} must be a name, in quotes if need be.")
    return value


def _one_of(value: object, allowed: tuple[str, ...], where: str) -> str:
    if value not in allowed:
        raise Invalid(f"{where} is “{value}”; it must be one of {_list(allowed)}.")
    return str(value)


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def dump_mapping(mapping: ConnectionMapping, default: Mapping[str, ObjectMap]) -> dict[str, Any]:
    """Write what differs from the default as a document that `load_mapping` reads back to the same."""
    objects: dict[str, Any] = {}
    for name, usual in default.items():
        fields = _dump_fields(mapping.objects[name], usual)
        more = _dump_more(mapping.objects[name], usual)
        if fields or more:
            objects[name] = {"record": usual.record_type} | ({"fields": fields} if fields else {}) | more
    document: dict[str, Any] = {"version": VERSION}
    if mapping.policy != Policy():
        document["policy"] = dump_policy(mapping.policy)
    if objects:
        document["objects"] = objects
    return document


def _dump_more(mapping: ObjectMap, usual: ObjectMap) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if mapping.stages != usual.stages:
        more["stages"] = dict(mapping.stages)
    if mapping.only != usual.only:
        more["only"] = {prop: list(values) for prop, values in mapping.only.items()}
    return more


def _dump_fields(mapping: ObjectMap, usual: ObjectMap) -> dict[str, Any]:
    known = {each.field: each for each in usual.fields}
    mapped = {each.field for each in mapping.fields}
    fields: dict[str, Any] = {
        each.field: describe_field(each, usual) for each in mapping.fields if known.get(each.field) != each
    }
    return fields | {name: OFF for name in known if name not in mapped}


def describe_field(each: FieldMap, usual: ObjectMap) -> Any:
    """Write one field as shortly as a document can say it."""
    short = shorthand(each.field, each.property, usual)
    entry: dict[str, Any] = {"property": each.property}
    if each.direction != short.direction:
        entry["direction"] = each.direction
    if each.convert != short.convert:
        entry["convert"] = each.convert
    if each.choices and each.choices != short.choices:
        entry["choices"] = dict(each.choices)
    if entry == {"property": each.property} and each.property != OFF:
        return each.property
    return entry
