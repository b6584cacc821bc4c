"""The status: per object how current it is, and why not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from syncline.actions.connect import Connected
from syncline.actions.hub import Hub
from syncline.actions.status import ObjectStatus, read_status
from syncline.actions.sync import sync
from syncline.engine.lease import hold_lease
from syncline.engine.write import lease_purpose
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN

pytestmark = pytest.mark.anyio

Connect = Callable[..., Awaitable[Connected]]
Admin = psycopg.AsyncConnection[Any]


async def object_status(hub: Hub, name: str) -> ObjectStatus:
    status = await read_status(hub)
    return next(one for one in status.connections[0].objects if one.object == name)


async def test_an_installation_without_connections_has_an_empty_status(hub: Hub):
    status = await read_status(hub)
    assert (status.connections, status.workers, status.tenant) == ([], [], "default")


async def test_an_object_goes_from_never_to_fresh_to_late(hub: Hub, connect: Connect, admin: Admin):
    await connect()
    assert (await object_status(hub, "deals")).state == "never"
    await sync(hub, objects=["deals"])
    fresh = await object_status(hub, "deals")
    assert (fresh.state, fresh.count_here) == ("fresh", 8)
    assert fresh.last_success_at is not None
    await admin.execute(
        "update sync.runs set started_at = started_at - interval '1 day', "
        "completed_at = completed_at - interval '1 day'"
    )
    assert (await object_status(hub, "deals")).state == "late"


async def test_a_failed_object_says_why(hub: Hub, world: World, connect: Connect):
    await connect()
    world.auth.revoke(DEFAULT_TOKEN)
    await sync(hub, objects=["deals"])
    status = await read_status(hub)
    assert status.connections[0].connection.status == "paused"
    one = next(one for one in status.connections[0].objects if one.object == "deals")
    assert one.state == "paused"
    assert one.problem is not None
    assert "token" in one.problem


async def test_a_schedule_that_was_switched_off_shows(hub: Hub, connect: Connect, admin: Admin):
    await connect()
    await sync(hub, objects=["deals"])
    await admin.execute("update sync.schedules set enabled = false where object = 'deals'")
    assert (await object_status(hub, "deals")).state == "off"


async def test_parked_records_are_counted(hub: Hub, world: World, connect: Connect):
    await connect()
    world.plant_all_defects()
    await sync(hub, objects=["contacts"])
    one = await object_status(hub, "contacts")
    assert one.state == "partial"
    assert one.parked > 0


async def test_workers_that_show_no_life_are_told_from_those_that_do(hub: Hub, admin: Admin):
    for seconds in (1, 120):
        await admin.execute(
            "insert into sync.workers (id, host, pid, version, concurrency, started_at, seen_at) "
            "values (gen_random_uuid(), 'here', 1, '0', 4, now(), now() - make_interval(secs => %s))",
            [seconds],
        )
    status = await read_status(hub)
    assert (len(status.workers), status.living_workers) == (2, 1)


async def test_the_quota_is_shown_once_calls_were_made(hub: Hub, connect: Connect):
    await connect()
    status = await read_status(hub)
    assert {used.bucket for used in status.connections[0].quota} >= {"burst", "search"}


async def test_a_run_whose_process_died_is_not_called_running(hub: Hub, connect: Connect, admin: Admin):
    connection = (await connect()).connection
    await admin.execute(
        "insert into sync.runs (tenant_id, id, connection_id, object, mode, status, requested_by, "
        "requested_at, started_at, updated_at) values (%s, gen_random_uuid(), %s, 'deals', 'incremental', "
        "'running', 'test', "
        "now(), now(), now())",
        [connection.tenant_id, connection.id],
    )
    orphan = await object_status(hub, "deals")
    assert orphan.state == "failed"
    assert "process ended" in str(orphan.problem)
    async with hold_lease(
        hub.db,
        tenant_id=hub.tenant_id,
        connection_id=connection.id,
        purpose=lease_purpose("deals"),
        seconds=30,
    ):
        assert (await object_status(hub, "deals")).state == "running"
