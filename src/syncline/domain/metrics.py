"""What a metric is made of: counts and sums of a period's parts become its value and what is told with it.

Knows the shapes that reports name, neither their statements nor where rows come from. Shares are percent, and
None where there is nothing to have a share of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import erfc, sqrt
from typing import Any

Row = Mapping[str, Any]
Number = Decimal | None
#: A deal's amounts before it has a value in the wanted currency: currency → sum.
ByCurrency = Mapping[str, Decimal]

_ZERO = Decimal()
#: A difference this many standard errors wide has 95 % confidence, whichever side it falls on.
_CONFIDENT_Z = 1.959963984540054
#: Fewer than this of either outcome, and the test says little.
_FEW = 5


@dataclass(frozen=True, slots=True)
class Part:
    """A number that is told beside the metric's own."""

    key: str
    label: str
    unit: str
    value: Number


@dataclass(frozen=True, slots=True)
class Column:
    key: str
    label: str
    #: As of metrics, or 'text' or 'date'.
    unit: str


@dataclass(frozen=True, slots=True)
class Measure:
    """What one stretch of time comes to."""

    value: Number
    parts: Sequence[Part] = ()
    #: Sums in their own currencies; empty for what is no money.
    by_currency: ByCurrency = field(default_factory=dict[str, Decimal])
    #: Of which currency how many deals could not be converted, and are not in the value.
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])
    #: Values of the field that decides which the settings do not know, and how many records have them.
    unknown: Mapping[str, int] = field(default_factory=dict[str, int])
    rows: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()


def share(part: Decimal | int, whole: Decimal | int) -> Number:
    """Return percent, or None of nothing."""
    return Decimal(part) * 100 / Decimal(whole) if whole else None


def mean(total: Number, count: int) -> Number:
    return total / count if total is not None and count else None


def change_of(value: Number, before: Number) -> Number:
    """Return by how many percent a value changed; None where that cannot be said."""
    if value is None or before is None or not before:
        return None
    return (value - before) * 100 / abs(before)


def _sum(rows: Iterable[Row], key: str) -> Decimal:
    return sum((Decimal(row[key]) for row in rows if row[key] is not None), _ZERO)


def _count(rows: Iterable[Row], key: str = "whole") -> int:
    return sum(int(row[key] or 0) for row in rows)


