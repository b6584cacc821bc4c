"""Which property of a CRM is which field of ours, and what a remote record becomes by it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from dataclasses import field as default
from typing import Any, Literal

import msgspec

from syncline.domain.phones import to_e164
from syncline.domain.records import (
    INDEXED_TEXT,
    MAX_INDEXED_BYTES,
    RECORD_TYPES,
    FieldType,
    RecordType,
    with_custom,
)
from syncline.domain.values import CONVERTERS, Unreadable, Value

Convert = Literal["text", "number", "percent", "boolean", "time", "date", "owner", "choice"]
Direction = Literal["both", "pull", "push"]

_encode = msgspec.json.Encoder().encode
#: Fields that change their meaning with a stage's facts, though no property changed.
_PLACE = ("pipeline_id", "stage_id", "status", "probability")
#: Fields of a deal that its stage or account fills in where its CRM has none.
_FILLED = ("probability", "currency")
#: In mappings: a deal's one close date, expected while it is open and real once it is closed.
CLOSE_DATE = "close_date"
#: Record type → fields that no property is mapped to, since they follow from what is mapped to another.
FOLLOWING: Mapping[str, Mapping[str, str]] = {
    "deal": {
        "pipeline_id": "stage",
        "stage_id": "stage",
        "status": "stage",
        "expected_close_date": CLOSE_DATE,
        "closed_at": CLOSE_DATE,
    }
}


@dataclass(frozen=True, slots=True)
class FieldMap:
    """One field and the property it comes from. `choices` turns their words into ours (`choice` only)."""

    field: str
    property: str
    convert: Convert = "text"
    choices: Mapping[str, str | None] = default(default_factory=dict[str, str | None])
    #: `pull`: only read from the CRM; `push`: only written to it.
    direction: Direction = "both"


@dataclass(frozen=True, slots=True)
class ObjectMap:
    """How one object of a CRM becomes one kind of record. `constants` are fields every record gets."""

    object: str
    record_type: str
    fields: tuple[FieldMap, ...]
    constants: Mapping[str, str] = default(default_factory=dict[str, str])
    version: int = 1
    #: Of deals: `pipeline/stage` as the CRM names them → as records of ours do. Empty: they are ours as well.
    stages: Mapping[str, str] = default(default_factory=dict[str, str])
    #: Property → the values that a record may have to be synced at all. Empty: all are.
    only: Mapping[str, tuple[str, ...]] = default(default_factory=dict[str, tuple[str, ...]])

    def is_wanted(self, properties: Mapping[str, Any]) -> bool:
        """Whether a record with these properties is synced. What was not read keeps none out."""
        return all(
            name not in properties or str(properties[name]) in wanted for name, wanted in self.only.items()
        )

    @property
    def kind(self) -> RecordType:
        """The kind of record, with the custom fields that are mapped."""
        return with_custom(self.record_type, (each.field for each in self.fields))


@dataclass(frozen=True, slots=True)
class StageFact:
    """What a deal needs to know of the stage it is in. Ids are ours, as text."""

    pipeline_id: str
    stage_id: str
    is_closed: bool
    is_won: bool
    probability: Value
    #: Pipeline and stage as our records name them, where the CRM's names are not ours.
    place: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Lookups:
    """What references resolve to, for one connection."""

    #: The CRM's owner id → our owner's id.
    owners: Mapping[str, str] = default(default_factory=dict[str, str])
    #: Owners of ours, by our id, whom another connection's CRM knows.
    colleagues: frozenset[str] = frozenset()
    #: (pipeline, stage) as the CRM names them → facts.
    stages: Mapping[tuple[str, str], StageFact] = default(default_factory=dict[tuple[str, str], StageFact])
    #: Region a number without country code is read in.
    region: str = "US"
    #: The account's currency, for records that name none.
    currency: str | None = None

    def owners_digest(self) -> str:
        """Return a text that differs whenever an owner is known that was not, or became another."""
        return hashlib.blake2b(_encode(sorted(self.owners.items())), digest_size=16).hexdigest()

    def stage_facts(self) -> dict[str, list[Any]]:
        """Return what each stage makes of a deal, by pipeline and stage, as JSON can hold it."""
        return {
            f"{pipeline}/{stage}": [
                *(fact.stage_id, fact.is_closed, fact.is_won, str(fact.probability)),
                *(fact.place or ()),
            ]
            for (pipeline, stage), fact in self.stages.items()
        }


class MappedRecord(msgspec.Struct, gc=False):
    """What a remote record says of ours."""

    #: Field → value, every field of the record type the mapping reaches; None where the CRM has none.
    values: dict[str, Value]
    #: Field → the property's text as read: the CRM's half of what will be agreed on.
    theirs: dict[str, Any]
    #: Field → what is wrong with the property's text; the field is left empty.
    problems: dict[str, str]
    #: Of the mapped properties. None while a reference could not be resolved, so that the next read
    #: tries again.
    digest: bytes | None


class Mapper:
    """An `ObjectMap` made ready for use with one connection's lookups."""

    def __init__(self, mapping: ObjectMap, lookups: Lookups) -> None:
        self.record_type: RecordType = mapping.kind
        self._mapping = mapping
        self._lookups = lookups
        # A property means something else by another mapping. The region decides what a number means, though
        # no property changes with it.
        self._salt = _encode([_meaning_of(mapping), lookups.region])
        self._mapped = frozenset(each.field for each in mapping.fields)
        self._readers: list[tuple[str, str, Callable[[Any], Value]]] = [
            (each.field, each.property, self._reader(each)) for each in mapping.fields
        ]
        self._owned = frozenset(each.field for each in mapping.fields if each.convert == "owner")
        self._foreign = lookups.colleagues - set(lookups.owners.values())
        self._derive = _DERIVE.get(mapping.record_type)
        self._is_placed = mapping.record_type == "deal"

    @property
    def properties(self) -> tuple[str, ...]:
        return tuple(each.property for each in self._mapping.fields)

    def is_foreign(self, name: str, value: Any) -> bool:
        """Whether a value of ours is an owner whom only another connection's CRM knows: never to be sent."""
        return value is not None and name in self._owned and str(value) in self._foreign

    def is_wanted(self, properties: Mapping[str, Any]) -> bool:
        """See `ObjectMap.is_wanted`."""
        return not self._mapping.only or self._mapping.is_wanted(properties)

    def map(self, properties: Mapping[str, Any]) -> MappedRecord:
        """Map one record's properties. Unreadable values are named in `problems`, with the field left empty.

        A property that was not read is left out altogether: absent is not empty.
        """
        values: dict[str, Value] = dict(self._mapping.constants)
        theirs: dict[str, Any] = {}
        problems: dict[str, str] = {}
        resolved = True
        for name, source, read in self._readers:
            raw = properties.get(source)
            if raw is None or raw == "":
                if source in properties:
                    values[name] = None
                    theirs[name] = None
                continue
            theirs[name] = raw
            try:
                values[name] = read(raw)
            except Unreadable as problem:
                values[name] = None
                problems[name] = str(problem)
            except LookupError:
                # Not known yet is not empty: absent from what was agreed, it is filled once it is known.
                del theirs[name]
                resolved = False
        if self._derive is not None:
            resolved = self._derive(values, self._mapped, self._lookups, problems) and resolved
        if self._is_placed:
            for name in _FILLED:
                if values.get(name) is not None and theirs.get(name, "") is None:
                    del theirs[name]  # what was filled in is what is agreed on, until they say something
        return MappedRecord(values, theirs, problems, self._digest(values, theirs) if resolved else None)

    def _digest(self, values: Mapping[str, Value], theirs: Mapping[str, Any]) -> bytes:
        meaning = self._salt + _encode(theirs)
        if self._is_placed:
            meaning += _encode([values.get(name) for name in _PLACE])
        return hashlib.blake2b(meaning, digest_size=16).digest()

    def _reader(self, each: FieldMap) -> Callable[[Any], Value]:
        if each.convert == "owner":
            return self._owner
        if each.convert == "choice":
            return _choice(each.choices)
        if each.convert == "text" and each.field in INDEXED_TEXT:
            return _indexed_text
        return CONVERTERS[each.convert]

    def _owner(self, raw: Any) -> str:
        owner = self._lookups.owners.get(str(raw))
        if owner is None:
            raise LookupError("an owner this connection does not list")
        return owner


