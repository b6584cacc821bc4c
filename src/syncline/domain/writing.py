"""How a value of ours becomes the text a CRM takes: the mapping read backwards.

A value that would not come back the same is named, never written in another form. Knows no CRM.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from dataclasses import field as default
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from syncline.domain.mapping import FieldMap, Lookups, ObjectMap
from syncline.domain.records import RECORD_TYPES
from syncline.domain.values import CONVERTERS, Unreadable, Value, as_moment

#: Of a deal: the two close dates of ours that are one at a CRM, and what it is called in mappings.
_EXPECTED, _CLOSED, _CLOSE = "expected_close_date", "closed_at", "close_date"
_FROM_STAGE = "follows from the stage"


class Unwritable(ValueError):
    """The value cannot be had at the CRM. Says why, never the value."""


class Unknown(Unwritable):
    """The CRM knows nobody and nothing that is meant, and nobody is to be troubled by that."""


@dataclass(frozen=True, slots=True)
class Written:
    """A record's values as the CRM takes them."""

    #: Property → text; None empties it.
    properties: dict[str, str | None] = default(default_factory=dict[str, str | None])
    #: Field → why it is not among them.
    unwritable: dict[str, str] = default(default_factory=dict[str, str])
    #: Those of them that are as they should be: a colleague who has no seat in this CRM.
    unknown: set[str] = default(default_factory=set[str])

    @property
    def faults(self) -> dict[str, str]:
        """What somebody has to look at: field → why it is not written."""
        return {name: why for name, why in self.unwritable.items() if name not in self.unknown}


class Writer:
    """An `ObjectMap` read backwards, with one connection's lookups reversed.

    `settable` holds the properties that exist at the CRM and take values; None stands for all.
    """

    def __init__(self, mapping: ObjectMap, lookups: Lookups, settable: Container[str] | None = None) -> None:
        self._kind = RECORD_TYPES[mapping.record_type]
        self._constants = mapping.constants
        self._settable = settable
        # Where several of theirs are one of ours, any will do, but always the same.
        self._owners = {ours: theirs for theirs, ours in sorted(lookups.owners.items(), reverse=True)}
        self._colleagues = lookups.colleagues - set(lookups.owners.values())
        self._places = _Places(lookups, is_renamed=bool(mapping.stages))
        self._fields: dict[str, tuple[str, Callable[[Any], str]]] = {
            each.field: (each.property, self._converter(each)) for each in mapping.fields
        }

    def write(self, values: Mapping[str, Any], record: Mapping[str, Any] | None = None) -> Written:
        """Convert the values to be written, by field of ours.

        `record` is the whole record they belong to, where it matters: which close date of a deal the CRM
        keeps depends on its status. Without it `values` is taken for the whole. Fields that are computed
        from others, and the time of archiving, are passed over.
        """
        written = Written()
        values = {name: value for name, value in values.items() if not self._is_computed(name)}
        if self._kind.name == "deal":
            values = self._place(values, record or values, written)
        for name, value in values.items():
            try:
                self._write_one(name, value, written)
            except Unwritable as problem:
                written.unwritable[name] = str(problem)
                if isinstance(problem, Unknown):
                    written.unknown.add(name)
        return written

    def _is_computed(self, name: str) -> bool:
        return name == "archived_at" or name in self._kind.derived

    def _write_one(self, name: str, value: Any, written: Written) -> None:
        if name in self._constants:
            if value != self._constants[name]:
                raise Unwritable("is the same for every record of this object")
            return
        if name not in self._fields:
            raise Unwritable("is not mapped")
        target, convert = self._fields[name]
        if self._settable is not None and target not in self._settable:
            raise Unwritable(f"the CRM does not let {target} be set, or has no such property")
        written.properties[target] = None if value is None or value == "" else convert(value)

    def _place(self, values: dict[str, Any], record: Mapping[str, Any], written: Written) -> dict[str, Any]:
        """Turn a deal's places and dates into what is mapped: pipeline, stage and the one close date."""
        placed = dict(values)
        self._place_stage(placed, record, written)
        if _CLOSE not in self._fields and {_EXPECTED, _CLOSED} & self._fields.keys():
            return placed
        is_closed = record.get("status") in ("won", "lost")
        kept, other = (_CLOSED, _EXPECTED) if is_closed else (_EXPECTED, _CLOSED)
        if placed.pop(other, None) is not None:
            state = "closed" if is_closed else "open"
            written.unwritable[other] = f"the CRM keeps one close date, and the deal is {state}"
        if kept in placed:
            self._write_close_date(kept, placed.pop(kept), written)
        return placed

    def _place_stage(self, placed: dict[str, Any], record: Mapping[str, Any], written: Written) -> None:
        stage_id, pipeline_id = placed.pop("stage_id", None), placed.pop("pipeline_id", None)
        has_status = "status" in self._fields
        status = placed.get("status") if has_status else placed.pop("status", None)
        if "stage" in placed or "pipeline" in placed:
            asked = "stage" if "stage" in placed else "pipeline"
            place = self._places.find_named(record, placed)
        elif stage_id is not None:
            asked, place = "stage_id", self._places.find_by_id(str(stage_id))
        elif status is not None and not has_status:
            asked, place = "status", self._places.find_named(record, placed)
        else:
            if pipeline_id is not None:
                written.unwritable["pipeline_id"] = _FROM_STAGE
            return
        named = {name: placed.pop(name) for name in ("pipeline", "stage") if name in placed}
        if status is not None and not has_status:
            place = self._places.close(place, str(status))
        if place is not None:
            is_whole = self._places.is_renamed or "stage" not in named or place[1] != named["stage"]
            placed.update(pipeline=place[0], stage=place[1])
            if not is_whole and "pipeline" not in named:
                del placed["pipeline"]
        elif asked == "status":
            written.unwritable["status"] = _FROM_STAGE
        elif not (has_status and record.get("status") in ("won", "lost")):  # there the status says it all
            written.unwritable[asked] = "a stage this connection does not have"

    def _write_close_date(self, name: str, value: Any, written: Written) -> None:
        try:
            self._write_one(_CLOSE if _CLOSE in self._fields else name, value, written)
        except Unwritable as problem:
            written.unwritable[name] = str(problem)

    def _converter(self, each: FieldMap) -> Callable[[Any], str]:
        if each.convert == "owner":
            return self._owner
        if each.convert == "choice":
            return _choice(each.choices)
        return _checked(_WRITERS[each.convert], CONVERTERS[each.convert])

    def _owner(self, value: Any) -> str:
        theirs = self._owners.get(str(value))
        if theirs is None:
            kind = Unknown if str(value) in self._colleagues else Unwritable
            raise kind("an owner this connection does not have")
        return theirs


