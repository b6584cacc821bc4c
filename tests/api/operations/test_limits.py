"""Limits hold exactly, over any number of processes, and a refusal says which limit it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from served_doors import Doors, serve

from syncline.actions import limits
from syncline.actions.connect import Connected
from syncline.actions.hub import Hub, open_hub
from syncline.actions.limits import set_limits
from syncline.actions.sync import sync
from syncline.config import Settings
from syncline.errors import Invalid, LimitReached

pytestmark = pytest.mark.anyio
LIMITS = "/api/v1/limits"


@pytest.fixture(autouse=True)
async def _whole_minute() -> None:
    """A test of a minute's count must not run over the minute's end."""
    from syncline.clock import now

    left = 60 - now().second
    if left < 12:
        await asyncio.sleep(left + 0.1)


async def test_exactly_as_many_requests_get_through_as_a_key_may_make_over_two_processes(
    doors: Doors, keyed: Settings
) -> None:
    await set_limits(keyed, "default", {"requests_per_minute_per_key": 40})
    token = await doors.key()
    async with (
        open_hub(keyed, application_name="second") as second_hub,
        serve(second_hub) as second,
        httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=30) as client,
    ):
        answers = await asyncio.gather(
            *(client.get(f"{url}{LIMITS}") for _ in range(40) for url in (doors.url, second))
        )
    passed = [each for each in answers if each.status_code == 200]
    refused = [each for each in answers if each.status_code == 429]
    assert (len(passed), len(refused)) == (40, 40)
    told = refused[0].json()
    assert told["limit"] == "requests_per_minute_per_key"
    assert "requests_per_minute_per_key" in told["detail"]
    assert 0 < int(refused[0].headers["retry-after"]) <= 60


async def test_a_tenants_limit_is_shared_by_its_keys_and_touches_no_other_tenant(
    doors: Doors, keyed: Settings, other: Hub
) -> None:
    await set_limits(keyed, "default", {"requests_per_minute": 10})
    async with doors.client() as one, doors.client() as two, doors.client(hub=other) as third:
        answers = [await client.get(LIMITS) for _ in range(8) for client in (one, two)]
        assert [each.status_code for each in answers].count(200) == 10
        assert answers[-1].json()["limit"] == "requests_per_minute"
        assert (await third.get(LIMITS)).status_code == 200


async def test_what_was_refused_is_not_counted(doors: Doors, keyed: Settings) -> None:
    await set_limits(keyed, "default", {"requests_per_minute_per_key": 3, "requests_per_minute": 5})
    async with doors.client() as one, doors.client() as two:
        assert [(await one.get(LIMITS)).status_code for _ in range(6)] == [200] * 3 + [429] * 3
        assert [(await two.get(LIMITS)).status_code for _ in range(3)] == [200, 200, 429]


async def test_the_application_cannot_raise_its_own_limits(hub: Hub) -> None:
    from psycopg.errors import InsufficientPrivilege

    from syncline.clock import now
    from syncline.store import limits as store

    with pytest.raises(InsufficientPrivilege):
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            await store.put(conn, store.Limits(), tenant_id=hub.tenant_id, now=now())


async def test_a_limit_that_makes_no_sense_is_refused(keyed: Settings) -> None:
    with pytest.raises(Invalid, match="no limit called"):
        await set_limits(keyed, "default", {"tea": 1})
    with pytest.raises(Invalid, match="between 1"):
        await set_limits(keyed, "default", {"stored_records": 0})


async def test_calls_to_crms_stop_at_the_days_limit_and_say_so(
    hub: Hub, keyed: Settings, connect: Callable[..., Awaitable[Connected]], admin: Any
) -> None:
    await connect(objects=("owners", "contacts"))
    await set_limits(keyed, "default", {"crm_calls_per_day": 4})
    done = await sync(hub)
    refused = [each for each in done.errors if "crm_calls_per_day" in str(each)]
    assert refused
    calls = (await (await admin.execute("select calls from app.tenant_calls")).fetchone())[0]
    assert calls == 4
    use = {each.limit: each for each in await limits.read_use(hub)}
    assert (use["crm_calls_per_day"].used, use["crm_calls_per_day"].most) == (4, 4)
    await set_limits(keyed, "default", {"crm_calls_per_day": None})
    assert (await sync(hub)).errors == []


async def test_nothing_is_made_where_a_tenant_may_store_no_more(
    doors: Doors, hub: Hub, keyed: Settings, connect: Callable[..., Awaitable[Connected]], admin: Any
) -> None:
    await connect(objects=("owners", "contacts", "companies"))
    await set_limits(keyed, "default", {"stored_records": 42})
    done = await sync(hub, objects=["owners", "contacts"])
    assert done.errors == []
    refused = await sync(hub, objects=["companies"])
    assert [type(each) for each in refused.errors] == [LimitReached]
    assert "stored_records" in str(refused.errors[0])
    stored = (await (await admin.execute("select count(*) from crm.companies")).fetchone())[0]
    assert stored == 0
    with pytest.raises(LimitReached):
        await limits.require_room(hub)
    async with doors.client() as client:
        refused = await client.post("/api/v1/contacts", json={"first_name": "Ada"})
        assert refused.status_code == 429
        assert refused.json()["limit"] == "stored_records"
        await set_limits(keyed, "default", {"stored_records": 43})
        assert (await client.post("/api/v1/contacts", json={"first_name": "Ada"})).status_code == 201
        assert (await client.post("/api/v1/contacts", json={"first_name": "Eve"})).status_code == 429
