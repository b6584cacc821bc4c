"""The pipeline day by day against plain Python over the same records, and what numbers can be filtered by."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from measured_rows import insert_world
from measured_truth import Asked as Who
from measured_truth import Truth
from measured_world import NOW, World, make_world

from syncline.actions.hub import Hub
from syncline.actions.metric_choices import read_choices
from syncline.actions.metrics import Asked, Filters
from syncline.actions.overview import Table, Wanted, read_table
from syncline.actions.tenants import create_tenant
from syncline.domain.callers import Caller
from syncline.engine.snapshot import take_snapshot
from syncline.errors import Forbidden, Invalid

pytestmark = pytest.mark.anyio

TAKEN_AT = datetime.fromisoformat("2026-11-03T00:00:04+00:00")
DAY = date(2026, 11, 3)


@pytest.fixture
async def world(hub: Hub) -> World:
    made = make_world(43, "Europe/Berlin", "EUR")
    await insert_world(hub.db, hub.tenant_id, made)
    with time_machine.travel(NOW, tick=False):
        await take_snapshot(hub.db, hub.tenant_id, TAKEN_AT)
    return made


def manager(hub: Hub) -> Caller:
    return Caller(hub.tenant_id, "manager", "ada@example.com", "cli")


async def read(hub: Hub, wanted: Wanted | None = None, caller: Caller | None = None) -> Table:
    with time_machine.travel(NOW, tick=False):
        return await read_table(hub, caller or manager(hub), "pipeline_history", wanted)


def truth_of(truth: Truth) -> tuple[int, Decimal, Decimal]:
    """Return how many deals are open, their value, and that weighted, at the rates of the day."""
    count, value, weighted = 0, Decimal(), Decimal()
    for deal, _, _, amount, chance in truth.open_at(NOW.date() + timedelta(days=30)) or []:
        count += 1
        told = truth.convert(amount, truth.currency_of(deal), DAY)
        if told is not None:
            value += told
            weighted += told * chance / 100 if chance is not None else 0
    return count, value, weighted


async def test_a_day_that_was_kept_is_what_was_open_then(hub: Hub, world: World):
    found = await read(hub)
    [row] = found.rows
    assert (row["day"], row["source"]) == (DAY, "snapshot")
    assert (row["deals"], row["value"], row["weighted"]) == truth_of(Truth(world, Who()))


async def test_only_the_days_of_a_period_are_shown(hub: Hub, world: World):
    assert world
    before = Wanted(Asked(from_on=date(2026, 10, 1), to_on=DAY))
    assert (await read(hub, before)).rows == []
    on_it = Wanted(Asked(from_on=DAY, to_on=DAY + timedelta(days=1)))
    assert [row["day"] for row in (await read(hub, on_it)).rows] == [DAY]


async def test_an_owners_deals_are_counted_alone_and_a_rep_sees_no_others(hub: Hub, world: World):
    mine = world.owners[0]
    [row] = (await read(hub, Wanted(filters=Filters(owner=str(mine))))).rows
    rep = Caller(hub.tenant_id, "rep", "ron@example.com", "cli", owner_ids=frozenset({mine}))
    [seen] = (await read(hub, caller=rep)).rows
    [all_of_them] = (await read(hub)).rows
    assert 0 < row["deals"] <= seen["deals"] < all_of_them["deals"]


async def test_what_has_no_rate_is_left_out_and_said_to_be(hub: Hub, world: World):
    assert world
    found = await read(hub, Wanted(filters=Filters(currency="CLP")))
    assert found.rows[0]["value"] is None
    assert found.notes == ["On 1 day deals in other currencies are left out, for want of a rate to CLP."]


async def test_days_are_not_kept_by_connection(hub: Hub, world: World):
    assert world
    with pytest.raises(Invalid, match="not kept by connection"):
        await read(hub, Wanted(filters=Filters(connection="first")))


async def test_numbers_are_filtered_by_what_the_tenant_has_and_a_rep_by_their_own(hub: Hub, world: World):
    choices = await read_choices(hub, manager(hub))
    assert {each.value for each in choices.owners} == {str(each) for each in world.owners}
    assert len(choices.pipelines) > 1
    assert len({each.label for each in choices.pipelines}) == len(choices.pipelines)
    assert choices.currencies[0].value == "EUR"
    assert choices.connections
    mine = world.owners[0]
    rep = Caller(hub.tenant_id, "rep", "ron@example.com", "cli", owner_ids=frozenset({mine}))
    assert [each.value for each in (await read_choices(hub, rep)).owners] == [str(mine)]
    nobody = Caller(hub.tenant_id, "manager", "key:x", "api", scopes=frozenset({"syncs:read"}))
    with pytest.raises(Forbidden):
        await read_choices(hub, nobody)


async def test_another_tenants_owners_and_pipelines_are_no_choice(hub: Hub, world: World):
    assert world
    operator = Caller(hub.tenant_id, "admin", "test", "cli", is_operator=True)
    tenant = await create_tenant(hub, operator, "other", "Other Ltd")
    there = Hub(hub.settings, hub.location, hub.db, tenant)
    found = await read_choices(there, Caller(tenant.tenant_id, "manager", "eve@example.com", "cli"))
    assert (found.owners, found.connections) == ([], [])
    ours = {each.value for each in (await read_choices(hub, manager(hub))).pipelines}
    assert ours.isdisjoint(each.value for each in found.pipelines)
    rows = (await read_table(there, manager(there), "pipeline_history")).rows
    assert rows == []
