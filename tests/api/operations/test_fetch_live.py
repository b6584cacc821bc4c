"""Fetching from HubSpot under the address that programs already call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest
from served_doors import Doors

from syncline.actions.connect import Connected
from syncline.actions.reading_live import begin_of
from syncline.clock import now
from syncline.simulators.hubspot import World

pytestmark = pytest.mark.anyio
FETCH = "/functions/v1/fetch-hubspot-live"
Connect = Callable[..., Awaitable[Connected]]


async def stored(admin: Any) -> int:
    rows = await admin.execute(
        "select (select count(*) from raw.hubspot_deals), (select count(*) from crm.deals)"
    )
    return sum((await rows.fetchone()) or (0,))


class TestLive:
    @pytest.fixture
    def world(self) -> World:
        made = World(5)
        none = dict.fromkeys(("companies", "calls", "meetings", "emails", "notes", "tasks", "cars"), 0)
        made.populate(**none, contacts=30, deals=230, owners=3, archived_contacts=2)
        return made

    async def test_every_page_is_read_and_nothing_is_stored(
        self, client: httpx2.AsyncClient, connect: Connect, world: World, admin: Any
    ) -> None:
        await connect()
        answer = await client.post(FETCH, json={"type": "deals", "sync": False})
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["success"], told["complete"], told["total"]) == (True, True, 230)
        assert {each["id"] for each in told["results"]} == {str(each) for each in world.store("deals").living}
        one = next(each for each in told["results"] if each.get("associations"))
        link = one["associations"]["contacts"]["results"][0]
        assert set(link) == {"id", "type"}
        assert one["properties"]["dealname"]
        assert await stored(admin) == 0

    async def test_a_timeframe_leaves_out_what_is_older(
        self, client: httpx2.AsyncClient, connect: Connect, world: World
    ) -> None:
        await connect()
        changed = world.store("deals").living[:3]
        for each in changed:
            world.update("deals", each, {"dealname": "Changed just now"})
        told = (await client.post(FETCH, json={"type": "deals", "timeframe": "today"})).json()
        assert {str(each) for each in changed} <= {each["id"] for each in told["results"]}
        assert told["total"] < 230
        assert datetime.fromisoformat(told["since"]) <= now()

    async def test_owners_are_listed_whole(self, client: httpx2.AsyncClient, connect: Connect) -> None:
        await connect()
        told = (await client.post(FETCH, json={"type": "owners"})).json()
        assert told["total"] == 3


async def test_a_sync_runs_in_the_worker_and_is_told(
    client: httpx2.AsyncClient, connect: Connect, worker: None
) -> None:
    await connect()
    answer = await client.post(FETCH, json={"type": "deals", "sync": True, "timeframe": "this_month"})
    assert answer.status_code == 200, answer.text
    run = answer.json()["runs"][0]
    assert (run["object"], run["status"]) == ("deals", "success")
    assert (await client.get(f"/api/v1/syncs/{run['id']}")).json()["requested_by"].startswith("key")


async def test_what_cannot_be_fetched_says_why(
    client: httpx2.AsyncClient, connect: Connect, doors: Doors
) -> None:
    assert (await client.post(FETCH, json={"type": "deals"})).status_code == 404
    await connect()
    assert (await client.post(FETCH, json={"type": "unicorns"})).status_code == 404
    assert (await client.post(FETCH, json={"type": "deals", "timeframe": "ever"})).status_code == 422
    await connect("second")
    several = await client.post(FETCH, json={"type": "deals"})
    assert several.status_code == 400
    assert several.json()["errors"][0]["field"] == "connection"
    assert (await client.post(FETCH, json={"type": "deals", "connection": "second"})).status_code == 200
    async with doors.client("rep") as rep:
        assert (await rep.post(FETCH, json={"type": "deals"})).status_code == 403


def test_timeframes_begin_at_midnight_where_the_tenant_is() -> None:
    zone = ZoneInfo("Europe/Berlin")
    local = datetime(2026, 3, 31, 0, 30, tzinfo=UTC).astimezone(zone)  # the summer's clock, since two days
    assert begin_of("today", local).isoformat() == "2026-03-31T00:00:00+02:00"
    assert begin_of("this_week", local).isoformat() == "2026-03-30T00:00:00+02:00"
    assert begin_of("this_month", local).isoformat() == "2026-03-01T00:00:00+01:00"
