"""A process killed while it pushes costs nothing: the next one finds what has arrived, and sends the rest."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb
from simulated import Mirror, Watch, mirror_of, truth, world_of

from syncline.config import Settings
from syncline.domain.sealing import Vault, new_key
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

DRIVER = Path(__file__).with_name("push_process.py")
#: Those a process may be killed behind: reading what is to be changed, looking for what was made, writing.
CALLS = ("batch/read", "batch/update", "batch/upsert")
#: Higher than any test goes.
BRAKES = {kind: {"count": 1_000_000, "share": 1.0} for kind in ("create", "change", "delete")}


async def start(mirror: Mirror, url: str, key: str, batch: int) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(DRIVER), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    asked = {
        "url": url,
        "key": key,
        "tenant": str(mirror.tenant_id),
        "connection": str(mirror.connection_id),
        "batch": batch,
    }
    assert process.stdin is not None
    process.stdin.write(json.dumps(asked).encode())
    process.stdin.close()
    return process


async def kill_often(mirror: Mirror, url: str, key: str, rng: Random, *, kills: int, batch: int) -> int:
    """Let processes push until one gets through, killing the first ones around the calls they make."""
    answered, killed, left = asyncio.Event(), 0, 0

    def count(route: str) -> None:
        nonlocal left
        left -= route.endswith(CALLS)
        if left <= 0:
            answered.set()

    Watch(mirror.world, count)
    while True:
        answered.clear()
        left = rng.randint(1, 8) if killed < kills else sys.maxsize
        process = await start(mirror, url, key, batch)
        ending = asyncio.create_task(process.wait())
        told = asyncio.create_task(answered.wait())
        await asyncio.wait({ending, told}, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            told.cancel()
            assert ending.result() == 0
            return killed
        # Before the answer leaves, or anywhere between it and the commits it leads to
        await asyncio.sleep(rng.choice((0.0, rng.random() * 0.01, rng.random() * 0.05)))
        if process.returncode is None:
            process.kill()
            killed += 1
        await ending


async def prepare(mirror: Mirror, creates: int) -> None:
    """Edit every contact here, and make as many more, in SQL."""
    await mirror.execute(
        "update sync.connections set settings = settings || %(brakes)s", brakes=Jsonb({"brakes": BRAKES})
    )
    await mirror.make_unique("contacts")
    await mirror.pull("contacts")
    await mirror.allow("contacts", "create")
    await mirror.execute(
        "update crm.contacts set job_title = 'Title ' || id, first_name = 'Edited' where true"
    )
    await mirror.execute(
        "insert into crm.contacts (tenant_id, id, email, first_name, job_title)"
        " select %(tenant_id)s, gen_random_uuid(), 'made-' || n || '@here.example', 'Made', 'Title ' || n"
        " from generate_series(1, %(count)s::int) n",
        count=creates,
    )


async def assert_exactly_once(mirror: Mirror, updates: list[int], creates: int) -> None:
    theirs = truth(mirror.world, "contacts")
    ours = await mirror.records("contacts", "contacts")
    # Nothing is missing or there twice, and every value is right.
    assert theirs.keys() == ours.keys()
    assert len(theirs) == len(updates) + creates
    emails = Counter(each["email"] for each in theirs.values())
    assert {email for email, count in emails.items() if email and count > 1} == set()
    for remote_id in map(str, updates):
        record = ours[remote_id]
        assert (theirs[remote_id]["firstname"], theirs[remote_id]["jobtitle"]) == (
            "Edited",
            f"Title {record['id']}",
        )
    made = {each["email"]: each for each in theirs.values() if each["firstname"] == "Made"}
    assert {email: each["jobtitle"] for email, each in made.items()} == {
        f"made-{n}@here.example": f"Title {n}" for n in range(1, creates + 1)
    }
    events = [each for each in mirror.world.events if each.source[0] == "INTEGRATION"]
    assert sum(each.kind == "contact.creation" for each in events) == creates
    await assert_written_down(mirror, ours)


async def assert_written_down(mirror: Mirror, ours: dict[str, dict[str, Any]]) -> None:
    """Check the log of our side, of what was sent, and that nothing is left over."""
    assert await mirror.select("select from sync.queue") == []
    assert await mirror.select("select from sync.links where sent is not null") == []
    log = await mirror.select(
        "select record_id, action, count(*) as count from crm.change_log"
        " where record_type = 'contact' and source <> 'pull' group by 1, 2"
    )
    assert {row["record_id"] for row in log} == {each["id"] for each in ours.values()}
    assert {row["count"] for row in log} == {1}
    changes = await mirror.select("select * from sync.remote_changes")
    assert {row["state"] for row in changes} == {"done"}
    assert all(row["remote_id"] and row["answered_at"] for row in changes)
    told = Counter((row["record_id"], row["action"]) for row in changes)
    # What was sent again because its answer was lost is one line.
    assert set(told.values()) == {1}
    assert {record_id for record_id, _ in told} == {each["id"] for each in ours.values()}


async def push_and_kill(
    db: Database, settings: Settings, tenant_id: UUID, url: str, *, kills: int, count: int, batch: int
) -> None:
    world, key = world_of(contacts=count), new_key()
    updates = list(world.store("contacts").living)
    async with mirror_of(world, db, settings, tenant_id, vault=Vault([key])) as mirror:
        await prepare(mirror, count)
        world.settings.latency_ms = 10
        assert await kill_often(mirror, url, key, Random(), kills=kills, batch=batch) == kills
        world.settings.latency_ms = 0
        await assert_exactly_once(mirror, updates, count)
        # and it stays so.
        await mirror.pull("contacts")
        await mirror.pull("contacts", full=True)
        assert (await mirror.push()).run_ids == []
        await assert_exactly_once(mirror, updates, count)


@pytest.mark.first
async def test_a_push_that_is_killed_again_and_again_writes_everything_once(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
):
    await push_and_kill(db, settings, tenant_id, database_urls.app, kills=4, count=200, batch=5)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
async def test_5000_creates_and_5000_changes_killed_100_times_are_each_made_once(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
):
    await push_and_kill(db, settings, tenant_id, database_urls.app, kills=100, count=5_000, batch=10)
