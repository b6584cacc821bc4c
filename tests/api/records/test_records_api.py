"""Records over the API: lists, ETags, errors with their fields, and nothing of anybody else."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import httpx2
import pytest

from syncline.clock import new_id

pytestmark = pytest.mark.anyio
Client = httpx2.AsyncClient


async def make(client: Client, kind: str, **values: Any) -> dict[str, Any]:
    answer = await client.post(f"/api/v1/{kind}", json=values)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_record_is_made_read_changed_archived_and_restored(manager: Client):
    answer = await manager.post(
        "/api/v1/contacts",
        json={"email": "ada@example.com", "first_name": "Ada", "custom_fields": {"tier": 2.5}},
    )
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/api/v1/contacts/{made['id']}"
    assert (answer.headers["etag"], made["version"], made["custom_fields"]) == ('"1"', 1, {"tier": 2.5})
    path = answer.headers["location"]
    changed = await manager.patch(path, json={"job_title": "Baker"}, headers={"if-match": '"1"'})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert (await manager.get(path)).json()["job_title"] == "Baker"
    archived = await manager.delete(path)
    assert archived.json()["archived_at"] is not None
    assert (await manager.get("/api/v1/contacts")).json()["items"] == []
    restored = await manager.post(f"{path}/restore")
    assert restored.json()["archived_at"] is None


async def test_a_change_needs_the_version_that_was_read(manager: Client):
    made = await make(manager, "deals", name="Oven")
    path = f"/api/v1/deals/{made['id']}"
    missing = await manager.patch(path, json={"name": "x"})
    assert (missing.status_code, missing.headers["content-type"]) == (428, "application/problem+json")
    assert (await manager.patch(path, json={"name": "x"}, headers={"if-match": "3"})).status_code == 400
    assert (
        await manager.patch(path, json={"name": "Stove"}, headers={"if-match": 'W/"1"'})
    ).status_code == 200
    stale = await manager.patch(path, json={"name": "Pan"}, headers={"if-match": '"1"'})
    assert stale.status_code == 412
    assert (await manager.patch(path, json={"name": "Pan"}, headers={"if-match": "*"})).status_code == 200


async def test_wrong_input_is_answered_with_each_field_and_what_is_wrong(manager: Client):
    answer = await manager.post(
        "/api/v1/deals", json={"amount": "much", "probability": 200, "colour": "red", "status": "won"}
    )
    assert answer.status_code == 400
    assert {each["field"] for each in answer.json()["errors"]} == {
        "name",
        "amount",
        "probability",
        "colour",
        "status",
    }
    for query in ("filter=amount:gt:x", "filter=nothing:eq:1", "sort=body", "after=x", "filter=name"):
        told = await manager.get(f"/api/v1/deals?{query}")
        assert told.status_code == 400, query
        assert told.json()["errors"], query
    for query in ("limit=0", "limit=1000", "archived=perhaps"):
        assert (await manager.get(f"/api/v1/deals?{query}")).status_code == 422
    assert (await manager.get("/api/v1/deals/none")).status_code == 422
    for body in ("[]", "1", "null", "{", '{"name": NaN}', '{"name": "x", "amount": NaN}'):
        answer = await manager.post(
            "/api/v1/deals", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code in (400, 422), body


async def test_lists_are_filtered_sorted_searched_counted_and_paged(manager: Client):
    for number in range(5):
        await make(
            manager, "deals", name=f"Oven {number}", amount=number, stage="new" if number % 2 else "old"
        )
    page = (await manager.get("/api/v1/deals?sort=-amount&limit=2&count=true")).json()
    assert [each["amount"] for each in page["items"]] == [4, 3]
    assert page["count"] == {"value": 5, "is_more": False, "text": "5"}
    rest = await manager.get(f"/api/v1/deals?sort=-amount&limit=9&after={page['after']}")
    assert [each["amount"] for each in rest.json()["items"]] == [2, 1, 0]
    assert rest.json()["after"] is None
    found = await manager.get("/api/v1/deals?filter=stage:eq:new&filter=amount:gte:3")
    assert [each["name"] for each in found.json()["items"]] == ["Oven 3"]
    found = await manager.get("/api/v1/deals?q=oven 2")
    assert [each["name"] for each in found.json()["items"]] == ["Oven 2"]
    groups = (await manager.get("/api/v1/search?q=oven")).json()["groups"]
    assert [(each["record_type"], len(each["items"])) for each in groups] == [("deal", 5)]


async def test_numbers_come_back_exactly(manager: Client):
    made = await manager.post(
        "/api/v1/deals",
        content='{"name": "Oven", "amount": "12345678901234567890.123456789"}',
        headers={"content-type": "application/json"},
    )
    assert '"amount":12345678901234567890.123456789' in made.text


async def test_a_rep_is_told_that_a_record_of_somebody_is_not_there(manager: Client, rep: Client, hub: Any):
    owner = str(new_id())
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await conn.execute(
            "insert into crm.owners (tenant_id, id, email) values (%s, %s, 'o@example.com')",
            [hub.tenant_id, owner],
        )
    made = await make(manager, "companies", name="Secret Bakery", owner_id=owner)
    assert made["references"]["owner_id"]["label"] == "o@example.com"
    base = f"/api/v1/companies/{made['id']}"
    for path in ("", "/timeline", "/changes", "/remotes", "/associations"):
        answer = await rep.get(base + path)
        assert (answer.status_code, answer.json()["detail"]) == (404, "There is no company with that id."), (
            path
        )
        assert (await manager.get(base + path)).status_code == 200, path
    assert (await rep.patch(base, json={"name": "x"}, headers={"if-match": "*"})).status_code == 404
    assert (await rep.delete(base)).status_code == 404
    assert "Secret" not in (await rep.get("/api/v1/companies")).text
    assert (await rep.get("/api/v1/search?q=secret")).json()["groups"] == []


async def test_another_tenants_ids_are_not_there_on_any_route(
    manager: Client, app: Any, hub: Any, database_urls: Any
):
    import psycopg

    theirs, tenant = new_id(), UUID("00000000-0000-7000-8000-000000000002")
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        await conn.execute(
            "insert into app.tenants (tenant_id, slug, label) values (%s, 'theirs', 'Theirs')", [tenant]
        )
        for table in ("companies", "contacts", "deals", "tasks", "owners"):
            await conn.execute(f"insert into crm.{table} (tenant_id, id) values (%s, %s)", [tenant, theirs])  # type: ignore[arg-type]
        await conn.execute(
            "insert into crm.activities (tenant_id, id, type) values (%s, %s, 'note')", [tenant, theirs]
        )
    described = app.openapi()["paths"]
    asked = 0
    for path, operations in described.items():
        if "{record_id}" not in path:
            continue
        url = path.replace("{record_id}", str(theirs)).replace("{change_id}", str(theirs))
        url = url.replace("{other_type}", "deal").replace("{other_id}", str(theirs))
        for method in operations:
            answer = await manager.request(
                method, url, json=BODIES.get(path.rpartition("/")[2], {}), headers={"if-match": "*"}
            )
            assert answer.status_code in (404, 403, 400), (method, path, answer.text)
            if answer.status_code == 403:
                assert "/owners/" in path
            asked += 1
    assert asked > 50


BODIES: dict[str, Any] = {
    "stage": {"stage": "x"},
    "associations": {"record_type": "company", "id": str(new_id())},
}


async def test_a_key_that_may_only_read_changes_nothing(manager: Client, hub: Any, app: Any):
    from syncline.actions.api_keys import make_key
    from syncline.domain.callers import Caller

    maker = Caller(hub.tenant_id, "admin", "ada@example.com", "cli")
    made = await make_key(hub, maker, "reader", ["records:read"], "manager", None)
    headers = {"authorization": f"Bearer {made.token}"}
    async with Client(
        transport=httpx2.ASGITransport(app=app), base_url="http://syncline.example", headers=headers
    ) as reader:
        assert (await reader.get("/api/v1/deals")).status_code == 200
        refused = await reader.post("/api/v1/deals", json={"name": "x"})
        assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")


async def test_a_deal_is_moved_and_its_pipelines_are_told(manager: Client, hub: Any):
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        pipeline = new_id()
        await conn.execute(
            "insert into crm.pipelines (tenant_id, id, key, label) values (%s, %s, 'main', 'Main')",
            [hub.tenant_id, pipeline],
        )
        for key, closed in (("open", False), ("closed_won", True)):
            await conn.execute(
                "insert into crm.stages (tenant_id, id, pipeline_id, key, label, is_closed, is_won) values"
                " (%s, gen_random_uuid(), %s, %s, %s, %s, %s)",
                [hub.tenant_id, pipeline, key, key, closed, closed],
            )
    stages = (await manager.get("/api/v1/stages")).json()["items"]
    assert [each["key"] for each in stages] == ["closed_won", "open"]
    made = await make(manager, "deals", name="Oven", stage="open")
    moved = await manager.post(f"/api/v1/deals/{made['id']}/stage", json={"stage": "closed_won"})
    assert (moved.json()["status"], moved.json()["pipeline"]) == ("won", "main")
    wrong = await manager.post(f"/api/v1/deals/{made['id']}/stage", json={"stage": "nowhere"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "stage")


async def test_the_description_is_whole_and_its_examples_hold(app: Any, manager: Client):
    from jsonschema import Draft202012Validator

    described = app.openapi()
    json.dumps(described)
    for kind in ("companies", "contacts", "deals", "activities", "tasks"):
        operation = described["paths"][f"/api/v1/{kind}"]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        [example] = schema["examples"]
        Draft202012Validator(schema).validate(example)
        made = await manager.post(f"/api/v1/{kind}", json=example)
        assert made.status_code == 201, made.text
        components = {"components": described["components"]}
        shown = operation["responses"]["201"]["content"]["application/json"]["schema"]
        Draft202012Validator({**shown, **components}).validate(made.json())
        listed = await manager.get(f"/api/v1/{kind}")
        page = described["paths"][f"/api/v1/{kind}"]["get"]["responses"]["200"]["content"][
            "application/json"
        ]["schema"]
        Draft202012Validator({**page, **components}).validate(listed.json())
        fields = (await manager.get(f"/api/v1/fields/{kind}")).json()
        assert {each["name"] for each in fields["fields"]} <= set(made.json())
