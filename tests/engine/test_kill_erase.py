"""A process killed while it erases costs nothing: the next one goes on, here and at the CRM."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from simulated import Mirror, mirror_of, world_of

from syncline.clock import now
from syncline.config import Settings
from syncline.domain.sealing import Vault, new_key
from syncline.engine.barring import Order, put_order
from syncline.engine.persons import Sought, find_person
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

DRIVER = Path(__file__).with_name("erase_process.py")


async def go_on(
    mirror: Mirror, urls: DatabaseUrls, key: str, erasure_id: UUID, kill_after: float | None
) -> int:
    """Let a process go on with the erasure; returns how it ended, -9 when it was killed."""
    # Whoever was killed would be waited for.
    await mirror.execute("update sync.erasures set not_before = now() where tenant_id = %(tenant_id)s")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(DRIVER), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    asked = {
        "url": urls.app,
        "admin_url": urls.admin,
        "key": key,
        "tenant": str(mirror.tenant_id),
        "erasure": str(erasure_id),
    }
    process.stdin.write(json.dumps(asked).encode())
    process.stdin.close()
    await process.stdout.readline()
    if kill_after is not None:
        await asyncio.sleep(kill_after)
        if process.returncode is None:
            process.kill()
    return await process.wait()


async def test_a_process_killed_at_any_moment_leaves_nothing_undone(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
) -> None:
    key, rng = new_key(), Random(5)
    world = world_of(contacts=60, calls=40)
    async with mirror_of(world, db, settings, tenant_id, vault=Vault([key])) as mirror:
        await mirror.sync("contacts", "calls")
        store = world.store("contacts")
        remote_ids = [i for i in sorted(store.living) if store.records[i].get("email")][:4]
        for number, remote_id in enumerate(remote_ids):
            email = str(store.records[remote_id].get("email")).lower()
            async with db.transaction(tenant_id=tenant_id) as conn:
                found = await find_person(conn, Sought(emails=(email,)), tenant_id=tenant_id)
                order = Order("test", "cli", {mirror.connection_id: "wanted"}, {})
                erasure_id = await put_order(
                    conn, mirror.vault, found.subject, order, tenant_id=tenant_id, now=now()
                )
            # From before the gate is closed to behind the call to the CRM.
            for _ in range(2):
                await go_on(mirror, database_urls, key, erasure_id, 0.12 * rng.random() * (number + 1))
            for _ in range(10):  # the session of one that was killed may just be ending
                if await is_done(mirror, erasure_id):
                    break
                await go_on(mirror, database_urls, key, erasure_id, None)
            assert remote_id in store.erased
            assert await left(mirror, email) == [0, 0, 0, 0]
            [row] = await mirror.select(
                "select state, subject from sync.erasures where id = %(id)s", id=erasure_id
            )
            assert row == {"state": "done", "subject": None}
        erased = await mirror.select("select * from crm.change_log where action = 'erased'")
        assert len(erased) == len(remote_ids)


async def is_done(mirror: Mirror, erasure_id: UUID) -> bool:
    [row] = await mirror.select("select state from sync.erasures where id = %(id)s", id=erasure_id)
    return row["state"] == "done"


async def left(mirror: Mirror, email: str) -> list[int]:
    """Count what still speaks of an address."""
    [row] = await mirror.select(
        "select (select count(*) from crm.contacts where email_norm = %(email)s) as records,"
        " (select count(*) from raw.hubspot_contacts where raw::text like %(like)s) as mirrors,"
        " (select count(*) from crm.change_log where changes::text like %(like)s) as changes,"
        " (select count(*) from sync.links where base::text like %(like)s) as links",
        email=email,
        like=f"%{email}%",
    )
    return list(row.values())
