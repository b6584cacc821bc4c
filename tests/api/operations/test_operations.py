"""Syncs, connections and everything around them through the API, as a program would drive them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from served_doors import Doors, until

from syncline.actions.connect import Connected
from syncline.actions.sync import sync
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN

pytestmark = pytest.mark.anyio
API = "/api/v1"


async def test_a_connection_is_checked_added_renamed_paused_and_removed(
    client: httpx2.AsyncClient, crm_url: str
) -> None:
    given = {"name": "acme", "platform": "hubspot", "token": DEFAULT_TOKEN, "base_url": crm_url}
    checked = await client.post(f"{API}/connections/check", json={**given, "objects": ["contacts", "owners"]})
    assert checked.status_code == 200, checked.text
    assert {each["object"] for each in checked.json()["objects"]} == {"contacts", "owners"}
    assert (await client.get(f"{API}/connections")).json() == {"connections": []}

    refused = await client.post(f"{API}/connections/check", json={**given, "token": "pat-wrong"})
    assert refused.status_code == 409
    assert "token" in refused.json()["detail"]
    nowhere = await client.post(f"{API}/connections/check", json={**given, "base_url": "gopher://x"})
    assert nowhere.status_code == 400
    assert "base URL" in nowhere.json()["detail"]

    added = await client.post(f"{API}/connections", json={**given, "objects": ["contacts", "owners"]})
    assert added.status_code == 201, added.text
    assert added.json()["objects"] == ["contacts", "owners"]
    assert DEFAULT_TOKEN not in added.text

    changed = await client.patch(f"{API}/connections/acme", json={"name": "main", "status": "paused"})
    assert (changed.json()["name"], changed.json()["status"]) == ("main", "paused")
    assert (await client.patch(f"{API}/connections/main", json={"status": "active"})).status_code == 200
    assert (await client.patch(f"{API}/connections/main", json={"colour": "red"})).status_code == 422

    schedules = (await client.get(f"{API}/connections/main/schedules")).json()["schedules"]
    assert {each["object"] for each in schedules} >= {"contacts", "owners"}
    order = {"object": "contacts", "cron": "*/7 * * * *"}
    assert (await client.patch(f"{API}/connections/main/schedules", json=order)).json()[
        "cron"
    ] == "*/7 * * * *"
    wrong = await client.patch(f"{API}/connections/main/schedules", json={**order, "cron": "every day!"})
    assert wrong.status_code == 400
    assert wrong.json()["errors"][0]["field"] == "cron"

    brakes = await client.patch(f"{API}/connections/main/brakes", json={"change": {"count": 7, "share": 0.5}})
    assert brakes.json()["limits"]["change"] == {"count": 7, "share": 0.5}
    mapping = (await client.get(f"{API}/connections/main/mapping")).json()
    assert any(each["field"] == "email" for each in mapping["fields"])
    assert (await client.get(f"{API}/connections/main/writing")).json()["permissions"] == []

    assert (await client.get(f"{API}/connections/main/removal")).json()["only_here"] == {}
    assert (await client.delete(f"{API}/connections/main")).status_code == 200
    assert (await client.get(f"{API}/connections/main")).status_code == 404
    entries = (await client.get(f"{API}/audit")).json()
    assert "connection.removed" in str(entries)


async def test_a_sync_that_was_asked_for_is_done_by_a_worker_and_can_be_watched(
    client: httpx2.AsyncClient, connect: Callable[..., Awaitable[Connected]], worker: None
) -> None:
    await connect(objects=("owners", "contacts"))
    asked = await client.post(f"{API}/syncs", json={"objects": ["contacts"], "full": True})
    assert asked.status_code == 202, asked.text
    run = asked.json()["runs"][0]
    seen: list[str] = []
    async with client.stream("GET", f"{API}/syncs/{run['id']}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        seen.extend([line[7:] async for line in answer.aiter_lines() if line.startswith("event: ")])
    assert seen[-1] == "ended"
    ended = (await client.get(f"{API}/syncs/{run['id']}")).json()
    assert (ended["status"], ended["records_read"]) == ("success", 42)
    assert ended["requested_by"].startswith("key")


async def test_runs_are_listed_page_by_page_without_a_gap(
    client: httpx2.AsyncClient, doors: Doors, connect: Callable[..., Awaitable[Connected]]
) -> None:
    await connect(objects=("owners", "contacts"))
    await sync(doors.hub)
    await sync(doors.hub)
    every = (await client.get(f"{API}/syncs", params={"limit": 100})).json()["runs"]
    assert len(every) >= 6
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        params = {"limit": 2} | ({"after": after} if after else {})
        page = (await client.get(f"{API}/syncs", params=params)).json()
        found.extend(each["id"] for each in page["runs"])
        after = page["after"]
    assert found == [each["id"] for each in every]
    of_owners = (await client.get(f"{API}/syncs", params={"object": "owners"})).json()["runs"]
    assert {each["object"] for each in of_owners} == {"owners"}
    assert (await client.get(f"{API}/syncs", params={"after": "nonsense"})).status_code == 400


async def test_a_run_that_waits_is_not_asked_for_twice_and_is_cancelled_at_once(
    client: httpx2.AsyncClient, connect: Callable[..., Awaitable[Connected]]
) -> None:
    await connect()
    one = (await client.post(f"{API}/syncs", json={"objects": ["deals"]})).json()["runs"]
    two = (await client.post(f"{API}/syncs", json={"objects": ["deals"]})).json()["runs"]
    assert [each["id"] for each in one] == [each["id"] for each in two]
    cancelled = await client.post(f"{API}/syncs/{one[0]['id']}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    assert (await client.post(f"{API}/syncs/{one[0]['id']}/cancel")).status_code == 400
    unknown = await client.post(f"{API}/syncs", json={"objects": ["unicorns"]})
    assert unknown.status_code == 404
    assert "unicorns" in unknown.json()["detail"]


async def test_status_quota_limits_and_queue_are_told(
    client: httpx2.AsyncClient, doors: Doors, connect: Callable[..., Awaitable[Connected]]
) -> None:
    await connect(objects=("owners", "contacts"))
    await sync(doors.hub)
    status = (await client.get(f"{API}/status")).json()
    states = {each["object"]: each["state"] for each in status["connections"][0]["objects"]}
    assert states["contacts"] == "fresh"
    quota = (await client.get(f"{API}/quota")).json()["quota"][0]
    assert quota["connection"] == "acme"
    assert all("day_forecast" in each for each in quota["buckets"])
    limits = {each["limit"]: each for each in (await client.get(f"{API}/limits")).json()["limits"]}
    assert limits["requests_per_minute"]["used"] > 0
    assert limits["stored_records"]["used"] == 42
    for path in ("queue", "parked", "conflicts", "decisions", "drift", "duplicates", "webhooks"):
        answer = await client.get(f"{API}/{path}")
        assert answer.status_code == 200, (path, answer.text)


async def test_a_plan_is_made_and_tells_of_its_progress(
    client: httpx2.AsyncClient, doors: Doors, connect: Callable[..., Awaitable[Connected]]
) -> None:
    await connect(objects=("owners", "contacts"))
    await sync(doors.hub)
    order = {"connection": "acme", "objects": ["contacts"]}
    plan = await client.post(f"{API}/plans", json=order)
    assert plan.status_code == 200, plan.text
    assert plan.json()["pulls"][0]["object"] == "contacts"
    told = await client.post(f"{API}/plans", json=order, headers={"accept": "text/event-stream"})
    assert "event: progress" in told.text
    assert told.text.count("event: result") == 1


async def test_an_edit_is_allowed_pushed_and_taken_back(
    client: httpx2.AsyncClient, doors: Doors, connect: Callable[..., Awaitable[Connected]], admin: Any
) -> None:
    await connect(objects=("owners", "contacts"))
    await sync(doors.hub)
    wish = {"object": "contacts", "fields": ["job_title"]}
    preview = await client.post(f"{API}/connections/acme/writing/preview", json=wish)
    assert preview.json()["fields"][0]["state"] == "new", preview.text
    assert (await client.post(f"{API}/connections/acme/writing/allow", json=wish)).status_code == 200
    await admin.execute(
        "update crm.contacts set job_title = 'Director' where id = (select id from crm.contacts"
        " where archived_at is null order by id limit 1)"
    )
    waiting = (await client.get(f"{API}/queue")).json()["waiting"]
    assert [each["fields"] for each in waiting] == [["job_title"]]

    assert (await client.post(f"{API}/writing/stop")).json() == {"changed": True}
    stopped = await client.post(f"{API}/connections/acme/push")
    assert stopped.status_code == 400
    assert (await client.post(f"{API}/writing/resume")).json() == {"changed": True}
    pushed = await client.post(f"{API}/connections/acme/push")
    assert pushed.status_code == 200, pushed.text
    assert pushed.json()["drained"]["updated"] == 1
    run = pushed.json()["drained"]["run_ids"][0]

    shown = await client.post(f"{API}/syncs/{run}/undo/preview")
    assert shown.status_code == 200, shown.text
    assert shown.json()["taken"]
    undone = await client.post(f"{API}/syncs/{run}/undo", json={})
    assert undone.status_code == 200, undone.text
    assert undone.json()["undo_run_id"]


async def test_conflicts_are_listed_shown_and_resolved(
    client: httpx2.AsyncClient,
    doors: Doors,
    connect: Callable[..., Awaitable[Connected]],
    world: Any,
    admin: Any,
) -> None:
    await connect(objects=("owners", "contacts"))
    await sync(doors.hub)
    document = {"version": 1, "policy": "review"}
    applied = await client.put(f"{API}/connections/acme/mapping", json={"document": document})
    assert applied.status_code == 200, applied.text
    rows = await (
        await admin.execute(
            "select l.remote_id, l.record_id from sync.links l join crm.contacts c on c.id = l.record_id"
            " where l.object = 'contacts' and c.archived_at is null order by 1 limit 1"
        )
    ).fetchall()
    remote_id, record_id = rows[0]
    await admin.execute("update crm.contacts set job_title = 'Ours' where id = %s", [record_id])
    world.update("contacts", int(remote_id), {"jobtitle": "Theirs"})

    async def conflicts() -> Any:
        await sync(doors.hub, objects=["contacts"])
        return (await client.get(f"{API}/conflicts")).json()["conflicts"]

    found = (await until(conflicts))[0]
    assert (found["ours"], found["theirs"]) == ("Ours", "Theirs")
    shown = (await client.get(f"{API}/conflicts/{found['id']}")).json()
    assert shown["rule"] == "review"
    wrong = await client.post(f"{API}/conflicts/{found['id']}/resolve", json={"resolution": "custom"})
    assert wrong.status_code == 400
    resolved = await client.post(
        f"{API}/conflicts/{found['id']}/resolve", json={"resolution": "custom", "value": "Both"}
    )
    assert resolved.json()["outcomes"][0]["value"] == "Both", resolved.text
    assert (await client.get(f"{API}/conflicts")).json()["conflicts"] == []


async def test_who_may_not_is_told_what_would_be_enough(doors: Doors) -> None:
    async with doors.client("rep") as rep:
        refused = await rep.get(f"{API}/connections")
        assert refused.status_code == 403
        assert "manager" in refused.json()["detail"]
    async with doors.client("admin", scopes=["syncs:read"]) as scoped:
        assert (await scoped.get(f"{API}/status")).status_code == 200
        refused = await scoped.post(f"{API}/syncs", json={})
        assert refused.status_code == 403
        assert "syncs:run" in refused.json()["detail"]
    async with httpx2.AsyncClient(base_url=doors.url) as nobody:
        refused = await nobody.get(f"{API}/status")
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