def _by_label(rows: Iterable[Row], key: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        if row["label"] is not None:
            found[row["label"]] = found.get(row["label"], 0) + int(row[key])
    return found


def _sums_by_currency(rows: Iterable[Row]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for row in rows:
        if row["amount"] is not None:
            found[row["currency"]] = found.get(row["currency"], _ZERO) + row["amount"]
    return dict(sorted(found.items()))


def _left_out(rows: Iterable[Row]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        if row["left_out"]:
            found[row["currency"]] = found.get(row["currency"], 0) + int(row["left_out"])
    return dict(sorted(found.items()))


# Shapes ---------------------------------------------------------------------------------------------


def _total(rows: Sequence[Row]) -> Measure:
    return Measure(_sum(rows, "value"))


def _money(rows: Sequence[Row]) -> Measure:
    left_out = _left_out(rows)
    # What is nothing but left out is not nothing.
    nothing_known = bool(left_out) and all(row["value"] is None for row in rows)
    return Measure(
        None if nothing_known else _sum(rows, "value"),
        by_currency=_sums_by_currency(rows),
        left_out=left_out,
    )


def _mean_money(rows: Sequence[Row]) -> Measure:
    left_out = _left_out(rows)
    return Measure(
        mean(_sum(rows, "value"), _count(rows) - sum(left_out.values())),
        by_currency=_means_by_currency(rows),
        left_out=left_out,
    )


def _means_by_currency(rows: Sequence[Row]) -> dict[str, Decimal]:
    sums = _sums_by_currency(rows)
    counts = {each: _count(row for row in rows if row["currency"] == each) for each in sums}
    return {each: total / counts[each] for each, total in sums.items()}


def _rate(rows: Sequence[Row]) -> Measure:
    return Measure(share(_count(rows, "part"), _count(rows)), unknown=_by_label(rows, "whole"))


def _mean(rows: Sequence[Row]) -> Measure:
    return Measure(mean(_sum(rows, "part"), _count(rows)))


def _median(rows: Sequence[Row]) -> Measure:
    row = _only(rows)
    if row is None:
        return Measure(None, (Part("mean", "Mean", "days", None),))
    return Measure(row["value"], (Part("mean", "Mean", "days", row["mean"]),))


def _first_contact(rows: Sequence[Row]) -> Measure:
    row = _only(rows) or {"value": None, "mean": None, "whole": 0, "never": 0}
    parts = (
        Part("mean", "Mean", "minutes", row["mean"]),
        Part("never_called", "Never called", "percent", share(row["never"], row["whole"])),
    )
    return Measure(row["value"], parts)


def _only(rows: Sequence[Row]) -> Row | None:
    """Return the one row of a stretch of time: a median of parts is none of the whole."""
    return rows[0] if rows else None


def _calls(rows: Sequence[Row]) -> Measure:
    by_direction = _by_label(rows, "calls")
    total = _sum(rows, "calls")
    known = sum(by_direction.values())
    parts = [
        Part(each, each.capitalize(), "count", Decimal(by_direction.get(each, 0)))
        for each in ("outbound", "inbound")
    ]
    if total > known:
        parts.append(Part("undirected", "Without a direction", "count", total - known))
    return Measure(total, parts)


def _call_seconds(rows: Sequence[Row]) -> Measure:
    return Measure(mean(_sum(rows, "duration_ms") / 1000, _count(rows, "lasted")))


def _call_hours(rows: Sequence[Row]) -> Measure:
    return Measure(_sum(rows, "duration_ms") / 3_600_000)


def _long_calls(rows: Sequence[Row]) -> Measure:
    return Measure(share(_count(rows, "long"), _count(rows, "lasted")))


def _conversion(rows: Sequence[Row]) -> Measure:
    return Measure(share(_count(rows, "converted"), _count(rows, "contacts")))


def _watched(rows: Sequence[Row]) -> Measure:
    watched, whole = _count(rows, "watched"), _count(rows, "contacts")
    bought = _count(rows, "watched_converted")
    rest_bought = _count(rows, "converted") - bought
    parts = (
        Part("watchers", "Conversion of watchers", "percent", share(bought, watched)),
        Part("others", "Conversion of others", "percent", share(rest_bought, whole - watched)),
    )
    return Measure(share(watched, whole), parts)


def _pipeline(rows: Sequence[Row]) -> Measure:
    left_out = _unconverted(rows)
    nothing_known = bool(left_out) and all(row["value"] is None for row in rows if row["valued"])
    parts = (
        Part("weighted", "Weighted", "money", None if nothing_known else _sum(rows, "weighted_value")),
        Part("deals", "Open deals", "count", _sum(rows, "deals")),
    )
    return Measure(
        None if nothing_known else _sum(rows, "value"),
        parts,
        by_currency=_sums_by_currency(row for row in rows if row["valued"]),
        left_out=left_out,
    )


def _unconverted(rows: Iterable[Row]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        if row["valued"] and row["value"] is None:
            found[row["currency"]] = found.get(row["currency"], 0) + int(row["valued"])
    return dict(sorted(found.items()))


STAGE_COLUMNS = (
    Column("pipeline", "Pipeline", "text"),
    Column("stage", "Stage", "text"),
    Column("deals", "Deals", "count"),
    Column("value", "Value", "money"),
    Column("weighted", "Weighted", "money"),
)


def _stages(rows: Sequence[Row]) -> Measure:
    places: dict[tuple[str | None, str | None], list[Row]] = {}
    for row in rows:
        places.setdefault((row["pipeline"], row["stage"]), []).append(row)
    shown = [
        {
            "pipeline": pipeline,
            "stage": stage,
            "deals": _sum(own, "deals"),
            "value": measure.value,
            "weighted": measure.parts[0].value,
            "by_currency": measure.by_currency,
        }
        for (pipeline, stage), own in places.items()
        for measure in (_pipeline(own),)
    ]
    return Measure(_sum(rows, "deals"), left_out=_unconverted(rows), rows=shown)


SCRIPT_COLUMNS = (
    Column("version", "Version", "text"),
    Column("contacts", "Contacts", "count"),
    Column("converted", "Converted", "count"),
    Column("conversion_rate", "Conversion rate", "percent"),
    Column("average_deal_size", "Average deal size", "money"),
)


def _scripts(rows: Sequence[Row]) -> Measure:
    versions: dict[str, list[Row]] = {}
    for row in rows:
        if row["label"] is not None:  # those without a version are in the same rows
            versions.setdefault(row["label"], []).append(row)
    shown = [_script(version, own) for version, own in versions.items()]
    shown.sort(key=lambda row: (-row["conversion_rate"], row["version"]))
    notes = [compare_scripts(shown)] if len(shown) > 1 else []
    return Measure(
        shown[0]["conversion_rate"] if shown else None,
        left_out=_left_out(rows),
        rows=shown,
        notes=notes,
    )


def _script(version: str, rows: Sequence[Row]) -> dict[str, Any]:
    contacts, converted = _count(rows, "contacts"), _count(rows, "converted")
    deals = _count(rows, "deals") - sum(_left_out(rows).values())
    return {
        "version": version,
        "contacts": contacts,
        "converted": converted,
        "conversion_rate": share(converted, contacts),
        "average_deal_size": mean(_sum(rows, "value"), deals),
    }


def compare_scripts(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say whether the first version converts better than the second, by a test of two proportions."""
    best, second = rows[0], rows[1]
    first = (int(best["converted"]), int(best["contacts"]))
    other = (int(second["converted"]), int(second["contacts"]))
    z, chance = two_proportions(first, other)
    names = f"{best['version']} and {second['version']}"
    if z is None:
        return f"{names} convert alike."
    said = (
        f"{best['version']} converts better than {second['version']} with 95 % confidence"
        if abs(z) >= _CONFIDENT_Z
        else f"Between {names} there is no difference that has 95 % confidence"
    )
    outcomes = (first[0], first[1] - first[0], other[0], other[1] - other[0])
    few = ", though of few records" if min(outcomes) < _FEW else ""
    return f"{said}{few} (z = {z:.2f}, p = {chance:.3f})."


def two_proportions(first: tuple[int, int], other: tuple[int, int]) -> tuple[float | None, float]:
    """Return z and the two-sided chance of a difference as large, of (successes, trials) twice.

    Pooled, as the hypothesis is that both are alike. z is None where all or none succeeded.
    """
    (hits, tries), (other_hits, other_tries) = first, other
    pooled = (hits + other_hits) / (tries + other_tries)
    variance = pooled * (1 - pooled) * (1 / tries + 1 / other_tries)
    if not variance:
        return None, 1.0
    z = (hits / tries - other_hits / other_tries) / sqrt(variance)
    return z, erfc(abs(z) / sqrt(2))


Shape = Callable[[Sequence[Row]], Measure]
SHAPES: Mapping[str, Shape] = {
    "sum": _total,
    "money": _money,
    "mean_money": _mean_money,
    "rate": _rate,
    "mean": _mean,
    "median": _median,
    "first_contact": _first_contact,
    "calls": _calls,
    "call_seconds": _call_seconds,
    "call_hours": _call_hours,
    "long_calls": _long_calls,
    "conversion": _conversion,
    "watched": _watched,
    "pipeline": _pipeline,
    "stages": _stages,
    "scripts": _scripts,
}
#: Shapes whose whole is told by rows of its own, as slot 0.
NOT_ADDITIVE = frozenset({"median", "first_contact", "scripts"})
#: Shapes that say how things stood at a moment.
AT_A_MOMENT = frozenset({"pipeline", "stages"})
COLUMNS: Mapping[str, Sequence[Column]] = {"stages": STAGE_COLUMNS, "scripts": SCRIPT_COLUMNS}


def measure(shape: str, rows: Sequence[Row], slots: Iterable[int]) -> Measure:
    """Return what the rows of some slots come to. Slot 1 is the period before, those from 2 on the series."""
    wanted = set(slots)
    return SHAPES[shape]([row for row in rows if row["slot"] in wanted])


def whole_slots(shape: str, count: int) -> range:
    """Return the slots of the whole period, whose series has `count` parts."""
    return range(1) if shape in NOT_ADDITIVE else range(2, count + 2)
