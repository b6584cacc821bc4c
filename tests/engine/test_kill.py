"""A process killed in mid-run costs what it had in hand: the next one goes on, nothing comes twice."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from simulated import LIST, Mirror, Watch, assert_mirrors, mirror_of, truth, world_of

from syncline.config import Settings
from syncline.domain.sealing import Vault, new_key
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

DRIVER = Path(__file__).with_name("pull_process.py")


async def start(mirror: Mirror, url: str, key: str, chunk_rows: int, mode: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(DRIVER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    asked = {
        "url": url,
        "key": key,
        "tenant": str(mirror.tenant_id),
        "connection": str(mirror.connection_id),
        "object": "contacts",
        "chunk_rows": chunk_rows,
        "mode": mode,
    }
    assert process.stdin is not None
    process.stdin.write(json.dumps(asked).encode())
    process.stdin.close()
    return process


async def kill_often(
    mirror: Mirror,
    url: str,
    key: str,
    rng: Random,
    *,
    kills: int,
    pages: int,
    chunk_rows: int,
    mode: str = "pull",
) -> int:
    """Let processes pull, or reconcile, until one gets through, killing the first ones at random moments."""
    answered, killed = asyncio.Event(), 0
    left = 0

    def count(route: str) -> None:
        nonlocal left
        left -= route == LIST
        if left <= 0:
            answered.set()

    Watch(mirror.world, count)
    while True:
        answered.clear()
        left = rng.randrange(1, pages) if killed < kills else sys.maxsize
        process = await start(mirror, url, key, chunk_rows, mode)
        ending = asyncio.create_task(process.wait())
        told = asyncio.create_task(answered.wait())
        await asyncio.wait({ending, told}, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            told.cancel()
            assert ending.result() == 0
            return killed
        # Anywhere between the answer and the end of the transaction it leads to
        await asyncio.sleep(rng.random() * 0.3)
        if process.returncode is None:
            process.kill()
            killed += 1
        await ending


async def assert_nothing_came_twice(mirror: Mirror) -> None:
    await assert_mirrors(mirror, "contacts")
    records = await mirror.records("contacts", "contacts")
    expected = truth(mirror.world, "contacts")
    assert {i: r["email"] for i, r in records.items()} == {i: p["email"] for i, p in expected.items()}
    counts = await mirror.select(
        "select (select count(*) from crm.contacts) as records,"
        " (select count(*) from sync.links where object = 'contacts') as links,"
        " (select count(*) from crm.change_log where record_type = 'contact') as changes,"
        " (select count(distinct record_id) from crm.change_log where record_type = 'contact') as changed,"
        " (select sum(records_read) from sync.runs where object = 'contacts')::bigint as read,"
        " (select sum(records_created) from sync.runs where object = 'contacts')::bigint as created"
    )
    # Nothing is made twice. A page may be read twice, where a range was split behind its reader's back
    # and the process killed before the upper half had a page of its own.
    read = counts[0].pop("read")
    assert set(counts[0].values()) == {len(expected)}
    assert len(expected) <= read <= len(expected) * 1.5


async def test_a_backfill_that_is_killed_again_and_again_goes_on_each_time(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
):
    world, key, rng = world_of(contacts=3000), new_key(), Random()
    async with mirror_of(world, db, settings, tenant_id, vault=Vault([key])) as mirror:
        killed = await kill_often(mirror, database_urls.app, key, rng, kills=4, pages=14, chunk_rows=200)
        assert killed == 4
        await assert_nothing_came_twice(mirror)
        runs = await mirror.select(
            "select status, records_read from sync.runs where object = 'contacts' order by requested_at"
        )
        assert runs[-1]["status"] == "success"
        assert {run["status"] for run in runs[:-1]} <= {"failed"}


@pytest.mark.nightly
@pytest.mark.timeout(1800)
async def test_a_backfill_of_29000_that_is_killed_20_times_ends_as_if_it_had_not_been(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
):
    world, key, rng = world_of(contacts=29_000), new_key(), Random()
    async with mirror_of(world, db, settings, tenant_id, vault=Vault([key])) as mirror:
        killed = await kill_often(mirror, database_urls.app, key, rng, kills=20, pages=30, chunk_rows=500)
        assert killed == 20
        await assert_nothing_came_twice(mirror)
