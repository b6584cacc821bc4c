"""Webhooks over real HTTP: what is told and how it is signed, batches, retries, and what goes amiss."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx2
import pytest
from hub import Clock, Hub
from hubspot.utils.signature import Signature

from receiver import Receiver, receiving
from syncline.connectors.hubspot.webhooks import WEBHOOKS
from syncline.errors import Forged
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_loop, in_thread
from syncline.simulators.hubspot.webhooks import Target, retry_waits
from syncline.simulators.registry import SIMULATORS

pytestmark = pytest.mark.anyio

SECRET = "not-a-secret-but-a-test"


@pytest.fixture
async def receiver(clock: Clock) -> AsyncGenerator[Receiver]:
    async with receiving(clock) as found:
        yield found


@pytest.fixture
async def served(world: World, clock: Clock) -> AsyncGenerator[Hub]:
    """The account behind a socket of its own."""
    headers = {"authorization": f"Bearer {DEFAULT_TOKEN}"}
    async with in_loop(world) as url, httpx2.AsyncClient(base_url=url, headers=headers) as http:
        yield Hub(world, clock, http)


async def listen_to(hub: Hub, receiver: Receiver, **more: Any) -> dict[str, Any]:
    # All of HubSpot's day within a fifth of a second, so that no test waits for retries.
    given = {"url": receiver.url, "secret": SECRET, "gather_ms": 2, "day_seconds": 0.2} | more
    return (await hub.post("/_simulator/webhooks", given))["webhooks"]


async def flush(hub: Hub) -> dict[str, Any]:
    found = await hub.post("/_simulator/webhooks/flush", {"timeout_seconds": 20})
    assert found["flushed"], found
    return found


def change_everything(world: World) -> None:
    """Let one of everything happen."""
    contacts, companies = world.store("contacts").living, world.store("companies").living
    first, second, third, fourth = contacts[:4]
    world.create("contacts", {"email": "new@example.com", "firstname": "New"})
    world.update("contacts", first, {"firstname": "Anna", "lastname": None})
    world.archive("contacts", first)
    world.restore("contacts", first)
    world.merge("contacts", first, second)
    world.erase(third)
    world.associate("contacts", fourth, "companies", companies[0])
    world.dissociate("contacts", fourth, "companies", companies[0])
    world.update("calls", world.store("calls").living[0], {"hs_call_title": "Called"})
    world.update("cars", world.store("cars").living[0], {"make": "Volvo"})


@pytest.mark.parametrize("form", ["numbered", "generic"])
async def test_every_change_is_told_and_read_by_the_connector(served: Hub, receiver: Receiver, form: str):
    await listen_to(served, receiver, form=form)
    before = len(served.world.events)
    change_everything(served.world)
    happened = list(served.world.events)[before:]
    counts = await flush(served)
    read = [event for given in receiver.deliveries for event in WEBHOOKS.parse(given.body)]
    assert counts["delivered"] == len(happened) == len(read)
    assert {event.kind for event in read} == {
        "changed", "archived", "restored", "merged", "erased", "associated",
    }  # fmt: skip
    assert {event.account_id for event in read} == {str(served.world.portal_id)}
    names = {"0-1": "contacts", "0-2": "companies", "0-48": "calls"}
    for event, was in zip(read, happened, strict=True):
        assert event.object == names.get(was.type_id, was.type_id)
        assert event.occurred_ms == was.occurred_ms
        assert event.remote_id == str(was.details.get("newObjectId", was.object_id))
    [merge] = [event for event in read if event.kind == "merged"]
    assert len(merge.merged_ids) == 2
    ties = [event for event in read if event.kind == "associated"]
    assert [event.other for event in ties][:2] == [
        ("companies", str(served.world.store("companies").living[0])),
        ("contacts", ties[0].remote_id),
    ]


async def test_deliveries_carry_hubspots_headers_and_both_signatures(served: Hub, receiver: Receiver):
    await listen_to(served, receiver)
    served.world.update("contacts", served.world.store("contacts").living[0], {"firstname": "Zoë"})
    await flush(served)
    [given] = receiver.deliveries
    WEBHOOKS.verify(given, SECRET)
    with pytest.raises(Forged):
        WEBHOOKS.verify(given, "another")
    assert given.method == "POST"
    assert given.headers["x-hubspot-signature-version"] == "v1"
    assert given.headers["x-hubspot-request-timestamp"] == str(served.clock.ms)
    assert given.headers["content-type"] == "application/json"
    assert given.headers["user-agent"].startswith("HubSpot Connect 2.0")
    plain = Signature.get_signature(SECRET, given.body.decode(), "v1")
    assert given.headers["x-hubspot-signature"] == plain
    decoded = given.url.replace("%3A", ":")
    sent = str(served.clock.ms)
    newer = Signature.get_signature(SECRET, given.body.decode(), "v3", decoded, "POST", sent)
    assert given.headers["x-hubspot-signature-v3"] == newer


async def test_v1_alone_and_an_address_behind_a_proxy(served: Hub, receiver: Receiver):
    first, second = served.world.store("contacts").living[:2]
    await listen_to(served, receiver, version="v1")
    served.world.update("contacts", first, {"firstname": "Ann"})
    await flush(served)
    await listen_to(served, receiver, version="v3", signed_url="https://hub.example.com/hooks")
    served.world.update("contacts", second, {"firstname": "Ann"})
    await flush(served)
    plain, proxied = receiver.deliveries
    assert "x-hubspot-signature-v3" not in plain.headers
    WEBHOOKS.verify(plain, SECRET)
    with pytest.raises(Forged):
        WEBHOOKS.verify(proxied, SECRET)
    public = "https://hub.example.com/hooks"
    WEBHOOKS.verify(type(proxied)("POST", public, proxied.headers, proxied.body, served.clock.ms), SECRET)


async def test_a_workflow_sends_records_one_by_one_under_v2(served: Hub, receiver: Receiver):
    await listen_to(served, receiver, version="v2")
    first, second = served.world.store("contacts").living[:2]
    served.world.update("contacts", first, {"firstname": "Ann"})
    served.world.archive("contacts", second)
    await flush(served)
    [given] = receiver.deliveries
    WEBHOOKS.verify(given, SECRET)
    [event] = WEBHOOKS.parse(given.body)
    assert (event.object, event.remote_id, event.kind) == ("contacts", str(first), "changed")
    assert event.account_id == str(served.world.portal_id) == WEBHOOKS.find_account(given.body)
    assert json.loads(given.body)["properties"]["firstname"] == "Ann"


async def test_a_workflow_comes_again_for_5xx_and_429_only(served: Hub, receiver: Receiver):
    await listen_to(served, receiver, version="v2")
    receiver.extra_headers = "retry-after: 1\r\n"
    receiver.next = [500, 429, 404]
    served.world.update("contacts", served.world.store("contacts").living[0], {"firstname": "Ann"})
    counts = await flush(served)
    assert counts["answers"] == {"404": 1, "429": 1, "500": 1}
    assert (counts["retries"], counts["given_up"]) == (2, 1)


async def test_dates_are_told_in_milliseconds_and_nothing_as_empty(served: Hub, receiver: Receiver):
    await listen_to(served, receiver)
    deal, contact = served.world.store("deals").living[0], served.world.store("contacts").living[0]
    served.world.update("deals", deal, {"closedate": "2025-07-15T06:00:00Z"})
    served.world.update("contacts", contact, {"lastname": None})
    await flush(served)
    values = {event["propertyName"]: event["propertyValue"] for event in receiver.events}
    assert (values["closedate"], values["lastname"]) == ("1752559200000", "")


async def test_what_a_token_writes_comes_back_as_an_integrations(served: Hub, receiver: Receiver):
    await listen_to(served, receiver, subscriptions=["contact.creation", "contact.propertyChange:email"])
    await served.post(
        "/crm/v3/objects/contacts", {"properties": {"email": "a@example.com", "city": "Ulm"}}, 201
    )
    await flush(served)
    kinds = [(event["subscriptionType"], event.get("propertyName")) for event in receiver.events]
    assert kinds == [("contact.creation", None), ("contact.propertyChange", "email")]
    assert {event["changeSource"] for event in receiver.events} == {"INTEGRATION"}
    assert receiver.events[0]["changeFlag"] == "CREATED"
    assert len({event["occurredAt"] for event in receiver.events}) == 1


async def test_events_travel_by_the_hundred_and_ten_deliveries_at_once(served: Hub, receiver: Receiver):
    await listen_to(served, receiver)
    receiver.hold_until = 10
    for turn in range(10):
        edit_all(served.world, f"Town {turn}")
    counts = await flush(served)
    sizes = [len(json.loads(given.body)) for given in receiver.deliveries]
    assert (max(sizes), sum(sizes)) == (100, 2300)
    assert receiver.most_at_once == 10
    assert (counts["deliveries"], counts["delivered"], counts["waiting"]) == (23, 2300, 0)


async def test_a_delivery_that_nobody_takes_comes_again_with_its_number(served: Hub, receiver: Receiver):
    await listen_to(served, receiver)
    receiver.next = [500, 400, 301, 0, 429]
    served.world.archive("contacts", served.world.store("contacts").living[0])
    counts = await flush(served)
    attempts = [json.loads(given.body)[0] for given in receiver.deliveries]
    assert [event.pop("attemptNumber") for event in attempts] == [0, 1, 2, 3, 4, 5]
    assert all(event == attempts[0] for event in attempts)
    assert len({WEBHOOKS.parse(given.body)[0].event_id for given in receiver.deliveries}) == 1
    assert counts["answers"] == {"0": 1, "200": 1, "301": 1, "400": 1, "429": 1, "500": 1}
    assert (counts["retries"], counts["delivered"], counts["given_up"]) == (5, 1, 0)
    for given in receiver.deliveries:
        WEBHOOKS.verify(given, SECRET)


async def test_after_ten_retries_a_delivery_is_given_up(served: Hub, receiver: Receiver):
    await listen_to(served, receiver)
    receiver.always = 503
    served.world.archive("contacts", served.world.store("contacts").living[0])
    counts = await flush(served)
    assert (counts["deliveries"], counts["retries"], counts["given_up"]) == (11, 10, 1)


async def test_an_address_where_nobody_listens_or_answers_counts_as_no_answer(
    served: Hub, receiver: Receiver
):
    await listen_to(served, receiver, retries=1, timeout_seconds=0.05)
    receiver.hold_until = 99
    served.world.archive("contacts", served.world.store("contacts").living[0])
    assert (await flush(served))["answers"] == {"0": 2}
    receiver.release()
    await listen_to(served, receiver, retries=1, url="http://127.0.0.1:9/")
    served.world.archive("contacts", served.world.store("contacts").living[0])
    counts = await flush(served)
    assert (counts["answers"], counts["given_up"]) == ({"0": 4}, 2)


def test_retries_are_spread_over_a_day_with_ever_longer_waits(world: World):
    waits = list(retry_waits(Target(day_seconds=86_400), world.rng))
    assert len(waits) == 10
    assert waits == sorted(waits)
    assert 0.8 * 86_400 <= sum(waits) <= 1.2 * 86_400
    assert not list(retry_waits(Target(retries=0), world.rng))


# -- what goes amiss


def edit_all(world: World, city: str = "Elsewhere") -> list[str]:
    """Change every contact once; return their ids in that order."""
    ids = list(world.store("contacts").living)
    for contact in ids:
        world.update("contacts", contact, {"city": city})
    return [str(contact) for contact in ids]


async def test_events_can_be_dropped_a_share_or_all(served: Hub, receiver: Receiver):
    await listen_to(served, receiver, dropped=0.3)
    ids = edit_all(served.world)
    counts = await flush(served)
    assert len(ids) * 0.2 < counts["dropped"] < len(ids) * 0.4
    assert counts["delivered"] + counts["dropped"] == counts["events"] == len(ids)
    await listen_to(served, receiver, dropped=1)
    served.world.archive("contacts", served.world.store("contacts").living[0])
    assert (await flush(served))["delivered"] == counts["delivered"]


async def test_events_can_be_duplicated(served: Hub, receiver: Receiver):
    await listen_to(served, receiver, duplicated=1)
    ids = edit_all(served.world)
    await flush(served)
    read = Counter(e.event_id for given in receiver.deliveries for e in WEBHOOKS.parse(given.body))
    assert (len(read), set(read.values())) == (len(ids), {2})


async def test_events_can_be_reordered_and_delayed_and_all_arrive(served: Hub, receiver: Receiver):
    await listen_to(served, receiver, reordered=0.3, concurrency=1)
    ids = edit_all(served.world)
    await flush(served)
    arrived = [str(event["objectId"]) for event in receiver.events]
    assert arrived != ids
    assert sorted(arrived) == sorted(ids)
    await listen_to(served, receiver, reordered=0, delayed=0.5, delay_seconds=0.2)
    receiver.events.clear()
    ids = edit_all(served.world, "Home")
    counts = await flush(served)
    arrived = [str(event["objectId"]) for event in receiver.events]
    assert arrived != ids
    assert sorted(arrived) == sorted(ids)
    assert counts["delayed"] > len(ids) * 0.3


async def test_without_faults_events_come_in_order(served: Hub, receiver: Receiver):
    await listen_to(served, receiver, concurrency=1)
    ids = edit_all(served.world)
    await flush(served)
    assert [str(event["objectId"]) for event in receiver.events] == ids


async def test_the_same_seed_drops_the_same_events(
    make_world: Callable[..., World], clock: Clock, receiver: Receiver
):
    left: list[list[int]] = []
    for _ in range(2):
        world = make_world(contacts=100)
        async with in_loop(world) as url, httpx2.AsyncClient(base_url=url) as http:
            hub = Hub(world, clock, http)
            await listen_to(hub, receiver, dropped=0.5, concurrency=1)
            edit_all(world)
            await flush(hub)
        left.append([event["objectId"] for event in receiver.events])
        receiver.events.clear()
    assert left[0] == left[1] != []


# -- setting up


async def test_settings_are_kept_when_one_changes_and_no_answer_tells_the_secret(
    served: Hub, receiver: Receiver
):
    shown = await listen_to(served, receiver, dropped=0.5)
    changed = await served.post("/_simulator/webhooks", {"delayed": 0.25})
    assert changed["webhooks"] == shown | {"delayed": 0.25}
    assert await served.get("/_simulator/webhooks") == changed
    assert SECRET not in json.dumps([shown, changed, await served.get("/_simulator/stats")])


async def test_webhooks_can_be_ended_and_set_up_again(served: Hub, receiver: Receiver):
    first, second, third = served.world.store("contacts").living[:3]
    await listen_to(served, receiver, day_seconds=1000)
    receiver.always = 500
    served.world.archive("contacts", first)
    await receiver.wait_for(1)
    assert await served.post("/_simulator/webhooks", {"url": ""}) == {"webhooks": None}
    served.world.archive("contacts", second)
    receiver.always = 200
    await listen_to(served, receiver)
    served.world.archive("contacts", third)
    await flush(served)
    assert [event["objectId"] for event in receiver.events] == [third]


async def test_flush_says_when_something_is_still_under_way(served: Hub, receiver: Receiver):
    await listen_to(served, receiver, delayed=1, delay_seconds=1000)
    served.world.archive("contacts", served.world.store("contacts").living[0])
    found = await served.post("/_simulator/webhooks/flush", {"timeout_seconds": 0.01})
    assert (found["flushed"], found["waiting"]) == (False, 1)


async def test_counts_are_in_the_statistics_and_begin_anew_with_them(served: Hub, receiver: Receiver):
    await listen_to(served, receiver)
    served.world.archive("contacts", served.world.store("contacts").living[0])
    await flush(served)
    counts = (await served.get("/_simulator/stats"))["webhooks"]
    assert (counts["events"], counts["deliveries"], counts["answers"]) == (1, 1, {"200": 1})
    await served.post("/_simulator/stats/reset", {})
    assert (await served.get("/_simulator/stats"))["webhooks"]["deliveries"] == 0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": "ftp://x", "secret": "s"}, "http or https"),
        ({"url": "http://127.0.0.1:9/"}, "and a secret"),
        ({"url": "http://127.0.0.1:9/", "secret": "s", "version": "v4"}, "version"),
        ({"url": "http://127.0.0.1:9/", "secret": "s", "form": "free"}, "form"),
        ({"url": "http://127.0.0.1:9/", "secret": "s", "dropped": 2}, "between 0 and 1"),
        ({"url": "http://127.0.0.1:9/", "secret": "s", "events_most": 101}, "1 to 100"),
        ({"speed": 9}, "unknown: speed"),
    ],
)
async def test_settings_that_make_no_sense_are_refused(hub: Hub, given: dict[str, Any], says: str):
    answer = await hub.http.post("/_simulator/webhooks", json=given)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert await hub.get("/_simulator/webhooks") == {"webhooks": None}
    answer = await hub.http.post("/_simulator/webhooks/flush", json={"timeout_seconds": "soon"})
    assert answer.status_code == 400


async def test_changes_from_another_thread_than_the_servers_are_told(
    world: World, clock: Clock, receiver: Receiver
):
    with in_thread(world) as url:
        async with httpx2.AsyncClient(base_url=url) as http:
            hub = Hub(world, clock, http)
            await listen_to(hub, receiver)
            world.archive("contacts", world.store("contacts").living[0])
            await flush(hub)
    assert [event["subscriptionType"] for event in receiver.events] == ["contact.deletion"]


async def test_the_command_sends_webhooks_of_its_colleagues_edits():
    async with receiving(lambda: 0) as receiver:
        command = [sys.executable, "-m", "syncline.simulators.hubspot", "--contacts", "40",
                   "--companies", "3", "--edits-per-minute", "6000", "--webhooks-to", receiver.url,
                   "--webhooks-secret-env", "HOOKS_SECRET"]  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *command, env=os.environ | {"HOOKS_SECRET": SECRET}, stdout=subprocess.PIPE
        )
        try:
            async with asyncio.timeout(60):
                await receiver.wait_for(1)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.communicate()
    [first, *_] = receiver.deliveries
    received_ms = int(first.headers["x-hubspot-request-timestamp"])
    WEBHOOKS.verify(type(first)("POST", first.url, first.headers, first.body, received_ms), SECRET)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--webhooks-to", "http://127.0.0.1:9/"], "go together"),
        (["--webhooks-to", "http://127.0.0.1:9/", "--webhooks-secret-env", "NO_SUCH_VARIABLE"], "no secret"),
        (["--webhooks-to", "nowhere", "--webhooks-secret-env", "PATH"], "http or https"),
    ],
)
def test_a_command_whose_webhooks_make_no_sense_ends_with_a_reason(
    capsys: pytest.CaptureFixture[str], words: list[str], says: str
):
    with pytest.raises(SystemExit, match="2"):
        SIMULATORS["hubspot"].main(words)
    assert says in capsys.readouterr().err
