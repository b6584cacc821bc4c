"""Which records a list shows: filters, sort order and place, read from what somebody asks for.

Knows fields and operators; must not know how a database is asked.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args
from uuid import UUID

from syncline.domain.record_fields import Field, FieldKind, RecordFields
from syncline.domain.record_values import fault_of, read_one
from syncline.domain.records import CUSTOM
from syncline.domain.values import Unreadable
from syncline.errors import Invalid

Operator = Literal[
    "eq", "ne", "in", "contains", "starts", "gt", "gte", "lt", "lte", "between", "empty", "filled"
]
OPERATORS: tuple[Operator, ...] = get_args(Operator)
_ORDERED: tuple[Operator, ...] = ("eq", "ne", "in", "gt", "gte", "lt", "lte", "between", "empty", "filled")
BY_TYPE: Mapping[FieldKind, tuple[Operator, ...]] = {
    "text": ("eq", "ne", "in", "contains", "starts", "empty", "filled"),
    "number": _ORDERED,
    "time": _ORDERED,
    "date": _ORDERED,
    "boolean": ("eq", "ne", "empty", "filled"),
    "reference": ("eq", "ne", "in", "empty", "filled"),
}
#: What is known of a record beside its fields: the connection it is linked to, by name.
CONNECTION = "connection"
_OF_CONNECTION: tuple[Operator, ...] = ("eq", "ne", "empty", "filled")
MAX_FILTERS = 20
MAX_VALUES = 100
#: Which records are meant: those that live, those that were archived, or both. Merged ones never.
Archived = Literal["no", "only", "any"]


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition. `values`: none for `empty` and `filled`, two for `between`, some for `in`, else one."""

    field: str
    op: Operator
    values: tuple[Any, ...] = ()


def read_filter(fields: RecordFields, text: str) -> Filter:
    """Read `field:operator:value`; several values stand between commas. Raises `Invalid`."""
    name, _, rest = text.partition(":")
    op, _, value = rest.partition(":")
    if op in ("in", "between"):
        return make_filter(fields, name, op, [each.strip() for each in value.split(",")])
    return make_filter(fields, name, op, [value] if op not in ("empty", "filled") else [])


def make_filter(fields: RecordFields, name: str, op: str, values: Sequence[Any]) -> Filter:
    """Return a filter whose values are checked against the field's type. Raises `Invalid`."""
    each = _CONNECTION_FIELD if name == CONNECTION else fields.find(name)
    if each is None or not each.filterable:
        known = ", ".join([*(one.name for one in fields.fields.values() if one.filterable), CONNECTION])
        raise Invalid(
            f"A list of {fields.plural} cannot be filtered by {name[:100]!r}. By these it can: {known}.",
            fields={name[:100]: "There is no such filter."},
        )
    allowed = _OF_CONNECTION if name == CONNECTION else BY_TYPE[each.type]
    if op not in allowed:
        raise Invalid(
            f"{name} cannot be compared by {op[:100]!r}. By these it can: {', '.join(allowed)}.",
            fields={name: f"One of these: {', '.join(allowed)}."},
        )
    wanted = {"empty": (0, 0), "filled": (0, 0), "between": (2, 2), "in": (1, MAX_VALUES)}.get(op, (1, 1))
    if not wanted[0] <= len(values) <= wanted[1]:
        raise fault_of({name: f"{op} takes {_how_many(wanted)}."})
    try:
        read = tuple(_read_value(each, value) for value in values)
    except Unreadable as fault:
        raise fault_of({name: str(fault)}) from None
    return Filter(name, op, read)


_CONNECTION_FIELD = Field(CONNECTION, "Connection", "text")


def _how_many(wanted: tuple[int, int]) -> str:
    if wanted == (0, 0):
        return "no value"
    return (
        "two values" if wanted == (2, 2) else "one value" if wanted == (1, 1) else f"up to {wanted[1]} values"
    )


def _read_value(each: Field, value: Any) -> Any:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise Unreadable("A value is missing; ask by empty for what has none.")
    if each.type == "text":
        text = value if isinstance(value, str) else str(value)
        if "\x00" in text or len(text) > 1000 or not _encodes(text):
            raise Unreadable("That is no text to look for.")
        return text
    return read_one(each, value)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Sort:
    field: str
    descending: bool

    @property
    def text(self) -> str:
        return ("-" if self.descending else "") + self.field


def read_sort(fields: RecordFields, text: str | None) -> Sort:
    """Read a field's name, with '-' before it for the last first. Raises `Invalid`."""
    asked = text or fields.default_sort
    name = asked.removeprefix("-")
    if name not in fields.sortable:
        raise Invalid(
            f"A list of {fields.plural} cannot be sorted by {name[:100]!r}. "
            f"By these it can: {', '.join(fields.sortable)}.",
            fields={"sort": f"One of these: {', '.join(fields.sortable)}."},
        )
    return Sort(name, asked.startswith("-"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the sort value of its last record (None: it had none) and its id."""

    value: str | None
    record_id: UUID


_LONGEST_PLACE = 2_000
_NO_PLACE = "That is no place in this list. Take the one that the page before ended with."


def write_place(sort: Sort, place: Place) -> str:
    """Write a place so that it can be handed back; it holds for one order."""
    document = json.dumps([sort.text, place.value, str(place.record_id)], ensure_ascii=False)
    return base64.urlsafe_b64encode(document.encode()).decode().rstrip("=")


def read_place(sort: Sort, text: str) -> Place:
    """Read what `write_place` wrote for the same order. Raises `Invalid`."""
    if len(text) <= _LONGEST_PLACE:
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            written, value, record_id = cast("list[Any]", json.loads(raw.decode()))
            place = Place(value, UUID(record_id)) if written == sort.text and _is_written(value) else None
        except (ValueError, TypeError, AttributeError):
            place = None
        if place is not None:
            return place
    raise Invalid(_NO_PLACE, fields={"after": _NO_PLACE})


def _is_written(value: Any) -> bool:
    return value is None or (isinstance(value, str) and "\x00" not in value and _encodes(value))


def is_custom(each: Filter) -> bool:
    return each.field.startswith(CUSTOM)
