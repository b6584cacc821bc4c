"""Tables beside the metrics: their columns, and how rows of a report become theirs. Knows no statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from syncline.domain.metrics import Column, Row, change_of, share

_ZERO = Decimal()

STAGE_COLUMNS = (
    Column("pipeline", "Pipeline", "text"),
    Column("stage", "Stage", "text"),
    Column("deals", "Deals", "count"),
    Column("value", "Value", "money"),
    Column("weighted", "Weighted", "money"),
)
COMPANY_COLUMNS = (
    Column("name", "Company", "text"),
    Column("readiness_score", "Readiness", "count"),
    Column("deals", "Open deals", "count"),
    Column("value", "Pipeline value", "money"),
)
WIN_RATE_COLUMNS = (
    Column("month", "Month", "month"),
    Column("won", "Won", "count"),
    Column("lost", "Lost", "count"),
    Column("win_rate", "Win rate", "percent"),
)
ACTIVITY_COLUMNS = (
    Column("occurred_at", "When", "time"),
    Column("type", "Kind", "text"),
    Column("subject", "Subject", "text"),
    Column("contact", "Contact", "text"),
    Column("company", "Company", "text"),
    Column("owner", "Owner", "text"),
)
WEEK_COLUMNS = (
    Column("owner", "Owner", "text"),
    Column("calls", "Calls", "count"),
    Column("emails", "E-mails", "count"),
    Column("meetings", "Meetings", "count"),
    Column("notes", "Notes", "count"),
    Column("contacts", "Contacts", "count"),
)
_BANDS = (
    Column("committed", "Committed", "money"),
    Column("upside", "Upside", "money"),
    Column("pipeline", "Pipeline", "money"),
    Column("weighted", "Weighted", "money"),
)
FORECAST_COLUMNS = (Column("month", "Month", "month"), Column("deals", "Deals", "count"), *_BANDS)
ACCURACY_COLUMNS = (
    Column("month", "Month", "month"),
    Column("snapshot_on", "Forecast of", "date"),
    *_BANDS,
    Column("actual", "Won", "money"),
    Column("deviation", "Won against weighted", "percent"),
)
HISTORY_COLUMNS = (
    Column("day", "Day", "date"),
    Column("deals", "Deals", "count"),
    Column("value", "Value", "money"),
    Column("weighted", "Weighted", "money"),
    Column("source", "Kept as", "text"),
)
_RUN_COLUMNS = (
    Column("runs", "Runs", "count"),
    Column("success_rate", "Success", "percent"),
    Column("average_ms", "Mean", "milliseconds"),
    Column("p50_ms", "Median", "milliseconds"),
    Column("p95_ms", "95 %", "milliseconds"),
    Column("p99_ms", "99 %", "milliseconds"),
    Column("api_calls", "Calls", "count"),
    Column("records_read", "Read", "count"),
    Column("records_failed", "Failed", "count"),
)
SYNC_COLUMNS = (
    Column("connection", "Connection", "text"),
    Column("object", "Object", "text"),
    *_RUN_COLUMNS,
)
SYNC_SERIES_COLUMNS = (
    Column("from_on", "From", "date"),
    *_RUN_COLUMNS,
)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Open deals by month: one row for each month, and what is in none of them."""

    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str]


def make_forecast(rows: Sequence[Row], months: Sequence[date], currency: str) -> Forecast:
    """Add up a forecast over currencies; deals that are overdue or have no date are told, not shown."""
    shown = [{"month": month, **_add_up([row for row in rows if row["month"] == month])} for month in months]
    notes: list[str] = []
    overdue = _add_up([row for row in rows if row["month"] is None and row["dated"]])
    undated = _add_up([row for row in rows if not row["dated"]])
    for part, what in ((overdue, "overdue"), (undated, "without an expected close date")):
        if part["deals"]:
            notes.append(f"{part['deals']:,} {what}, worth {part['value']:,.2f} {currency}, in no month.")
    chanceless = sum(int(row["chanceless"]) for row in rows if row["month"] is not None)
    if chanceless:
        notes.append(f"{chanceless:,} without a probability: in no column but the number of deals.")
    return Forecast(shown, notes + tell_left_out(rows, currency))


def _add_up(rows: Sequence[Row]) -> dict[str, Any]:
    names = ("value", "committed", "upside", "pipeline", "weighted")
    return {
        "deals": sum(int(row["deals"]) for row in rows),
        **{name: sum((row[name] for row in rows if row[name] is not None), _ZERO) for name in names},
    }


def tell_left_out(rows: Sequence[Row], currency: str) -> list[str]:
    """Say how many deals are in no sum, for want of a rate."""
    count = sum(int(row["left_out"] or 0) for row in rows)
    if not count:
        return []
    return [f"Left out: {count:,} deals in other currencies, for want of a rate to {currency}."]


def tell_history(rows: Sequence[Row], currency: str) -> list[str]:
    """Say on how many days something is in no sum; the same deal is left out on each of them."""
    days = sum(1 for row in rows if row["left_out"])
    if not days:
        return []
    told = "1 day" if days == 1 else f"{days:,} days"
    return [f"On {told} deals in other currencies are left out, for want of a rate to {currency}."]


def make_win_rates(rows: Sequence[Row], months: Sequence[date]) -> list[dict[str, Any]]:
    """Return a row for each month, the latest first; slot 1 of the report is the first month."""
    found = {row["slot"]: row for row in rows}
    shown: list[dict[str, Any]] = []
    for slot, month in enumerate(months, start=1):
        row = found.get(slot, {"won": 0, "lost": 0})
        won, lost = int(row["won"]), int(row["lost"])
        shown.append({"month": month, "won": won, "lost": lost, "win_rate": share(won, won + lost)})
    return shown[::-1]


def make_accuracy(
    rows: Sequence[Row], actual: Mapping[date, Decimal | None], months: Sequence[date]
) -> list[dict[str, Any]]:
    """Set what was forecast for each month beside what was won in it, the latest month first."""
    found = {row["month"]: row for row in rows}
    unknown = dict.fromkeys(("snapshot_on", "source", "committed", "upside", "pipeline", "weighted"))
    shown: list[dict[str, Any]] = []
    for month in months:
        row: dict[str, Any] = {**unknown, **found.get(month, {}), "month": month, "actual": actual.get(month)}
        row["deviation"] = change_of(row["actual"], row["weighted"])
        shown.append(row)
    return shown[::-1]


def make_sync_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [{**row, "success_rate": share(int(row["succeeded"]), int(row["runs"]))} for row in rows]


def tell_whole(row: Row) -> str:
    """Say how all runs of a period went together."""
    return (
        f"In all {row['runs']:,} runs, {row['success_rate']:.1f} % succeeded; half took up to "
        f"{row['p50_ms']:,.0f} ms, 95 % up to {row['p95_ms']:,.0f} ms; {row['api_calls']:,} calls."
    )
