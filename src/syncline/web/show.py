"""How values look on a page: times in the tenant's zone, ages, numbers, money, states as picture and word.

Pure but for the clock that is handed in. Knows no template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.core import UnknownLocaleError, negotiate_locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_compact_decimal, format_currency, format_decimal, format_percent

#: What stands where there is no value.
NOTHING = "\N{EN DASH}"
_STEPS = ((60, "second", 1), (3600, "minute", 60), (86_400, "hour", 3600))
#: The words of the pages are English; numbers and dates are as the reader's English has them.
_LOCALES = ("en_US", "en_GB", "en_IE", "en_CA", "en_AU", "en_NZ", "en_IN", "en_ZA")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the reader is: the tenant's time zone and currency, and the reader's English."""

    time_zone: str
    currency: str
    locale: str = "en_US"

    @property
    def zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            return ZoneInfo("UTC")


def choose_locale(accept_language: str | None) -> str:
    """Return the English that a browser asks for, American where it asks for none."""
    wanted = [part.partition(";")[0].strip().replace("-", "_") for part in (accept_language or "").split(",")]
    try:
        return negotiate_locale(wanted, _LOCALES) or _LOCALES[0]
    except (UnknownLocaleError, ValueError):
        return _LOCALES[0]


def ago(moment: datetime, at: datetime) -> str:
    """Return how long before `at` something was, or how long until it will be; app.js has the same words."""
    seconds = (at - moment).total_seconds()
    size = abs(seconds)
    if size < 5:
        return "just now"
    unit, length = next(((unit, length) for limit, unit, length in _STEPS if size < limit), ("day", 86_400))
    count = int(size // length)
    words = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{words} ago" if seconds >= 0 else f"in {words}"


def moment(value: datetime, place: Place, style: str = "medium") -> str:
    """Return a time in the tenant's zone; `style` is short, medium or long."""
    return format_datetime(value, style, tzinfo=place.zone, locale=place.locale)  # pyright: ignore[reportArgumentType] - babel's literal


def day(value: date | datetime, place: Place, style: str = "medium") -> str:
    if isinstance(value, datetime):
        value = value.astimezone(place.zone).date()
    return format_date(value, style, locale=place.locale)  # pyright: ignore[reportArgumentType] - as above


def number(value: float | Decimal | None, place: Place) -> str:
    return NOTHING if value is None else format_decimal(value, locale=place.locale)


def compact(value: float | None, place: Place) -> str:
    """Return a number as short as it can be told: 29K."""
    if value is None:
        return NOTHING
    return format_compact_decimal(value, locale=place.locale, fraction_digits=1 if abs(value) >= 1000 else 0)


def share(value: float | None, place: Place) -> str:
    """Return a share of one as a percentage; nearly all is not all."""
    if value is None:
        return NOTHING
    if 0.995 <= value < 1:
        value = 0.99
    return format_percent(value, locale=place.locale)


def money(value: Any, place: Place, currency: str | None = None) -> str:
    if value is None or value == "":
        return NOTHING
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return str(value)
    whole = amount == amount.to_integral_value()
    return format_currency(
        amount,
        currency or place.currency,
        locale=place.locale,
        format="¤#,##0" if whole else None,
        currency_digits=not whole,
    )


def duration(ms: float | None) -> str:
    """Return a length of time so that two of them compare at a glance: 840 ms, 2.3 s, 4 min 10 s."""
    if ms is None:
        return NOTHING
    if ms < 1000:
        return f"{ms:.0f} ms"
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def span(length: timedelta | None) -> str:
    return NOTHING if length is None else duration(length.total_seconds() * 1000)


def plural(count: int, one: str, many: str | None = None, place: Place | None = None) -> str:
    """Return a count with its noun."""
    told = number(count, place) if place is not None else f"{count:,}"
    return f"{told} {one if count == 1 else many or one + 's'}"


def words(name: str) -> str:
    """Return a name from the database as a person reads it: `close_date` is Close date."""
    return name.replace("_", " ").strip().capitalize()


def listed(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


@dataclass(frozen=True, slots=True)
class Look:
    """How a state looks: the tone of its colour, its picture, and its word."""

    tone: str
    icon: str
    word: str


_CALM = ("calm", "circle-dashed")
#: Of an object's sync, and of a run.
LOOKS: dict[str, Look] = {
    "fresh": Look("ok", "circle-check-filled", "Up to date"),
    "success": Look("ok", "circle-check-filled", "Success"),
    "failed": Look("bad", "circle-x-filled", "Failed"),
    "partial": Look("warn", "alert-triangle", "Partial"),
    "late": Look("warn", "clock", "Late"),
    "pending": Look("calm", "clock", "Pending"),
    "never": Look("calm", "clock", "Not yet"),
    "running": Look("note", "loader-2", "Running"),
    "stopped": Look("bad", "hand-stop", "Stopped by a brake"),
    "cancelled": Look("calm", "player-stop", "Cancelled"),
    "off": Look(*_CALM, "Not scheduled"),
    "paused": Look("warn", "player-pause", "Paused"),
    "active": Look("ok", "circle-check-filled", "Active"),
    "open": Look("note", "circle-dashed", "Open"),
    "settled": Look("calm", "check", "Settled"),
    "resolved": Look("ok", "check", "Decided"),
    "held": Look("warn", "hand-stop", "Held"),
    "parked": Look("bad", "archive", "Parked"),
    "won": Look("ok", "circle-check-filled", "Won"),
    "lost": Look("calm", "circle-x-filled", "Lost"),
}


def look(state: str) -> Look:
    """Return how a state looks; one that is not known looks calm under its own name."""
    return LOOKS.get(state) or Look(*_CALM, words(state))
