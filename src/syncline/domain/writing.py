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


@dataclass(frozen=True, slots=True)
class Written:
    """A record's values as the CRM takes them."""

    #: Property → text; None empties it.
    properties: dict[str, str | None] = default(default_factory=dict[str, str | None])
    #: Field → why it is not among them.
    unwritable: dict[str, str] = default(default_factory=dict[str, str])


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
        self._stages = {
            fact.stage_id: place
            for place, fact in sorted(lookups.stages.items(), key=lambda each: each[0], reverse=True)
        }
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
        stage_id, pipeline_id = placed.pop("stage_id", None), placed.pop("pipeline_id", None)
        if stage_id is not None and "stage" not in placed:
            place = self._stages.get(str(stage_id))
            if place is None:
                written.unwritable["stage_id"] = "a stage this connection does not have"
            else:
                placed.update(pipeline=place[0], stage=place[1])
        elif pipeline_id is not None and "pipeline" not in placed and "stage" not in placed:
            written.unwritable["pipeline_id"] = _FROM_STAGE
        if placed.pop("status", None) is not None and "stage" not in placed:
            written.unwritable["status"] = _FROM_STAGE
        is_closed = record.get("status") in ("won", "lost")
        kept, other = (_CLOSED, _EXPECTED) if is_closed else (_EXPECTED, _CLOSED)
        if placed.pop(other, None) is not None:
            state = "closed" if is_closed else "open"
            written.unwritable[other] = f"the CRM keeps one close date, and the deal is {state}"
        if kept in placed:
            self._write_close_date(kept, placed.pop(kept), written)
        return placed

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
            raise Unwritable("an owner this connection does not have")
        return theirs


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