def mappable(record_type: str) -> dict[str, FieldType]:
    """Return the fields that a property may be mapped to, with the type of what they hold."""
    kind = RECORD_TYPES[record_type]
    without = {"archived_at", *FOLLOWING.get(record_type, ())}
    found: dict[str, FieldType] = {name: kind.fields[name] for name in kind.content if name not in without}
    if record_type == "deal":
        found[CLOSE_DATE] = "time"
    return found


def _meaning_of(mapping: ObjectMap) -> list[Any]:
    fields = [[each.field, each.property, each.convert, dict(each.choices)] for each in mapping.fields]
    meaning: list[Any] = [fields, dict(mapping.constants)]
    if mapping.stages:
        meaning.append(dict(mapping.stages))
    return meaning


def _indexed_text(raw: Any) -> str:
    text = raw if isinstance(raw, str) else str(CONVERTERS["text"](raw))
    if len(text) * 4 > MAX_INDEXED_BYTES and len(text.encode()) > MAX_INDEXED_BYTES:
        raise Unreadable(f"longer than {MAX_INDEXED_BYTES} bytes")
    return text


def _choice(choices: Mapping[str, str | None]) -> Callable[[Any], Value]:
    def read(raw: Any) -> str | None:
        try:
            return choices[str(raw)]
        except KeyError:
            raise Unreadable("not one of the values the mapping knows") from None

    return read


