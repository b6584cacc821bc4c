"""What a metric is, and what it comes to: the shapes that doors show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from syncline.domain.metrics import Column, Number, Part
from syncline.domain.periods import Period, Step


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, without a value."""

    name: str
    #: From 1 to 22.
    number: int
    label: str
    unit: str
    meaning: str
    #: What the records behind it are.
    records: str
    #: True for a number that says how things stood at the end of a period, and is no sum over it.
    at_a_moment: bool
    #: Of a table, its columns.
    columns: Sequence[Column]


@dataclass(frozen=True, slots=True)
class Point:
    """One part of a series, from a day up to but not including another."""

    from_on: date
    to_on: date
    #: None where there is nothing to have a share of, nothing is known, or it lies in the future.
    value: Number


@dataclass(frozen=True, slots=True)
class Reading:
    """What a metric comes to."""

    metric: Metric
    period: Period
    #: What money is told in.
    currency: str
    value: Number
    #: In the period of equal length before.
    previous: Number
    #: By how many percent it changed since then; None where that cannot be said.
    change: Number
    step: Step
    series: Sequence[Point]
    #: Numbers that belong to it: the mean beside a median, calls by direction, …
    parts: Sequence[Part]
    #: Money as it stands, by currency.
    by_currency: Mapping[str, Number]
    rows: Sequence[Mapping[str, Any]]
    #: What was left out, what is not known, what has to be borne in mind: sentences.
    notes: Sequence[str]

    @property
    def difference(self) -> Number:
        return None if self.value is None or self.previous is None else self.value - self.previous
