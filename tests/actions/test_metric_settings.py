"""What metrics are counted by: words that mean something, and rates that hold from a day on."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest
import time_machine
from measured_rows import insert, insert_world
from measured_world import NOW, make_world

from syncline.actions.audit import list_audit
from syncline.actions.hub import Hub
from syncline.actions.metric_settings import (
    change_settings,
    import_rates,
    list_rates,
    put_rates,
    remove_rate,
    show_settings,
)
from syncline.actions.metrics import Asked, Filters, Reading, read_metric
from syncline.domain.callers import Caller
from syncline.errors import Forbidden, Invalid, NotFound
from syncline.store.rates import Rate

pytestmark = pytest.mark.anyio


def admin(hub: Hub) -> Caller:
    return Caller(hub.tenant_id, "admin", "ada@example.com", "cli")


def manager(hub: Hub) -> Caller:
    return Caller(hub.tenant_id, "manager", "bo@example.com", "web")


async def add_deals(hub: Hub, **columns: object) -> None:
    async with hub.db.transaction(tenant_id=hub.tenant_id, bulk=True) as conn:
        cursor = await conn.execute("select count(*) from crm.deals")
        row = await cursor.fetchone()
        count = int(row[0]) if row else 0
        made = {"tenant_id": hub.tenant_id, "id": UUID(int=(7 << 120) + count), "created_at": NOW, **columns}
        await insert(conn, ("crm", "deals"), [made])


async def read(hub: Hub, name: str, filters: Filters | None = None) -> Reading:
    with time_machine.travel(NOW, tick=False):
        return await read_metric(hub, manager(hub), name, Asked("month"), filters)


async def test_words_that_count_are_a_setting_and_others_are_told(hub: Hub):
    for status in ("yes", "HOT ", "no", "perhaps", None):
        await add_deals(hub, qualified_status=status)
    first = await read(hub, "qualified_rate")
    assert first.value == 20
    assert sorted(first.notes) == [
        "1 record with 'hot', of which the settings do not say what it means.",
        "1 record with 'perhaps', of which the settings do not say what it means.",
    ]
    changed = await change_settings(hub, admin(hub), {"qualified": ["Yes", " hot", "yes"]})
    assert changed.qualified == ["yes", "hot"]
    assert changed.retained == ("active", "completed")
    then = await read(hub, "qualified_rate")
    assert (then.value, len(then.notes)) == (40, 1)
    assert (await show_settings(hub, manager(hub))).qualified == ["yes", "hot"]
    entries = (await list_audit(hub, admin(hub))).entries
    assert [each.action for each in entries] == ["metrics.settings_changed"]


async def test_settings_that_make_no_sense_are_refused(hub: Hub):
    for changes in ({"no_such": ["x"]}, {"cancelled": ["active"]}, {"qualified": ["x" * 300]}):
        with pytest.raises(Invalid) as refused:
            await change_settings(hub, admin(hub), changes)
        assert refused.value.fields
    with pytest.raises(Forbidden):
        await change_settings(hub, manager(hub), {"qualified": ["x"]})


async def test_a_rate_holds_from_its_day_and_what_has_none_is_left_out(hub: Hub):
    await insert_world(hub.db, hub.tenant_id, make_world(1, "UTC", "NOK", contacts=0, deals=0))
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await conn.execute("delete from crm.exchange_rates")
    for day, amount, currency in (
        (3, 100, "SEK"),
        (10, 100, "sek"),
        (12, 7, "NOK"),
        (12, 5, None),
        (13, 1, "ISK"),
    ):
        closed = NOW.replace(day=day)
        await add_deals(hub, status="won", closed_at=closed, amount=amount, currency=currency)
    nothing = await read(hub, "total_sales")
    assert (nothing.value, nothing.by_currency) == (12, {"ISK": 1, "NOK": 12, "SEK": 200})
    assert nothing.notes == [
        "Left out: 1 deal in ISK, for want of a rate to NOK.",
        "Left out: 2 deals in SEK, for want of a rate to NOK.",
    ]
    rates = [
        Rate("SEK", "NOK", date(2026, 11, 1), Decimal("0.9")),
        Rate("sek", "nok", date(2026, 11, 10), Decimal(2)),
    ]
    assert await put_rates(hub, admin(hub), rates) == 2
    assert await put_rates(hub, admin(hub), rates) == 0
    assert (await read(hub, "total_sales")).value == 12 + 90 + 200
    assert (await read(hub, "average_deal_size")).value == Decimal(302) / 4
    only = await read(hub, "total_sales", Filters(currency="ISK"))
    assert (only.value, len(only.notes)) == (1, 2)
    await remove_rate(hub, admin(hub), "SEK", "NOK", date(2026, 11, 10))
    assert (await read(hub, "total_sales")).value == 12 + 90 + 90
    with pytest.raises(NotFound):
        await remove_rate(hub, admin(hub), "SEK", "NOK", date(2026, 11, 10))


async def test_when_nothing_can_be_converted_there_is_no_number(hub: Hub):
    await add_deals(hub, status="won", closed_at=NOW.replace(day=3), amount=5, currency="ISK")
    found = await read(hub, "total_sales")
    assert (found.value, found.previous, found.change) == (None, 0, None)
    assert found.by_currency == {"ISK": 5}


async def test_rates_come_by_file_all_or_none(hub: Hub):
    good = "Currency;Date;Rate;To\nEUR;2026-11-01;1.08;\nGBP;2026-11-01;1.3;USD\nEUR;2026-11-02;1.1;\n"
    assert await import_rates(hub, admin(hub), good.encode()) == 3
    found = await list_rates(hub, manager(hub))
    assert [(each.from_currency, each.valid_on.day, each.rate) for each in found] == [
        ("EUR", 2, Decimal("1.1")),
        ("EUR", 1, Decimal("1.08")),
        ("GBP", 1, Decimal("1.3")),
    ]
    assert len(await list_rates(hub, manager(hub), currency="gbp")) == 1
    for bad in (
        "currency,date\nEUR,2026-11-03\n",
        "currency,date,rate\nCHF,2026-11-03,1\nCHF,soon,1\n",
        "currency,date,rate\nCHF,2026-11-03,much\n",
        "currency,date,rate\nCHF,2026-11-03,-1\n",
        "currency,date,rate\nUSD,2026-11-03,1\n",
        "currency,date,rate\nEURO,2026-11-03,1\n",
    ):
        with pytest.raises(Invalid):
            await import_rates(hub, admin(hub), bad.encode())
    assert len(await list_rates(hub, manager(hub))) == 3
    with pytest.raises(Forbidden):
        await import_rates(hub, manager(hub), good.encode())


async def test_records_without_a_time_are_told(hub: Hub):
    await add_deals(hub, status="won", amount=5)
    await add_deals(hub, status="lost")
    assert (await read(hub, "deals_won")).notes == ["1 closed deal without a time, and so in no period."]
    assert (await read(hub, "win_rate")).notes == ["2 closed deals without a time, and so in no period."]


async def test_before_the_first_known_history_nothing_is_said_of_the_pipeline(hub: Hub):
    await add_deals(hub, status="open", amount=5, currency="USD", stage="new")
    found = await read(hub, "pipeline_value")
    assert (found.value, found.previous) == (5, None)
    assert "not known" in found.notes[0]
    assert [point.value for point in found.series] == [None] * 20 + [5]
