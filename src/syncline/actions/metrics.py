"""The metrics: which there are, what they come to in a period, and the records behind each number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from syncline.actions.caching import answer, ask_reports
from syncline.actions.hub import Hub
from syncline.actions.measuring import Asked, Filters, Scope, find_period, find_scope, wrong
from syncline.actions.metric_values import Metric, Point, Reading
from syncline.actions.paging import cut, read_place
from syncline.actions.together import together
from syncline.domain.callers import Caller
from syncline.domain.metrics import (
    AT_A_MOMENT,
    COLUMNS,
    Measure,
    Number,
    change_of,
    measure,
    whole_slots,
)
from syncline.domain.periods import Period, moments_of, spans_of
from syncline.errors import NotFound
from syncline.store import metrics, reports
from syncline.store.db import Conn
from syncline.store.reports import REPORTS, Fact, Report

__all__ = ["Asked", "Filters", "Metric", "Point", "Reading"]

MAX_PAGE = 500
#: Sessions with the database that all numbers of a page share: with more, the longest waits for a processor.
_AT_ONCE = 3


def list_metrics(caller: Caller) -> list[Metric]:
    """Return all metrics by their number. Raises `Forbidden`."""
    caller.require("records:read")
    return [_describe(report) for report in REPORTS.values() if report.number is not None]


def get_metric(name: str) -> Report:
    """Return the report of a metric. Raises `NotFound`."""
    found = REPORTS.get(name)
    if found is None or found.number is None:
        names = ", ".join(each.name for each in REPORTS.values() if each.number is not None)
        raise NotFound(f"There is no metric {name[:60]!r}. There are: {names}.")
    return found


def _describe(report: Report) -> Metric:
    return Metric(
        report.name,
        report.number or 0,
        report.label,
        report.unit,
        report.meaning,
        report.records or "",
        report.shape in AT_A_MOMENT,
        COLUMNS.get(report.shape, ()),
    )


async def read_metric(
    hub: Hub, caller: Caller, name: str, period: Asked | None = None, filters: Filters | None = None
) -> Reading:
    """Return what a metric comes to in a period, this month if nothing is said, and in the one before.

    A rep's numbers are of their own records and of nobody's. Raises `Forbidden`, `NotFound`, `Invalid`.
    """
    return (await read_metrics(hub, caller, period, filters, names=[name]))[0]


async def read_metrics(
    hub: Hub,
    caller: Caller,
    period: Asked | None = None,
    filters: Filters | None = None,
    *,
    names: Sequence[str] | None = None,
) -> list[Reading]:
    """Return what several metrics come to, or all of them, in the order asked for. Raises as `read_metric`.

    Reads several at once; a change between them is in some and not in others.
    """
    caller.require("records:read")
    wanted = [get_metric(name) for name in names] if names is not None else None
    wanted = wanted or [each for each in REPORTS.values() if each.number is not None]
    asked, by = period or Asked(), filters or Filters()
    question = ask_reports("metrics", wanted, (asked, by), by)
    return await answer(hub, caller, question, lambda: _read_all(hub, caller, wanted, asked, by))


async def _read_all(
    hub: Hub, caller: Caller, wanted: Sequence[Report], asked: Asked, filters: Filters
) -> list[Reading]:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        scope = await find_scope(conn, hub, caller, filters)
        within = find_period(scope, asked)
        if len(wanted) == 1:
            return [await _read(conn, scope, wanted[0], within, _Known())]
    # What rests on the same rows is read by one session, from one reading of them. What takes longest goes
    # first: that is what has most to say.
    sharing: dict[str, list[int]] = {}
    for place, report in enumerate(wanted):
        sharing.setdefault(report.statement, []).append(place)
    waiting = sorted(sharing.values(), key=lambda places: -len(wanted[places[0]].statement))
    found: dict[int, Reading] = {}
    known = _Known()

    async def work_off() -> None:
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            while waiting:
                for place in waiting.pop(0):
                    found[place] = await _read(conn, scope, wanted[place], within, known)

    async with together() as group:
        for _ in range(min(_AT_ONCE, len(waiting))):
            group.create_task(work_off())
    return [found[place] for place in range(len(wanted))]


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read already for the same period and filters, and serves several metrics."""

    #: Statement → its rows.
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    #: 'won', 'closed' or 'calls' → how many have no time.
    undated: dict[str, int] = field(default_factory=dict[str, int])


