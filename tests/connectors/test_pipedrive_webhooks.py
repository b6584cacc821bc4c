"""Pipedrive's webhooks: what is proven, what is hinted at, and what is subscribed to."""

from base64 import b64encode
from typing import Any

import msgspec
import pytest
from tiny_pipedrive import Tiny, ok

from syncline.connectors.pipedrive.subscriptions import ENTITIES, derive_key, derive_password
from syncline.connectors.pipedrive.webhooks import WEBHOOKS
from syncline.connectors.webhooks import Delivery
from syncline.errors import Forged, Invalid, ScopeMissing

pytestmark = pytest.mark.anyio

SECRET = "a secret of this connection"
ADDRESS = "https://hub.example.com/api/v1/webhooks/pipedrive/main"
WEBHOOK_PATH = "/v1/webhooks"


def delivery(
    *, user: str = "syncline", password: str | None = None, key: str | None = None, scheme: str = "Basic"
) -> Delivery:
    password = derive_password(SECRET) if password is None else password
    coded = b64encode(f"{user}:{password}".encode()).decode()
    url = f"{ADDRESS}?key={derive_key(SECRET) if key is None else key}"
    return Delivery("POST", url, {"authorization": f"{scheme} {coded}"}, b"{}", 0)


def event(entity: str, action: str, entity_id: Any = "8", **more: Any) -> bytes:
    meta = {
        "action": action,
        "entity": entity,
        "entity_id": entity_id,
        "id": "0c73badd",
        "company_id": "8087566",
        "timestamp": "2022-11-24T15:19:45.149Z",
        "version": "2.0",
    }
    held = {"data": more.pop("data", None), "previous": more.pop("previous", None)}
    return msgspec.json.encode({**held, "meta": meta | more})


def told(body: bytes) -> list[tuple[str, str, str]]:
    return [(each.object, each.remote_id, each.kind) for each in WEBHOOKS.parse(body)]


def test_password_and_key_together_prove_a_delivery():
    WEBHOOKS.verify(delivery(), SECRET)
    for forged in (
        delivery(password="guess"),
        delivery(user="other"),
        delivery(key="guess"),
        delivery(key=""),
        delivery(scheme="Bearer"),
        Delivery("POST", ADDRESS, {}, b"{}", 0),
        Delivery("POST", ADDRESS, {"authorization": "Basic %%%"}, b"{}", 0),
    ):
        with pytest.raises(Forged):
            WEBHOOKS.verify(forged, SECRET)
    with pytest.raises(Forged):
        WEBHOOKS.verify(delivery(), "another secret")


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (event("person", "create", data={"id": 8}), [("persons", "8", "changed")]),
        (event("deal", "change", data={"id": 8}), [("deals", "8", "changed")]),
        (event("organization", "delete", previous={"id": 8}), [("organizations", "8", "archived")]),
        (event("lead", "change", "b1810230-6c0d-11ed-9826-a53d0eb706a5"),
         [("leads", "b1810230-6c0d-11ed-9826-a53d0eb706a5", "changed")]),
        (event("note", "delete"), [("notes", "8", "archived")]),
        (event("user", "change", timestamp=1669304802), [("users", "8", "changed")]),
        (event("deal", "change", data={"is_archived": False}, previous={"is_archived": True}),
         [("deals", "8", "restored")]),
        (event("pipeline", "change"), []),
        (event("product", "create"), []),
        (event("activity", "create", data={"type": "call"}), [("activities", "8", "changed")]),
        (event("activity", "delete", previous={"type": "task"}), [("tasks", "8", "archived")]),
        (event("activity", "change", data={"type": "call"}, previous={"type": "task"}),
         [("activities", "8", "changed"), ("tasks", "8", "archived")]),
        (event("activity", "change", data={"type": "call"}, previous={"type": "meeting"}),
         [("activities", "8", "changed")]),
        (event("activity", "delete"), [("activities", "8", "archived"), ("tasks", "8", "archived")]),
    ],
)  # fmt: skip
def test_an_event_says_which_record_to_read_again(body: bytes, events: list[tuple[str, str, str]]):
    assert told(body) == events


def test_both_events_of_a_merge_mean_the_same():
    gone = WEBHOOKS.parse(event("person", "delete", "8", merged_to_id=9))
    stays = WEBHOOKS.parse(event("person", "change", "9", merged_from_id="8", id="other"))
    assert [(each.remote_id, each.kind, each.merged_ids) for each in (*gone, *stays)] == [
        ("9", "merged", ("8",)),
        ("9", "merged", ("8",)),
    ]


