"""Webhooks that go out: signed, in order, until they are taken, and to nobody inside."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from served_doors import Doors, until

from receiver import Receiver, receiving
from syncline.actions.hub import Hub
from syncline.clock import now, to_ms
from syncline.engine import outgoing
from syncline.engine.notify_http import Poster, check_url
from syncline.engine.outgoing import find_news, serve_outgoing
from syncline.errors import Invalid
from syncline.store.db import connect as connect_to

pytestmark = pytest.mark.anyio
TENANT = UUID("00000000-0000-7000-8000-000000000001")
SUBSCRIPTIONS = "/api/v1/subscriptions"


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving(lambda: to_ms(now())) as opened:
        yield opened


@pytest.fixture
async def telling(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[None]:
    """A teller in this process that does not wait long."""
    monkeypatch.setattr(outgoing, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(outgoing, "_FIRST_DELAY_SECONDS", 0.1)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve_outgoing(hub.db, hub.vault(), private=True, stop=stop))
    yield
    stop.set()
    await serving


async def subscribe(client: httpx2.AsyncClient, url: str, **more: Any) -> dict[str, Any]:
    answer = await client.post(SUBSCRIPTIONS, json={"name": f"to {uuid4()}", "url": url, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def add_contact(admin: Any, name: str = "Ada", tenant: UUID = TENANT) -> UUID:
    made = uuid4()
    await admin.execute(
        "insert into crm.contacts (tenant_id, id, first_name, created_at, updated_at)"
        " values (%s, %s, %s, now(), now())",
        [tenant, made, name],
    )
    return made


async def deliveries(client: httpx2.AsyncClient, made: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    path = f"{SUBSCRIPTIONS}/{made['subscription']['id']}/deliveries"
    return (await client.get(path, params=params)).json()["deliveries"]


async def test_a_change_is_told_signed_with_the_secret_that_was_shown(
    client: httpx2.AsyncClient, receiver: Receiver, telling: None, admin: Any
) -> None:
    made = await subscribe(client, receiver.url, events=["record.created"], record_types=["contact"])
    contact = await add_contact(admin)
    async with asyncio.timeout(10):
        await receiver.wait_for(1)
    sent = receiver.deliveries[0]
    parts = dict(each.split("=") for each in sent.headers["syncline-signature"].split(","))
    proof = hmac.new(made["secret"].encode(), f"{parts['t']}.".encode() + sent.body, hashlib.sha256)
    assert hmac.compare_digest(proof.hexdigest(), parts["v1"])
    told = json.loads(sent.body)
    assert (told["event"], told["record_id"]) == ("record.created", str(contact))
    assert told["data"]["changes"]["first_name"] == [None, "Ada"]
    assert sent.headers["syncline-event-id"] == told["id"]

    async def delivered() -> Any:
        return [each for each in await deliveries(client, made) if each["state"] == "delivered"]

    (done,) = await until(delivered)
    assert done["tries"][0]["status"] == 200
    shown = await client.get(f"{SUBSCRIPTIONS}/{made['subscription']['id']}")
    assert made["secret"] not in shown.text + (await client.get(SUBSCRIPTIONS)).text
    rows = await (await admin.execute("select secret from sync.subscriptions")).fetchall()
    assert made["secret"].encode() not in bytes(rows[0][0])


async def test_what_was_not_taken_is_tried_again_and_of_one_record_the_order_is_kept(
    client: httpx2.AsyncClient, receiver: Receiver, telling: None, admin: Any
) -> None:
    await subscribe(client, receiver.url, record_types=["contact"])
    receiver.next = [500, 0, 503]
    contact = await add_contact(admin, "0")
    for number in range(1, 6):
        await admin.execute("update crm.contacts set first_name = %s where id = %s", [str(number), contact])
    async with asyncio.timeout(20):
        await receiver.wait_for(9)
    taken = [each["data"]["changes"]["first_name"][1] for each in receiver.events]
    assert taken == ["0", "1", "2", "3", "4", "5"]


async def test_a_delivery_is_given_up_after_a_day_and_can_be_sent_again(
    client: httpx2.AsyncClient, receiver: Receiver, telling: None, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "GIVEN_UP_AFTER", timedelta(seconds=0))
    made = await subscribe(client, receiver.url)
    receiver.next = [500]
    await add_contact(admin)

    async def dead() -> Any:
        return await deliveries(client, made, state="dead")

    (given_up,) = await until(dead)
    assert given_up["reason"] == "Given up after a day. The answer was 500."
    path = f"{SUBSCRIPTIONS}/{made['subscription']['id']}/deliveries"
    assert (await client.post(f"{path}/{given_up['id']}/replay")).json() == {"count": 1}
    async with asyncio.timeout(10):
        await receiver.wait_for(2)
    first, again = (json.loads(each.body)["id"] for each in receiver.deliveries)
    assert first == again

    async def delivered() -> Any:
        return await deliveries(client, made, state="delivered")

    await until(delivered)
    assert (await client.post(f"{path}/replay", json={"state": "delivered"})).json() == {"count": 1}
    async with asyncio.timeout(10):
        await receiver.wait_for(3)
    assert (await client.post(f"{path}/{uuid4()}/replay")).status_code == 404


async def test_many_tellers_send_each_event_once(
    client: httpx2.AsyncClient, hub: Hub, receiver: Receiver, telling: None, admin: Any
) -> None:
    await subscribe(client, receiver.url)
    stop = asyncio.Event()
    others = [
        asyncio.create_task(serve_outgoing(hub.db, hub.vault(), private=True, stop=stop)) for _ in range(3)
    ]
    made = {str(await add_contact(admin, f"N{number}")) for number in range(30)}
    async with asyncio.timeout(20):
        await receiver.wait_for(30)
    stop.set()
    await asyncio.gather(*others)
    assert {each["record_id"] for each in receiver.events} == made
    assert len({each["id"] for each in receiver.events}) == len(receiver.events) == 30


async def test_what_commits_late_is_told_and_nothing_twice(
    client: httpx2.AsyncClient, hub: Hub, admin: Any, database_urls: Any
) -> None:
    made = await subscribe(client, "http://127.0.0.1:9/x")
    await find_news(hub.db, hub.tenant_id)
    async with await connect_to(database_urls.superuser) as late:
        async with late.transaction():
            slow = await add_contact(late, "Slow")
            quick = await add_contact(admin, "Quick")
            assert await find_news(hub.db, hub.tenant_id) == 1
            # As if the transaction had been under way for an hour.
            await admin.execute("update sync.outgoing_places set looked_at = now() + interval '1 hour'")
        assert await find_news(hub.db, hub.tenant_id) == 1
        assert await find_news(hub.db, hub.tenant_id) == 0
    found = {each["record_id"] for each in await deliveries(client, made)}
    assert found == {str(slow), str(quick)}


async def test_runs_that_end_and_tests_are_told(
    client: httpx2.AsyncClient, receiver: Receiver, worker: None, connect: Callable[..., Any]
) -> None:
    made = await subscribe(client, receiver.url, events=["run.ended"])
    await client.post(f"{SUBSCRIPTIONS}/{made['subscription']['id']}/test")
    await connect(objects=("owners",))

    async def told() -> Any:
        return {each["event"] for each in receiver.events} >= {"test", "run.ended"}

    await until(told)
    run = next(each for each in receiver.events if each["event"] == "run.ended")
    assert run["data"]["status"] == "success"


async def test_who_is_paused_or_came_later_is_not_told_of_what_was_before(
    client: httpx2.AsyncClient, receiver: Receiver, telling: None, admin: Any
) -> None:
    await add_contact(admin, "before")
    made = await subscribe(client, receiver.url)
    path = f"{SUBSCRIPTIONS}/{made['subscription']['id']}"
    assert (await client.patch(path, json={"status": "paused"})).json()["status"] == "paused"
    await add_contact(admin, "paused")
    assert (await client.post(f"{path}/test")).status_code == 400
    await client.patch(path, json={"status": "active"})
    await add_contact(admin, "after")
    async with asyncio.timeout(10):
        await receiver.wait_for(1)
    names = [each["data"]["changes"]["first_name"][1] for each in receiver.events]
    assert names == ["after"]
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_subscriptions_of_another_tenant_do_not_exist(
    doors: Doors, other: Hub, client: httpx2.AsyncClient, receiver: Receiver, telling: None, admin: Any
) -> None:
    made = await subscribe(client, receiver.url)
    path = f"{SUBSCRIPTIONS}/{made['subscription']['id']}"
    async with doors.client(hub=other) as theirs:
        assert (await theirs.get(SUBSCRIPTIONS)).json() == {"subscriptions": []}
        for answer in (
            await theirs.get(path),
            await theirs.patch(path, json={"status": "paused"}),
            await theirs.delete(path),
            await theirs.get(f"{path}/deliveries"),
            await theirs.post(f"{path}/deliveries/replay", json={}),
            await theirs.post(f"{path}/secret"),
        ):
            assert answer.status_code == 404
    await add_contact(admin, "Theirs", other.tenant_id)
    ours = await add_contact(admin, "Ours")
    async with asyncio.timeout(10):
        await receiver.wait_for(1)
    assert [each["record_id"] for each in receiver.events] == [str(ours)]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "ftp://example.com/x",
        "https://user:word@example.com/",
        "https://",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com/#part",
        "javascript:alert(1)",
        "https://exa mple.com/",
    ],
)
async def test_an_address_that_cannot_be_told_is_refused(client: httpx2.AsyncClient, url: str) -> None:
    answer = await client.post(SUBSCRIPTIONS, json={"name": "x", "url": url})
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"][0]["field"] == "url"
    with pytest.raises(Invalid):
        check_url(url, private=True)


@pytest.mark.parametrize(
    "host",
    ["10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "[::ffff:10.0.0.1]", "[fd00::1]", "0.0.0.0",
     "127.0.0.2", "[fe80::1]", "224.0.0.1", "2130706433", "localhost", "127.0.0.1", "[::1]",
     "[64:ff9b::a01:203]", "[::10.1.2.3]", "[fec0::1]"],
)  # fmt: skip
async def test_addresses_inside_are_not_called(host: str) -> None:
    async with Poster(private=False) as poster:
        posted = await poster.post(f"https://{host}/x", b"{}", {})
    assert posted.status is None
    assert posted.error is not None
    assert "private network" in posted.error


@pytest.mark.parametrize("host", ["[64:ff9b::a01:203]", "[::10.1.2.3]", "[fec0::1]", "169.254.169.254"])
async def test_what_only_looks_like_an_address_of_ones_own_is_never_called(host: str) -> None:
    async with Poster(private=True) as poster:
        posted = await poster.post(f"https://{host}/x", b"{}", {})
    assert posted.error is not None
    assert "private network" in posted.error


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_this_machine_is_told_only_where_whoever_runs_it_allows_that(host: str) -> None:
    for scheme in ("http", "https"):
        check_url(f"{scheme}://{host}:8080/x", private=True)
        with pytest.raises(Invalid):
            check_url(f"{scheme}://{host}:8080/x", private=False)


async def test_a_name_that_was_made_to_mean_this_machine_is_not_called(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    loop = asyncio.get_running_loop()

    async def lie(*_: Any, **__: Any) -> Any:
        return [(2, 1, 6, "", ("127.0.0.1", 443))]

    monkeypatch.setattr(loop, "getaddrinfo", lie)
    async with Poster(private=True) as poster:
        posted = await poster.post("https://hooks.example.com/x", b"{}", {})
    assert posted.error is not None
    assert "private network" in posted.error
    with suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await receiver.wait_for(1)
    assert receiver.deliveries == []
