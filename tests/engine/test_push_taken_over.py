"""Who waits for quota, and is taken over or told to stop meanwhile, sends nothing any more."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import UUID

import pytest
from simulated import Mirror, mirror_of, reopened, truth, world_of

from syncline.config import Settings
from syncline.domain.sealing import Vault, new_key
from syncline.engine.leave import WritingStopped
from syncline.engine.push import PURPOSE
from syncline.errors import LeaseLost
from syncline.store import leases
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

DRIVER = Path(__file__).with_name("push_process.py")
KEY = new_key()


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    async with mirror_of(world_of(contacts=2), db, settings, tenant_id, vault=Vault([KEY])) as made:
        await made.make_unique("contacts")
        await made.sync("owners", "contacts")
        await made.allow("contacts", "create")
        yield made


async def close_quota(mirror: Mirror) -> None:
    """Let no call out, as after a refusal that names a time."""
    await set_quota(mirror, 60)


async def open_quota(mirror: Mirror) -> None:
    await set_quota(mirror, 0)


async def set_quota(mirror: Mirror, seconds: int) -> None:
    async with mirror.db.transaction(tenant_id=None) as conn:
        await conn.execute(
            "update sync.quota_buckets set closed_until = now() + make_interval(secs => %s)"
            " where account_id = %s",
            (seconds, str(mirror.connection_id)),
        )


async def make_contact(mirror: Mirror) -> None:
    await mirror.execute(
        "insert into crm.contacts (tenant_id, id, email, first_name)"
        " values (%(tenant_id)s, gen_random_uuid(), 'new@here.example', 'New')"
    )


async def until(mirror: Mirror, query: str) -> None:
    """Wait until a query finds something."""
    async with asyncio.timeout(60):
        while not await mirror.select(query):  # type: ignore[arg-type]
            await asyncio.sleep(0.02)


async def until_committed(mirror: Mirror) -> None:
    """Wait until a push has written down what it is about to send."""
    await until(mirror, "select 1 from sync.remote_changes where state = 'sent'")


def made(mirror: Mirror) -> int:
    return sum(each["firstname"] == "New" for each in truth(mirror.world, "contacts").values())


async def test_a_create_that_waited_for_quota_is_not_sent_once_another_has_taken_over(
    mirror: Mirror, database_urls: DatabaseUrls
):
    await make_contact(mirror)
    await close_quota(mirror)
    async with reopened(mirror, database_urls.app) as other:
        pushing = asyncio.create_task(other.push())
        await until_committed(mirror)
        await mirror.execute(
            "update sync.leases set fence = fence + 1, holder = 'another' where tenant_id = %(tenant_id)s"
        )
        await open_quota(mirror)
        with pytest.raises(LeaseLost):
            await pushing
        assert made(mirror) == 0
    await mirror.execute("update sync.leases set holder = null where tenant_id = %(tenant_id)s")
    await mirror.settle()
    assert made(mirror) == 1


async def test_a_call_that_waited_for_quota_is_not_sent_once_writing_is_stopped(
    mirror: Mirror, database_urls: DatabaseUrls
):
    await make_contact(mirror)
    await close_quota(mirror)
    async with reopened(mirror, database_urls.app) as other:
        pushing = asyncio.create_task(other.push())
        await until_committed(mirror)
        await mirror.execute("update sync.connections set writes_enabled = false")
        await open_quota(mirror)
        with pytest.raises(WritingStopped):
            await pushing
        assert made(mirror) == 0
    await mirror.execute("update sync.connections set writes_enabled = true")
    await mirror.settle()
    assert made(mirror) == 1
    assert await mirror.select("select 1 from sync.remote_changes where state = 'sent'") == []


async def start(mirror: Mirror, url: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(DRIVER), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    asked = {
        "url": url,
        "key": KEY,
        "tenant": str(mirror.tenant_id),
        "connection": str(mirror.connection_id),
        "batch": 10,
    }
    assert process.stdin is not None
    process.stdin.write(json.dumps(asked).encode())
    process.stdin.close()
    return process


async def take_over(mirror: Mirror) -> int:
    """Take the lease as soon as it has expired, and return its fence."""
    async with asyncio.timeout(90):
        while True:
            async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
                fence = await leases.take(
                    conn,
                    tenant_id=mirror.tenant_id,
                    connection_id=mirror.connection_id,
                    purpose=PURPOSE,
                    holder="another",
                    seconds=300,
                )
            if fence is not None:
                return fence
            await asyncio.sleep(0.05)


async def test_a_process_that_was_stopped_while_it_waited_for_quota_sends_nothing_when_it_wakes(
    mirror: Mirror, database_urls: DatabaseUrls
):
    await make_contact(mirror)
    await close_quota(mirror)
    process = await start(mirror, database_urls.app)
    try:
        await until_committed(mirror)
        process.send_signal(signal.SIGSTOP)
        fence = await take_over(mirror)
        await open_quota(mirror)
        process.send_signal(signal.SIGCONT)
        await until(mirror, "select 1 from sync.runs where mode = 'push' and status <> 'running'")
        assert made(mirror) == 0
        # It has nothing but to wait for its turn, and then makes it once.
        async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
            await leases.release(
                conn,
                tenant_id=mirror.tenant_id,
                connection_id=mirror.connection_id,
                purpose=PURPOSE,
                fence=fence,
            )
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert made(mirror) == 1
    creations = [each for each in mirror.world.events if each.kind == "contact.creation"]
    assert sum(each.source[0] == "INTEGRATION" for each in creations) == 1
