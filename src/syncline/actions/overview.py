"""Tables beside the metrics: pipeline, companies, win rate, activities, forecast, how the syncs perform."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from syncline import clock
from syncline.actions.caching import answer, ask_reports, this_minute
from syncline.actions.hub import Hub
from syncline.actions.measuring import Asked, Filters, Scope, find_period, find_scope, wrong
from syncline.domain import overviews
from syncline.domain.callers import Caller, Permission
from syncline.domain.metrics import Column, measure
from syncline.domain.periods import moments_of, month_before, months_from, next_month
from syncline.errors import NotFound
from syncline.store import metrics, reports
from syncline.store.db import Conn
from syncline.store.reports import REPORTS

_MOST_ROWS = 200
_MOST_MONTHS = 36


@dataclass(frozen=True, slots=True)
class Table:
    """One table as doors show it: rows hold a value for each column's key, and ids beside them."""

    name: str
    label: str
    meaning: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    #: What money is told in.
    currency: str
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a table is to be about; what it has no use for is passed over."""

    period: Asked | None = None
    filters: Filters = Filters()  # noqa: RUF009 - frozen
    #: How many rows at most, or how many months.
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at the database, for one table."""

    conn: Conn
    scope: Scope
    wanted: Wanted

    async def ask(self, name: str, **values: Any) -> list[dict[str, Any]]:
        return await reports.run_report(self.conn, REPORTS[name], {**self.scope.values(), **values})

    def limit(self, usual: int, most: int = _MOST_ROWS) -> int:
        given = self.wanted.limit or usual
        if not 1 <= given <= most:
            raise wrong("limit", f"Between 1 and {most}.")
        return given

    def table(
        self,
        name: str,
        columns: Sequence[Column],
        rows: Sequence[Mapping[str, Any]],
        notes: Sequence[str] = (),
    ) -> Table:
        report = REPORTS[name]
        return Table(name, report.label, report.meaning, columns, rows, self.scope.currency, notes)


async def read_table(hub: Hub, caller: Caller, name: str, wanted: Wanted | None = None) -> Table:
    """Return a table by its name. Raises `Forbidden`, `NotFound`, and `Invalid` with the field."""
    found = TABLES.get(name)
    if found is None:
        raise NotFound(f"There is no table {name[:60]!r}. There are: {', '.join(TABLES)}.")
    permission, read = found
    caller.require(permission)
    asked = wanted or Wanted()

    async def look() -> Table:
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            scope = await find_scope(conn, hub, caller, asked.filters)
            return await read(_Look(conn, scope, asked))

    rests_on = [REPORTS[each] for each in (name, *BESIDES.get(name, ()))]
    moment = this_minute(clock.now()) if name in BY_THE_MINUTE else None
    question = ask_reports("table", rests_on, (asked, moment), asked.filters)
    return await answer(hub, caller, question, look)


async def _pipeline(look: _Look) -> Table:
    rows = await look.ask("pipeline_overview")
    notes = overviews.tell_left_out(rows, look.scope.currency)
    return look.table("pipeline_overview", overviews.STAGE_COLUMNS, rows, notes)


async def _companies(look: _Look) -> Table:
    rows = await look.ask("top_companies", limit=look.limit(10))
    notes = overviews.tell_left_out(rows, look.scope.currency)
    return look.table("top_companies", overviews.COMPANY_COLUMNS, rows, notes)


async def _win_rates(look: _Look) -> Table:
    count = look.limit(12, _MOST_MONTHS)
    months = months_from(month_before(look.scope.today, count - 1), count)
    edges = moments_of([*months, next_month(months[-1])], look.scope.time_zone)
    rows = await look.ask("win_rate_by_month", edges=edges, from_at=edges[0], to_at=edges[-1])
    return look.table("win_rate_by_month", overviews.WIN_RATE_COLUMNS, overviews.make_win_rates(rows, months))


async def _activities(look: _Look) -> Table:
    rows = await look.ask("recent_activities", limit=look.limit(20))
    return look.table("recent_activities", overviews.ACTIVITY_COLUMNS, rows)


def _last_seven(look: _Look) -> Asked:
    return Asked(from_on=look.scope.today - timedelta(days=6), to_on=look.scope.today + timedelta(days=1))


def _last_week(look: _Look) -> dict[str, datetime]:
    """Return from when to when is asked for; the last seven days if nothing is said."""
    period = find_period(look.scope, look.wanted.period or _last_seven(look))
    return {"from_at": look.scope.midnight(period.from_on), "to_at": look.scope.midnight(period.to_on)}


async def _week(look: _Look) -> Table:
    """Read a period by owner; the last seven days if nothing is said."""
    rows = await look.ask("weekly_activity", **_last_week(look))
    return look.table("weekly_activity", overviews.WEEK_COLUMNS, rows)


