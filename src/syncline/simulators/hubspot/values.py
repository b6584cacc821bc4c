"""How HubSpot writes and reads property values and times. Knows no record and no endpoint."""

from __future__ import annotations

import re
from typing import Any

from syncline.simulators.hubspot.definitions import Definition
from syncline.simulators.times import DAY_MS, day, iso, time_ms

_EMAIL = re.compile(
    r"[^@\s\"(),:;<>\[\]\\]+@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_LONGEST = 65_536


class ValueProblem(Exception):
    """A value HubSpot would refuse, with the code and words it answers."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def number(value: object) -> float | None:
    """Read a number; None when it is none."""
    text = str(value).strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def normalise(definition: Definition, value: Any) -> str | None:
    """Turn a value from a request into what HubSpot stores; "" and null clear. Raises `ValueProblem`."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str | int | float):
        text = str(value)
    else:
        raise ValueProblem("INVALID_STRING", f"{value!r} is not a valid value")
    if len(text) > _LONGEST:
        raise ValueProblem("INVALID_LENGTH", f"Property values may have at most {_LONGEST} characters")
    reader = _READERS.get(definition.type)
    return reader(definition, text) if reader else _string(definition, text)


def _string(definition: Definition, text: str) -> str:
    if definition.name == "email":
        address = text.strip().lower()
        if not _EMAIL.fullmatch(address):
            raise ValueProblem("INVALID_EMAIL", f"Email address {text} is invalid")
        return address
    return text.replace("\r\n", "\n")


def _number(definition: Definition, text: str) -> str:
    if number(text) is None:
        code = "INVALID_LONG" if definition.whole else "INVALID_NUMBER"
        raise ValueProblem(code, f"{text} was not a valid {'long' if definition.whole else 'number'}.")
    return text.strip()


def _bool(_: Definition, text: str) -> str:
    if text.lower() not in {"true", "false"}:
        raise ValueProblem("INVALID_OPTION", f'"{text}" was not one of the allowed options: [true, false]')
    return text.lower()


def _datetime(_: Definition, text: str) -> str:
    ms = time_ms(text)
    if ms is None:
        raise ValueProblem("INVALID_DATE", f"{text} was not a valid long.")
    return iso(ms)


def _date(_: Definition, text: str) -> str:
    ms = time_ms(text)
    if ms is None:
        raise ValueProblem("INVALID_DATE", f"{text} was not a valid long.")
    if ms % DAY_MS:
        raise ValueProblem("INVALID_DATE", f"{ms} is at {iso(ms)[11:-1]} UTC, not midnight!")
    return day(ms // DAY_MS)


def _enumeration(definition: Definition, text: str) -> str:
    if not definition.options:
        return text
    allowed = definition.option_values
    for part in text.split(";") if definition.field_type == "checkbox" else [text]:
        if part and part not in allowed:
            listed = ", ".join(allowed)
            raise ValueProblem("INVALID_OPTION", f"{part} was not one of the allowed options: [{listed}]")
    return text


_READERS = {
    "number": _number,
    "bool": _bool,
    "datetime": _datetime,
    "date": _date,
    "enumeration": _enumeration,
}
