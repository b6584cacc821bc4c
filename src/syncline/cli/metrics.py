"""`syncline metrics`: the numbers, and the records behind them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.metric_files import plain, reading_csv, readings_csv, records_csv, table_csv
from syncline.actions.metric_settings import change_settings, show_settings
from syncline.actions.metrics import (
    MAX_PAGE,
    Asked,
    Drilled,
    Filters,
    Reading,
    drill_down,
    read_metric,
    read_metrics,
)
from syncline.actions.overview import TABLES, Table, Wanted, read_table
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json
from syncline.cli.person import operator
from syncline.cli.running import run
from syncline.config import Settings
from syncline.domain.metrics import Column
from syncline.errors import Invalid
from syncline.store.metrics import MetricSettings

_BARS = "▁▂▃▄▅▆▇█"
_NUMBERS = frozenset(
    {"money", "count", "percent", "days", "minutes", "seconds", "hours", "months", "milliseconds"}
)
_SHORT = {"days": " d", "minutes": " min", "seconds": " s", "hours": " h", "milliseconds": " ms"}


def command(
    name: Annotated[
        str | None,
        typer.Argument(help=f"A metric, or one of {', '.join(TABLES)}. All metrics if nothing is said."),
    ] = None,
    period: Annotated[
        str | None,
        typer.Option("--period", help="today, week, month, quarter, year, 2026, 2026-Q1 or 2026-01."),
    ] = None,
    from_on: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="Instead of it: its first day.")
    ] = None,
    to_on: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="The day behind its last.")
    ] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Of one owner: address, name or id.")] = None,
    pipeline: Annotated[str | None, typer.Option("--pipeline", help="Of one pipeline.")] = None,
    connection: Annotated[
        str | None, typer.Option("--connection", metavar="C", help="Of one connection's records.")
    ] = None,
    currency: Annotated[
        str | None, typer.Option("--currency", help="Tell amounts in this one, if not in the tenant's.")
    ] = None,
    records: Annotated[
        bool, typer.Option("--records", help="List the records behind the number instead.")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many rows.")] = None,
    put: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SETTING=VALUES", help="Say which values count: qualified=yes,hot."),
    ] = None,
    settings: Annotated[bool, typer.Option("--settings", help="Show which values count as what.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Answer with CSV, for spreadsheets.")] = False,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Show what the metrics come to in a period, this month if nothing is said, and before it."""
    if put or settings:
        _show_settings(_change(put or (), tenant), as_json=as_json)
        return
    asked = Asked(period, from_on and from_on.date(), to_on and to_on.date())
    filters = Filters(owner, pipeline, connection, currency)
    if records and (name is None or name in TABLES):
        raise Invalid("Name the metric whose records you want.")
    found = run(lambda given: _look(given, tenant, name, asked, filters, limit, records=records))
    if as_json:
        print_json(_describe(found))
    elif as_csv:
        sys.stdout.write(_to_csv(found))
    else:
        _show(found)


_Found = list[Reading] | Reading | Table | Drilled


async def _look(
    settings: Settings,
    tenant: str,
    name: str | None,
    asked: Asked,
    filters: Filters,
    limit: int | None,
    *,
    records: bool,
) -> _Found:
    async with open_hub(settings, tenant=tenant) as hub:
        caller = operator(hub)
        if name is None:
            return await read_metrics(hub, caller, asked, filters)
        if name in TABLES:
            period = None if asked == Asked() else asked
            return await read_table(hub, caller, name, Wanted(period, filters, limit))
        if records:
            most = min(limit or 50, MAX_PAGE)
            return await drill_down(hub, caller, name, asked, filters, limit=most)
        return await read_metric(hub, caller, name, asked, filters)


def _change(put: Sequence[str], tenant: str) -> MetricSettings:
    changes: dict[str, list[str]] = {}
    for each in put:
        name, is_given, values = each.partition("=")
        if not is_given:
            raise Invalid(f"{each!r} sets nothing. Write it like qualified=yes,hot.")
        changes[name.strip()] = values.split(",")

    async def act(settings: Settings) -> MetricSettings:
        async with open_hub(settings, tenant=tenant) as hub:
            if changes:
                return await change_settings(hub, operator(hub), changes)
            return await show_settings(hub, operator(hub))

    return run(act)


def _show_settings(found: MetricSettings, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(found))
        return
    table = make_table("setting", "values")
    for name, values in asdict(found).items():
        add_row(table, (name, ", ".join(values) or "-"))
    open_console().print(table)


