"""Webhooks over real HTTP: subscriptions, what is told and in which shape, retries, bans, what goes amiss."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pipe import V1, V2, Pipe

from moving_clock import Clock
from receiver import Receiver, receiving
from syncline.simulators.pipedrive.webhooks import BAN_AFTER

pytestmark = pytest.mark.anyio

HOOKS = f"{V1}/webhooks"
#: The keys of the events' data, as published samples have them; those after the bar are told besides.
META = (
    "action attempt change_source company_id correlation_id entity entity_id host id is_bulk_edit timestamp"
    " type user_id version webhook_id webhook_owner_id"
)
DATA = {
    "persons": "add_time custom_fields emails first_name id label last_name name org_id owner_id phones"
    " update_time visible_to",
    "organizations": "add_time address country_code custom_fields id label name owner_id picture_id"
    " update_time visible_to | annual_revenue employee_count industry linkedin website",
    "deals": "add_time channel channel_id close_time creator_user_id currency custom_fields"
    " expected_close_date first_won_time id label_ids lost_reason lost_time org_id origin origin_id owner_id"
    " person_id pipeline_id probability stage_change_time stage_id status title update_time value visible_to"
    " won_time",
    "activities": "active_flag add_time busy_flag custom_fields deal_id done due_date due_time duration id"
    " lead_id location org_id owner_id person_id public_description subject type update_time update_user_id",
    "notes": "active_flag add_time content deal_id id lead_id org_id person_id pinned_to_deal_flag"
    " pinned_to_organization_flag pinned_to_person_flag project_id update_time user_id",
    "leads": "add_time channel channel_id creator_id custom_fields expected_close_date id is_archived"
    " label_ids next_activity_id organization_id origin origin_id owner_id person_id source_name title"
    " update_time value was_seen",
}


@pytest.fixture
async def receiver(clock: Clock) -> AsyncGenerator[Receiver]:
    async with receiving(clock) as found:
        yield found


async def subscribe(pipe: Pipe, receiver: Receiver, **more: Any) -> dict[str, Any]:
    body = {"subscription_url": receiver.url, "event_action": "*", "event_object": "*", "name": "All"}
    return (await pipe.send("POST", HOOKS, body | more, expect=201))["data"]


async def flush(pipe: Pipe) -> dict[str, Any]:
    found = await pipe.send("POST", "/_simulator/webhooks/flush", {"timeout_seconds": 20})
    assert found["flushed"], found
    return found


async def set_weather(pipe: Pipe, **given: Any) -> None:
    await pipe.send("POST", "/_simulator/webhooks", given)


@pytest.mark.parametrize("kind", DATA)
async def test_events_have_the_shape_of_published_samples(served: Pipe, receiver: Receiver, kind: str):
    await subscribe(served, receiver)
    record = served.world.stores[kind].records[served.living(kind)[0]]
    served.world.update(kind, record.id, {"owner_id" if kind != "notes" else "user_id": 1})
    served.world.delete(kind, record.id)
    await flush(served)
    change, delete = receiver.events
    plain, _, more = DATA[kind].partition(" | ")
    assert change["data"].keys() == set(f"{plain} {more}".split())
    assert delete["data"] is None
    assert delete["previous"].keys() == change["data"].keys()
    assert set(META.split()) | {"permitted_user_ids"} == change["meta"].keys()
    assert [each["meta"]["action"] for each in (change, delete)] == ["change", "delete"]
    assert change["previous"].keys() - {"update_time"} in ({"owner_id"}, {"user_id"})


async def test_a_create_has_no_previous_and_a_change_only_what_changed(served: Pipe, receiver: Receiver):
    made = await subscribe(served, receiver)
    person = await served.create("persons", name="Ada King")
    served.clock.advance(5)
    await served.change("persons", person["id"], name="Ada Lovelace")
    await flush(served)
    create, change = receiver.events
    assert (create["previous"], create["data"]["name"]) == (None, "Ada King")
    assert change["previous"] == {
        "name": "Ada King",
        "last_name": "King",
        "update_time": person["update_time"],
    }
    assert change["data"]["visible_to"] == "3"
    meta = change["meta"]
    assert (meta["entity"], meta["entity_id"], meta["change_source"]) == ("person", str(person["id"]), "api")
    assert (meta["webhook_id"], meta["attempt"], meta["version"]) == (str(made["id"]), 1, "2.0")
    assert meta["user_id"] == str(served.world.users[0].user_id)
    assert meta["id"] != create["meta"]["id"]


async def test_what_a_colleague_does_says_so(served: Pipe, receiver: Receiver):
    await subscribe(served, receiver)
    served.world.update("persons", served.living("persons")[0], {"name": "X Y"})
    await flush(served)
    assert receiver.events[0]["meta"]["change_source"] == "app"


async def test_custom_fields_are_told_in_a_third_way(served: Pipe, receiver: Receiver):
    await subscribe(served, receiver)
    fields = served.world.fields["deal"]
    source, tags = fields.by_name("Source"), fields.by_name("Tags")
    option, tag = source.option_of("Event"), tags.option_of("Urgent")
    zone = {"timezone_id": 310, "timezone_name": "America/New_York"}
    address = {"value": "1 Main St", "country": "USA"}
    person, organization = served.living("persons")[0], served.living("organizations")[0]
    values: dict[str, tuple[Any, dict[str, Any]]] = {
        "Source": (option, {"type": "enum", "id": option}),
        "Tags": ([tag], {"type": "set", "values": [{"id": tag}]}),
        "Budget": ({"value": 200, "currency": "EUR"}, {"type": "monetary", "value": 200, "currency": "EUR"}),
        "SAM notice id": ("a", {"type": "varchar", "value": "a"}),
        "Win chance": (5, {"type": "double", "value": 5}),
        "Engineer": (12_415_231, {"type": "user", "id": 12_415_231}),
        "Decision maker": (person, {"type": "people", "id": person}),
        "Partner organization": (organization, {"type": "org", "id": organization}),
        "Kick-off": ("2026-01-02", {"type": "date", "value": "2026-01-02"}),
        "Period of performance": (
            {"value": "2026-01-02", "until": "2026-02-03"},
            {"type": "daterange", "from": "2026-01-02", "until": "2026-02-03"},
        ),
        "Call at": ({"value": "12:30:00", **zone}, {"type": "time", "value": "12:30:00", "timezone_id": 310}),
        "Site hours": (
            {"value": "09:00:00", "until": "17:00:00", **zone},
            {"type": "timerange", "from": "09:00:00", "until": "17:00:00", "timezone_id": 310},
        ),
        "Site phone": ("+1", {"type": "phone", "value": "+1"}),
    }  # fmt: skip
    written = {fields.by_name(name).code: value for name, (value, _) in values.items()}
    written[fields.by_name("Site address").code] = address
    made = await served.create("deals", title="A", custom_fields=written)
    await served.change("deals", made["id"], custom_fields={source.code: None})
    await flush(served)
    create, change = receiver.events
    told = create["data"]["custom_fields"]
    assert {name: told[fields.by_name(name).code] for name in values} == {
        k: v for k, (_, v) in values.items()
    }
    place = told[fields.by_name("Site address").code]
    assert (place["type"], place["value"], place["locality"]) == ("address", "1 Main St", None)
    assert source.code not in change["data"]["custom_fields"]
    assert change["previous"]["custom_fields"] == {source.code: {"type": "enum", "id": option}}


async def test_a_merge_is_a_delete_and_a_change_that_name_each_other(served: Pipe, receiver: Receiver):
    await subscribe(served, receiver, event_object="person")
    first, second = served.living("persons")[:2]
    await served.send("PUT", f"{V1}/persons/{first}/merge", {"merge_with_id": second})
    await flush(served)
    delete, change = receiver.events
    assert (delete["meta"]["action"], delete["meta"]["merged_to_id"]) == ("delete", second)
    assert (change["meta"]["action"], change["meta"]["merged_from_id"]) == ("change", first)
    assert (delete["meta"]["entity_id"], change["meta"]["entity_id"]) == (str(first), str(second))


async def test_what_a_merge_points_elsewhere_is_told_unless_switched_off(served: Pipe, receiver: Receiver):
    await subscribe(served, receiver, event_object="deal")
    deal = next(each for each in served.world.truth("deals").values() if each["person_id"])
    other = next(each for each in served.living("persons") if each != deal["person_id"])
    served.world.merge("persons", deal["person_id"], other)
    await flush(served)
    assert str(deal["id"]) in {each["meta"]["entity_id"] for each in receiver.events}
    assert all(each["meta"]["is_bulk_edit"] for each in receiver.events)
    heard = len(receiver.events)
    served.world.settings.merge_touches_children = False
    third = next(each for each in served.living("persons") if each != other)
    before = served.world.get("deals", deal["id"]).update_ms
    served.world.merge("persons", other, third)
    record = served.world.get("deals", deal["id"])
    assert (record.get("person_id"), record.update_ms) == (third, before)
    await flush(served)
    assert len(receiver.events) == heard


async def test_users_pipelines_and_stages_are_told_in_words_of_v1(served: Pipe, receiver: Receiver):
    await subscribe(served, receiver)
    world = served.world
    world.change_user(world.users[1].user_id, active=False)
    world.change_pipeline(1, name="Renamed")
    world.change_stage(1, days_to_rotten=3)
    await flush(served)
    user, pipeline, stage = receiver.events
    assert (user["meta"]["action"], user["data"]["active_flag"]) == ("change", False)
    assert user["previous"]["active_flag"] is True
    assert isinstance(user["meta"]["timestamp"], int)
    assert "permitted_user_ids" not in user["meta"]
    assert user["data"]["id"] == str(world.users[1].user_id)
    assert (pipeline["data"]["name"], pipeline["data"]["deal_probability"]) == ("Renamed", True)
    assert (stage["data"]["rotten_days"], stage["data"]["rotten_flag"]) == (3, True)
    assert stage["previous"].keys() - {"update_time"} == {"rotten_days", "rotten_flag"}


async def test_a_subscription_hears_only_what_it_asked_for(served: Pipe, receiver: Receiver):
    await subscribe(served, receiver, event_action="create", event_object="deal")
    await served.create("persons", name="A")
    deal = await served.create("deals", title="A")
    await served.change("deals", deal["id"], title="B")
    await flush(served)
    assert [each["meta"]["entity"] for each in receiver.events] == ["deal"]


async def test_two_subscriptions_hear_the_same_event(served: Pipe, receiver: Receiver):
    first, second = await subscribe(served, receiver), await subscribe(served, receiver, name="More")
    await served.create("persons", name="A")
    await flush(served)
    heard = {each["meta"]["webhook_id"]: each["meta"]["id"] for each in receiver.events}
    assert heard.keys() == {str(first["id"]), str(second["id"])}
    assert len(set(heard.values())) == 1


async def test_deliveries_prove_themselves_by_basic_only(served: Pipe, receiver: Receiver):
    await subscribe(served, receiver, http_auth_user="syncline", http_auth_password="s3cret:x")
    await served.create("persons", name="A")
    await flush(served)
    scheme, _, coded = receiver.deliveries[0].headers["authorization"].partition(" ")
    assert (scheme, b64decode(coded)) == ("Basic", b"syncline:s3cret:x")
    assert not [name for name in receiver.deliveries[0].headers if "signature" in name]


async def test_subscriptions_are_listed_and_deleted(served: Pipe, receiver: Receiver):
    made = await subscribe(served, receiver, http_auth_user="u", http_auth_password="p")
    [listed] = (await served.get(HOOKS))["data"]
    assert listed == made
    assert (listed["is_active"], listed["version"], listed["event_object"]) == (1, "2.0", "*")
    assert await served.send("DELETE", f"{HOOKS}/{made['id']}") == {"status": "ok", "success": True}
    await served.create("persons", name="A")
    assert (await flush(served))["events"] == 0
    answer = await served.http.delete(f"{HOOKS}/{made['id']}")
    assert (answer.status_code, answer.json()["errors"]) == (404, {"id": ["not found"]})


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"event_action": "added"}, "event_action"), ({"event_object": "activityType"}, "event_object"),
        ({"subscription_url": "nowhere"}, "subscription_url"), ({"version": "1.0"}, "version"),
        ({"subscription_url": "https://acme.pipedrive.com/x"}, "subscription_url"), ({"name": ""}, "name"),
        ({"user_id": 5}, "user_id"),
    ],
)  # fmt: skip
async def test_a_subscription_that_makes_no_sense_is_refused(pipe: Pipe, more: dict[str, Any], name: str):
    body = {
        "subscription_url": "https://here.example/x",
        "event_action": "*",
        "event_object": "*",
        "name": "All",
    }
    answer = await pipe.http.post(HOOKS, json=body | more)
    assert (answer.status_code, answer.json()["status"]) == (400, "error")
    assert list(answer.json()["errors"]) == [name]


async def test_an_address_may_be_tried_before_it_is_taken(served: Pipe, receiver: Receiver):
    served.world.settings.check_webhook_urls = True
    await subscribe(served, receiver)
    body = {
        "subscription_url": "http://127.0.0.1:1/x",
        "event_action": "*",
        "event_object": "*",
        "name": "All",
    }
    answer = await served.http.post(HOOKS, json=body)
    assert answer.json()["errors"] == {"subscription_url": ["invalid or non-reachable URL"]}


async def test_a_user_has_forty_subscriptions_at_most(pipe: Pipe):
    body = {
        "subscription_url": "https://here.example/x",
        "event_action": "*",
        "event_object": "*",
        "name": "All",
    }
    for _ in range(40):
        await pipe.send("POST", HOOKS, body, expect=201)
    assert (await pipe.http.post(HOOKS, json=body)).status_code == 403


async def test_an_event_is_tried_four_times_with_its_attempt_told(served: Pipe, receiver: Receiver):
    await set_weather(served, retry_pace=0.0001)
    await subscribe(served, receiver)
    receiver.next = [500, 0, 404]
    await served.create("persons", name="A")
    counts = await flush(served)
    assert counts["answers"] == {"0": 1, "200": 1, "404": 1, "500": 1}
    assert (counts["delivered"], counts["retries"]) == (1, 3)
    assert receiver.events[0]["meta"]["attempt"] == 4
    receiver.next = [500] * 4
    await served.create("persons", name="B")
    assert (await flush(served))["given_up"] == 1
    listed = (await served.get(HOOKS))["data"][0]
    assert listed["last_http_status"] == 500
    assert listed["last_delivery_time"].endswith(".000Z")


async def test_after_ten_failed_first_attempts_events_are_lost_for_half_an_hour(
    served: Pipe, receiver: Receiver
):
    await set_weather(served, retry_pace=0)
    await subscribe(served, receiver)
    receiver.always = 500
    for number in range(BAN_AFTER):
        await served.create("persons", name=f"A{number}")
        await flush(served)
    receiver.always = 200
    served.clock.advance(29 * 60)
    await served.create("persons", name="Lost")
    served.clock.advance(2 * 60)
    await served.create("persons", name="Told")
    await flush(served)
    assert [each["data"]["name"] for each in receiver.events] == ["Told"]


@pytest.mark.parametrize("listed", [False, True])
async def test_a_subscription_is_removed_after_three_days_without_success(
    served: Pipe, receiver: Receiver, listed: bool
):
    await set_weather(served, retry_pace=0, dropped_stay_listed=listed)
    await subscribe(served, receiver)
    receiver.always = 500
    await served.create("persons", name="A")
    await flush(served)
    served.clock.advance(3 * 86_400 - 1)
    await served.create("persons", name="B")
    await flush(served)
    assert (await served.get(HOOKS))["data"][0]["is_active"] == 1
    served.clock.advance(2)
    await served.create("persons", name="C")
    await flush(served)
    left = (await served.get(HOOKS))["data"]
    assert [each["is_active"] for each in left] == ([0] if listed else [])
    if listed:
        assert left[0]["remove_reason"]
    receiver.always = 200
    await served.create("persons", name="D")
    assert (await flush(served))["delivered"] == 0


async def test_a_success_in_between_begins_the_days_anew(served: Pipe, receiver: Receiver):
    await set_weather(served, retry_pace=0)
    await subscribe(served, receiver)
    for day in range(5):
        receiver.next = [500]
        await served.create("persons", name=f"A{day}")
        await flush(served)
        served.clock.advance(86_400)
    assert len((await served.get(HOOKS))["data"]) == 1


async def test_a_test_can_let_a_subscription_be_removed(served: Pipe, receiver: Receiver):
    await subscribe(served, receiver)
    assert await served.send("POST", "/_simulator/webhooks/drop", {}) == {"dropped": 1}
    assert (await served.get(HOOKS))["data"] == []


async def test_events_are_dropped_duplicated_and_reordered_as_the_seed_says(served: Pipe, receiver: Receiver):
    await set_weather(served, dropped=0.3, duplicated=0.3, reordered=0.5, delayed=0.2, delay_seconds=0.05)
    await subscribe(served, receiver)
    for number in range(60):
        served.world.create("persons", {"name": f"A{number}"})
    counts = await flush(served)
    assert counts["events"] == 60
    assert counts["delivered"] == 60 - counts["dropped"] + counts["duplicated"]
    assert min(counts[each] for each in ("dropped", "duplicated", "reordered", "delayed")) > 3
    names = [each["data"]["name"] for each in receiver.events]
    assert names != sorted(names, key=lambda name: int(name[1:]))
    identities = [each["meta"]["id"] for each in receiver.events]
    assert len(identities) - len(set(identities)) == counts["duplicated"]


async def test_weather_that_makes_no_sense_is_refused(pipe: Pipe):
    for given in ({"dropped": 2}, {"concurrency": 0}, {"rain": 1}):
        answer = await pipe.http.post("/_simulator/webhooks", json=given)
        assert answer.status_code == 400


async def test_a_receiver_that_is_slow_is_asked_again(served: Pipe, receiver: Receiver):
    await set_weather(served, timeout_seconds=0.05, retry_pace=0)
    await subscribe(served, receiver)
    receiver.hold_until = 2
    await served.create("persons", name="A")
    async with asyncio.timeout(20):
        await receiver.wait_for(1)
    counts = await flush(served)
    assert counts["answers"]["0"] >= 1
    assert counts["delivered"] == 1


async def test_leads_and_their_deletion_carry_uuids(served: Pipe, receiver: Receiver):
    lead = (await served.get(f"{V1}/leads"))["data"][0]
    await subscribe(served, receiver, event_object="lead")
    await served.send("DELETE", f"{V1}/leads/{lead['id']}")
    await flush(served)
    [event] = receiver.events
    assert (event["meta"]["entity_id"], event["previous"]["id"]) == (lead["id"], lead["id"])
    assert event["previous"]["update_time"].endswith("Z")
    assert "." in event["previous"]["add_time"]


async def test_writing_by_v2_and_by_colleagues_is_told_in_one_stream(served: Pipe, receiver: Receiver):
    await subscribe(served, receiver)
    before = len(served.world.events)
    for _ in range(50):
        served.world.colleague_edit()
    await served.send("DELETE", f"{V2}/organizations/{served.living('organizations')[0]}")
    await flush(served)
    happened = list(served.world.events)[before:]
    assert [each["meta"]["action"] for each in receiver.events].count("delete") == sum(
        event.action == "delete" for event in happened
    )
    assert len(receiver.events) == len(happened)
