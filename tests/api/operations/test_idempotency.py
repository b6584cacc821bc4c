"""A request is done once however often it is sent, and its answer is given to nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from served_doors import Doors, serve

from syncline.actions.hub import Hub

pytestmark = pytest.mark.anyio
SUBSCRIPTIONS = "/api/v1/subscriptions"
VIEW = {"name": "one", "url": "http://127.0.0.1:9/x"}


async def count(admin: Any) -> int:
    return (await (await admin.execute("select count(*) from sync.subscriptions")).fetchone())[0]


async def test_the_same_key_and_body_gives_the_stored_answer(client: httpx2.AsyncClient) -> None:
    headers = {"idempotency-key": "first"}
    one = await client.post("/api/v1/writing/stop", headers=headers)
    two = await client.post("/api/v1/writing/stop", headers=headers)
    assert (one.status_code, one.json()) == (200, {"changed": True})
    assert (two.status_code, two.json()) == (200, {"changed": True})
    assert two.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in one.headers
    assert (await client.post("/api/v1/writing/stop")).json() == {"changed": False}


async def test_the_same_key_with_another_body_is_refused(client: httpx2.AsyncClient) -> None:
    headers = {"idempotency-key": "k"}
    await client.post("/api/v1/writing/stop", headers=headers)
    other = await client.post("/api/v1/writing/stop", headers=headers, json={"a": 1})
    assert other.status_code == 422
    elsewhere = await client.post("/api/v1/writing/resume", headers=headers)
    assert elsewhere.status_code == 422


async def test_a_refused_request_may_be_sent_again_under_its_key(client: httpx2.AsyncClient) -> None:
    headers = {"idempotency-key": "k"}
    order = {"objects": ["contacts"]}
    assert (await client.post("/api/v1/syncs", headers=headers, json=order)).status_code == 400
    again = await client.post("/api/v1/syncs", headers=headers, json=order)
    assert again.status_code == 400
    assert "idempotency-replayed" not in again.headers


async def test_an_answer_with_a_secret_is_not_kept(client: httpx2.AsyncClient, admin: Any) -> None:
    headers = {"idempotency-key": "secret"}
    one = await client.post(SUBSCRIPTIONS, headers=headers, json=VIEW)
    assert one.status_code == 201, one.text
    two = await client.post(SUBSCRIPTIONS, headers=headers, json=VIEW)
    assert two.status_code == 409
    assert one.json()["secret"] not in two.text
    assert await count(admin) == 1
    rows = await (await admin.execute("select body, status from app.idempotency")).fetchall()
    assert rows == [(None, 201)]


async def test_of_many_at_once_in_two_processes_one_is_done(doors: Doors, hub: Hub, admin: Any) -> None:
    token = await doors.key()
    headers = {"authorization": f"Bearer {token}", "idempotency-key": "race"}
    async with serve(hub) as second, httpx2.AsyncClient(headers=headers, timeout=30) as client:
        answers = await asyncio.gather(
            *(
                client.post(f"{url}{SUBSCRIPTIONS}", json=VIEW)
                for url in (doors.url, second)
                for _ in range(8)
            )
        )
    statuses = sorted(each.status_code for each in answers)
    assert statuses.count(201) == 1
    assert set(statuses) == {201, 409}
    assert await count(admin) == 1


async def test_keys_belong_to_their_caller_and_to_their_tenant(doors: Doors, other: Hub) -> None:
    headers = {"idempotency-key": "mine"}
    async with doors.client() as one, doors.client() as two, doors.client(hub=other) as third:
        for client in (one, two, third):
            answer = await client.post("/api/v1/writing/stop", headers=headers)
            assert answer.status_code == 200
            assert "idempotency-replayed" not in answer.headers


@pytest.mark.parametrize("key", ["", "x" * 256, "ümlaut".encode().decode("latin-1")])
async def test_what_is_no_key_is_refused(client: httpx2.AsyncClient, key: str) -> None:
    answer = await client.post("/api/v1/writing/stop", headers={"idempotency-key": key.encode("latin-1")})
    assert answer.status_code == 400


async def test_what_no_database_stores_is_refused_at_the_door(client: httpx2.AsyncClient) -> None:
    for body in (b'{"objects": ["a\\u0000b"]}', b'{"objects": ["\\ud800"]}'):
        answer = await client.post(
            "/api/v1/syncs", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 422, answer.text
    assert (await client.get("/api/v1/syncs?object=a%00b")).status_code == 400
    # An escaped backslash before u0000 is no NUL.
    fine = await client.post(
        "/api/v1/syncs",
        content=b'{"objects": ["a\\\\u0000b"]}',
        headers={"content-type": "application/json"},
    )
    assert fine.status_code == 400


async def test_a_body_that_is_too_long_is_not_read(doors: Doors) -> None:
    host, _, port = doors.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /api/v1/syncs HTTP/1.1\r\nhost: x\r\ncontent-length: 10000001\r\n\r\n{")
    assert b"413" in await reader.readline()
    writer.close()
