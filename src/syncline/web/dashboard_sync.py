"""How the syncs perform: success, duration, refusals and records, by connection and over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.overview import Table
from syncline.actions.sync_metrics import read_sync_metrics
from syncline.domain.periods import Step
from syncline.store.sync_metrics import SyncMetrics
from syncline.web import charts
from syncline.web.charts import Data
from syncline.web.dashboard_show import tell, tell_part, tell_span
from syncline.web.dashboard_tables import Section, frame_of, read_section
from syncline.web.dashboard_view import View, read_view
from syncline.web.page import Page, visits
from syncline.web.show import NOTHING, Place

router = APIRouter(include_in_schema=False)

_USUAL = "last-7"
#: Percent of runs that end well where nothing is amiss; below it the alert of that name is raised.
_WELL = 95


@router.get("/dashboard/sync")
async def show_sync(page: Page = visits("syncs:read")) -> Response:
    view = await read_view(page, _USUAL)
    context: Mapping[str, Any] = {} if view.is_wrong else await _gather(page, view)
    return page.render("dashboard/sync.html", status=view.status, view=view, help="dashboard", **context)


@router.get("/parts/dashboard-sync")
async def show_sync_part(page: Page = visits("syncs:read")) -> Response:
    view = await read_view(page, _USUAL)
    view.insist()
    return page.render("dashboard/sync_part.html", view=view, **await _gather(page, view))


async def _gather(page: Page, view: View) -> dict[str, Any]:
    objects = await read_section(page, "sync_performance", view, period=view.asked)
    series = await read_section(page, "sync_performance_series", view, period=view.asked)
    refused = objects if isinstance(objects, str) else series if isinstance(series, str) else ""
    if isinstance(objects, str) or isinstance(series, str):
        return {"refused": refused}
    return {
        "refused": "",
        "figures": tell_now(await read_sync_metrics(page.hub, page.caller), page.place),
        "stats": _stats(objects, page.place),
        "success": _success(page, view, series),
        "latency": _latency(page, view, series),
        "runs": _runs(page, view, series),
        "volume": _volume(page, view, series),
        "objects": objects,
        "series": series,
        "csv": f"/dashboard/tables/sync_performance.csv{view.address()}",
    }


def tell_now(found: SyncMetrics, place: Place) -> Sequence[tuple[str, str, str, str]]:
    """Return the figures that alerts look at: name, value, of which time, and tone."""
    share = None if found.sync_success_rate is None else found.sync_success_rate * 100

    def counted(value: int | None) -> str:
        return tell(value, "count", place)

    hour, day = "in the last hour", "in 24 hours"
    return [
        ("Success", tell(share, "percent", place), hour, "" if share is None or share >= _WELL else "bad"),
        ("Latency", tell(found.avg_sync_latency_ms, "milliseconds", place), f"mean {hour}", ""),
        ("Webhooks", tell(found.webhook_processing_time_ms, "milliseconds", place), f"mean {hour}", ""),
        ("Refused for rate", counted(found.api_rate_limit_hits), hour, _warned(found.api_rate_limit_hits)),
        ("Contacts synced", counted(found.contacts_synced_24h), day, ""),
        ("Deals synced", counted(found.deals_synced_24h), day, ""),
        ("Activities synced", counted(found.activities_synced_24h), day, ""),
        ("Failed runs", counted(found.sync_failures_24h), day, _warned(found.sync_failures_24h)),
        ("Conflicts", counted(found.conflict_count_24h), day, ""),
    ]


def _warned(count: int | None) -> str:
    return "warn" if count else ""


def _stats(table: Table, place: Place) -> Sequence[tuple[str, str, str, str]]:
    """Return name, value, remark and tone of what all runs come to."""
    runs = sum(int(row["runs"]) for row in table.rows)
    succeeded = sum(int(row["succeeded"]) for row in table.rows)
    failed = sum(int(row["records_failed"] or 0) for row in table.rows)
    read = sum(int(row["records_read"] or 0) for row in table.rows)
    calls = sum(int(row["api_calls"] or 0) for row in table.rows)
    share = Decimal(succeeded) * 100 / runs if runs else None
    slowest = max(
        (row for row in table.rows if row["p95_ms"] is not None), key=lambda row: row["p95_ms"], default=None
    )
    return [
        (
            "Success rate",
            tell(share, "percent", place),
            f"{runs:,} runs",
            "" if share is None or share >= _WELL else "bad",
        ),
        ("Records read", tell(read, "count", place), "", ""),
        ("Records failed", tell(failed, "count", place), "", "bad" if failed else ""),
        (
            "Calls",
            tell(calls, "count", place),
            "some were refused for their rate" if table.notes else "none refused for its rate",
            "warn" if table.notes else "",
        ),
        (
            "Slowest, 95 %",
            tell(slowest["p95_ms"], "milliseconds", place) if slowest else NOTHING,
            f"{slowest['object']} of {slowest['connection']}" if slowest else "",
            "",
        ),
    ]


def _parts(
    page: Page, view: View, table: Table, title: str, unit: str, looks: Sequence[tuple[str, str, Data]]
) -> Data:
    """Return a chart over the parts of the period; those without a run are gaps."""
    found = {row["from_on"]: row for row in table.rows}
    edges = [each for each in view.period.cut()[:-1] if each <= view.today]
    ends = [*edges[1:], view.period.to_on]
    step: Step = view.period.step
    frame = frame_of(page, view, table.currency, view.span)
    rows = [found.get(edge, {}) for edge in edges]
    return frame.data(
        title,
        unit,
        [tell_part(edge, step, page.place) for edge in edges],
        [{"name": name, "values": charts.numbers(rows, key), **look} for name, key, look in looks],
        titles=[tell_span(edge, end, page.place) for edge, end in zip(edges, ends, strict=True)],
        whole=unit == "count",
        file=title.lower().replace(" ", "-"),
    )


def _section(view: View, table: Table, chart: Data, unit: str, place: Place) -> Section:
    values = [value for value in chart["series"][0]["values"] if value is not None]
    said = f"{chart['title']}: " + (
        f"from {tell(min(values), unit, place)} to {tell(max(values), unit, place)}."
        if values
        else "nothing to show."
    )
    csv = f"/dashboard/tables/sync_performance_series.csv{view.address()}"
    return Section(table, chart if values else None, said, csv, title=chart["title"])


def _success(page: Page, view: View, table: Table) -> Section:
    look: Data = {"filled": True, "tone": "ok"}
    chart = _parts(page, view, table, "Success rate", "percent", [("Success rate", "success_rate", look)])
    return _section(view, table, chart, "percent", page.place)


def _latency(page: Page, view: View, table: Table) -> Section:
    looks: list[tuple[str, str, Data]] = [
        ("Median", "p50_ms", {"tone": "c1"}),
        ("95 %", "p95_ms", {"tone": "c3"}),
        ("99 %", "p99_ms", {"tone": "c4", "dashed": True}),
    ]
    chart = _parts(page, view, table, "Duration of runs", "milliseconds", looks)
    return _section(view, table, chart, "milliseconds", page.place)


def _runs(page: Page, view: View, table: Table) -> Section:
    """Return how runs ended, one upon the other."""
    rows = [{**row, "failed": int(row["runs"]) - int(row["succeeded"])} for row in table.rows]
    counted = Table(table.name, table.label, table.meaning, table.columns, rows, table.currency, table.notes)
    looks: list[tuple[str, str, Data]] = [
        ("Succeeded", "succeeded", {"kind": "bar", "stack": "all", "tone": "ok"}),
        ("Failed or stopped", "failed", {"kind": "bar", "stack": "all", "tone": "bad"}),
    ]
    return _section(view, table, _parts(page, view, counted, "Runs", "count", looks), "count", page.place)


def _volume(page: Page, view: View, table: Table) -> Section:
    looks: list[tuple[str, str, Data]] = [("Records read", "records_read", {"kind": "bar", "tone": "c2"})]
    chart = _parts(page, view, table, "Records read", "count", looks)
    return _section(view, table, chart, "count", page.place)