def test_account_time_and_id_of_an_event_are_told():
    [read] = WEBHOOKS.parse(event("person", "change"))
    assert read.account_id == "8087566"
    assert read.occurred_ms == 1669303185149
    assert read.event_id == WEBHOOKS.parse(event("person", "change"))[0].event_id
    assert read.event_id != WEBHOOKS.parse(event("person", "change", id="x"))[0].event_id
    [of_user] = WEBHOOKS.parse(event("user", "change", timestamp=1669304802))
    assert of_user.occurred_ms == 1669304802000
    assert WEBHOOKS.find_account(event("person", "change")) == "8087566"
    assert WEBHOOKS.find_account(b"[") is None


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"\xff", event("person", "change", ""), event("person", "updated", version="1.0"),
     b'{"v":1,"meta":{"v":1,"action":"","object":"deal"}}'],
)  # fmt: skip
def test_what_is_no_delivery_is_refused(body: bytes):
    with pytest.raises(Invalid):
        WEBHOOKS.parse(body)


def hook(number: int, entity: str, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "event_action": "*",
        "event_object": entity,
        "subscription_url": f"{ADDRESS}?key={derive_key(SECRET)}",
        "version": "2.0",
        "is_active": 1,
    } | more


async def test_what_is_missing_is_subscribed_to_with_version_and_password():
    there = [hook(1, "person"), hook(2, "deal", subscription_url="https://other.example.com/")]
    tiny = Tiny({("GET", WEBHOOK_PATH): ok(there), ("POST", WEBHOOK_PATH): (201, ok({"id": 5}))})
    made = await tiny.connector.ensure_webhooks(ADDRESS, SECRET)
    bodies = tiny.bodies("POST")
    assert [each["event_object"] for each in bodies] == [each for each in ENTITIES if each != "person"]
    assert len(made) == len(bodies)
    assert {each["version"] for each in bodies} == {"2.0"}
    assert {each["http_auth_password"] for each in bodies} == {derive_password(SECRET)}
    assert {each["subscription_url"] for each in bodies} == {f"{ADDRESS}?key={derive_key(SECRET)}"}
    assert SECRET not in str(bodies)


async def test_nothing_is_subscribed_to_twice():
    tiny = Tiny({("GET", WEBHOOK_PATH): ok([hook(1, each) for each in ENTITIES])})
    assert await tiny.connector.ensure_webhooks(ADDRESS, SECRET) == []
    tiny = Tiny({("GET", WEBHOOK_PATH): ok([hook(1, "*")])})
    assert await tiny.connector.ensure_webhooks(ADDRESS, SECRET) == []


async def test_what_was_switched_off_or_has_an_old_secret_is_made_anew():
    there = [hook(1, "person", is_active=0), hook(2, "deal", subscription_url=f"{ADDRESS}?key=old")]
    there += [hook(9, each) for each in ENTITIES if each not in ("person", "deal")]
    tiny = Tiny(
        {
            ("GET", WEBHOOK_PATH): ok(there),
            ("POST", WEBHOOK_PATH): (201, ok({"id": 5})),
            ("DELETE", f"{WEBHOOK_PATH}/1"): ok(None),
        }
    )
    await tiny.connector.ensure_webhooks(ADDRESS, SECRET)
    assert [each.path for each in tiny.requests if each.method == "DELETE"] == [
        f"{WEBHOOK_PATH}/1",
        f"{WEBHOOK_PATH}/2",
    ]
    assert [each["event_object"] for each in tiny.bodies("POST")] == ["person", "deal"]


async def test_only_what_leads_to_the_address_is_taken_back():
    there = [hook(1, "person"), hook(2, "deal", subscription_url=f"{ADDRESS}2?key=x")]
    tiny = Tiny({("GET", WEBHOOK_PATH): ok(there), ("DELETE", f"{WEBHOOK_PATH}/1"): ok(None)})
    assert await tiny.connector.remove_webhooks(ADDRESS) == 1


async def test_a_refusal_to_subscribe_says_why():
    refused = {"success": False, "errors": {"subscription_url": ["invalid or non-reachable URL"]}}
    tiny = Tiny({("GET", WEBHOOK_PATH): ok([]), ("POST", WEBHOOK_PATH): (400, refused)})
    with pytest.raises(Invalid, match="non-reachable"):
        await tiny.connector.ensure_webhooks(ADDRESS, SECRET)
    tiny = Tiny({("GET", WEBHOOK_PATH): ok([]), ("POST", WEBHOOK_PATH): (403, {"success": False})})
    with pytest.raises(ScopeMissing):
        await tiny.connector.ensure_webhooks(ADDRESS, SECRET)
