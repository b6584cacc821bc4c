"""The worker: schedules and requests are served, and the change log's partitions kept ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from syncline.actions.connect import Connected
from syncline.actions.hub import Hub
from syncline.actions.readiness import list_unready
from syncline.actions.schedules import hurry_schedules, schedule_reconciles
from syncline.actions.work import Runner, run_worker
from syncline.clock import now
from syncline.engine.work import RunJob
from syncline.simulators.hubspot import World
from syncline.store import partitions, runs, schedules
from syncline.store.drift import SourceCount, list_source_counts
from syncline.store.runs import Run

pytestmark = pytest.mark.anyio

Connect = Callable[..., Awaitable[Connected]]


@asynccontextmanager
async def working(hub: Hub) -> AsyncGenerator[None]:
    stop = asyncio.Event()
    worker = asyncio.create_task(run_worker(hub, stop=stop))
    try:
        yield
    finally:
        stop.set()
        await worker


async def await_run(hub: Hub, wanted: Callable[[Run], bool]) -> Run:
    async with asyncio.timeout(30):
        while True:
            async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
                for run in await runs.list_latest(conn, tenant_id=hub.tenant_id):
                    if run.completed_at is not None and wanted(run):
                        return run
            await asyncio.sleep(0.05)


async def test_what_a_schedule_wants_is_done(hub: Hub, connect: Connect):
    await connect(objects=("contacts",))
    async with working(hub):
        run = await await_run(hub, lambda run: run.object == "contacts")
    assert (run.status, run.requested_by, run.records_created) == ("success", "schedule", 42)


async def test_what_somebody_asked_for_is_done_in_his_name(hub: Hub, connect: Connect):
    connection = (await connect(objects=("contacts",))).connection
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        asked = await runs.request(
            conn,
            tenant_id=hub.tenant_id,
            connection_id=connection.id,
            object_name="companies",
            mode="manual",
            requested_by="sql",
            now=now(),
        )
    async with working(hub):
        run = await await_run(hub, lambda run: run.id == asked)
    assert (run.status, run.requested_by, run.records_created) == ("success", "sql", 8)


async def test_a_hurried_schedule_runs_again_at_once(hub: Hub, world: World, connect: Connect):
    connection = (await connect(objects=("contacts",))).connection
    async with working(hub):
        first = await await_run(hub, lambda run: run.object == "contacts")
        world.update("contacts", world.store("contacts").living[0], {"jobtitle": "Chief of Tests"})
        await hurry_schedules(hub, connection, ["contacts"])
        run = await await_run(hub, lambda run: run.object == "contacts" and run.id != first.id)
    assert (run.mode, run.records_updated) == ("incremental", 1)


async def test_partitions_that_are_missing_are_made(hub: Hub, database_urls: Any):
    month = (now().date().replace(day=1) + timedelta(days=32)).replace(day=1)
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as admin:
        await admin.execute(f"drop table crm.change_log_{month:%Y_%m}")  # type: ignore[arg-type]
    async with working(hub), asyncio.timeout(30):
        while True:
            async with hub.db.statement() as conn:
                if not await partitions.list_missing(conn, [month]):
                    break
            await asyncio.sleep(0.05)


async def test_the_installation_is_ready_while_a_worker_lives(hub: Hub):
    assert [reason.code for reason in await list_unready(hub)] == ["worker"]
    async with working(hub), asyncio.timeout(30):
        while await list_unready(hub):
            await asyncio.sleep(0.05)


async def test_a_reconcile_is_done_when_it_is_due_and_not_before_the_first_load(hub: Hub, connect: Connect):
    connection = (await connect(objects=("contacts",))).connection
    due = (
        "update sync.schedules set next_at = now() where tenant_id = %(tenant_id)s and mode = 'reconcile'",
        {"tenant_id": hub.tenant_id},
    )
    async with hub.remotes() as remotes:
        # Nothing has been read: there is nothing to compare, and no run of it.
        job = RunJob(hub.tenant_id, connection.id, "contacts", "reconcile", None, asyncio.Event())
        await Runner(hub.db, remotes, hub.settings).run(job)
    async with working(hub):
        await await_run(hub, lambda run: run.object == "contacts")
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            await conn.execute(*due)
        async with asyncio.timeout(30):
            while not (found := await list_counts(hub)):
                await asyncio.sleep(0.05)
    assert [(each.object, each.mirrored, each.open) for each in found] == [("contacts", 40, 0)]
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        cursor = await conn.execute("select requested_by, status from sync.runs where mode = 'reconcile'")
        assert await cursor.fetchall() == [("schedule", "success")]


async def list_counts(hub: Hub) -> list[SourceCount]:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await list_source_counts(conn, tenant_id=hub.tenant_id)


async def test_connections_from_before_get_the_daily_reconcile_once(hub: Hub, connect: Connect):
    connection = (await connect(objects=("contacts", "deals"))).connection
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await conn.execute("delete from sync.schedules where mode = 'reconcile'")
    await schedule_reconciles(hub.db)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await conn.execute(
            "update sync.schedules set enabled = false, cron = '0 3 * * *'"
            " where mode = 'reconcile' and object = 'deals'"
        )
    # What a person has set stays.
    await schedule_reconciles(hub.db)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        planned = await schedules.list_schedules(conn, tenant_id=hub.tenant_id, connection_id=connection.id)
    found = {each.object: (each.cron, each.enabled) for each in planned if each.mode == "reconcile"}
    assert found == {"contacts": ("0 0 * * *", True), "deals": ("0 3 * * *", False)}
