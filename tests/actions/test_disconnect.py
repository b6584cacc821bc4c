"""Ending a connection: shown first, then with its data or without, and nothing of others' is broken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from syncline.actions.connect import Connected
from syncline.actions.disconnect import disconnect, plan_departure
from syncline.actions.hub import Hub
from syncline.actions.sync import sync
from syncline.domain.records import RECORD_TYPES
from syncline.errors import LeaseLost, NotFound
from syncline.simulators.hubspot import World

pytestmark = pytest.mark.anyio

Connect = Callable[..., Awaitable[Connected]]
Admin = psycopg.AsyncConnection[Any]
#: What the tables refer to one another by, without what costs more calls.
MAIN = ("owners", "companies", "contacts", "deals", "associations", "history")
TABLES = {kind.name: f"crm.{kind.table}" for kind in RECORD_TYPES.values()}


async def scalar(admin: Admin, statement: str) -> Any:
    row = await (await admin.execute(statement)).fetchone()  # type: ignore[arg-type]
    return None if row is None else row[0]


async def count_all(admin: Admin) -> dict[str, int]:
    return {name: await scalar(admin, f"select count(*) from {table}") for name, table in TABLES.items()}


async def test_what_would_go_is_shown_and_stays(hub: Hub, connect: Connect, admin: Admin):
    await connect()
    await sync(hub, objects=MAIN)
    before = await count_all(admin)
    plan = await plan_departure(hub, "acme")
    assert plan.only_here == {name: count for name, count in before.items() if count}
    assert plan.payloads["raw.hubspot_contacts"] == 42
    assert await count_all(admin) == before


async def test_kept_records_and_their_pipelines_stay(hub: Hub, connect: Connect, admin: Admin):
    await connect()
    await sync(hub, objects=MAIN)
    before = await count_all(admin)
    await disconnect(hub, "acme", remove_data=False)
    assert await count_all(admin) == before
    assert await hub.list_connections() == []
    assert await scalar(admin, "select count(*) from raw.hubspot_contacts") == 0
    assert await scalar(admin, "select count(*) from sync.links") == 0
    assert await scalar(admin, "select count(*) from crm.pipelines where connection_id is null") > 0
    assert await scalar(admin, "select count(*) from crm.deals where stage_id is not null") > 0


async def test_removed_data_is_gone_without_a_trace_but_the_log(hub: Hub, connect: Connect, admin: Admin):
    await connect()
    await sync(hub, objects=MAIN)
    before = await count_all(admin)
    departure = await disconnect(hub, "acme", remove_data=True)
    assert departure.only_here == {name: count for name, count in before.items() if count}
    assert set((await count_all(admin)).values()) == {0}
    for table in ("crm.pipelines", "crm.stages", "crm.field_history", "raw.associations", "sync.schedules"):
        assert await scalar(admin, f"select count(*) from {table}") == 0
    deleted = await scalar(
        admin, "select count(*) from crm.change_log where action = 'deleted' and changes = '{}'"
    )
    assert deleted == sum(before.values())


async def test_what_another_connection_is_linked_to_stays(hub: Hub, connect: Connect, admin: Admin):
    first, second = (await connect("one")).connection, (await connect("two")).connection
    await sync(hub, names=["one"], objects=["contacts"])
    await sync(hub, names=["two"], objects=["contacts"])
    # One account seen twice: people with an address were recognised, and belong to both.
    shared = await scalar(
        admin,
        "select count(*) from (select record_id from sync.links group by 1 "
        "having count(distinct connection_id) = 2) s",
    )
    assert shared > 0
    total = await scalar(admin, "select count(*) from crm.contacts")
    plan = await plan_departure(hub, "one")
    await disconnect(hub, "one", remove_data=True)
    left = await scalar(admin, "select count(*) from crm.contacts")
    assert left == total - plan.only_here.get("contact", 0)
    assert left >= shared
    links = await scalar(admin, f"select count(*) from sync.links where connection_id = '{second.id}'")
    assert links > 0
    assert first.id != second.id


async def test_records_of_ones_own_lose_their_reference_and_say_so(hub: Hub, connect: Connect, admin: Admin):
    await connect()
    await sync(hub, objects=["companies", "contacts"])
    await admin.execute(
        "insert into crm.contacts (tenant_id, id, email, company_id) "
        "select tenant_id, gen_random_uuid(), 'own@example.com', id from crm.companies limit 1"
    )
    await disconnect(hub, "acme", remove_data=True)
    row = await (await admin.execute("select email, company_id from crm.contacts")).fetchall()
    assert row == [("own@example.com", None)]
    logged = await scalar(
        admin,
        "select count(*) from crm.change_log where action = 'updated' and changes ? 'company_id' "
        "and record_id = (select id from crm.contacts)",
    )
    assert logged == 1


async def test_records_that_were_merged_go_with_their_survivor(
    hub: Hub, world: World, connect: Connect, admin: Admin
):
    await connect()
    await sync(hub, objects=["contacts"])
    one, other = world.store("contacts").living[:2]
    world.merge("contacts", one, other)
    await sync(hub, objects=["contacts"])
    assert await scalar(admin, "select count(*) from crm.contacts where merged_into is not null") > 0
    await disconnect(hub, "acme", remove_data=True)
    assert await scalar(admin, "select count(*) from crm.contacts") == 0


async def test_connecting_anew_after_a_removal_brings_everything_back(
    hub: Hub, connect: Connect, admin: Admin
):
    await connect()
    await sync(hub, objects=MAIN)
    before = await count_all(admin)
    await disconnect(hub, "acme", remove_data=True)
    await connect()
    result = await sync(hub, objects=MAIN)
    assert result.errors == []
    assert await count_all(admin) == before


async def test_a_sync_that_is_under_way_writes_nothing_more(
    hub: Hub, world: World, connect: Connect, admin: Admin
):
    await connect()
    world.settings.latency_ms = 100
    syncing = asyncio.create_task(sync(hub, objects=MAIN))
    async with asyncio.timeout(30):
        while not await scalar(admin, "select count(*) from sync.links"):
            await asyncio.sleep(0.01)
    await disconnect(hub, "acme", remove_data=True)
    result = await syncing
    assert {type(error) for error in result.errors} <= {LeaseLost, NotFound}
    assert result.errors
    assert set((await count_all(admin)).values()) == {0}
    assert await scalar(admin, "select count(*) from raw.hubspot_contacts") == 0


async def test_an_unknown_connection_is_told(hub: Hub):
    with pytest.raises(NotFound):
        await disconnect(hub, "nobody", remove_data=True)
