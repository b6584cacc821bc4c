"""Answers of the API that were given before: how they show, and when they are not given."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from syncline.actions.hub import Hub
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

V1 = "/api/v1"
Client = httpx2.AsyncClient


@pytest.fixture
async def made(manager: Client) -> dict[str, Any]:
    answer = await manager.post(f"{V1}/contacts", json={"email": "ada@example.com", "first_name": "Ada"})
    assert answer.status_code == 201
    assert "x-cache" not in answer.headers
    return answer.json()


async def test_a_record_is_read_once_and_tells_its_age(manager: Client, made: dict[str, Any]) -> None:
    path = f"{V1}/contacts/{made['id']}"
    first, second = await manager.get(path), await manager.get(path)
    assert [each.headers["x-cache"] for each in (first, second)] == ["miss", "hit"]
    assert "age" not in first.headers
    assert int(second.headers["age"]) >= 0
    assert (second.json(), second.headers["etag"]) == (first.json(), first.headers["etag"])


async def test_ones_own_change_and_that_of_psql_are_seen_at_once(
    manager: Client, made: dict[str, Any], hub: Hub, database_urls: DatabaseUrls
) -> None:
    path = f"{V1}/contacts/{made['id']}"
    tag = (await manager.get(path)).headers["etag"]
    changed = await manager.patch(path, json={"first_name": "Bo"}, headers={"if-match": tag})
    assert changed.status_code == 200
    assert "x-cache" not in changed.headers
    assert (await manager.get(path)).json()["first_name"] == "Bo"
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as psql:
        await psql.execute("update crm.contacts set first_name = 'Cy' where id = %s", [made["id"]])
    read = await manager.get(path)
    assert (read.json()["first_name"], read.headers["x-cache"]) == ("Cy", "miss")
    # What was read before is not good enough to write upon.
    stale = await manager.patch(path, json={"first_name": "Di"}, headers={"if-match": tag})
    assert stale.status_code == 412


async def test_the_name_of_another_record_that_is_shown_is_of_now(manager: Client, hub: Hub) -> None:
    company = (await manager.post(f"{V1}/companies", json={"name": "Acme"})).json()
    person = {"email": "bo@example.com", "company_id": company["id"]}
    path = f"{V1}/contacts/{(await manager.post(f'{V1}/contacts', json=person)).json()['id']}"
    assert "Acme" in (await manager.get(path)).text
    tag = (await manager.get(f"{V1}/companies/{company['id']}")).headers["etag"]
    headers = {"if-match": tag}
    await manager.patch(f"{V1}/companies/{company['id']}", json={"name": "Beta"}, headers=headers)
    assert "Beta" in (await manager.get(path)).text


@pytest.mark.parametrize("wish", ["no-cache", "no-store", "max-age=0", "max-age=60, No-Cache"])
async def test_a_client_may_ask_anew(manager: Client, made: dict[str, Any], wish: str) -> None:
    path = f"{V1}/contacts/{made['id']}"
    await manager.get(path)
    anew = await manager.get(path, headers={"cache-control": wish})
    assert (anew.headers["x-cache"], anew.headers.get("age")) == ("miss", None)
    assert (await manager.get(path)).headers["x-cache"] == "hit"


async def test_a_request_with_if_match_knows_of_no_cache(manager: Client, made: dict[str, Any]) -> None:
    path = f"{V1}/contacts/{made['id']}"
    await manager.get(path)
    assert "x-cache" not in (await manager.get(path, headers={"if-match": '"1"'})).headers


async def test_a_rep_is_given_nothing_that_a_manager_read(
    manager: Client, rep: Client, made: dict[str, Any], hub: Hub
) -> None:
    owner_id = uuid4()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await conn.execute(
            "insert into crm.owners (tenant_id, id, email) values (%s, %s, 'cy@example.com')",
            (hub.tenant_id, owner_id),
        )
        await conn.execute("update crm.contacts set owner_id = %s where id = %s", (owner_id, made["id"]))
    path = f"{V1}/contacts/{made['id']}"
    assert [(await manager.get(path)).status_code for _ in range(2)] == [200, 200]
    assert (await rep.get(path)).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/api/dashboard/stats",
        "/api/v1/metrics/values",
        "/api/v1/metrics/win_rate",
        "/api/v1/reports/pipeline_overview",
    ],
)
async def test_numbers_are_kept_until_a_deal_changes(manager: Client, path: str) -> None:
    seen = [(await manager.get(path)).headers.get("x-cache") for _ in range(2)]
    assert (await manager.post(f"{V1}/deals", json={"name": "New"})).status_code == 201
    seen.append((await manager.get(path)).headers.get("x-cache"))
    await manager.post(f"{V1}/tasks", json={"subject": "Call"})
    seen.append((await manager.get(path)).headers.get("x-cache"))
    assert seen == ["miss", "hit", "miss", "hit"]
