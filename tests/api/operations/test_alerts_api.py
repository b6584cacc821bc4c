"""Alerts over HTTP: who changed rules is kept, channels tell no address, managers see and admins change."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from served_doors import Doors

from receiver import Receiver, receiving
from syncline.actions import channels
from syncline.actions.alerts import list_open
from syncline.actions.hub import Hub
from syncline.clock import now, to_ms
from syncline.domain.callers import Caller
from syncline.engine.alerts import look
from syncline.errors import Forbidden, Invalid
from syncline.store import sealed

pytestmark = pytest.mark.anyio
RULES = "alerts:\n  - {name: failing, condition: failed_runs > 0, notify: 'webhook:ops'}\n"


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving(lambda: to_ms(now())) as opened:
        yield opened


async def add_channel(client: httpx2.AsyncClient, url: str, kind: str = "webhook") -> dict[str, Any]:
    answer = await client.post("/api/v1/channels", json={"kind": kind, "name": "ops", "url": url})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def fail_a_run(admin: Any, hub: Hub) -> None:
    await admin.execute(
        "insert into sync.connections (tenant_id, id, platform, name, base_url, created_at, updated_at)"
        " values (%s, gen_random_uuid(), 'hubspot', 'acme', 'http://127.0.0.1:1', now(), now())",
        [hub.tenant_id],
    )
    await admin.execute(
        "insert into sync.runs (tenant_id, id, connection_id, object, mode, status, requested_by,"
        " requested_at, started_at, completed_at, updated_at) select tenant_id, gen_random_uuid(), id,"
        " 'deals', 'incremental', 'failed', 'test', now(), now(), now(), now() from sync.connections"
    )


async def test_an_alert_is_listed_acknowledged_and_told_of(
    client: httpx2.AsyncClient, hub: Hub, admin: Any
) -> None:
    await add_channel(client, "https://hooks.example.com/x")
    assert (await client.put("/api/v1/alert-rules", json={"document": RULES})).status_code == 200
    await fail_a_run(admin, hub)
    assert await look(hub.db, hub.tenant) is not None
    (found,) = (await client.get("/api/v1/alerts", params={"state": "open"})).json()["alerts"]
    assert (found["rule"], found["connection"], found["object"]) == ("failing", "acme", "deals")
    path = f"/api/v1/alerts/{found['id']}"
    taken = (await client.post(f"{path}/acknowledge")).json()
    assert taken["acknowledged_by"]
    assert (await client.post(f"{path}/acknowledge")).json()["acknowledged_at"] == taken["acknowledged_at"]
    told = (await client.get(path)).json()["told"]
    assert [(each["channel"], each["recipient"], each["status"]) for each in told] == [
        ("webhook", "ops", "pending")
    ]
    assert (await client.get("/api/v1/alerts", params={"state": "closed"})).json()["alerts"] == []


async def test_rules_are_kept_with_who_changed_them_and_faults_are_told_by_field(
    client: httpx2.AsyncClient,
) -> None:
    shipped = (await client.get("/api/v1/alert-rules")).json()
    assert shipped["is_default"]
    given = RULES.replace("webhook:ops", "role:admin")
    changed = (await client.put("/api/v1/alert-rules", json={"document": given})).json()
    assert (changed["document"], changed["is_default"]) == (given, False)
    assert changed["changed_by"]
    refused = await client.put("/api/v1/alert-rules", json={"document": RULES})
    assert refused.status_code == 400
    assert "failing.notify" in refused.text
    assert (await client.get("/api/v1/alert-rules")).json()["document"] == given
    reset = (await client.delete("/api/v1/alert-rules")).json()
    assert (reset["document"], reset["is_default"]) == (shipped["document"], True)


async def test_what_rules_would_do_is_said_before_they_hold(
    client: httpx2.AsyncClient, hub: Hub, admin: Any
) -> None:
    await fail_a_run(admin, hub)
    given = {"document": RULES.replace("webhook:ops", "role:admin")}
    (found,) = (await client.post("/api/v1/alert-rules/check", json=given)).json()["rules"]
    assert found["firing"] == [{"value": 1.0, "connection": "acme", "object": "deals"}]
    assert (await client.get("/api/v1/alerts")).json()["alerts"] == []


async def test_a_channel_is_tried_signed_with_its_secret_and_its_address_is_told_nobody(
    client: httpx2.AsyncClient, receiver: Receiver, hub: Hub
) -> None:
    made = await add_channel(client, receiver.url)
    assert receiver.url not in (await client.get("/api/v1/channels")).text
    assert made["channel"]["host"] == "127.0.0.1"
    assert (await client.post("/api/v1/channels/webhook/ops/test")).json() == {
        "arrived": True,
        "reason": None,
    }
    sent = receiver.deliveries[0]
    parts = dict(each.split("=") for each in sent.headers["syncline-signature"].split(","))
    proof = hmac.new(made["secret"].encode(), f"{parts['t']}.".encode() + sent.body, hashlib.sha256)
    assert hmac.compare_digest(proof.hexdigest(), parts["v1"])
    receiver.always = 500
    assert not (await client.post("/api/v1/channels/webhook/ops/test")).json()["arrived"]
    columns = [each for each in sealed.SEALED if each.table == ("app", "channels")]
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        stored = [
            value
            for each in columns
            for _, value in await sealed.list_values(conn, each, tenant_id=hub.tenant_id)
        ]
    assert len(stored) == 2
    assert all(hub.vault().is_current(each) for each in stored)


async def test_a_channel_that_rules_name_stays_and_a_name_is_taken_once(client: httpx2.AsyncClient) -> None:
    await add_channel(client, "https://hooks.example.com/x")
    again = {"kind": "webhook", "name": "ops", "url": "https://hooks.example.com/y"}
    assert (await client.post("/api/v1/channels", json=again)).status_code == 409
    await client.put("/api/v1/alert-rules", json={"document": RULES})
    refused = await client.delete("/api/v1/channels/webhook/ops")
    assert (refused.status_code, "Take it out" in refused.text) == (400, True)
    await client.delete("/api/v1/alert-rules")
    assert (await client.delete("/api/v1/channels/webhook/ops")).status_code == 204
    assert (await client.delete("/api/v1/channels/webhook/ops")).status_code == 404


@pytest.mark.parametrize(
    "url", ["http://hooks.example.com/x", "ftp://x.example.com", "https://a@b.example.com"]
)
async def test_an_address_that_cannot_be_posted_to_is_refused_without_repeating_it(
    client: httpx2.AsyncClient, url: str
) -> None:
    answer = await client.post("/api/v1/channels", json={"kind": "slack", "name": "ops", "url": url})
    assert answer.status_code == 400
    assert url not in answer.text


async def test_what_was_given_up_is_sent_after_all(client: httpx2.AsyncClient, hub: Hub, admin: Any) -> None:
    await admin.execute(
        "insert into crm.notifications (tenant_id, id, notification_type, recipient, subject, status,"
        " error_message, created_at) values (%s, gen_random_uuid(), 'email', 'admin', 'x', 'failed', 'why',"
        " now())",
        [hub.tenant_id],
    )
    failed = (await client.get("/api/v1/notifications", params={"status": "failed"})).json()["notifications"]
    assert [each["error_message"] for each in failed] == ["why"]
    path = f"/api/v1/notifications/{failed[0]['id']}/retry"
    assert (await client.post(path)).status_code == 204
    assert (await client.post(path)).status_code == 404
    assert (await client.get("/api/v1/notifications", params={"status": "pending"})).json()["notifications"]


async def test_managers_see_and_admins_change(doors: Doors) -> None:
    async with doors.client(role="manager") as manager:
        for path in ("alerts", "alert-rules", "channels"):
            assert (await manager.get(f"/api/v1/{path}")).status_code == 200, path
        assert (await manager.get("/api/v1/notifications")).status_code == 403
        assert (await manager.delete("/api/v1/alert-rules")).status_code == 403
        assert (await manager.put("/api/v1/alert-rules", json={"document": RULES})).status_code == 403
        assert (await manager.post("/api/v1/channels/slack/ops/test")).status_code == 403
    async with doors.client(role="rep") as rep:
        assert (await rep.get("/api/v1/alerts")).status_code == 403


async def test_whose_address_was_told_is_for_who_may_change_settings(
    client: httpx2.AsyncClient, doors: Doors, hub: Hub, admin: Any
) -> None:
    given = RULES.replace("'webhook:ops'", "[role:admin, ada@example.com]")
    assert (await client.put("/api/v1/alert-rules", json={"document": given})).status_code == 200
    await fail_a_run(admin, hub)
    await look(hub.db, hub.tenant)
    await admin.execute("update crm.notifications set error_message = 'ada@example.com is full'")
    (found,) = (await client.get("/api/v1/alerts")).json()["alerts"]
    path = f"/api/v1/alerts/{found['id']}"
    whole = (await client.get(path)).json()["told"]
    assert {each["recipient"] for each in whole} == {"admin", "ada@example.com"}
    assert all(each["subject"] and each["error_message"] for each in whole)
    async with doors.client(role="manager") as manager:
        told = (await manager.get(path)).json()["told"]
    assert {each["recipient"] for each in told} == {"admin", None}
    assert {(each["channel"], each["subject"], each["error_message"]) for each in told} == {
        ("email", None, None)
    }


async def test_what_is_open_is_for_who_may_see_connections(hub: Hub) -> None:
    with pytest.raises(Forbidden):
        await list_open(hub, Caller(hub.tenant_id, "rep", "rob@example.com", "api"))
    assert await list_open(hub, Caller(hub.tenant_id, "manager", "mia@example.com", "api")) == []


async def test_a_channel_on_this_machine_needs_leave(hub: Hub) -> None:
    settings = hub.settings.model_copy(update={"webhooks_to_private_addresses": False})
    caller = Caller(hub.tenant_id, "admin", "ada@example.com", "api")
    with pytest.raises(Invalid):
        await channels.add_channel(
            replace(hub, settings=settings), caller, "webhook", "ops", "http://localhost:9/x"
        )
