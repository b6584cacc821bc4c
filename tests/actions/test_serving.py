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
from syncline.actions.schedules import hurry_schedules
from syncline.actions.work import run_worker
from syncline.clock import now
from syncline.simulators.hubspot import World
from syncline.store import partitions, runs
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
