"""Numbers as charts.js draws them, and as small pictures that need no script. Pure; knows no template.

A chart's data holds what its export needs, too: title, period, whose it is. What it shows stands in a table
beside it, and in one sentence for whoever hears the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from syncline.actions.metrics import Point, Reading
from syncline.actions.overview import Table
from syncline.web.dashboard_show import cell, tell, tell_part, tell_span, unit_of, value_of
from syncline.web.show import Place

Data = dict[str, Any]
#: Counts and sums of the parts of a period: what is added up stands on the ground.
ADDED = frozenset({"total_sales", "deals_won", "new_contacts", "total_calls", "total_call_time"})
#: The measures of a spark, in the units of its picture.
_WIDE, _HIGH, _EDGE = 100.0, 28.0, 2.0
_NAME_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Frame:
    """What every chart of a page shares: whose it is, of when, and how numbers are written."""

    tenant: str
    span: str
    place: Place
    currency: str
    today: date

    def data(self, title: str, unit: str, labels: Sequence[str], series: Sequence[Data], **more: Any) -> Data:
        """Return a chart as charts.js reads it."""
        return {
            "title": title,
            "subtitle": " · ".join(part for part in (self.span, self.tenant) if part),
            "locale": self.place.locale.replace("_", "-"),
            "unit": unit,
            "currency": self.currency,
            "labels": labels,
            "series": series,
            **more,
        }


def numbers(rows: Sequence[Mapping[str, Any]], key: str) -> list[float | None]:
    return [as_float(row.get(key)) for row in rows]


def as_float(value: Any) -> float | None:
    return None if value is None else round(float(value), 6)


# One metric ------------------------------------------------------------------------------------------


def series_chart(reading: Reading, frame: Frame, file: str) -> Data:
    """Return the series of a metric: bars for what is added up, a line for what is not."""
    place, unit = frame.place, unit_of(reading)
    points = shown_points(reading, frame.today)
    kind = "bar" if reading.metric.name in ADDED else "line"
    return frame.data(
        f"{reading.metric.label}: {value_of(reading, place)}",
        unit,
        [tell_part(each.from_on, reading.step, place) for each in points],
        [
            {
                "name": reading.metric.label,
                "kind": kind,
                "values": [as_float(each.value) for each in points],
                "filled": kind == "line",
            }
        ],
        titles=[tell_span(each.from_on, each.to_on, place) for each in points],
        whole=unit == "count",
        file=file,
    )


def shown_points(reading: Reading, today: date) -> Sequence[Point]:
    """Return the series without what lies in the future."""
    return [each for each in reading.series if each.from_on <= today] or list(reading.series)


def has_any(values: Sequence[Any]) -> bool:
    """Tell whether there is anything to draw."""
    return any(each is not None for each in values)


def describe_series(reading: Reading, place: Place) -> str:
    """Say in a sentence what a series shows: its ends, its highest and its lowest part."""
    known = [each for each in reading.series if each.value is not None]
    unit = unit_of(reading)
    label = f"{reading.metric.label} by {reading.step}"
    if not known:
        return f"{label}: nothing to show."

    def told(point: Point) -> str:
        when = tell_part(point.from_on, reading.step, place)
        return f"{tell(point.value, unit, place, reading.currency)} ({when})"

    if len(known) == 1:
        return f"{label}: {told(known[0])}."
    high = max(known, key=lambda each: each.value or Decimal())
    low = min(known, key=lambda each: each.value or Decimal())
    return f"{label}, from {told(known[0])} to {told(known[-1])}; highest {told(high)}, lowest {told(low)}."


def stage_chart(reading: Reading, frame: Frame, file: str) -> Data:
    """Return the open deals by stage, lying so that the names of stages have room."""
    rows = reading.rows
    several = len({row["pipeline"] for row in rows}) > 1
    labels = [stage_label(row, several=several) for row in rows]
    return frame.data(
        f"{reading.metric.label}: {value_of(reading, frame.place)} open",
        "money",
        labels,
        [
            {"name": "Value", "kind": "bar", "tone": "c1", "values": numbers(rows, "value")},
            {"name": "Weighted", "kind": "bar", "tone": "c3", "values": numbers(rows, "weighted")},
        ],
        lying=True,
        file=file,
    )


def stage_label(row: Mapping[str, Any], *, several: bool) -> str:
    stage = row["stage"] or "No stage"
    return f"{stage} ({row['pipeline'] or 'no pipeline'})" if several else stage


def script_chart(reading: Reading, frame: Frame, file: str) -> Data:
    rows = reading.rows
    return frame.data(
        "Conversion rate by sales script",
        "percent",
        [str(row["version"])[:_NAME_LENGTH] for row in rows],
        [{"name": "Conversion rate", "kind": "bar", "values": numbers(rows, "conversion_rate")}],
        lying=True,
        file=file,
    )


# Tables ----------------------------------------------------------------------------------------------


def table_chart(
    table: Table,
    frame: Frame,
    key: str,
    series: Sequence[tuple[str, Data]],
    unit: str,
    **more: Any,
) -> Data:
    """Return a chart of a table: `key` is the column of its labels, `series` are others with their looks."""
    columns = {column.key: column for column in table.columns}
    label = columns[key]
    return frame.data(
        table.label,
        unit,
        [cell(row[key], label.unit, frame.place, table.currency)[:_NAME_LENGTH] for row in table.rows],
        [{"name": columns[name].label, "values": numbers(table.rows, name), **look} for name, look in series],
        file=table.name.replace("_", "-"),
        **more,
    )


def days_of(rows: Sequence[Mapping[str, Any]], key: str, place: Place) -> list[str]:
    return [tell_part(_as_day(row[key]), "day", place) for row in rows]


def _as_day(value: Any) -> date:
    return value


# Small pictures --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spark:
    """A series as paths of an SVG of 100 by 28: bars of what is added up, else a line with its ground."""

    line: str = ""
    area: str = ""
    bars: str = ""
    #: Where a single point stands, which no line leads to.
    dot: str = ""


def make_spark(values: Sequence[Decimal | None], *, added: bool = False) -> Spark | None:
    """Return the picture of a series; None where there is nothing to draw. A line leads across gaps."""
    known = [float(each) for each in values if each is not None]
    if not known:
        return None
    low, high = min(0.0, *known), max(0.0, *known)

    def y_of(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.0
        return round(_HIGH - _EDGE - share * (_HIGH - 2 * _EDGE), 1)

    if added:
        return Spark(bars=_bars([0.0 if each is None else float(each) for each in values], y_of))
    step = _WIDE / max(1, len(values) - 1)
    points = [
        (round(at * step, 1), y_of(float(value))) for at, value in enumerate(values) if value is not None
    ]
    if len(points) == 1:
        return Spark(dot=f"M{points[0][0]} {points[0][1]} h0.01")
    line = "M" + " L".join(f"{x} {y}" for x, y in points)
    return Spark(line=line, area=f"{line} L{points[-1][0]} {_HIGH} L{points[0][0]} {_HIGH} Z")


def _bars(values: Sequence[float], y_of: Callable[[float], float]) -> str:
    """Return bars from the ground up, and a line on it where there is nothing."""
    slot, ground = _WIDE / len(values), _HIGH - _EDGE
    width = round(min(slot * 0.7, 12.0), 2)
    drawn: list[str] = []
    for at, value in enumerate(values):
        left = round(at * slot + (slot - width) / 2, 2)
        top = min(y_of(value), ground - 1.2) if value else ground - 0.6
        drawn.append(f"M{left} {_HIGH} V{round(top, 1)} h{width} V{_HIGH} Z")
    return " ".join(drawn)