def _to_csv(found: _Found) -> str:
    if isinstance(found, list):
        return readings_csv(found)
    if isinstance(found, Reading):
        return reading_csv(found)
    return table_csv(found) if isinstance(found, Table) else records_csv(found)


def _describe(found: _Found) -> Any:
    """Return it for programs: numbers to six places."""
    if isinstance(found, list):
        return [_describe(each) for each in found]
    return _plain(asdict(found))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]  # pyright: ignore[reportUnknownVariableType] - any
    return plain(value)


def _show(found: _Found) -> None:
    console = open_console()
    notes: Sequence[str] = ()
    if isinstance(found, list):
        _show_all(found)
        notes = [f"{each.metric.label}: {note}" for each in found for note in each.notes]
    elif isinstance(found, Reading):
        _show_one(found)
        notes = found.notes
    elif isinstance(found, Table):
        _print_table(found.columns, found.rows, found.currency)
        notes = found.notes
    else:
        _show_records(found)
        notes = ["There are more: --limit, or the API."] if found.next is not None else ()
    for note in notes:
        console.print(note, markup=False, style="yellow")


def _show_all(readings: Sequence[Reading]) -> None:
    console, period = open_console(), readings[0].period
    console.print(f"{period.from_on} to {period.to_on}, without the last day; beside it the period before.")
    table = make_table("metric", "", "value", "before", "change", right=("value", "before", "change"))
    for each in readings:
        unit, currency = _unit_of(each), each.currency
        series = sparkline([point.value for point in each.series])
        value, before = show(each.value, unit, currency), show(each.previous, unit, currency)
        add_row(table, (each.metric.name, series, value, before, show_change(each.change)))
    console.print(table)


def _unit_of(each: Reading) -> str:
    """Return what the number of a table is in: deals, or the best version's rate."""
    if each.metric.unit != "table":
        return each.metric.unit
    return "count" if each.metric.at_a_moment else "percent"


def _show_one(each: Reading) -> None:
    console, unit = open_console(), _unit_of(each)
    console.print(f"{each.metric.label}: {each.metric.meaning}", markup=False)
    value, before = show(each.value, unit, each.currency), show(each.previous, unit, each.currency)
    console.print(f"{value}, before {before} ({show_change(each.change)})", style="bold")
    for part in each.parts:
        console.print(f"{part.label}: {show(part.value, part.unit, each.currency)}", markup=False)
    if len(each.by_currency) > 1 or set(each.by_currency) - {each.currency}:
        own = ", ".join(show(value, "money", name) for name, value in each.by_currency.items())
        console.print(f"As they stand: {own}", markup=False)
    if each.metric.columns:
        _print_table(each.metric.columns, each.rows, each.currency)
        return
    table = make_table(each.step, "value", right=("value",))
    for point in each.series:
        add_row(table, (point.from_on, show(point.value, unit, each.currency)))
    console.print(table)


def _print_table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], currency: str) -> None:
    table = make_table(
        *(column.label for column in columns),
        right=[column.label for column in columns if column.unit in _NUMBERS],
    )
    for row in rows:
        add_row(table, (show(row.get(column.key), column.unit, currency) for column in columns))
    open_console().print(table)


def _show_records(page: Drilled) -> None:
    table = make_table("when", "record", "value", "counts", "", "id", right=("value",))
    for each in page.records:
        value = "" if each.value is None else f"{plain(each.value):,}"
        marks = (each.at.date(), f"{each.record_type} {each.name or ''}".strip(), value)
        add_row(table, (*marks, "yes" if each.counted else "", each.label or "", each.id))
    open_console().print(table)


def show(value: Any, unit: str, currency: str) -> str:
    """Show a number as people write it; what there is none of is a dash."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, date):
        return f"{value:%Y-%m}" if unit == "month" else value.isoformat()
    if unit == "money":
        return f"{value:,.2f} {currency}"
    if unit == "percent":
        return f"{value:,.1f} %"
    if unit == "count":
        return f"{plain(value) if isinstance(value, Decimal) else value:,}"
    if unit in _NUMBERS:
        return f"{value:,.1f}{_SHORT.get(unit, '')}"
    return str(value)


def show_change(change: Decimal | None) -> str:
    return "" if change is None else f"{change:+,.1f} %"


def sparkline(values: Sequence[Decimal | None]) -> str:
    """Draw a series in a line of blocks; what is not known is a gap."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    width = high - low
    return "".join(
        " " if value is None else _BARS[int((value - low) * (len(_BARS) - 1) / width) if width else 0]
        for value in values
    )
