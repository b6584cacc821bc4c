"""How numbers are told on the dashboard, and how their small pictures are drawn."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from syncline.actions.metrics import Metric, Point, Reading
from syncline.actions.overview import Table
from syncline.domain.metrics import Column
from syncline.domain.periods import Period
from syncline.store.reports import REPORTS
from syncline.web import charts
from syncline.web import dashboard_show as words
from syncline.web.charts import Frame, make_spark
from syncline.web.dashboard import GROUPS, make_card
from syncline.web.show import NOTHING, Place

BERLIN = Place("Europe/Berlin", "EUR", "en_GB")
BOSTON = Place("America/New_York", "USD", "en_US")
MARCH = Period("custom", date(2026, 3, 1), date(2026, 4, 1))
FRAME = Frame("Acme", "March", BERLIN, "EUR", date(2026, 3, 20))


def reading(name: str = "total_sales", value: Any = 1200, previous: Any = 1000, **more: Any) -> Reading:
    """Make what a metric comes to, of a period of three days."""
    report = REPORTS[name]
    number = None if value is None else Decimal(str(value))
    before = None if previous is None else Decimal(str(previous))
    change = (number - before) * 100 / before if number is not None and before else None
    given: dict[str, Any] = {
        "metric": Metric(name, report.number or 0, report.label, report.unit, report.meaning, "", False, ()),
        "period": MARCH,
        "currency": "EUR",
        "value": number,
        "previous": before,
        "change": change,
        "step": "day",
        "series": series(400, None, 800),
        "parts": (),
        "by_currency": {},
        "rows": (),
        "notes": (),
    }
    return Reading(**{**given, **more})


def series(*values: int | None) -> list[Point]:
    return [
        Point(date(2026, 3, at), date(2026, 3, at + 1), None if each is None else Decimal(each))
        for at, each in enumerate(values, start=1)
    ]


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        ("1234567.891", "money", "€1,234,568"), ("12.5", "money", "€12.50"), ("12", "money", "€12"),
        ("-1500", "money", "-€1,500"), ("0", "money", "€0"),
        ("33.3333", "percent", "33.3%"), ("50", "percent", "50%"), ("0.04", "percent", "0%"),
        ("12345", "count", "12,345"), ("2.25", "count", "2.2"),
        ("1", "days", "1 day"), ("78.25", "days", "78.2 days"), ("2500.4", "days", "2,500 days"),
        ("0.5", "minutes", "30.0 s"), ("12.5", "minutes", "12.5 min"), ("125", "minutes", "2 h 5 min"),
        ("120", "minutes", "2 h"), ("3000", "minutes", "2 d 2 h"),
        ("0", "seconds", "0 ms"), ("0.25", "seconds", "0.2 s"), ("413", "seconds", "6 min 53 s"),
        ("1.234", "hours", "1.2 hours"), ("6", "months", "6 months"), ("840", "milliseconds", "840 ms"),
    ],
)  # fmt: skip
def test_a_number_is_told_with_its_unit(value: str, unit: str, told: str):
    assert words.tell(Decimal(value), unit, BERLIN) == told


def test_money_is_in_the_currency_it_is_told_in_and_short_where_it_is_much():
    assert words.tell(Decimal(2500), "money", BOSTON) == "$2,500"
    assert words.tell(Decimal(2500), "money", BOSTON, "GBP") == "£2,500"
    assert words.tell(Decimal(12_345_678), "money", BOSTON, short=True) == "$12.35M"
    assert words.tell(Decimal(12_345_678), "money", BOSTON) == "$12,345,678"
    assert words.tell(None, "money", BOSTON) == NOTHING


def test_a_cell_of_a_table_is_told_by_its_column():
    assert words.cell(date(2026, 3, 1), "month", BERLIN, "EUR") == "Mar 2026"
    assert words.cell(date(2026, 3, 1), "date", BERLIN, "EUR") == "1 Mar 2026"
    assert words.cell(datetime(2026, 3, 1, 23, 30, tzinfo=UTC), "time", BERLIN, "EUR").startswith(
        "02/03/2026"
    )
    assert words.cell(Decimal(1500), "money", BERLIN, "USD") == "US$1,500"
    assert words.cell(None, "text", BERLIN, "EUR") == NOTHING
    assert words.rate(Decimal("1.08420000")) == "1.0842"
    assert words.rate(Decimal(150)) == "150"


@pytest.mark.parametrize(
    ("name", "value", "previous", "said", "tone", "verdict"),
    [
        ("total_sales", 1200, 1000, "20% up", "ok", "better"),
        ("total_sales", 990, 1000, "1% down", "bad", "worse"),
        ("total_sales", 1000, 1000, "No change", "calm", ""),
        ("total_sales", 1000.1, 1000, "No change", "calm", ""),
        ("total_sales", 500, 0, "€500 up", "ok", "better"),
        ("win_rate", "63.6", "54.1", "9.5 points up", "ok", "better"),
        ("cancellation_rate", 12, 10, "2 points up", "bad", "worse"),
        ("time_to_sale", 60, 90, "33% down", "ok", "better"),
        ("average_call_time", 300, 200, "50% up", "calm", ""),
    ],
)
def test_a_change_is_told_in_words_and_is_good_or_bad_as_the_metric_has_it(
    name: str, value: Any, previous: Any, said: str, tone: str, verdict: str
):
    change = words.tell_change(reading(name, value, previous), BERLIN)
    assert change is not None
    assert (change.words, change.tone, change.verdict) == (said, tone, verdict)


def test_what_is_not_known_has_no_change_and_says_why():
    assert words.tell_change(reading(value=None), BERLIN) is None
    assert words.tell_change(reading(previous=None), BERLIN) is None
    assert words.reason_of(reading("win_rate", None, None)) == "No deal was won or lost."
    left_out = "Left out: 2 deals in GBP, for want of a rate to EUR."
    lacking = reading(value=None, notes=(left_out, "5 closed deals without a time, and so in no period."))
    assert words.reason_of(lacking) == left_out
    assert words.notes_of(lacking) == ["5 closed deals without a time, and so in no period."]
    past = "In which stage deals were before 2026-01-01 is not known."
    assert words.reason_of(reading("pipeline_value", None, None, notes=(past,))) == past
    assert words.reason_of(reading()) == ""


def test_a_metric_that_can_be_empty_says_what_there_is_none_of():
    rates = {name for name, report in REPORTS.items() if report.unit == "percent" and report.number}
    for name in rates:
        assert words.reason_of(reading(name, None, None)) != "Nothing is known of this period.", name


def test_days_are_told_as_people_say_them():
    assert words.tell_span(date(2026, 3, 1), date(2026, 3, 2), BERLIN) == "1 Mar 2026"
    assert words.tell_span(date(2026, 3, 1), date(2026, 4, 1), BERLIN) == "1\N{EN DASH}31 Mar 2026"
    assert (
        words.tell_span(date(2025, 12, 1), date(2026, 2, 1), BOSTON) == "Dec 1, 2025 \N{EN DASH} Jan 31, 2026"
    )
    assert words.tell_part(date(2026, 3, 1), "day", BOSTON) == "Mar 1"
    assert words.tell_part(date(2026, 3, 1), "week", BERLIN) == "1 Mar"
    assert words.tell_part(date(2026, 3, 1), "month", BERLIN) == "Mar 2026"


def test_every_metric_has_its_place_on_the_dashboard_once():
    placed = [name for _, names in GROUPS for name in names]
    assert sorted(placed) == sorted(name for name, report in REPORTS.items() if report.number)


@pytest.mark.parametrize("added", [True, False])
@pytest.mark.parametrize("values", [(5,), (0, 0), (3, None, 7), (None, 4, None), (-2, 6)])
def test_a_small_picture_stays_within_its_edges(values: tuple[int | None, ...], added: bool):
    spark = make_spark([None if each is None else Decimal(each) for each in values], added=added)
    assert spark is not None
    for path in (spark.line, spark.area, spark.bars, spark.dot):
        ET.fromstring(f'<svg><path d="{path}"/></svg>')
        assert "nan" not in path
    assert bool(spark.bars) == added
    assert bool(spark.dot) == (not added and sum(each is not None for each in values) == 1)


def test_of_nothing_there_is_no_picture():
    assert make_spark([]) is None
    assert make_spark([None, None]) is None


def test_a_card_tells_a_metric_at_one_glance():
    card = make_card(reading(), BERLIN, date(2026, 3, 20))
    assert (card.value, card.previous, card.reason) == ("€1,200", "€1,000", "")
    assert card.spark is not None
    empty = make_card(reading("win_rate", None, None, series=series(None, None)), BERLIN, date(2026, 3, 20))
    assert (empty.value, empty.reason, empty.spark) == (NOTHING, "No deal was won or lost.", None)


def test_a_chart_holds_what_its_picture_needs_and_nothing_of_the_future():
    chart = charts.series_chart(reading(), Frame("Acme", "March", BERLIN, "EUR", date(2026, 3, 2)), "file")
    assert chart["title"] == "Total sales: €1,200"
    assert chart["subtitle"] == "March · Acme"
    assert chart["labels"] == ["1 Mar", "2 Mar"]
    assert chart["series"][0]["values"] == [400.0, None]
    assert chart["series"][0]["kind"] == "bar"
    json.dumps(chart)
    assert charts.series_chart(reading("win_rate", 50, 40), FRAME, "x")["series"][0]["kind"] == "line"


def test_a_chart_is_said_in_a_sentence():
    said = charts.describe_series(reading(), BERLIN)
    assert said == (
        "Total sales by day, from €400 (1 Mar) to €800 (3 Mar); highest €800 (3 Mar), lowest €400 (1 Mar)."
    )
    assert charts.describe_series(reading(series=series(None)), BERLIN).endswith("nothing to show.")
    assert charts.describe_series(reading(series=series(7)), BERLIN) == "Total sales by day: €7 (1 Mar)."


def test_a_stage_is_named_with_its_pipeline_where_there_are_several():
    rows = [
        {"pipeline": "Sales", "stage": "New", "deals": 2, "value": Decimal(10), "weighted": None},
        {"pipeline": "Partners", "stage": None, "deals": 1, "value": None, "weighted": None},
    ]
    chart = charts.stage_chart(reading("deals_by_stage", 3, 3, rows=rows), FRAME, "x")
    assert chart["labels"] == ["New (Sales)", "No stage (Partners)"]
    assert chart["series"][0]["values"] == [10.0, None]
    one = charts.stage_chart(reading("deals_by_stage", 2, 2, rows=rows[:1]), FRAME, "x")
    assert one["labels"] == ["New"]


def test_a_table_becomes_a_chart_by_its_columns():
    columns = (Column("month", "Month", "month"), Column("won", "Won", "count"))
    rows = [{"month": date(2026, 2, 1), "won": 3}, {"month": date(2026, 3, 1), "won": None}]
    table = Table("win_rate_by_month", "Win rate", "", columns, rows, "EUR")
    chart = charts.table_chart(table, FRAME, "month", [("won", {"kind": "bar"})], "count")
    assert chart["labels"] == ["Feb 2026", "Mar 2026"]
    assert chart["series"] == [{"name": "Won", "values": [3.0, None], "kind": "bar"}]
    assert chart["file"] == "win-rate-by-month"