def _derive_phone(
    values: dict[str, Value], mapped: AbstractSet[str], lookups: Lookups, problems: dict[str, str]
) -> bool:
    del mapped, problems
    phone = values.get("phone")
    if "phone" in values:
        values["phone_e164"] = to_e164(phone, lookups.region) if isinstance(phone, str) else None
    return True


def _derive_deal(
    values: dict[str, Value], mapped: AbstractSet[str], lookups: Lookups, problems: dict[str, str]
) -> bool:
    """Place a deal: ids of pipeline and stage, status, and which of the two close dates it has.

    A CRM may keep one close date: expected while the deal is open, real once it is closed. A status of its
    own stands above what the stage says. What is not mapped is not filled in either.
    """
    _derive_phone(values, mapped, lookups, problems)
    if "currency" in mapped and values.get("currency") is None:
        values["currency"] = lookups.currency
    closes_at = values.pop(CLOSE_DATE, None)
    stage = lookups.stages.get((str(values.get("pipeline")), str(values.get("stage"))))
    own_status = values.get("status") if "status" in mapped else None
    if stage is None:
        values.update(pipeline_id=None, stage_id=None, status=own_status or "open")
        if CLOSE_DATE in mapped:
            values.update(closed_at=None, expected_close_date=str(closes_at)[:10] if closes_at else None)
        if values.get("stage") is None:
            return True
        problems["stage"] = "a stage this connection does not list"
        return False
    values["pipeline_id"], values["stage_id"] = stage.pipeline_id, stage.stage_id
    if stage.place is not None:
        values["pipeline"], values["stage"] = stage.place
    values["status"] = own_status or ("won" if stage.is_won else "lost" if stage.is_closed else "open")
    if CLOSE_DATE in mapped:
        is_closed = values["status"] != "open"
        values["closed_at"] = closes_at if is_closed else None
        values["expected_close_date"] = None if is_closed or not closes_at else str(closes_at)[:10]
    if "probability" in mapped and values.get("probability") is None:
        values["probability"] = stage.probability
    return True


def _derive_activity(
    values: dict[str, Value], mapped: AbstractSet[str], lookups: Lookups, problems: dict[str, str]
) -> bool:
    """The other party's number: whom we called, or who called us. What is of no known type is a note."""
    del mapped, problems
    if "type" in values and values["type"] is None:
        values["type"] = "note"
    number = values.get("from_number" if values.get("direction") == "inbound" else "to_number")
    values["phone_e164"] = to_e164(number, lookups.region) if isinstance(number, str) else None
    return True


_DERIVE: Mapping[str, Callable[[dict[str, Value], AbstractSet[str], Lookups, dict[str, str]], bool]] = {
    "contact": _derive_phone,
    "company": _derive_phone,
    "deal": _derive_deal,
    "activity": _derive_activity,
}
