"""Tables as charts: the pipeline and its history, forecasts, activity by owner, and how the syncs perform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.measuring import Asked
from syncline.actions.metric_files import table_csv
from syncline.actions.overview import TABLES, Table, Wanted, read_table
from syncline.errors import Invalid, NotFound
from syncline.web import charts
from syncline.web.charts import Data, Frame
from syncline.web.dashboard import csv_file
from syncline.web.dashboard_show import cell, tell
from syncline.web.dashboard_view import View, read_view
from syncline.web.page import Page, visits
from syncline.web.show import Place

router = APIRouter(include_in_schema=False)

_COMPANIES, _ACTIVITIES = 10, 20
#: Tables of a period; the others are as things are now, or of whole months.
OF_A_PERIOD = frozenset({"weekly_activity", "pipeline_history"})
_BAR: Data = {"kind": "bar"}


@dataclass(frozen=True, slots=True)
class Section:
    """A table with its chart; `refused` says why there is neither."""

    table: Table | None
    chart: Data | None = None
    said: str = ""
    csv: str = ""
    refused: str = ""
    #: How tall a lying chart is, in rows.
    rows: int = 0
    title: str = ""

    @property
    def has_rows(self) -> bool:
        return self.table is not None and bool(self.table.rows)


async def read_section(
    page: Page, name: str, view: View, *, period: Asked | None = None, limit: int | None = None
) -> Table | str:
    """Return a table, or why it cannot be had with these filters."""
    try:
        return await read_table(page.hub, page.caller, name, Wanted(period, view.filters, limit))
    except Invalid as error:
        return str(error)


def frame_of(page: Page, view: View, currency: str, span: str) -> Frame:
    return Frame(page.hub.tenant.label, span, page.place, currency, view.today)


@router.get("/dashboard/tables/{name}.csv")
async def export_table(name: str, page: Page = visits("records:read")) -> Response:
    """Write one of the tables of these pages; its action says who may see it."""
    if name not in TABLES:
        raise NotFound(f"There is no table called {name[:60]!r}.")
    view = await read_view(page)
    view.insist()
    period = view.asked if name in OF_A_PERIOD else None
    table = await read_table(page.hub, page.caller, name, Wanted(period, view.filters))
    return csv_file(table_csv(table), name.replace("_", "-"))


def _csv(name: str, view: View) -> str:
    return f"/dashboard/tables/{name}.csv{view.address()}"


# The pipeline ----------------------------------------------------------------------------------------


@router.get("/dashboard/pipeline")
async def show_pipeline(page: Page = visits("records:read")) -> Response:
    return await _page(page, "pipeline.html", _gather_pipeline, "last-90")


@router.get("/parts/dashboard-pipeline")
async def show_pipeline_part(page: Page = visits("records:read")) -> Response:
    return await _part(page, "pipeline_part.html", _gather_pipeline, "last-90")


async def _gather_pipeline(page: Page, view: View) -> dict[str, Any]:
    overview = await read_section(page, "pipeline_overview", view)
    companies = await read_section(page, "top_companies", view, limit=_COMPANIES)
    history = await read_section(page, "pipeline_history", view, period=view.asked)
    return {
        "stages": _stage_sections(page, view, overview),
        "overview": overview if isinstance(overview, Table) else None,
        "totals": _totals(overview, page.place),
        "companies": _companies(page, view, companies),
        "history": _history(page, view, history),
    }


def _stage_sections(page: Page, view: View, table: Table | str) -> Sequence[tuple[str, Section]]:
    """Return a section for each pipeline, in their order."""
    if isinstance(table, str):
        return [("Open deals by stage", Section(None, refused=table))]
    frame = frame_of(page, view, table.currency, "Now")
    found: list[tuple[str, Section]] = []
    for name, group in groupby(table.rows, key=lambda row: row["pipeline"]):
        rows = list(group)
        own = Table(table.name, table.label, table.meaning, table.columns[1:], rows, table.currency)
        label = str(name or "No pipeline")
        chart = charts.table_chart(
            own,
            frame,
            "stage",
            [("value", {**_BAR, "tone": "c1"}), ("weighted", {**_BAR, "tone": "c3"})],
            "money",
            lying=True,
        )
        chart["title"], chart["file"] = f"{label}: open deals by stage", f"pipeline-{_slug(label)}"
        said = f"{label}: " + "; ".join(
            f"{row['stage'] or 'no stage'} {tell(row['deals'], 'count', page.place)} deals, "
            f"{tell(row['value'], 'money', page.place, table.currency)}"
            for row in rows
        )
        found.append((label, Section(own, chart, said, _csv(table.name, view), rows=min(24, 2 * len(rows)))))
    return found


def _slug(text: str) -> str:
    return "".join(each if each.isalnum() else "-" for each in text.lower()).strip("-")[:40] or "chart"


def _totals(table: Table | str, place: Place) -> Sequence[tuple[str, str]]:
    if isinstance(table, str):
        return []
    deals = sum(row["deals"] or 0 for row in table.rows)
    value = sum(row["value"] or 0 for row in table.rows)
    weighted = sum(row["weighted"] or 0 for row in table.rows)
    return [
        ("Open deals", tell(deals, "count", place)),
        ("Worth", tell(value, "money", place, table.currency)),
        ("Weighted by probability", tell(weighted, "money", place, table.currency)),
    ]


def _companies(page: Page, view: View, table: Table | str) -> Section:
    if isinstance(table, str):
        return Section(None, refused=table)
    frame = frame_of(page, view, table.currency, "Now")
    chart = charts.table_chart(table, frame, "name", [("value", {**_BAR, "tone": "c2"})], "money", lying=True)
    chart["title"] = "Companies whose open deals are worth most"
    said = _say(table, "name", "value", "money", page.place)
    return Section(table, chart, said, _csv(table.name, view), rows=len(table.rows))


def _history(page: Page, view: View, table: Table | str) -> Section:
    if isinstance(table, str):
        return Section(None, refused=table)
    frame = frame_of(page, view, table.currency, view.span)
    look = [("value", {"filled": True, "tone": "c1"}), ("weighted", {"tone": "c3", "dashed": True})]
    chart = charts.table_chart(table, frame, "day", look, "money")
    chart["titles"] = chart["labels"]
    chart["labels"] = charts.days_of(table.rows, "day", page.place)
    drawn = any(row["deals"] for row in table.rows)
    return Section(
        table,
        chart if drawn else None,
        _say(table, "day", "value", "money", page.place),
        _csv(table.name, view),
    )


def _say(table: Table, key: str, value: str, unit: str, place: Place, most: int = 12) -> str:
    """Say what a chart shows; of a long one its ends."""
    columns = {column.key: column for column in table.columns}
    rows = table.rows if len(table.rows) <= most else [table.rows[0], table.rows[-1]]
    told = [
        f"{cell(row[key], columns[key].unit, place, table.currency)}"
        f" {tell(row[value], unit, place, table.currency)}"
        for row in rows
    ]
    joined = "; ".join(told) if len(table.rows) <= most else " to ".join(told)
    return f"{table.label}, {columns[value].label.lower()}: {joined or 'nothing'}."


# The forecast ----------------------------------------------------------------------------------------


@router.get("/dashboard/forecast")
async def show_forecast(page: Page = visits("records:read")) -> Response:
    return await _page(page, "forecast.html", _gather_forecast)


@router.get("/parts/dashboard-forecast")
async def show_forecast_part(page: Page = visits("records:read")) -> Response:
    return await _part(page, "forecast_part.html", _gather_forecast)


async def _gather_forecast(page: Page, view: View) -> dict[str, Any]:
    forecast = await read_section(page, "revenue_forecast", view)
    accuracy = await read_section(page, "forecast_history", view)
    rates = await read_section(page, "win_rate_by_month", view)
    return {
        "forecast": _forecast(page, view, forecast),
        "accuracy": _accuracy(page, view, accuracy),
        "rates": _rates(page, view, rates),
    }


def _forecast(page: Page, view: View, table: Table | str) -> Section:
    if isinstance(table, str):
        return Section(None, refused=table)
    frame = frame_of(page, view, table.currency, _months(table, page.place))
    look = [
        ("committed", {**_BAR, "stack": "all", "tone": "q1"}),
        ("upside", {**_BAR, "stack": "all", "tone": "q2"}),
        ("pipeline", {**_BAR, "stack": "all", "tone": "q3"}),
        ("weighted", {"tone": "c3"}),
    ]
    chart = charts.table_chart(table, frame, "month", look, "money")
    drawn = any(row["deals"] for row in table.rows)
    said = _say(table, "month", "weighted", "money", page.place)
    return Section(table, chart if drawn else None, said, _csv(table.name, view))


def _accuracy(page: Page, view: View, table: Table | str) -> Section:
    """Set what was forecast beside what came; the earliest month first, as time goes."""
    if isinstance(table, str):
        return Section(None, refused=table)
    onward = _turned(table)
    frame = frame_of(page, view, table.currency, _months(onward, page.place))
    look = [("weighted", {**_BAR, "tone": "c3"}), ("actual", {**_BAR, "tone": "c2"})]
    chart = charts.table_chart(onward, frame, "month", look, "money")
    chart["series"][0]["name"], chart["series"][1]["name"] = "Forecast, weighted", "Won"
    drawn = any(row["weighted"] or row["actual"] for row in table.rows)
    said = _say(onward, "month", "actual", "money", page.place)
    return Section(table, chart if drawn else None, said, _csv(table.name, view))


def _rates(page: Page, view: View, table: Table | str) -> Section:
    if isinstance(table, str):
        return Section(None, refused=table)
    onward = _turned(table)
    frame = frame_of(page, view, table.currency, _months(onward, page.place))
    chart = charts.table_chart(
        onward, frame, "month", [("win_rate", {"filled": True, "tone": "c2"})], "percent"
    )
    drawn = charts.has_any([row["win_rate"] for row in table.rows])
    said = _say(onward, "month", "win_rate", "percent", page.place)
    return Section(table, chart if drawn else None, said, _csv(table.name, view))


def _months(table: Table, place: Place) -> str:
    """Return the first and the last month of a table in words."""
    ends = [cell(row["month"], "month", place, table.currency) for row in (table.rows[0], table.rows[-1])]
    return " \N{EN DASH} ".join(dict.fromkeys(ends))


def _turned(table: Table) -> Table:
    return Table(
        table.name,
        table.label,
        table.meaning,
        table.columns,
        list(table.rows)[::-1],
        table.currency,
        table.notes,
    )


# Activity --------------------------------------------------------------------------------------------


@router.get("/dashboard/activity")
async def show_activity(page: Page = visits("records:read")) -> Response:
    return await _page(page, "activity.html", _gather_activity, "last-7")


@router.get("/parts/dashboard-activity")
async def show_activity_part(page: Page = visits("records:read")) -> Response:
    return await _part(page, "activity_part.html", _gather_activity, "last-7")


async def _gather_activity(page: Page, view: View) -> dict[str, Any]:
    week = await read_section(page, "weekly_activity", view, period=view.asked)
    recent = await read_section(page, "recent_activities", view, limit=_ACTIVITIES)
    return {"week": _week(page, view, week), "recent": recent if isinstance(recent, Table) else None}


def _week(page: Page, view: View, table: Table | str) -> Section:
    if isinstance(table, str):
        return Section(None, refused=table)
    frame = frame_of(page, view, table.currency, view.span)
    named = Table(
        table.name,
        table.label,
        table.meaning,
        table.columns,
        [{**row, "owner": row["owner"] or "Nobody"} for row in table.rows],
        table.currency,
        table.notes,
    )
    kinds = ("calls", "emails", "meetings", "notes")
    look = [(kind, {**_BAR, "stack": "all", "tone": f"c{at}"}) for at, kind in enumerate(kinds, start=1)]
    chart = charts.table_chart(named, frame, "owner", look, "count", lying=True, whole=True)
    said = f"{table.label}: " + "; ".join(
        f"{row['owner']} {sum(int(row[kind]) for kind in kinds)}" for row in named.rows
    )
    return Section(named, chart, said, _csv(table.name, view), rows=max(4, min(24, len(table.rows) + 2)))


# Pages ------------------------------------------------------------------------------------------------


async def _page(page: Page, template: str, gather: Any, usual: str = "month") -> Response:
    view = await read_view(page, usual)
    context: Mapping[str, Any] = {} if view.is_wrong else await gather(page, view)
    return page.render(
        f"dashboard/{template}", status=view.status, view=view, usual=usual, help="dashboard", **context
    )


async def _part(page: Page, template: str, gather: Any, usual: str = "month") -> Response:
    view = await read_view(page, usual)
    view.insist()
    return page.render(f"dashboard/{template}", view=view, **await gather(page, view))
