"""How numbers with a unit look: values, changes and periods in words, each way round good or bad.

Pure. Knows the units that reports name, and no template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from babel.dates import format_date, format_interval
from babel.numbers import format_compact_currency, format_currency, format_decimal

from syncline.actions.metrics import Reading
from syncline.domain.periods import Step
from syncline.web import show
from syncline.web.show import NOTHING, Place

#: From here on money is told without its small coins.
_LARGE = 1000
#: From here on a card tells money in millions.
_HUGE = 10_000_000
_HOUR_MINUTES, _DAY_MINUTES = 60, 1440

#: Metrics of which less is better; what is in neither says nothing about well or badly.
LESS_IS_BETTER = frozenset({"time_to_sale", "cancellation_rate", "time_to_first_contact"})
NEITHER = frozenset(
    {"average_installments", "average_call_time", "deals_by_stage", "sales_script_performance"}
)
#: What there is none of where a number is empty.
_WANTING: Mapping[str, str] = {
    "average_deal_size": "No deal was won.",
    "conversion_rate": "No contact was created.",
    "win_rate": "No deal was won or lost.",
    "time_to_sale": "No deal was won.",
    "qualified_rate": "No deal was created.",
    "trial_rate": "No deal was created.",
    "trial_to_paid_rate": "No deal with a trial was created.",
    "average_installments": "No deal with installments was won.",
    "retention_rate": "No deal with a payment status was won.",
    "cancellation_rate": "No deal with a payment status was won.",
    "average_call_time": "No call lasted at all.",
    "five_minute_rate": "No call lasted at all.",
    "time_to_first_contact": "No new contact has been called.",
    "vsl_watch_rate": "No contact was created.",
    "sales_script_performance": "No contact has a script version.",
}


def tell(
    value: Decimal | float | None,
    unit: str,
    place: Place,
    currency: str | None = None,
    *,
    short: bool = False,
) -> str:
    """Return a number with its unit; `short` for a card, where every letter counts."""
    if value is None:
        return NOTHING
    number = Decimal(str(value))
    if unit == "money":
        return _money(number, place, currency, short=short)
    if unit == "percent":
        return f"{_decimal(number, place, 1)}%"
    if unit == "minutes":
        return _minutes(float(number), place)
    if unit == "seconds":
        return show.duration(float(number) * 1000) if number >= 1 or not number else f"{number:.1f} s"
    if unit == "milliseconds":
        return show.duration(float(number))
    if unit in {"days", "hours", "months"}:
        told = _decimal(number, place, 1 if abs(number) < _LARGE else 0)
        return f"{told} {unit[:-1] if told == '1' else unit}"
    return _decimal(number, place, 0 if number == number.to_integral_value() else 1)


def _decimal(number: Decimal, place: Place, digits: int) -> str:
    return format_decimal(number, format=f"#,##0.{'#' * digits}", locale=place.locale)


def _money(amount: Decimal, place: Place, currency: str | None, *, short: bool) -> str:
    code = currency or place.currency
    if short and abs(amount) >= _HUGE:
        return format_compact_currency(amount, code, locale=place.locale, fraction_digits=2)
    if abs(amount) >= _LARGE or amount == amount.to_integral_value():
        return format_currency(amount, code, "¤#,##0", locale=place.locale, currency_digits=False)
    return format_currency(amount, code, locale=place.locale)


def _minutes(minutes: float, place: Place) -> str:
    """Return a number of minutes by what people count so long a time in."""
    if minutes < 1:
        return show.duration(minutes * 60_000)
    if minutes < _HOUR_MINUTES:
        told = _decimal(Decimal(str(minutes)), place, 1)
        return f"{told} min"
    if minutes < _DAY_MINUTES:
        hours, rest = divmod(round(minutes), _HOUR_MINUTES)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, rest = divmod(round(minutes / 60), 24)
    return f"{days} d {rest} h" if rest else f"{days} d"


def cell(value: Any, unit: str, place: Place, currency: str) -> str:
    """Return a value of a table, whatever its column is."""
    if value is None or value == "":
        return NOTHING
    if unit == "month":
        return format_date(value, "MMM y", locale=place.locale)
    if unit == "date":
        return show.day(value, place)
    if unit == "time":
        return show.moment(value, place, "short") if isinstance(value, datetime) else str(value)
    if unit == "text":
        return str(value)
    return tell(value, unit, place, currency)


def rate(value: Decimal) -> str:
    """Return an exchange rate with all its digits, and no more."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def is_number(unit: str) -> bool:
    return unit not in {"text", "date", "month", "time"}


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a number since the period before: picture, words, and whether that is well."""

    icon: str
    words: str
    #: 'ok', 'bad' or 'calm'.
    tone: str
    #: 'better', 'worse', or nothing where it is neither.
    verdict: str = ""


def tell_change(reading: Reading, place: Place) -> Change | None:
    """Return how a number changed, of shares in points; None where one of both is not known."""
    if reading.value is None or reading.previous is None:
        return None
    difference = reading.value - reading.previous
    unit = unit_of(reading)
    told = f"{_decimal(abs(difference), place, 1)} points" if unit == "percent" else ""
    if not told and reading.change is not None:
        told = f"{_decimal(abs(reading.change), place, 0 if abs(reading.change) >= 10 else 1)}%"
    if not difference or told in {"0%", "0 points"}:
        return Change("minus", "No change", "calm")
    if not told:  # there was nothing before, of which nothing can be a share
        told = tell(abs(difference), unit, place, reading.currency, short=True)
    rose = difference > 0
    name = reading.metric.name
    tone, verdict = "calm", ""
    if name not in NEITHER:
        well = rose != (name in LESS_IS_BETTER)
        tone, verdict = ("ok", "better") if well else ("bad", "worse")
    return Change("arrow-up" if rose else "arrow-down", f"{told} {'up' if rose else 'down'}", tone, verdict)


def unit_of(reading: Reading) -> str:
    """Return what the one number of a metric is in; that of a table is told by its name."""
    if reading.metric.unit != "table":
        return reading.metric.unit
    return "percent" if reading.metric.name == "sales_script_performance" else "count"


def value_of(reading: Reading, place: Place, *, short: bool = False) -> str:
    return tell(reading.value, unit_of(reading), place, reading.currency, short=short)


def reason_of(reading: Reading) -> str:
    """Say why a number is empty; "" where it is not."""
    if reading.value is not None:
        return ""
    told = next((note for note in reading.notes if note.startswith(("In which", "The period"))), None)
    told = told or next((note for note in reading.notes if note.startswith("Left out: ")), None)
    return told or _WANTING.get(reading.metric.name, "Nothing is known of this period.")


def notes_of(reading: Reading) -> Sequence[str]:
    """Return what has to be borne in mind, without what already says why there is no number."""
    reason = reason_of(reading)
    return [note for note in dict.fromkeys(reading.notes) if note != reason]


def tell_span(from_on: date, to_on: date, place: Place) -> str:
    """Return the days of a period in words; `to_on` is the day behind the last."""
    last = to_on - timedelta(days=1)
    if from_on == last:
        return show.day(from_on, place)
    told = str(format_interval(from_on, last, "yMMMd", locale=place.locale))
    return told.replace("\N{THIN SPACE}", " ")


def tell_part(begin: date, step: Step, place: Place) -> str:
    """Return a part of a series as an axis has it: short, and of a day without its year."""
    return format_date(begin, "MMM y" if step == "month" else _day_format(place), locale=place.locale)


def _day_format(place: Place) -> str:
    return "MMM d" if place.locale == "en_US" else "d MMM"
