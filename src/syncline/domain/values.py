"""How a CRM's text becomes a value of ours. A value that cannot be read raises `Unreadable`, never guesses.

Values stand in the form Postgres writes into JSON (`2022-02-17T18:54:22.3+00:00`), so that what the
set-based pull logs and what the row triggers log are the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from syncline.clock import from_ms

Value = str | int | bool | Decimal | None


class Unreadable(ValueError):
    """The text is no value of the field's type. Says which type, never the text."""


_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")
_DECIMAL = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,2})?")
_EPOCH_MS = re.compile(r"-\d{10,13}|\d{10,14}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
# fromisoformat also takes week dates, commas and basic forms, which Postgres does not.
_USUAL_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_TRUE = frozenset({"true", "t", "yes", "1"})
_FALSE = frozenset({"false", "f", "no", "0"})


def as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return str(value)
    raise Unreadable("not a text")


def as_number(value: Any) -> int | Decimal:
    text = as_text(value).strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return Decimal(text)
    raise Unreadable("not a number")


def as_percent(value: Any) -> int | Decimal:
    """Read a share of 0 to 1 as 0 to 100. What lies outside is unreadable."""
    share = Decimal(as_number(value)) * 100
    if not 0 <= share <= 100:
        raise Unreadable("not between 0 and 1")
    return int(share) if share == share.to_integral_value() else share.normalize()


def as_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = as_text(value).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise Unreadable("not yes or no")


def as_moment(value: Any) -> datetime:
    """Read ISO 8601 with a zone, a bare date (midnight UTC) or milliseconds since 1970."""
    text = as_text(value).strip()
    try:
        if _EPOCH_MS.fullmatch(text):
            return from_ms(int(text))
        if not text[:1].isdigit():
            raise Unreadable("not a time")
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)  # may leave the calendar at either end
    except (ValueError, OverflowError, OSError) as error:
        raise Unreadable("not a time") from error
    if not _DATE.fullmatch(text):
        raise Unreadable("a time without zone")
    return moment.replace(tzinfo=UTC)


def write_moment(moment: datetime) -> str:
    """Write an aware UTC moment as Postgres does in JSON: no trailing zeros in the fraction."""
    text = moment.isoformat()
    if moment.microsecond:
        return text[:-6].rstrip("0") + "+00:00"
    return text


def as_time(value: Any) -> str:
    # The form nearly every answer has: 2022-02-17T18:54:22.300Z
    if isinstance(value, str) and len(value) == 24 and _USUAL_TIME.fullmatch(value):
        try:
            datetime.fromisoformat(value)
        except ValueError as error:
            raise Unreadable("not a time") from error
        fraction = value[19:23].rstrip("0")
        return value[:19] + (fraction if fraction != "." else "") + "+00:00"
    return write_moment(as_moment(value))


def as_date(value: Any) -> str:
    """Read a date, or the UTC day of a time."""
    text = as_text(value).strip()
    if _DATE.fullmatch(text):
        try:
            return date.fromisoformat(text).isoformat()
        except ValueError as error:
            raise Unreadable("not a date") from error
    return as_moment(text).date().isoformat()


CONVERTERS: dict[str, Callable[[Any], Value]] = {
    "text": as_text,
    "number": as_number,
    "percent": as_percent,
    "boolean": as_boolean,
    "time": as_time,
    "date": as_date,
}
