"""Periods of days in a tenant's time zone, and how they are cut into a series. Knows no record, no clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from syncline.errors import Invalid

PeriodName = Literal["today", "week", "month", "quarter", "year", "custom"]
PERIODS: tuple[PeriodName, ...] = get_args(PeriodName)
#: A period in words, for whoever asks for one.
EXAMPLES = "today, week, month, quarter, year, 2026, 2026-Q1, 2026-01 or 2026-01-31"
Step = Literal["day", "week", "month"]

_LONGEST_DAYS = 3660
_DAYS_BY_DAY = 31
_DAYS_BY_WEEK = 183
_CALENDAR = re.compile(r"(\d{4})(?:-(?:Q([1-4])|(\d{2})(?:-(\d{2}))?))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days, from the first up to but not including `to_on`."""

    name: PeriodName
    from_on: date
    to_on: date

    @property
    def days(self) -> int:
        return (self.to_on - self.from_on).days

    @property
    def previous(self) -> Period:
        """Return the period of equal length that ends where this one begins."""
        return Period("custom", self.from_on - (self.to_on - self.from_on), self.from_on)

    @property
    def step(self) -> Step:
        """Return what a series of this period goes by."""
        if self.days <= _DAYS_BY_DAY:
            return "day"
        return "week" if self.days <= _DAYS_BY_WEEK else "month"

    def cut(self) -> list[date]:
        """Return where the parts of the series begin, and behind them the end; the outer ones may be shorter.

        Weeks begin on Monday.
        """
        edges = [self.from_on]
        while (edge := _next(edges[-1], self.step)) < self.to_on:
            edges.append(edge)
        return [*edges, self.to_on]


def read_period(
    text: str | None, today: date, *, from_on: date | None = None, to_on: date | None = None
) -> Period:
    """Read a period as somebody asked for it; without anything it is this month.

    Today, this week, month, quarter and year end with today, so that the period before is as long. Of
    a year, a quarter, a month or a day by its date it is the whole. Raises `Invalid` with the field.
    """
    if from_on is not None or to_on is not None:
        if text not in (None, "", "custom"):
            raise _wrong("period", "Name a period, or its first day and the day behind it, not both.")
        return _between(from_on, to_on, today)
    name = (text or "month").strip().lower()
    tomorrow = today + timedelta(days=1)
    begins: dict[str, date] = {
        "today": today,
        "week": today - timedelta(days=today.weekday()),
        "month": today.replace(day=1),
        "quarter": today.replace(month=(today.month - 1) // 3 * 3 + 1, day=1),
        "year": today.replace(month=1, day=1),
    }
    for known in PERIODS:
        if known == name and known in begins:
            return Period(known, begins[known], tomorrow)
    return _calendar(name)


def _between(from_on: date | None, to_on: date | None, today: date) -> Period:
    if from_on is None:
        raise _wrong("from", "Say on which day the period begins.")
    try:
        end = to_on or today + timedelta(days=1)
        if end <= from_on:
            raise _wrong("to", "The period ends before it begins; `to` is the day behind its last.")
        if (end - from_on).days > _LONGEST_DAYS:
            raise _wrong("to", "The period is longer than ten years.")
        return _checked(Period("custom", from_on, end))
    except OverflowError:
        raise _wrong("to", "That lies outside the calendar.") from None


def _calendar(name: str) -> Period:
    found = _CALENDAR.fullmatch(name)
    if found is None:
        raise _wrong("period", f"{name[:40]!r} is no period. There are: {EXAMPLES}.")
    year, quarter, month, day = found.groups()
    try:
        if day is not None:
            begin = date(int(year), int(month), int(day))
            end = begin + timedelta(days=1)
        elif month is not None:
            begin = date(int(year), int(month), 1)
            end = next_month(begin)
        elif quarter is not None:
            begin = date(int(year), int(quarter) * 3 - 2, 1)
            end = next_month(next_month(next_month(begin)))
        else:
            begin, end = date(int(year), 1, 1), date(int(year) + 1, 1, 1)
        return _checked(Period("custom", begin, end))
    except (ValueError, OverflowError):
        raise _wrong("period", f"{name!r} is not in the calendar.") from None


def _checked(period: Period) -> Period:
    """Return the period if its neighbours can be written down, too. Raises `OverflowError`."""
    if period.previous.from_on.year < 1900 or period.to_on.year > 2200:
        raise OverflowError
    return period


def _wrong(name: str, detail: str) -> Invalid:
    return Invalid(detail, fields={name: detail})


def next_month(day: date) -> date:
    """Return the first day of the month after that of `day`."""
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def months_from(day: date, count: int) -> list[date]:
    """Return the first days of `count` months, beginning with that of `day`."""
    months = [day.replace(day=1)]
    while len(months) < count:
        months.append(next_month(months[-1]))
    return months


def month_before(day: date, count: int) -> date:
    """Return the first day of the month that lies `count` months before that of `day`."""
    months = day.year * 12 + day.month - 1 - count
    return date(months // 12, months % 12 + 1, 1)


def _next(day: date, step: Step) -> date:
    if step == "day":
        return day + timedelta(days=1)
    if step == "week":
        return day + timedelta(days=7 - day.weekday())
    return next_month(day)


def midnight(day: date, zone: str) -> datetime:
    """Return the moment at which `day` begins in `zone`, in UTC.

    Where the clocks skip midnight it is the moment they do; where midnight comes twice, the first.
    """
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def today_in(zone: str, now: datetime) -> date:
    return now.astimezone(ZoneInfo(zone)).date()


def moments_of(edges: Sequence[date], zone: str) -> list[datetime]:
    return [midnight(edge, zone) for edge in edges]


def spans_of(edges: Sequence[date]) -> list[tuple[date, date]]:
    return list(pairwise(edges))
