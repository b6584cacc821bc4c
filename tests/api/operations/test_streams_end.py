"""A stream goes on for nobody who may not listen any more: a key that was revoked ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from served_doors import Doors

from syncline.actions.api_keys import list_keys, make_key, revoke_key
from syncline.actions.connect import Connected
from syncline.actions.hub import Hub
from syncline.actions.people import add_person
from syncline.api import events, syncs
from syncline.domain.callers import Caller

pytestmark = pytest.mark.anyio


async def _revoke_all(hub: Hub) -> None:
    admin = Caller(hub.tenant_id, "admin", "test", "cli", is_operator=True)
    for each in await list_keys(hub, admin):
        if each.revoked_at is None:
            await revoke_key(hub, admin, each.id)


@pytest.mark.parametrize("of", ["a run", "everything"])
async def test_a_revoked_key_ends_the_streams_that_were_opened_with_it(
    client: httpx2.AsyncClient,
    doors: Doors,
    connect: Callable[..., Awaitable[Connected]],
    monkeypatch: pytest.MonkeyPatch,
    of: str,
) -> None:
    monkeypatch.setattr(syncs, "PROVE_EVERY_SECONDS", 0.2)
    monkeypatch.setattr(events, "PROVE_EVERY_SECONDS", 0.2)
    await connect(objects=("owners", "contacts"))
    asked = await client.post("/api/v1/syncs", json={"objects": ["contacts"]})
    run = asked.json()["runs"][0]["id"]  # no worker is there to end it
    path = f"/api/v1/syncs/{run}/events" if of == "a run" else "/api/v1/events"
    heard: list[str] = []
    async with asyncio.timeout(30), client.stream("GET", path) as answer:
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        heard.append(await anext(lines))
        await _revoke_all(doors.hub)
        noise = asyncio.create_task(_make_noise(doors, path))
        heard += [line async for line in lines]
        noise.cancel()
    assert "event: error" in heard
    assert any('"status":401' in line.replace(" ", "") for line in heard)


async def test_a_stream_ends_when_whose_records_may_be_seen_has_changed(
    doors: Doors, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PROVE_EVERY_SECONDS", 0.2)
    operator = Caller(doors.hub.tenant_id, "admin", "test", "cli", is_operator=True)
    person = (await add_person(doors.hub, operator, "rob@example.com", "Rob", "manager")).person
    maker = Caller(doors.hub.tenant_id, "admin", "rob@example.com", "cli", user_id=person.id)
    made = await make_key(doors.hub, maker, "rob's", None, "manager", None)
    headers = {"authorization": f"Bearer {made.token}"}
    heard: list[str] = []
    async with (
        asyncio.timeout(30),
        httpx2.AsyncClient(base_url=doors.url, headers=headers, timeout=30) as client,
        client.stream("GET", "/api/v1/events") as answer,
    ):
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        heard.append(await anext(lines))
        # Who has this address at a CRM is the same person from now on.
        await admin.execute(
            "insert into crm.owners (tenant_id, id, email, created_at, updated_at)"
            " values (%s, gen_random_uuid(), 'rob@example.com', now(), now())",
            [doors.hub.tenant_id],
        )
        noise = asyncio.create_task(_make_noise(doors, "/api/v1/events"))
        heard += [line async for line in lines]
        noise.cancel()
    assert "event: error" in heard
    assert any('"status":403' in line.replace(" ", "") for line in heard)


async def _make_noise(doors: Doors, path: str) -> None:
    """Have something told, so that a stream that is silent for long looks sooner."""
    async with doors.client() as other:
        while path == "/api/v1/events":
            await other.post("/api/v1/contacts", json={"first_name": "Somebody"})
            await asyncio.sleep(0.2)