async def _forecast(look: _Look) -> Table:
    months = months_from(look.scope.today, look.limit(6, _MOST_MONTHS))
    rows = await look.ask("revenue_forecast", first_month=months[0], behind_month=next_month(months[-1]))
    made = overviews.make_forecast(rows, months, look.scope.currency)
    return look.table("revenue_forecast", overviews.FORECAST_COLUMNS, made.rows, made.notes)


async def _accuracy(look: _Look) -> Table:
    if look.scope.connection is not None:
        raise wrong("connection", "Past forecasts are not kept by connection.")
    count = look.limit(6, _MOST_MONTHS)
    months = months_from(month_before(look.scope.today, count - 1), count)
    rows = await look.ask("forecast_history", months=months)
    notes = overviews.tell_left_out(rows, look.scope.currency)
    if len(rows) < len(months):
        notes.append("Of months in which no day's pipeline was kept the forecast is not known.")
    made = overviews.make_accuracy(rows, await _won_in(look, months), months)
    return look.table("forecast_history", overviews.ACCURACY_COLUMNS, made, notes)


async def _history(look: _Look) -> Table:
    """Read the open pipeline day by day: of the last ninety days if nothing is said."""
    if look.scope.connection is not None:
        raise wrong("connection", "Past pipelines are not kept by connection.")
    today = look.scope.today
    usual = Asked(from_on=today - timedelta(days=89), to_on=today + timedelta(days=1))
    period = find_period(look.scope, look.wanted.period or usual)
    rows = await look.ask(
        "pipeline_history", first_day=period.from_on, last_day=period.to_on - timedelta(days=1)
    )
    notes = overviews.tell_history(rows, look.scope.currency)
    return look.table("pipeline_history", overviews.HISTORY_COLUMNS, rows, notes)


async def _won_in(look: _Look, months: Sequence[date]) -> dict[date, Decimal | None]:
    """Return what was won in each month, as the metric of total sales has it."""
    edges = moments_of([*months, next_month(months[-1])], look.scope.time_zone)
    rows = await look.ask("total_sales", edges=edges, from_at=edges[0], to_at=edges[-1])
    return {month: measure("money", rows, [slot]).value for slot, month in enumerate(months, start=1)}


async def _syncs(look: _Look) -> Table:
    """Read how runs went, of the last seven days if nothing is said."""
    rows = await look.ask("sync_performance", **_last_week(look))
    scope = look.scope
    refusals = await metrics.list_refusals(look.conn, tenant_id=scope.tenant_id, connection=scope.connection)
    notes = [
        f"{each.connection}: so far {each.refusals:,} calls refused for their rate (429)."
        for each in refusals
    ]
    return look.table("sync_performance", overviews.SYNC_COLUMNS, overviews.make_sync_rows(rows), notes)


async def _sync_series(look: _Look) -> Table:
    """Read how runs went, part by part of a period: of the last seven days if nothing is said."""
    period = find_period(look.scope, look.wanted.period or _last_seven(look))
    days = period.cut()
    edges = moments_of(days, look.scope.time_zone)
    rows = await look.ask("sync_performance_series", edges=edges, from_at=edges[0], to_at=edges[-1])
    whole, *parts = overviews.make_sync_rows(rows)
    shown: list[dict[str, Any]] = [{**row, "from_on": days[row["slot"] - 1]} for row in parts]
    notes = [overviews.tell_whole(whole)] if whole["runs"] else []
    return look.table("sync_performance_series", overviews.SYNC_SERIES_COLUMNS, shown, notes)


#: Tables into which something comes by the minute, with nothing written: what was planned for it.
BY_THE_MINUTE = frozenset({"recent_activities"})
#: Table → what it asks besides the report of its name.
BESIDES: Mapping[str, tuple[str, ...]] = {"forecast_history": ("total_sales",)}
#: Name → what it takes to see it, and who reads it.
#: Of records a caller sees what is theirs; of syncs, whoever may see those at all, everything.
TABLES: Mapping[str, tuple[Permission, Callable[[_Look], Awaitable[Table]]]] = {
    "pipeline_overview": ("records:read", _pipeline),
    "top_companies": ("records:read", _companies),
    "win_rate_by_month": ("records:read", _win_rates),
    "recent_activities": ("records:read", _activities),
    "weekly_activity": ("records:read", _week),
    "revenue_forecast": ("records:read", _forecast),
    "forecast_history": ("records:read", _accuracy),
    "pipeline_history": ("records:read", _history),
    "sync_performance": ("syncs:read", _syncs),
    "sync_performance_series": ("syncs:read", _sync_series),
}
