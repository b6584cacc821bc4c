"""The dashboard: all metrics of a period as cards. The page comes at once, its numbers right behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.metric_files import readings_csv
from syncline.actions.metrics import Metric, Reading, list_metrics, read_metrics
from syncline.web.charts import ADDED, Spark, make_spark, shown_points
from syncline.web.dashboard_show import (
    Change,
    notes_of,
    reason_of,
    tell,
    tell_change,
    unit_of,
    value_of,
)
from syncline.web.dashboard_view import View, read_view
from syncline.web.page import Page, visits
from syncline.web.show import Place

router = APIRouter(include_in_schema=False)

#: What belongs together, in the order in which it is looked at.
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Sales", ("total_sales", "deals_won", "average_deal_size", "win_rate", "time_to_sale")),
    ("Pipeline and scripts", ("pipeline_value", "deals_by_stage", "sales_script_performance")),
    (
        "Leads and conversion",
        ("new_contacts", "conversion_rate", "qualified_rate", "time_to_first_contact", "vsl_watch_rate"),
    ),
    ("Calls", ("total_calls", "average_call_time", "total_call_time", "five_minute_rate")),
    (
        "Trials and payments",
        (
            "trial_rate",
            "trial_to_paid_rate",
            "average_installments",
            "retention_rate",
            "cancellation_rate",
        ),
    ),
)
#: Cards that hold the first rows of a table.
WIDE = frozenset({"deals_by_stage", "sales_script_performance"})
_ROWS = 5


@dataclass(frozen=True, slots=True)
class Card:
    """A metric at one glance."""

    metric: Metric
    value: str
    reason: str
    change: Change | None
    previous: str
    spark: Spark | None
    #: Rows of a table: label, share of the longest, told value.
    rows: Sequence[tuple[str, float, str]]
    warnings: int


@dataclass(frozen=True, slots=True)
class Borne:
    """Something to bear in mind, with the metrics that it is about."""

    note: str
    metrics: Sequence[Metric]


@router.get("/dashboard")
async def show_dashboard(page: Page = visits("records:read")) -> Response:
    """Show the frame of all numbers; with `now` in the address, for want of scripts, the numbers as well."""
    view = await read_view(page)
    known = {each.name: each for each in list_metrics(page.caller)}
    groups = [(label, [known[name] for name in names]) for label, names in GROUPS]
    numbers = None
    if "now" in page.request.query_params and not view.is_wrong:
        numbers = await _numbers(page, view)
    return page.render(
        "dashboard/dashboard.html",
        status=view.status,
        view=view,
        groups=groups,
        wide=WIDE,
        numbers=numbers,
        help="dashboard",
    )


@router.get("/parts/dashboard")
async def show_numbers(page: Page = visits("records:read")) -> Response:
    view = await read_view(page)
    view.insist()
    return page.render(
        "dashboard/numbers.html", view=view, wide=WIDE, numbers=await _numbers(page, view), help="dashboard"
    )


@router.get("/dashboard.csv")
async def export_numbers(page: Page = visits("records:read")) -> Response:
    view = await read_view(page)
    view.insist()
    found = await read_metrics(page.hub, page.caller, view.asked, view.filters)
    return csv_file(readings_csv(found), f"metrics-{view.first_on}-{view.last_on}")


def csv_file(text: str, name: str) -> Response:
    """Return a file that spreadsheets open as it is meant."""
    return Response(
        "\N{ZERO WIDTH NO-BREAK SPACE}" + text,
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}.csv"'},
    )


async def _numbers(page: Page, view: View) -> Mapping[str, Any]:
    found = await read_metrics(page.hub, page.caller, view.asked, view.filters)
    readings = {each.metric.name: each for each in found}
    place = page.place
    return {
        "groups": [
            (label, [make_card(readings[name], place, view.today) for name in names])
            for label, names in GROUPS
        ],
        "warnings": _borne([each for each in found if each.metric.name != "sales_script_performance"]),
    }


def _borne(readings: Sequence[Reading]) -> Sequence[Borne]:
    """Return what is to be borne in mind, each thing once: the present before the past."""
    found: dict[str, list[Metric]] = {}
    for each in readings:
        for note in notes_of(each):
            found.setdefault(note, []).append(each.metric)
    told = [Borne(note, metrics) for note, metrics in found.items()]
    return sorted(told, key=lambda each: "in the period before" in each.note)


def make_card(reading: Reading, place: Place, today: date) -> Card:
    return Card(
        metric=reading.metric,
        value=value_of(reading, place, short=True),
        reason=reason_of(reading),
        change=tell_change(reading, place),
        previous=tell(reading.previous, unit_of(reading), place, reading.currency, short=True),
        spark=make_spark(
            [each.value for each in shown_points(reading, today)], added=reading.metric.name in ADDED
        ),
        rows=_rows(reading, place),
        warnings=len(notes_of(reading)),
    )


def _rows(reading: Reading, place: Place) -> Sequence[tuple[str, float, str]]:
    """Return the first rows of a table, as bars beside each other."""
    if reading.metric.name == "deals_by_stage":
        key = "deals"
    elif reading.metric.name == "sales_script_performance":
        key = "conversion_rate"
    else:
        return ()
    most = max((float(row[key] or 0) for row in reading.rows), default=0.0) or 1.0
    return [
        (_name(row, key), float(row[key] or 0) / most, _told(row, key, reading.currency, place))
        for row in reading.rows[:_ROWS]
    ]


def _name(row: Mapping[str, Any], key: str) -> str:
    return str((row["stage"] or "No stage") if key == "deals" else row["version"])


def _told(row: Mapping[str, Any], key: str, currency: str, place: Place) -> str:
    if key == "deals":
        value = tell(row["value"], "money", place, currency, short=True)
        return f"{tell(row['deals'], 'count', place)} · {value}"
    rate = tell(row["conversion_rate"], "percent", place)
    return f"{rate} of {tell(row['contacts'], 'count', place)}"
