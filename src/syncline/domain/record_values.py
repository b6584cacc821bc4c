"""What somebody gives for the fields of a record, read and checked: each fault by its field.

Takes JSON values as well as texts from forms and files. Whether a record that is referred to exists is not
known here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from syncline.domain.addresses import is_address
from syncline.domain.record_fields import MAX_TEXT_BYTES, Field, RecordFields, is_custom_key
from syncline.domain.records import CUSTOM
from syncline.domain.values import Unreadable, as_boolean, as_date, as_number, as_time
from syncline.errors import Invalid

_CURRENCY = re.compile(r"[A-Z]{3}")
#: Bigger numbers are typing mistakes, and no other program could read them.
_LARGEST = Decimal(10) ** 30


def read_values(fields: RecordFields, given: Mapping[str, Any], *, making: bool = False) -> dict[str, Any]:
    """Return field → value as JSON has it, of what somebody gives; None empties a field.

    `custom_fields` may be a mapping, or single keys named `custom_fields.key`. `making` asks for what a new
    record must have. Raises `Invalid`, naming every field at fault.
    """
    values: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, value in _spread(given, faults).items():
        each = fields.find(name)
        if each is None:
            faults[name] = f"A {fields.name} has no such field."
        elif not each.writable:
            faults[name] = "This field cannot be written; it follows from others."
        else:
            try:
                values[name] = read_one(each, value)
            except Unreadable as fault:
                faults[name] = str(fault)
    if making:
        for each in fields.fields.values():
            if each.required and values.get(each.name) is None and each.name not in faults:
                faults[each.name] = "This must be given."
    if faults:
        raise fault_of(faults)
    return values


def fault_of(faults: Mapping[str, str]) -> Invalid:
    """Return the error that tells of fields at fault, by their names only."""
    told = "; ".join(f"{name}: {reason}" for name, reason in faults.items())
    return Invalid(f"That cannot be saved. {told}", fields=faults)


def read_one(each: Field, value: Any) -> Any:
    """Return the value of a field; empty texts are none. Raises `Unreadable`, saying what is wrong."""
    if isinstance(value, str) and not value.strip():
        value = None
    if value is None:
        if each.required:
            raise Unreadable("This cannot be empty.")
        return None
    if isinstance(value, str):
        _require_storable(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise Unreadable("That is no number.")
    if each.name.startswith(CUSTOM):
        return _read_custom(value)
    found = _READERS[each.type](each, value)
    if each.choices and found not in each.choices:
        raise Unreadable(f"One of these: {', '.join(each.choices)}.")
    return found


def _spread(given: Mapping[str, Any], faults: dict[str, str]) -> dict[str, Any]:
    """Name each custom field by itself."""
    spread: dict[str, Any] = {}
    for name, value in given.items():
        if name != "custom_fields":
            spread[name] = value
        elif isinstance(value, Mapping):
            custom = cast("Mapping[str, Any]", value)
            for key, each in custom.items():
                if is_custom_key(key):
                    spread[CUSTOM + key] = each
                else:
                    faults[CUSTOM + key[:100]] = (
                        "A key has 1 to 100 letters, digits, dots, dashes, underscores or spaces."
                    )
        elif value is not None:
            faults[name] = "Custom fields are an object of keys and values."
    return spread


def _require_storable(text: str) -> None:
    if "\x00" in text:
        raise Unreadable("It holds a character that cannot be stored.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unreadable("It holds half a character.") from None


def _read_text(each: Field, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise Unreadable("This is a text.")
    text = (value if isinstance(value, str) else str(value)).strip()
    if len(text) * 4 > each.max_bytes and len(text.encode()) > each.max_bytes:
        raise Unreadable(f"It is longer than {each.max_bytes:,} bytes.")
    if each.name == "email" and not is_address(text):
        raise Unreadable("That is no e-mail address.")
    if each.name == "currency":
        text = text.upper()
        if not _CURRENCY.fullmatch(text):
            raise Unreadable("Three letters, such as USD.")
    return text


def _read_number(each: Field, value: Any) -> int | Decimal:
    if isinstance(value, bool):
        raise Unreadable("This is a number.")
    try:
        number = as_number(value)
    except Unreadable:
        raise Unreadable("This is a number.") from None
    if abs(Decimal(number)) >= _LARGEST:
        raise Unreadable("That number is too large.")
    if each.minimum is not None and number < each.minimum:
        raise Unreadable(f"No less than {each.minimum}.")
    if each.maximum is not None and number > each.maximum:
        raise Unreadable(f"No more than {each.maximum}.")
    return number


def _read_boolean(each: Field, value: Any) -> bool:
    del each
    try:
        return as_boolean(value)
    except Unreadable:
        raise Unreadable("Yes or no.") from None


def _read_time(each: Field, value: Any) -> str:
    del each
    try:
        if isinstance(value, str):
            return _in_calendar(as_time(value))
    except Unreadable:
        pass
    raise Unreadable("A time with its zone, such as 2026-11-02T15:30:00Z.")


def _read_date(each: Field, value: Any) -> str:
    del each
    try:
        if isinstance(value, str):
            return _in_calendar(as_date(value))
    except Unreadable:
        pass
    raise Unreadable("A date, such as 2026-12-31.")


def _in_calendar(text: str) -> str:
    if text < "0001-01-02":
        raise Unreadable("not in the calendar")
    return text


def _read_reference(each: Field, value: Any) -> str:
    try:
        return str(UUID(str(value).strip()))
    except ValueError:
        raise Unreadable(f"The id of a {each.refers_to or 'record'}.") from None


def _read_custom(value: Any) -> Any:
    """Custom fields hold what JSON can say of one thing: a text, a number, yes or no."""
    if isinstance(value, str):
        if len(value.encode()) > MAX_TEXT_BYTES:
            raise Unreadable(f"It is longer than {MAX_TEXT_BYTES:,} bytes.")
        return value
    if isinstance(value, bool | Decimal):
        return value
    if isinstance(value, int | float):
        number = Decimal(str(value))
        if abs(number) >= _LARGEST:
            raise Unreadable("That number is too large.")
        return value if isinstance(value, int) else number
    raise Unreadable("A text, a number, or yes or no.")


_READERS: Mapping[str, Callable[[Field, Any], Any]] = {
    "text": _read_text,
    "number": _read_number,
    "boolean": _read_boolean,
    "time": _read_time,
    "date": _read_date,
    "reference": _read_reference,
}
