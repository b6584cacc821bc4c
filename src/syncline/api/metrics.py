"""Metrics, tables beside them, and what they are counted by, over HTTP: as JSON, and as CSV if asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, File, Query, UploadFile
from fastapi.responses import Response
from pydantic import Field, PlainSerializer

from syncline.actions import metric_settings, metrics, overview
from syncline.actions.metric_files import plain, reading_csv, readings_csv, records_csv, table_csv
from syncline.actions.metrics import Asked, Filters, Metric, Reading
from syncline.actions.overview import TABLES, Wanted
from syncline.api.calls import Call, needs
from syncline.api.shapes import After, Given, Shape, show
from syncline.store.rates import Rate

router = APIRouter(prefix="/api/v1", tags=["metrics"])
_READS: Call = needs("records:read")
_SETS: Call = needs("settings:write")
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}


def _as_float(value: Decimal | None) -> float | None:
    return None if value is None else float(plain(value))


#: A number of JSON; what there is none of is null, not 0.
Number = Annotated[Decimal | None, PlainSerializer(_as_float, return_type=float | None)]
Format = Annotated[Literal["json", "csv"], Query(alias="format", description="How the answer is written.")]


def _asked(
    period: Annotated[
        str | None,
        Query(max_length=20, description="today, week, month, quarter, year, 2026, 2026-Q1 or 2026-01."),
    ] = None,
    from_on: Annotated[date | None, Query(alias="from", description="Instead of it: its first day.")] = None,
    to_on: Annotated[date | None, Query(alias="to", description="The day behind its last.")] = None,
) -> Asked:
    return Asked(period, from_on, to_on)


def _filters(
    owner: Annotated[
        str | None, Query(max_length=200, description="An owner's id, address or name; me.")
    ] = None,
    pipeline: Annotated[str | None, Query(max_length=200, description="Its id, key or name.")] = None,
    connection: Annotated[str | None, Query(max_length=200, description="Its id or name.")] = None,
    currency: Annotated[
        str | None, Query(max_length=3, description="What amounts are converted into.")
    ] = None,
) -> Filters:
    return Filters(owner, pipeline, connection, currency)


Period = Annotated[Asked, Depends(_asked)]
By = Annotated[Filters, Depends(_filters)]


class ColumnOut(Shape):
    key: str
    label: str
    unit: str


class MetricOut(Shape):
    """One metric, and what it means."""

    name: str
    number: int
    label: str
    unit: str
    meaning: str
    records: str = Field(description="What the records behind it are.")
    at_a_moment: bool = Field(description="It says how things stood at the end of the period.")
    columns: list[ColumnOut] = Field(description="Of a table.")


class PartOut(Shape):
    key: str
    label: str
    unit: str
    value: Number


class PointOut(Shape):
    from_on: date
    to_on: date
    value: Number


class SpanOut(Shape):
    name: str
    from_on: date
    to_on: date = Field(description="The day behind its last.")


class ReadingOut(Shape):
    """What a metric comes to in a period, and in the one of equal length before."""

    metric: MetricOut
    period: SpanOut
    currency: str
    value: Number
    previous: Number
    change: Number = Field(description="By how many percent it changed.")
    step: Literal["day", "week", "month"]
    series: list[PointOut]
    parts: list[PartOut]
    by_currency: dict[str, Number]
    rows: list[dict[str, Any]]
    notes: list[str] = Field(description="What was left out or is not known, in sentences.")


class FactOut(Shape):
    """One record that a number rests on."""

    record_type: str
    id: UUID
    name: str | None
    at: datetime
    amount: Number
    currency: str | None
    value: Number = Field(description="What it adds, in the number's unit.")
    counted: bool = Field(description="Of a share: whether it is among those that count.")
    label: str | None


class RecordsOut(Shape):
    """Records behind a number, the latest first."""

    items: list[FactOut]
    currency: str
    after: str | None = Field(description="Where the next page begins; null on the last.")


class TableOut(Shape):
    name: str
    label: str
    meaning: str
    currency: str
    columns: list[ColumnOut]
    rows: list[dict[str, Any]]
    notes: list[str]


def _metric(metric: Metric) -> MetricOut:
    return show(MetricOut, metric)


def _reading(reading: Reading) -> ReadingOut:
    return ReadingOut(
        metric=_metric(reading.metric),
        period=show(SpanOut, reading.period),
        currency=reading.currency,
        value=reading.value,
        previous=reading.previous,
        change=reading.change,
        step=reading.step,
        series=[show(PointOut, each) for each in reading.series],
        parts=[show(PartOut, each) for each in reading.parts],
        by_currency=dict(reading.by_currency),
        rows=_rows(reading.rows),
        notes=list(reading.notes),
    )


def _rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{key: _cell(value) for key, value in row.items()} for row in rows]


def _cell(value: Any) -> Any:
    if isinstance(value, Decimal):
        return _as_float(value)
    if isinstance(value, Mapping):
        return {key: _cell(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType] - any
    return value


def _csv(text: str, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/metrics")
async def list_metrics(call: Call = _READS) -> list[MetricOut]:
    """List the metrics and what they mean."""
    return [_metric(each) for each in metrics.list_metrics(call.caller)]


@router.get("/metrics/values", response_model=list[ReadingOut], responses=_CSV)
async def read_metrics(period: Period, by: By, call: Call = _READS, as_: Format = "json") -> Any:
    """Read all metrics of a period."""
    found = await metrics.read_metrics(call.hub, call.caller, period, by)
    return _csv(readings_csv(found), "metrics") if as_ == "csv" else [_reading(each) for each in found]


class SettingsOut(Shape):
    """Which values of a field count as what, in lower case."""

    qualified: list[str]
    unqualified: list[str]
    no_trial: list[str] = Field(description="What is none of these is a trial.")
    retained: list[str]
    cancelled: list[str]


class SettingsIn(Given):
    """What is left out stays as it is."""

    qualified: list[str] | None = None
    unqualified: list[str] | None = None
    no_trial: list[str] | None = None
    retained: list[str] | None = None
    cancelled: list[str] | None = None


@router.get("/metrics/settings")
async def read_settings(call: Call = _READS) -> SettingsOut:
    """Read which values count as what."""
    return show(SettingsOut, await metric_settings.show_settings(call.hub, call.caller))


@router.put("/metrics/settings")
async def change_settings(body: SettingsIn, call: Call = _SETS) -> SettingsOut:
    """Change which values count as what."""
    changes = {name: values for name, values in body.model_dump().items() if values is not None}
    return show(SettingsOut, await metric_settings.change_settings(call.hub, call.caller, changes))


@router.get("/metrics/{name}", response_model=ReadingOut, responses=_CSV)
async def read_metric(name: str, period: Period, by: By, call: Call = _READS, as_: Format = "json") -> Any:
    """Read a metric of a period, with its series."""
    found = await metrics.read_metric(call.hub, call.caller, name, period, by)
    return _csv(reading_csv(found), found.metric.name) if as_ == "csv" else _reading(found)


@router.get("/metrics/{name}/records", response_model=RecordsOut, responses=_CSV)
async def list_records(
    name: str,
    period: Period,
    by: By,
    call: Call = _READS,
    *,
    part: Annotated[date | None, Query(description="Of the part of the series that this day is in.")] = None,
    label: Annotated[
        str | None, Query(max_length=200, description="Of one row: a stage, a version, a direction.")
    ] = None,
    counted: Annotated[bool, Query(description="Only those that count.")] = False,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=metrics.MAX_PAGE)] = 100,
    as_: Format = "json",
) -> Any:
    """List the records behind a metric, the latest first."""
    page = await metrics.drill_down(
        call.hub,
        call.caller,
        name,
        period,
        by,
        part=part,
        label=label,
        counted=counted,
        after=after,
        limit=limit,
    )
    if as_ == "csv":
        return _csv(records_csv(page), f"{page.metric.name}-records")
    return RecordsOut(
        items=[show(FactOut, each) for each in page.records], currency=page.currency, after=page.next
    )


@router.get("/reports")
async def list_reports(call: Call = _READS) -> list[str]:
    """List the tables beside the metrics by name."""
    return [name for name, (permission, _) in TABLES.items() if call.caller.may(permission)]


@router.get("/reports/{name}", response_model=TableOut, responses=_CSV)
async def read_report(
    name: str,
    period: Period,
    by: By,
    call: Call = _READS,
    *,
    limit: Annotated[int | None, Query(ge=1, le=200, description="Rows, or months.")] = None,
    as_: Format = "json",
) -> Any:
    """Read a table: pipeline, companies, win rate, activities, forecast, or how the syncs perform."""
    asked = None if period == Asked() else period
    table = await overview.read_table(call.hub, call.caller, name, Wanted(asked, by, limit))
    if as_ == "csv":
        return _csv(table_csv(table), table.name)
    return TableOut(
        name=table.name,
        label=table.label,
        meaning=table.meaning,
        currency=table.currency,
        columns=[show(ColumnOut, each) for each in table.columns],
        rows=_rows(table.rows),
        notes=list(table.notes),
    )


class RateOut(Shape):
    """One unit of a currency in another, from a day on."""

    from_currency: str
    to_currency: str
    valid_on: date
    rate: Number


class RateIn(Given):
    from_currency: str = Field(min_length=3, max_length=3, examples=["EUR"])
    to_currency: str = Field(min_length=3, max_length=3, examples=["USD"])
    valid_on: date
    rate: Decimal = Field(gt=0, lt=10**12, examples=[1.0842])


class RatesIn(Given):
    rates: list[RateIn] = Field(max_length=5000)


class ChangedOut(Shape):
    changed: int = Field(description="How many are new, or other than before.")


@router.get("/exchange-rates")
async def list_rates(
    call: Call = _READS,
    *,
    currency: Annotated[str | None, Query(max_length=3)] = None,
    limit: Annotated[int, Query(ge=1, le=20_000)] = 100,
) -> list[RateOut]:
    """List exchange rates, the latest day first."""
    found = await metric_settings.list_rates(call.hub, call.caller, currency=currency, limit=limit)
    return [show(RateOut, each) for each in found]


@router.put("/exchange-rates")
async def put_rates(body: RatesIn, call: Call = _SETS) -> ChangedOut:
    """Give exchange rates; one of a day that has one takes its place."""
    given = [Rate(each.from_currency, each.to_currency, each.valid_on, each.rate) for each in body.rates]
    return ChangedOut(changed=await metric_settings.put_rates(call.hub, call.caller, given))


@router.post("/exchange-rates/import")
async def import_rates(
    file: Annotated[UploadFile, File(description="CSV; the first line names the columns.")],
    call: Call = _SETS,
) -> ChangedOut:
    """Give exchange rates as CSV: columns currency, date, rate, and `to` where it is not your currency."""
    return ChangedOut(changed=await metric_settings.import_rates(call.hub, call.caller, await file.read()))


@router.delete("/exchange-rates/{from_currency}/{to_currency}/{valid_on}", status_code=204)
async def remove_rate(from_currency: str, to_currency: str, valid_on: date, call: Call = _SETS) -> None:
    """Remove the rate of a day; the one before holds again."""
    await metric_settings.remove_rate(call.hub, call.caller, from_currency, to_currency, valid_on)
