"""Many records over the API: edits and imports planned, applied, taken back; files out, views, figures."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import Any
from uuid import UUID

import httpx2
import pytest

from syncline.actions.batches import begin_batch
from syncline.actions.hub import Hub
from syncline.clock import new_id, now
from syncline.domain.callers import Caller
from syncline.store import batches

pytestmark = pytest.mark.anyio
Client = httpx2.AsyncClient


async def make(client: Client, kind: str, **values: Any) -> dict[str, Any]:
    answer = await client.post(f"/api/v1/{kind}", json=values)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def wait_for(client: Client, batch_id: str) -> dict[str, Any]:
    while True:
        batch = (await client.get(f"/api/v1/batches/{batch_id}")).json()
        if batch["state"] not in ("planned", "running"):
            return batch
        await asyncio.sleep(0.01)


async def test_an_edit_is_planned_applied_watched_and_taken_back(manager: Client):
    for number in range(3):
        await make(manager, "contacts", email=f"p{number}@example.com", lifecycle_stage="lead")
    select = {"filters": [{"field": "lifecycle_stage", "op": "eq", "values": ["lead"]}]}
    planned = await manager.post(
        "/api/v1/contacts/bulk", json={"select": select, "values": {"lifecycle_stage": "customer"}}
    )
    assert planned.status_code == 201, planned.text
    plan = planned.json()
    assert plan["samples"][0]["changes"] == {"lifecycle_stage": ["lead", "customer"]}
    batch_id = plan["batch"]["id"]
    applied = await manager.post(f"/api/v1/batches/{batch_id}/apply")
    assert (applied.status_code, applied.headers["location"]) == (202, f"/api/v1/batches/{batch_id}")
    ended = await wait_for(manager, batch_id)
    assert (ended["state"], ended["changed"], ended["undone_by"]) == ("success", 3, None)
    again = await manager.post(f"/api/v1/batches/{batch_id}/apply")
    assert again.status_code == 400
    undo = (await manager.post(f"/api/v1/batches/{batch_id}/undo")).json()
    async with manager.stream(
        "POST", f"/api/v1/batches/{undo['id']}/apply", headers={"accept": "text/event-stream"}
    ) as answer:
        assert answer.status_code == 200
        events = (await answer.aread()).decode()
    assert "event: progress" in events
    result = json.loads(events.partition("event: result\ndata: ")[2].partition("\n")[0])
    assert (result["state"], result["changed"]) == ("success", 3)
    assert [each["id"] for each in (await manager.get("/api/v1/batches")).json()["items"]] == [
        undo["id"],
        batch_id,
    ]
    stages = {each["lifecycle_stage"] for each in (await manager.get("/api/v1/contacts")).json()["items"]}
    assert stages == {"lead"}


async def test_a_batch_that_was_given_up_says_why_and_goes_on_when_it_is_applied_again(
    manager: Client, hub: Hub
):
    made = await make(manager, "contacts", email="p@example.com", lifecycle_stage="lead")
    planned = await manager.post(
        "/api/v1/contacts/bulk",
        json={"select": {"ids": [made["id"]]}, "values": {"lifecycle_stage": "customer"}},
    )
    batch_id = UUID(planned.json()["batch"]["id"])
    person = Caller(hub.tenant_id, "manager", "mona@example.com", "api")
    await begin_batch(hub, person, batch_id)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        assert await batches.note_failure(
            conn, batch_id, "It rained.", tenant_id=hub.tenant_id, most=1, now=now()
        )
    told = (await manager.get(f"/api/v1/batches/{batch_id}")).json()
    assert (told["state"], told["failure"]) == ("partial", "It was given up after 1 tries. It rained.")
    assert (await manager.post(f"/api/v1/batches/{batch_id}/apply")).status_code == 202
    ended = await wait_for(manager, str(batch_id))
    assert (ended["state"], ended["changed"], ended["failure"]) == ("success", 1, None)


async def test_wrong_edits_are_told_with_their_field(manager: Client, rep: Client):
    await make(manager, "deals", name="Oven")
    for body in (
        {"select": {}},
        {"select": {}, "values": {"amount": "x"}},
        {"select": {"filters": [{"field": "nothing"}]}, "values": {"amount": 1}},
        {"select": {"ids": [str(new_id())]}, "values": {"amount": 1}},
    ):
        assert (await manager.post("/api/v1/deals/bulk", json=body)).status_code == 400
    for body in ({}, {"select": {"ids": ["x"]}}, {"select": {}, "action": "burn"}, {"select": {}, "x": 1}):
        assert (await manager.post("/api/v1/deals/bulk", json=body)).status_code == 422
    assert (
        await rep.post("/api/v1/deals/bulk", json={"select": {}, "values": {"amount": 1}})
    ).status_code == 403


async def test_a_file_is_uploaded_mapped_imported_and_exported_again(manager: Client):
    data = "E-mail,First name,Shoe\nada@example.com,=Ada,7\nwrong,Bob,8\n"
    files = {"file": ("people.csv", data, "text/csv")}
    uploaded = await manager.post("/api/v1/contacts/imports", files=files)
    assert uploaded.status_code == 201, uploaded.text
    plan = uploaded.json()
    assert plan["counts"] == {"create": 1, "invalid": 1}
    assert [each["field"] for each in plan["columns"]] == ["email", "first_name", None]
    [wrong] = [row for row in plan["rows"] if row["action"] == "invalid"]
    assert (wrong["line"], set(wrong["reasons"])) == (3, {"email"})
    path = uploaded.headers["location"]
    mapping = {"E-mail": "email", "First name": "first_name", "Shoe": "custom_fields.shoe"}
    mapped = await manager.put(path, json={"columns": mapping})
    assert mapped.json()["columns"][2]["field"] == "custom_fields.shoe"
    assert (await manager.put(path, json={"columns": {"Hat": "email"}})).status_code == 400
    assert (await manager.get(path)).json()["counts"] == plan["counts"]
    await manager.post(f"/api/v1/batches/{plan['batch']['id']}/apply")
    ended = await wait_for(manager, plan["batch"]["id"])
    assert (ended["state"], ended["created"], ended["failed"]) == ("partial", 1, 1)
    assert ended["problems"][0]["position"] == 3
    first = (await manager.get(f"/api/v1/batches/{plan['batch']['id']}/rows?limit=1")).json()
    assert [(row["position"], row["state"], row["action"]) for row in first["items"]] == [
        (2, "done", "create")
    ]
    rest = (await manager.get(f"/api/v1/batches/{plan['batch']['id']}/rows?after={first['next']}")).json()
    assert [(row["position"], row["state"], row["action"]) for row in rest["items"]] == [
        (3, "failed", "invalid")
    ]
    assert rest["next"] is None
    answer = await manager.get(
        "/api/v1/contacts/export.csv?columns=email&columns=first_name&columns=custom_fields.shoe&bom=true"
    )
    assert answer.headers["content-disposition"] == 'attachment; filename="contacts.csv"'
    text = answer.content.decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text))) == [
        ["email", "first_name", "custom_fields.shoe"],
        ["ada@example.com", "'=Ada", "7"],
    ]
    assert (await manager.get("/api/v1/contacts/export.csv?columns=nothing")).status_code == 400
    empty = await manager.post("/api/v1/contacts/imports", files={"file": ("x.csv", b"", "text/csv")})
    assert (empty.status_code, empty.json()["errors"][0]["field"]) == (400, "file")


async def test_views_are_saved_changed_and_deleted(manager: Client, rep: Client):
    given = {"name": "Big", "filters": [{"field": "amount", "op": "gt", "values": [5]}], "is_shared": True}
    saved = await manager.post("/api/v1/deals/views", json=given)
    assert saved.status_code == 201, saved.text
    path = f"/api/v1/views/{saved.json()['id']}"
    assert [each["name"] for each in (await rep.get("/api/v1/deals/views")).json()["items"]] == ["Big"]
    assert (await rep.delete(path)).status_code == 403
    changed = await manager.put(path, json={**given, "name": "Bigger"})
    assert changed.json()["name"] == "Bigger"
    assert (await manager.delete(path)).status_code == 204
    assert (await manager.get(path)).status_code == 404


async def test_the_short_addresses_answer_as_those_with_a_version(manager: Client):
    company = await make(manager, "companies", name="Northwind", qualification_status="qualified")
    contact = await make(manager, "contacts", email="a@example.com", company_id=company["id"])
    deal = await make(manager, "deals", name="Oven", stage="new_match", amount=10, company_id=company["id"])
    logged = await manager.post(
        "/api/activities", json={"type": "call", "subject": "hi", "deal_id": deal["id"]}
    )
    assert logged.status_code == 201
    for path, found in {
        "/api/deals?stage=new_match&limit=20": deal["id"],
        "/api/companies?qualification_status=qualified": company["id"],
        f"/api/contacts?company_id={company['id']}": contact["id"],
        f"/api/activities?deal_id={deal['id']}": logged.json()["id"],
    }.items():
        answer = await manager.get(path)
        assert [each["id"] for each in answer.json()["items"]] == [found], path
    assert (await manager.get("/api/deals?stage=other")).json()["items"] == []
    moved = await manager.post(f"/api/deals/{deal['id']}/stage", json={"stage": "closed_won"})
    assert (moved.json()["stage"], moved.json()["status"]) == ("closed_won", "won")
    stats = (await manager.get("/api/dashboard/stats")).json()
    assert stats == (await manager.get("/api/v1/dashboard/stats")).json()
    assert (stats["pipeline"], stats["win_rate"][0]["won"]) == ([], 1)


async def test_what_happened_and_what_belongs_together_is_told(manager: Client):
    company = await make(manager, "companies", name="Northwind")
    contact = await make(manager, "contacts", email="a@example.com")
    base = f"/api/v1/contacts/{contact['id']}"
    added = await manager.post(f"{base}/associations", json={"record_type": "company", "id": company["id"]})
    assert [each["label"] for each in added.json()["items"]] == ["Northwind"]
    removed = await manager.delete(f"{base}/associations/company/{company['id']}")
    assert removed.json()["items"] == []
    changes = (await manager.get(f"{base}/changes")).json()["changes"]
    assert {each["field"] for each in changes} >= {"company_id", "email"}
    items = (await manager.get(f"{base}/timeline?kind=change")).json()["items"]
    assert len(items) == 3
    versions = (await manager.get(f"{base}/remotes?raw=true")).json()
    assert versions["remotes"] == []
    undone = await manager.post(f"{base}/changes/{changes[0]['change_id']}/undo")
    assert undone.json()["company_id"] == company["id"]
