"""Periods: what words mean on a day, how they are cut, and when a day begins where clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.domain.periods import Period, midnight, month_before, months_from, read_period
from syncline.errors import Invalid

DAYS = st.dates(date(1990, 1, 1), date(2100, 1, 1))
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Africa/Cairo", "Asia/Kathmandu", "Pacific/Apia"]
)


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        (None, date(2026, 11, 1), date(2026, 11, 22)),
        ("today", date(2026, 11, 21), date(2026, 11, 22)),
        ("week", date(2026, 11, 16), date(2026, 11, 22)),
        ("Month", date(2026, 11, 1), date(2026, 11, 22)),
        ("quarter", date(2026, 10, 1), date(2026, 11, 22)),
        ("year", date(2026, 1, 1), date(2026, 11, 22)),
        ("2025", date(2025, 1, 1), date(2026, 1, 1)),
        ("2026-q4", date(2026, 10, 1), date(2027, 1, 1)),
        ("2026-02", date(2026, 2, 1), date(2026, 3, 1)),
        ("2026-12-31", date(2026, 12, 31), date(2027, 1, 1)),
    ],
)
def test_words_mean_days(text: str | None, begin: date, end: date):
    found = read_period(text, date(2026, 11, 21))
    assert (found.from_on, found.to_on) == (begin, end)
    assert found.previous.to_on == begin
    assert found.previous.days == found.days


@pytest.mark.parametrize(
    "text", ["soon", "2026-13", "2026-02-30", "0001", "9999", "2026-Q5", "-", "20260101"]
)
def test_what_is_no_period_is_refused_with_the_field(text: str):
    with pytest.raises(Invalid) as refused:
        read_period(text, date(2026, 11, 21))
    assert "period" in refused.value.fields


@pytest.mark.parametrize(
    ("begin", "end", "name"),
    [
        (date(2026, 2, 1), date(2026, 2, 1), "to"),
        (date(2000, 1, 1), date(2026, 1, 1), "to"),
        (None, date(2026, 2, 1), "from"),
        (date(1, 1, 1), date(1, 1, 2), "to"),
    ],
)
def test_an_own_period_has_a_first_day_and_one_behind_its_last(begin: date | None, end: date, name: str):
    with pytest.raises(Invalid) as refused:
        read_period(None, date(2026, 11, 21), from_on=begin, to_on=end)
    assert name in refused.value.fields
    with pytest.raises(Invalid):
        read_period("month", date(2026, 11, 21), from_on=date(2026, 1, 1))


@given(DAYS, st.integers(1, 3660))
def test_a_period_is_cut_without_gaps_into_whole_days(begin: date, days: int):
    period = Period("custom", begin, begin + timedelta(days=days))
    edges = period.cut()
    assert (edges[0], edges[-1]) == (period.from_on, period.to_on)
    assert all(one < other for one, other in pairwise(edges))
    assert len(edges) <= 123
    for edge in edges[1:-1]:
        assert period.step == "day" or (edge.weekday() == 0 if period.step == "week" else edge.day == 1)


@given(DAYS, ZONES)
def test_a_day_begins_with_the_first_moment_that_bears_its_date(day: date, zone: str):
    begin = midnight(day, zone)
    assert begin.tzinfo is UTC
    local = ZoneInfo(zone)
    assert (begin - timedelta(seconds=1)).astimezone(local).date() < day
    # A day that a country left out, when it crossed the date line, begins and ends in one moment.
    assert begin.astimezone(local).date() == day or midnight(day + timedelta(days=1), zone) == begin


def test_clocks_that_skip_midnight_begin_the_day_late():
    assert midnight(date(2026, 4, 24), "Africa/Cairo") == datetime(2026, 4, 23, 22, tzinfo=UTC)
    assert midnight(date(2026, 4, 25), "Africa/Cairo") == datetime(2026, 4, 24, 21, tzinfo=UTC)


def test_months_are_counted_over_the_end_of_a_year():
    assert months_from(date(2026, 11, 21), 3) == [date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1)]
    assert month_before(date(2026, 2, 28), 3) == date(2025, 11, 1)
    assert month_before(date(2026, 2, 28), 0) == date(2026, 2, 1)
