"""Numbers as CSV: readings of metrics, tables, records behind a number. To six places, and times in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from syncline.actions.metrics import Drilled, Reading
from syncline.actions.overview import Table
from syncline.domain.tables import write_lines

_PLACES = Decimal("0.000001")


def plain(value: Any) -> Any:
    """Return a number to six places, without zeros at its end; anything else as it is."""
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        short = value.quantize(_PLACES) if value.as_tuple().exponent < -6 else value  # type: ignore[operator]
        text = format(short, "f")
        return Decimal(text.rstrip("0").rstrip(".") or "0") if "." in text else Decimal(text)
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def readings_csv(readings: Iterable[Reading]) -> str:
    """Write a line for each metric: its value, the one before, and what changed."""
    head = (
        "metric",
        "label",
        "unit",
        "currency",
        "from",
        "to",
        "value",
        "previous",
        "change_percent",
        "notes",
    )
    return write_lines([head, *(_line(each) for each in readings)])


def _line(each: Reading) -> Sequence[Any]:
    metric, period = each.metric, each.period
    money = metric.unit in {"money", "table"}
    return (
        metric.name,
        metric.label,
        metric.unit,
        each.currency if money else None,
        period.from_on,
        period.to_on,
        plain(each.value),
        plain(each.previous),
        plain(each.change),
        " ".join(each.notes),
    )


def reading_csv(reading: Reading) -> str:
    """Write one metric: the rows of a table, else its series part by part, with the whole at the end."""
    columns = reading.metric.columns
    if columns:
        rows = [[plain(row.get(column.key)) for column in columns] for row in reading.rows]
        return write_lines([[column.key for column in columns], *rows])
    lines: list[Sequence[Any]] = [("part", "from", "to", "value")]
    lines += [(reading.step, point.from_on, point.to_on, plain(point.value)) for point in reading.series]
    period = reading.period
    lines.append(("period", period.from_on, period.to_on, plain(reading.value)))
    before = period.previous
    lines.append(("previous", before.from_on, before.to_on, plain(reading.previous)))
    lines += [(part.key, period.from_on, period.to_on, plain(part.value)) for part in reading.parts]
    lines += [
        (currency, period.from_on, period.to_on, plain(value))
        for currency, value in reading.by_currency.items()
    ]
    return write_lines(lines)


def table_csv(table: Table) -> str:
    rows = [[plain(row.get(column.key)) for column in table.columns] for row in table.rows]
    return write_lines([[column.key for column in table.columns], *rows])


def cut_csv(most: int) -> str:
    """Write the last line of a file that does not hold all there is."""
    return write_lines([(f"Cut off here: a file holds at most {most:,} records. Choose a shorter time.",)])


def records_csv(page: Drilled) -> str:
    head = ("record_type", "id", "name", "at", "amount", "currency", "value", "counted", "label")
    rows = [
        (
            each.record_type,
            each.id,
            each.name,
            plain(each.at),
            plain(each.amount),
            each.currency,
            plain(each.value),
            each.counted,
            each.label,
        )
        for each in page.records
    ]
    return write_lines([head, *rows])