async def _read(conn: Conn, scope: Scope, report: Report, period: Period, known: _Known) -> Reading:
    edges = moments_of(period.cut(), scope.time_zone)
    if report.shape in AT_A_MOMENT:
        read = await _read_state(conn, scope, report, edges, known)
    else:
        read = await _read_flow(conn, scope, report, period, edges, known)
    spans = spans_of(period.cut())
    points = [Point(begin, end, value) for (begin, end), value in zip(spans, read.series, strict=True)]
    now, before = read.now, read.before
    return Reading(
        metric=_describe(report),
        period=period,
        currency=scope.currency,
        value=now.value,
        previous=before.value,
        change=change_of(now.value, before.value),
        step=period.step,
        series=points,
        parts=now.parts,
        by_currency=now.by_currency,
        rows=now.rows,
        notes=[*now.notes, *_tell(now, before, scope), *read.notes],
    )


async def _rows_of(
    conn: Conn, report: Report, values: Mapping[str, Any], known: _Known
) -> list[dict[str, Any]]:
    if report.statement not in known.rows:
        known.rows[report.statement] = await reports.run_report(conn, report, values)
    return known.rows[report.statement]


async def _count_undated(conn: Conn, scope: Scope, what: str, known: _Known) -> int:
    if what not in known.undated:
        known.undated[what] = await metrics.count_undated(
            conn,
            what,
            tenant_id=scope.tenant_id,
            seen=scope.seen,
            owners=scope.owners,
            pipeline=scope.pipeline,
        )
    return known.undated[what]


@dataclass(frozen=True, slots=True)
class _Read:
    now: Measure
    before: Measure
    series: Sequence[Number]
    notes: Sequence[str]


async def _read_flow(
    conn: Conn, scope: Scope, report: Report, period: Period, edges: Sequence[datetime], known: _Known
) -> _Read:
    """Read what happened between the edges, and in the period before."""
    start = scope.midnight(period.previous.from_on)
    values = {**scope.values(), "edges": [start, *edges], "from_at": start, "to_at": edges[-1]}
    rows = await _rows_of(conn, report, values, known)
    count = len(edges) - 1
    series = [
        measure(report.shape, rows, [slot + 2]).value if edges[slot] <= scope.now else None
        for slot in range(count)
    ]
    notes: list[str] = []
    if report.undated is not None:
        undated = await _count_undated(conn, scope, report.undated, known)
        if undated:
            what = "call" if report.undated == "calls" else "closed deal"
            notes.append(f"{_many(undated, what)} without a time, and so in no period.")
    return _Read(
        measure(report.shape, rows, whole_slots(report.shape, count)),
        measure(report.shape, rows, [1]),
        series,
        notes,
    )


async def _read_state(
    conn: Conn, scope: Scope, report: Report, edges: Sequence[datetime], known: _Known
) -> _Read:
    """Read how things stood at each edge: the first is the end of the period before."""
    begins_at = await metrics.find_history_start(conn, tenant_id=scope.tenant_id)
    past = [each for each in edges if each < scope.now and begins_at is not None and each >= begins_at]
    # The stretch that is running now ends with now; those behind it have not begun.
    running = next((place for place, each in enumerate(edges) if each >= scope.now), None)
    is_now = running is not None and running > 0
    values = {
        **scope.values(),
        "moments": past,
        "first_at": past[0] if past else None,
        "last_at": past[-1] if past else None,
        "is_now": is_now,
    }
    rows = await _rows_of(conn, report, values, known)
    slots: dict[int, int] = {edges.index(each): slot for slot, each in enumerate(past, start=1)}
    if is_now and running is not None:
        slots[running] = len(past) + 1
    states = [
        measure(report.shape, rows, [slots[place]]) if place in slots else Measure(None)
        for place in range(len(edges))
    ]
    # What the period comes to is how it stands at its end, or now where it has not ended.
    last = len(edges) - 1 if running is None else running
    return _Read(
        states[last] if last else Measure(None),
        states[0],
        [each.value for each in states[1:]],
        _tell_unknown(edges, scope, begins_at),
    )


