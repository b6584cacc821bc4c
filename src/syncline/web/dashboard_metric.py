"""The page of one metric: its number, its chart, the table behind it, and the records it rests on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import date
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from syncline.actions.metric_files import cut_csv, reading_csv, records_csv
from syncline.actions.metrics import (
    MAX_PAGE,
    Drilled,
    Metric,
    Reading,
    drill_down,
    list_metrics,
    read_metric,
)
from syncline.domain.records import RECORD_TYPES
from syncline.errors import NotFound
from syncline.web import charts
from syncline.web.charts import Frame
from syncline.web.dashboard import csv_file
from syncline.web.dashboard_show import (
    notes_of,
    reason_of,
    tell,
    tell_change,
    tell_part,
    tell_span,
    unit_of,
    value_of,
)
from syncline.web.dashboard_view import View, read_view
from syncline.web.page import Page, visits
from syncline.web.render import query

router = APIRouter(include_in_schema=False)

#: Records that stand below a number, and on a page of their own.
_FIRST, _PAGE = 10, 100
#: Pages of `MAX_PAGE` records that a file holds at most, the first among them.
_MOST_PAGES = 400
#: What belongs to a list of records in the address, beside the view.
_NARROWS = ("part", "label", "counted")


@router.get("/dashboard/{name}.csv")
async def export_metric(name: str, page: Page = visits("records:read")) -> Response:
    view = await read_view(page)
    view.insist()
    found = await read_metric(page.hub, page.caller, name, view.asked, view.filters)
    return csv_file(reading_csv(found), _file(name, view))


@router.get("/dashboard/{name}/records.csv")
async def export_records(name: str, page: Page = visits("records:read")) -> Response:
    view = await read_view(page)
    view.insist()
    narrowed = _narrowed(page)
    first = await drill_down(
        page.hub, page.caller, name, view.asked, view.filters, **narrowed, limit=MAX_PAGE
    )
    return StreamingResponse(
        _lines(page, name, view, narrowed, first),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{_file(name, view)}-records.csv"'},
    )


async def _lines(
    page: Page, name: str, view: View, narrowed: Mapping[str, Any], first: Drilled
) -> AsyncGenerator[str]:
    """Write page by page, so that a long list needs no more memory than a short one."""
    yield "\N{ZERO WIDTH NO-BREAK SPACE}" + records_csv(first)
    found = first
    for _ in range(_MOST_PAGES - 1):
        if found.next is None:
            return
        found = await drill_down(
            page.hub,
            page.caller,
            name,
            view.asked,
            view.filters,
            **narrowed,
            after=found.next,
            limit=MAX_PAGE,
        )
        yield records_csv(found).partition("\n")[2]
    if found.next is not None:
        yield cut_csv(_MOST_PAGES * MAX_PAGE)


@router.get("/dashboard/{name}")
async def show_metric(name: str, page: Page = visits("records:read")) -> Response:
    metric, view = _describe(page, name), await read_view(page)
    context = await _gather(page, metric, view) if not view.is_wrong else {}
    return page.render(
        "dashboard/metric.html", status=view.status, metric=metric, view=view, help="metrics", **context
    )


@router.get("/parts/dashboard/{name}")
async def show_metric_part(name: str, page: Page = visits("records:read")) -> Response:
    metric, view = _describe(page, name), await read_view(page)
    view.insist()
    return page.render(
        "dashboard/metric_part.html", metric=metric, view=view, **await _gather(page, metric, view)
    )


def _describe(page: Page, name: str) -> Metric:
    found = next((each for each in list_metrics(page.caller) if each.name == name), None)
    if found is None:
        raise NotFound(f"There is no metric called {name[:60]!r}.")
    return found


async def _gather(page: Page, metric: Metric, view: View) -> dict[str, Any]:
    reading = await read_metric(page.hub, page.caller, metric.name, view.asked, view.filters)
    records = await drill_down(page.hub, page.caller, metric.name, view.asked, view.filters, limit=_FIRST)
    place = page.place
    frame = Frame(page.hub.tenant.label, view.span, place, reading.currency, view.today)
    charted = charts.series_chart(reading, frame, _file(metric.name, view))
    drawn = charts.has_any([each.value for each in reading.series])
    return {
        "reading": reading,
        "value": value_of(reading, place),
        "previous": tell(reading.previous, unit_of(reading), place, reading.currency),
        "unit": unit_of(reading),
        "reason": reason_of(reading),
        "change": tell_change(reading, place),
        "notes": notes_of(reading),
        "verdicts": [note for note in reading.notes if "z = " in note or "alike" in note],
        "chart": charted if drawn else None,
        "said": charts.describe_series(reading, place),
        "points": _points(reading, view, page),
        "rows_chart": _rows_chart(reading, frame, view),
        "records": records,
        "plurals": _plurals(),
    }


def _points(reading: Reading, view: View, page: Page) -> Sequence[tuple[str, str, str]]:
    """Return each part of the series: its days, its number, and where its records are."""
    unit, place = unit_of(reading), page.place
    return [
        (
            tell_span(each.from_on, each.to_on, place)
            if reading.step != "month"
            else tell_part(each.from_on, "month", place),
            tell(each.value, unit, place, reading.currency),
            f"/dashboard/{reading.metric.name}/records{view.address(part=each.from_on)}",
        )
        for each in charts.shown_points(reading, view.today)
    ]


def _rows_chart(reading: Reading, frame: Frame, view: View) -> dict[str, Any] | None:
    file = f"{_file(reading.metric.name, view)}-table"
    if not reading.rows:
        return None
    if reading.metric.name == "deals_by_stage":
        return charts.stage_chart(reading, frame, file)
    return charts.script_chart(reading, frame, file)


def _file(name: str, view: View) -> str:
    return f"{name.replace('_', '-')}-{view.first_on}-{view.last_on}"


def _plurals() -> Mapping[str, str]:
    """Return where the page of a kind of record is."""
    return {name: kind.table for name, kind in RECORD_TYPES.items()}


# Records -------------------------------------------------------------------------------------------------


@router.get("/dashboard/{name}/records")
async def show_records(name: str, page: Page = visits("records:read")) -> Response:
    metric, view = _describe(page, name), await read_view(page)
    asked = page.request.query_params
    narrowed = _narrowed(page)
    context: dict[str, Any] = {}
    if not view.is_wrong:
        found = await drill_down(
            page.hub,
            page.caller,
            name,
            view.asked,
            view.filters,
            **narrowed,
            after=asked.get("after"),
            limit=_PAGE,
        )
        here = {key: asked[key] for key in _NARROWS if key in asked}
        base = f"/dashboard/{name}/records"
        context = {
            "records": found,
            "next": base + view.address(**here, after=found.next) if found.next else None,
            "first": base + view.address(**here) if asked.get("after") else None,
            "export": f"{base}.csv{view.address(**here)}",
            "only": base + view.address(**{**here, "counted": "yes"}),
            "every": base + view.address(**{**here, "counted": None}),
            "anything": base + view.address() if {"part", "label"} & here.keys() else None,
        }
    return page.render(
        "dashboard/records.html",
        status=view.status,
        metric=metric,
        view=view,
        narrowed=narrowed,
        hidden={key: asked[key] for key in _NARROWS if key in asked},
        plurals=_plurals(),
        back=f"/dashboard/{name}{query(**view.values)}",
        help="metrics",
        **context,
    )


def _narrowed(page: Page) -> dict[str, Any]:
    asked = page.request.query_params
    try:
        part = date.fromisoformat(asked["part"]) if asked.get("part") else None
    except ValueError:
        raise NotFound("That part of the series is no day.") from None
    return {"part": part, "label": asked.get("label") or None, "counted": asked.get("counted") == "yes"}
