"""A run that is cancelled ends behind a commit, in whichever process; the next one goes on from there."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from served_doors import until

from syncline.actions.connect import Connected
from syncline.actions.hub import Hub
from syncline.simulators.hubspot import World
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio
PULL = Path(__file__).parents[2] / "engine" / "pull_process.py"


@pytest.fixture
def world() -> World:
    made = World(3)
    none = dict.fromkeys(("companies", "deals", "calls", "meetings", "emails", "notes", "tasks", "cars"), 0)
    made.populate(**none, contacts=6000, owners=2, archived_contacts=0)
    return made


async def test_a_run_in_another_process_ends_behind_what_it_committed(
    hub: Hub,
    client: httpx2.AsyncClient,
    connect: Callable[..., Awaitable[Connected]],
    database_urls: DatabaseUrls,
    world: World,
    admin: Any,
) -> None:
    connected = await connect(objects=("owners", "contacts"))
    assert hub.settings.secret_key is not None
    asked = {
        "url": database_urls.app,
        "key": hub.settings.secret_key.get_secret_value(),
        "tenant": str(hub.tenant_id),
        "connection": str(connected.connection.id),
        "object": "contacts",
        "chunk_rows": 100,
        "mode": "backfill",
    }

    async def start() -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(PULL), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(asked).encode())
        process.stdin.close()
        return process

    process = await start()

    async def under_way() -> Any:
        listed = (await client.get("/api/v1/syncs", params={"object": "contacts"})).json()["runs"]
        return [each for each in listed if each["status"] == "running" and each["records_read"] > 0]

    run = (await until(under_way, 30))[0]
    answer = await client.post(f"/api/v1/syncs/{run['id']}/cancel")
    assert answer.status_code == 200, answer.text
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert out.decode().strip() == "cancelled"
    ended = (await client.get(f"/api/v1/syncs/{run['id']}")).json()
    assert ended["status"] == "cancelled"
    assert ended["cancel_requested_by"].startswith("key")
    stored = (await (await admin.execute("select count(*) from raw.hubspot_contacts")).fetchone())[0]
    assert 0 < ended["records_read"] == stored < 6000

    again = await start()
    out, _ = await asyncio.wait_for(again.communicate(), 60)
    assert out.decode().strip() == "success"
    stored = (await (await admin.execute("select count(*) from raw.hubspot_contacts")).fetchone())[0]
    assert stored == 6000


async def test_a_run_whose_process_died_is_written_down_as_cancelled(
    hub: Hub, client: httpx2.AsyncClient, connect: Callable[..., Awaitable[Connected]], admin: Any
) -> None:
    await connect(objects=("owners",))
    asked = (await client.post("/api/v1/syncs", json={"objects": ["owners"]})).json()["runs"][0]
    await admin.execute("update sync.runs set status = 'running', started_at = now()")
    answer = await client.post(f"/api/v1/syncs/{asked['id']}/cancel")
    assert answer.json()["status"] == "cancelled", answer.text