def _tell_unknown(edges: Sequence[datetime], scope: Scope, begins_at: datetime | None) -> list[str]:
    if edges[0] >= scope.now:
        return ["The period has not begun."]
    unknown = [each for each in edges if each < scope.now and (begins_at is None or each < begins_at)]
    if not unknown:
        return []
    if begins_at is None:
        return ["In which stage deals were before now is not known: no history of them has been read yet."]
    return [f"In which stage deals were before {begins_at:%Y-%m-%d} is not known."]


def _tell(now: Measure, before: Measure, scope: Scope) -> list[str]:
    """Say what is in no number, now or in the period before."""
    notes: list[str] = []
    for told, when in ((now, ""), (before, " in the period before")):
        for currency, count in told.left_out.items():
            want = f"for want of a rate to {scope.currency}"
            notes.append(f"Left out{when}: {_many(count, 'deal')} in {currency}, {want}.")
    notes += [
        f"{_many(count, 'record')} with {value!r}, of which the settings do not say what it means."
        for value, count in sorted(now.unknown.items())
    ]
    return notes


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


# The records behind a number -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drilled:
    """A page of the records behind a number, the latest first."""

    metric: Metric
    records: Sequence[Fact]
    #: What their values are in.
    currency: str
    #: Where the next page begins; None when this is the last.
    next: str | None


async def drill_down(
    hub: Hub,
    caller: Caller,
    name: str,
    period: Asked | None = None,
    filters: Filters | None = None,
    *,
    part: date | None = None,
    label: str | None = None,
    counted: bool = False,
    after: str | None = None,
    limit: int = 100,
) -> Drilled:
    """Return the records behind a metric, the latest first: over all pages they come to its value.

    `part` is a day: the part of the series that it is in. `label` takes one row of a table only (a stage, a
    version, a direction), `counted` only those that count. Raises `Forbidden`, `NotFound`, `Invalid`.
    """
    caller.require("records:read")
    report = get_metric(name)
    if not 1 <= limit <= MAX_PAGE:
        raise wrong("limit", f"Between 1 and {MAX_PAGE}.")
    place = read_place(after)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        scope = await find_scope(conn, hub, caller, filters or Filters())
        begin, end = _narrow(find_period(scope, period or Asked()), part)
        values = {**scope.values(), "from_at": scope.midnight(begin), "to_at": scope.midnight(end)}
        found: list[Fact] = []
        if report.shape not in AT_A_MOMENT or await _stand_at(conn, scope, values):
            found = await reports.list_facts(
                conn, report, values, after=place, label=label, counted=counted, limit=limit + 1
            )
    shown, following = cut(found, limit, lambda each: (each.at, each.id))
    return Drilled(_describe(report), shown, scope.currency, following)


async def _stand_at(conn: Conn, scope: Scope, values: dict[str, Any]) -> bool:
    """Set the moment at which the period ended, or now; False where nothing is known of it."""
    ended_at: datetime = values["to_at"]
    values["is_now"] = ended_at >= scope.now
    if values["is_now"]:
        return values["from_at"] < scope.now
    values["now_at"] = ended_at
    begins_at = await metrics.find_history_start(conn, tenant_id=scope.tenant_id)
    return begins_at is not None and ended_at >= begins_at


def _narrow(period: Period, part: date | None) -> tuple[date, date]:
    if part is None:
        return period.from_on, period.to_on
    for begin, end in spans_of(period.cut()):
        if begin <= part < end:
            return begin, end
    raise wrong("part", f"{part} is not in the period.")
