"""Every metric comes to what plain Python counts over the same records: zones, currencies, filters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import time_machine
from measured_rows import insert_world
from measured_truth import Answer, Truth
from measured_truth import Asked as Who
from measured_world import ACCOUNT, GOVERNMENT, NOW, World, make_world

from syncline.actions.hub import Hub
from syncline.actions.metrics import Asked, Filters, Reading, drill_down, list_metrics, read_metrics
from syncline.domain.callers import Caller

pytestmark = pytest.mark.anyio

#: Zones whose clocks change at night, at midnight, or never; ahead and behind, also by half an hour.
WORLDS = [
    (1, "Europe/Berlin", "EUR"),
    (2, "America/New_York", "USD"),
    (3, "Africa/Cairo", "USD"),
    (4, "Asia/Kolkata", "CHF"),
]
PERIODS = [
    Asked("month"),
    Asked("today"),
    Asked("2026-Q3"),
    Asked("2026-10-25"),
    Asked(from_on=date(2026, 10, 20), to_on=date(2026, 11, 3)),
    Asked(from_on=date(2026, 3, 27), to_on=date(2026, 12, 10)),
]


def manager(hub: Hub) -> Caller:
    return Caller(hub.tenant_id, "manager", "ada@example.com", "cli")


def names(caller: Caller) -> list[str]:
    return [metric.name for metric in list_metrics(caller)]


def alike(found: Any, wanted: Any) -> bool:
    if found is None or wanted is None:
        return found is None and wanted is None
    return float(found) == pytest.approx(float(wanted), rel=1e-9, abs=1e-9)


def check(found: Reading, truth: Truth, name: str) -> None:
    period = found.period
    whole = truth.answer(name, period.from_on, period.to_on)
    where = f"{name} {period.from_on} {period.to_on} {truth.world.zone}"
    assert alike(found.value, whole.value), (where, found.value, whole.value)
    before = truth.answer(name, period.previous.from_on, period.from_on)
    assert alike(found.previous, before.value), (where, "previous", found.previous, before.value)
    parts = {part.key: part.value for part in found.parts}
    for key, value in whole.parts.items():
        assert alike(parts[key], value), (where, key, parts[key], value)
    if whole.by_currency:
        assert found.by_currency == whole.by_currency, where
    check_rows(found, whole, where)
    check_series(found, truth, name)


def check_rows(found: Reading, whole: Answer, where: str) -> None:
    assert len(found.rows) == len(whole.rows), where
    if found.metric.name == "deals_by_stage":
        shown = {(row["pipeline"], row["stage"]): row["deals"] for row in found.rows}
        assert shown == {(row["pipeline"], row["stage"]): row["deals"] for row in whole.rows}, where
        return
    for row, wanted in zip(found.rows, whole.rows, strict=True):
        assert row["version"] == wanted["version"], where
        assert all(alike(row[key], wanted[key]) for key in wanted if key != "version"), (where, row, wanted)


def check_series(found: Reading, truth: Truth, name: str) -> None:
    period = found.period
    assert found.series[0].from_on == period.from_on
    assert found.series[-1].to_on == period.to_on
    today = truth.day(NOW)
    for point in found.series:
        if point.from_on > today:
            assert point.value is None
            continue
        wanted = truth.answer(name, point.from_on, point.to_on).value
        assert alike(point.value, wanted), (name, point, wanted)


async def compare(hub: Hub, world: World, caller: Caller, who: Who, asked: Asked, filters: Filters) -> None:
    with time_machine.travel(NOW, tick=False):
        readings = await read_metrics(hub, caller, asked, filters)
    assert len(readings) == 22
    truth = Truth(world, who)
    for reading in readings:
        check(reading, truth, reading.metric.name)


@pytest.mark.parametrize(("seed", "zone", "currency"), WORLDS)
async def test_every_metric_is_what_counting_by_hand_gives(hub: Hub, seed: int, zone: str, currency: str):
    world = make_world(seed, zone, currency)
    await insert_world(hub.db, hub.tenant_id, world)
    for asked in PERIODS:
        await compare(hub, world, manager(hub), Who(), asked, Filters())


async def test_filters_and_what_a_rep_may_see_narrow_every_metric(hub: Hub):
    world = make_world(11, "Europe/Berlin", "EUR")
    await insert_world(hub.db, hub.tenant_id, world)
    first = world.owners[0]
    rep = Caller(hub.tenant_id, "rep", "rep0@example.com", "web", owner_ids=frozenset({first}))
    nobody = Caller(hub.tenant_id, "rep", "new@example.com", "web")
    asked = Asked(from_on=date(2026, 1, 10), to_on=date(2026, 11, 22))
    cases: Sequence[tuple[Caller, Who, Filters]] = [
        (manager(hub), Who(owner=first), Filters(owner="rep0@example.com")),
        (manager(hub), Who(owner=first), Filters(owner="Rep 0")),
        (manager(hub), Who(pipeline=GOVERNMENT), Filters(pipeline="government")),
        (manager(hub), Who(connection=ACCOUNT), Filters(connection="first")),
        (manager(hub), Who(currency="USD"), Filters(currency="usd")),
        (
            manager(hub),
            Who(owner=first, pipeline=GOVERNMENT, connection=ACCOUNT),
            Filters(owner=str(first), pipeline=str(GOVERNMENT), connection=str(ACCOUNT)),
        ),
        (rep, Who(seen={first}), Filters()),
        (rep, Who(seen={first}, pipeline=GOVERNMENT), Filters(pipeline="government")),
        (rep, Who(seen={first}, owner=first), Filters(owner="me")),
        (rep, Who(seen={first}, owner=world.owners[1]), Filters(owner="rep1@example.com")),
        (nobody, Who(seen=set()), Filters()),
    ]
    for caller, who, filters in cases:
        await compare(hub, world, caller, who, asked, filters)


async def test_of_nothing_there_are_no_shares_and_no_errors(hub: Hub):
    world = make_world(5, "Pacific/Auckland", "NZD", contacts=0, deals=0)
    await insert_world(hub.db, hub.tenant_id, world)
    for asked in PERIODS:
        await compare(hub, world, manager(hub), Who(), asked, Filters())


async def test_the_records_behind_a_number_are_those_it_counts(hub: Hub):
    world = make_world(21, "Europe/Berlin", "EUR")
    await insert_world(hub.db, hub.tenant_id, world)
    truth = Truth(world, Who())
    for asked in (Asked("month"), Asked(from_on=date(2026, 2, 1), to_on=date(2026, 9, 1))):
        with time_machine.travel(NOW, tick=False):
            readings = await read_metrics(hub, manager(hub), asked)
        for reading in readings:
            name, period = reading.metric.name, reading.period
            whole = truth.answer(name, period.from_on, period.to_on)
            records = await drill_all(hub, name, asked)
            assert {each.id for each in records} == whole.records, name
            assert len(records) == len(whole.records), name
            check_sum(reading, records)


async def drill_all(hub: Hub, name: str, asked: Asked, **how: Any) -> list[Any]:
    """Go through all pages, which are small."""
    found: list[Any] = []
    after = None
    with time_machine.travel(NOW, tick=False):
        while True:
            page = await drill_down(hub, manager(hub), name, asked, after=after, limit=17, **how)
            found += page.records
            if page.next is None:
                return found
            after = page.next


def check_sum(reading: Reading, records: Sequence[Any]) -> None:
    """Make the number anew from its records."""
    unit, name = reading.metric.unit, reading.metric.name
    values = [each.value for each in records if each.value is not None]
    if name in {"total_sales", "pipeline_value", "total_call_time"}:
        assert alike(reading.value, sum(values, Decimal())), name
    elif name in {"deals_won", "new_contacts", "total_calls", "deals_by_stage"}:
        assert reading.value == len(records), name
    elif unit == "percent":
        counted = sum(1 for each in records if each.counted)
        assert alike(reading.value, 100 * counted / len(records) if records else None), name
    elif name in {"average_installments", "average_call_time"}:
        assert alike(reading.value, sum(values, Decimal()) / len(values) if values else None), name


async def test_a_part_of_a_series_and_a_row_of_a_table_have_records_of_their_own(hub: Hub):
    world = make_world(22, "America/New_York", "USD")
    await insert_world(hub.db, hub.tenant_id, world)
    asked = Asked(from_on=date(2026, 2, 1), to_on=date(2026, 9, 1))
    truth = Truth(world, Who())
    part = await drill_all(hub, "new_contacts", asked, part=date(2026, 4, 17))
    assert {each.id for each in part} == truth.answer(
        "new_contacts", date(2026, 4, 1), date(2026, 5, 1)
    ).records
    inbound = await drill_all(hub, "total_calls", asked, label="inbound")
    wanted = truth.answer("total_calls", date(2026, 2, 1), date(2026, 9, 1))
    assert len(inbound) == wanted.parts["inbound"]
    won = await drill_all(hub, "win_rate", asked, counted=True)
    assert {each.id for each in won} == truth.answer("deals_won", date(2026, 2, 1), date(2026, 9, 1)).records
    ordered = [(each.at, each.id) for each in await drill_all(hub, "new_contacts", asked)]
    assert ordered == sorted(ordered, reverse=True)


async def test_another_tenants_records_are_in_no_number(hub: Hub, admin: Any):
    other = UUID("00000000-0000-7000-8000-0000000000ff")
    await admin.execute(
        "insert into app.tenants (tenant_id, slug, label) values (%s, 'other', 'Other')", (other,)
    )
    await insert_world(hub.db, other, make_world(31, "UTC", "USD"))
    for reading in await read_metrics(hub, manager(hub), Asked(from_on=NOW.date() - timedelta(days=300))):
        assert not reading.value, reading.metric.name
        assert not reading.rows
        page = await drill_down(hub, manager(hub), reading.metric.name, Asked("year"))
        assert page.records == []