class _Places:
    """A connection's stages as the CRM names them, found by what our records call them."""

    def __init__(self, lookups: Lookups, *, is_renamed: bool) -> None:
        self.is_renamed = is_renamed
        self._facts = dict(sorted(lookups.stages.items(), reverse=True))
        # Where several of theirs are one of ours, the first will do.
        self._by_id = {fact.stage_id: place for place, fact in self._facts.items()}
        self._by_name = {fact.place or place: place for place, fact in self._facts.items()}

    def find_named(self, record: Mapping[str, Any], placed: Mapping[str, Any]) -> tuple[str, str] | None:
        """Find the place that a record's own words name; where no stages are known, the words themselves."""
        words = {"pipeline": record.get("pipeline"), "stage": record.get("stage"), **placed}
        pipeline, stage = str(words["pipeline"]), str(words["stage"])
        if not self._facts:
            return pipeline, stage
        if words["pipeline"] is None:
            alike = [place for (_, name), place in self._by_name.items() if name == stage]
            return alike[0] if len(alike) == 1 else None
        return self._by_name.get((pipeline, stage))

    def find_by_id(self, stage_id: str) -> tuple[str, str] | None:
        return self._by_id.get(stage_id)

    def close(self, place: tuple[str, str] | None, status: str) -> tuple[str, str] | None:
        """Return where a deal of this status is, in the pipeline it is in, if that is beyond doubt."""
        fact = None if place is None else self._facts.get(place)
        if place is None or fact is None or fact.is_closed == (status != "open"):
            return place
        is_won = status == "won"
        ends = [
            each
            for each, other in self._facts.items()
            if each[0] == place[0] and other.is_closed and other.is_won == is_won
        ]
        return ends[0] if status != "open" and len(ends) == 1 else place


def _choice(choices: Mapping[str, str | None]) -> Callable[[Any], str]:
    reverse: dict[str, str] = {}
    for theirs, ours in choices.items():
        if ours is not None:
            reverse.setdefault(ours, theirs)  # the mapping's order says which is the usual one

    def write(value: Any) -> str:
        try:
            return reverse[str(value)]
        except KeyError:
            raise Unwritable("not one of the values the mapping knows") from None

    return write


def _checked(write: Callable[[Any], str], read: Callable[[Any], Value]) -> Callable[[Any], str]:
    """Make sure that what is written can be read back."""

    def convert(value: Any) -> str:
        try:
            text = write(value)
            read(text)
        except Unreadable as problem:
            raise Unwritable(str(problem)) from None
        return text

    return convert


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unwritable("not a text")
    return value


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise Unwritable("not a number")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise Unwritable("not a number") from None
    if not number.is_finite():
        raise Unwritable("not a number")
    return number


def _number(value: Any) -> str:
    number = _decimal(value)
    if abs(number.adjusted()) > 40:
        raise Unwritable("too large a number, or too small")
    return format(number, "f")  # never an exponent


def _percent(value: Any) -> str:
    number = _decimal(value)
    if not 0 <= number <= 100:
        raise Unwritable("not between 0 and 100")
    sign, digits, exponent = number.as_tuple()
    # By the exponent: a division would round what has many digits.
    share = Decimal((sign, digits, int(exponent) - 2))
    text = format(share, "f")
    if Decimal(text) * 100 != number:
        raise Unwritable("has too many digits")
    return text


def _boolean(value: Any) -> str:
    if not isinstance(value, bool):
        raise Unwritable("not yes or no")
    return "true" if value else "false"


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise Unwritable("a time without zone")
        return value.astimezone(UTC)
    return as_moment(value.isoformat() if isinstance(value, date) else value)


def _time(value: Any) -> str:
    """Write ISO 8601 in UTC with milliseconds; what is finer is cut off. A date is its midnight UTC."""
    return _moment(value).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _date(value: Any) -> str:
    if isinstance(value, datetime):
        return _moment(value).date().isoformat()
    return value.isoformat() if isinstance(value, date) else str(CONVERTERS["date"](value))


_WRITERS: Mapping[str, Callable[[Any], str]] = {
    "text": _text,
    "number": _number,
    "percent": _percent,
    "boolean": _boolean,
    "time": _time,
    "date": _date,
}
