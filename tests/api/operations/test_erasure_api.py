"""Erasing, exporting and retention through the API."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import psycopg
import pytest
from served_doors import Doors, until

from syncline.actions.connect import Connected
from syncline.actions.hub import Hub
from syncline.actions.sync import sync
from syncline.domain.callers import Role
from syncline.simulators.hubspot import World

pytestmark = pytest.mark.anyio
API = "/api/v1"
Admin = psycopg.AsyncConnection[Any]


@pytest.fixture
async def email(hub: Hub, connect: Callable[..., Awaitable[Connected]], admin: Admin) -> str:
    """The address of somebody who is here and at the CRM."""
    await connect(objects=("owners", "contacts"))
    await sync(hub)
    row = await (
        await admin.execute(
            "select email_norm from crm.contacts where email is not null and archived_at is null order by id"
        )
    ).fetchone()
    assert row is not None
    return str(row[0])


async def test_a_person_is_previewed_erased_by_the_worker_and_proven(
    client: httpx2.AsyncClient, email: str, world: World, worker: None
) -> None:
    del worker
    preview = (await client.post(f"{API}/erasures/preview", json={"who": email})).json()
    assert preview["confirm"] == email
    refused = await client.post(f"{API}/erasures", json={"who": email, "confirm": "yes"})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "confirm"
    ordered = await client.post(f"{API}/erasures", json={"who": email, "confirm": preview["confirm"]})
    assert ordered.status_code == 202, ordered.text
    erasure = f"{API}/erasures/{ordered.json()['id']}"

    async def is_done() -> bool:
        return (await client.get(erasure)).json()["state"] == "done"

    await until(is_done)
    receipt = (await client.get(erasure)).json()
    assert receipt["removed"]["crm.contacts"] == 1
    assert [each["state"] for each in receipt["crms"]] == ["done"]
    assert len(world.store("contacts").erased) == 1
    download = await client.get(f"{erasure}/receipt")
    assert "attachment" in download.headers["content-disposition"]
    assert json.loads(download.content)["id"] == receipt["id"]
    assert email not in download.text
    found = (await client.post(f"{API}/erasures/find", json={"who": email})).json()
    assert [each["id"] for each in found["items"]] == [receipt["id"]]
    assert [each["id"] for each in (await client.get(f"{API}/erasures")).json()["items"]] == [receipt["id"]]

    made = await client.post(f"{API}/contacts", json={"email": email, "first_name": "Again"})
    assert made.status_code == 400, made.text
    assert made.json()["errors"][0]["field"] == "email"
    allowed = await client.post(f"{API}/erasures/allow", json={"who": email})
    assert allowed.json() == {"erasures": [receipt["id"]]}
    made = await client.post(f"{API}/contacts", json={"email": email, "first_name": "Again"})
    assert made.status_code == 201, made.text


async def test_a_person_is_exported_in_every_form(client: httpx2.AsyncClient, email: str) -> None:
    told = await client.post(f"{API}/exports/person", json={"who": email})
    assert told.headers["content-type"] == "application/json"
    assert told.json()["about"]["emails"] == [email]
    page = await client.post(f"{API}/exports/person", json={"who": email, "format": "html"})
    assert email in page.text
    packed = await client.post(f"{API}/exports/person", json={"who": email, "format": "zip"})
    assert zipfile.ZipFile(io.BytesIO(packed.content)).testzip() is None
    nobody = await client.post(f"{API}/exports/person", json={"who": "nobody@example.com"})
    assert nobody.status_code == 404


async def test_only_an_admin_may_and_another_tenant_sees_nothing(
    doors: Doors, other: Hub, client: httpx2.AsyncClient, email: str
) -> None:
    ordered = await client.post(f"{API}/erasures", json={"who": email, "confirm": email, "only_here": True})
    path = f"/erasures/{ordered.json()['id']}"
    refused: list[tuple[Role, Hub | None, int]] = [("manager", None, 403), ("admin", other, 404)]
    for role, hub, status in refused:
        async with doors.client(role, hub=hub) as caller:
            for method, where, body in (
                ("GET", path, None),
                ("GET", f"{path}/receipt", None),
                ("POST", f"{path}/retry", {}),
                ("POST", f"{path}/leave", {}),
                ("POST", "/erasures/allow", {"who": email}),
                ("POST", "/exports/person", {"who": email}),
            ):
                answer = await caller.request(method, f"{API}{where}", json=body)
                assert answer.status_code == status, (role, method, where, answer.text)
                assert email not in answer.text
    async with doors.client("admin", hub=other) as caller:
        assert (await caller.get(f"{API}/erasures")).json()["items"] == []
        found = await caller.post(f"{API}/erasures/find", json={"who": email})
        assert found.json()["items"] == []


async def test_retention_is_shown_set_and_tried(client: httpx2.AsyncClient) -> None:
    kept = {each["subject"]: each for each in (await client.get(f"{API}/retention")).json()["kept"]}
    assert kept["runs"]["keep_days"] == 90
    changed = await client.put(f"{API}/retention/runs", json={"keep_days": 30})
    assert {each["subject"]: each["keep_days"] for each in changed.json()["kept"]}["runs"] == 30
    forever = await client.put(f"{API}/retention/runs", json={"forever": True})
    assert {each["subject"]: each["keep_days"] for each in forever.json()["kept"]}["runs"] is None
    back = await client.put(f"{API}/retention/runs", json={})
    assert {each["subject"]: each["is_default"] for each in back.json()["kept"]}["runs"] is True
    assert (await client.put(f"{API}/retention/runs", json={"keep_days": 0})).status_code == 422
    assert (await client.put(f"{API}/retention/everything", json={"keep_days": 9})).status_code == 422
    tried = await client.post(f"{API}/retention/run", json={"dry_run": True})
    assert tried.json()["removed"]["runs"] == 0
