"""The connector against the simulated Pipedrive on a real port: what arrives is what is there."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest

from receiver import receiving
from syncline.clock import now, to_ms
from syncline.connectors.base import Connector
from syncline.connectors.reads import SERIAL
from syncline.connectors.records import RemoteRecord
from syncline.connectors.registry import get_platform, open_transport
from syncline.connectors.transport import Request, Response, Token
from syncline.connectors.writes import RemoteLink, RemoteWrite
from syncline.errors import NotFound, RateLimited, RetryLater, TokenRejected, Unavailable
from syncline.simulators.pipedrive import Settings, World
from syncline.simulators.pipedrive.auth import ALL_SCOPES, CLIENT_ID, CLIENT_SECRET, DEFAULT_TOKEN
from syncline.simulators.pipedrive.server import in_loop

pytestmark = pytest.mark.anyio

PLATFORM = get_platform("pipedrive")
FEW = {"contacts": 1200, "organizations": 300, "deals": 300, "activities": 300, "notes": 50, "leads": 40}
ADDRESS = "https://hub.example.com/api/v1/webhooks/pipedrive/main"


@dataclass
class Client:
    """A connector with the least a caller must do: send again what failed for the moment."""

    world: World
    connector: Connector
    requests: list[Request]
    responses: list[Response]


@asynccontextmanager
async def client_of(world: World, *, token: str = DEFAULT_TOKEN, retries: int = 0) -> AsyncGenerator[Client]:
    requests: list[Request] = []
    responses: list[Response] = []
    async with in_loop(world) as url, aclosing(open_transport(PLATFORM, url)) as http:

        async def send(request: Request) -> Response:
            for left in range(retries, -1, -1):
                requests.append(request)
                try:
                    responses.append(await http.send(request, Token(token)))
                except RetryLater:
                    if not left or not request.idempotent:
                        raise
                else:
                    return responses[-1]
            raise AssertionError

        yield Client(world, PLATFORM.make(send, {}), requests, responses)


def world_of(*, settings: Settings | None = None, **counts: int) -> World:
    world = World(7, settings or Settings())
    few = dict.fromkeys((*FEW, "archived_deals", "deleted_deals", "archived_leads", "deleted_persons"), 0)
    world.populate(**(few | counts))
    return world


async def read_all(connector: Connector, object_name: str) -> dict[str, RemoteRecord]:
    walk = await connector.plan_walk(object_name)
    bounds = [str(each) async for each in connector.find_bounds(object_name, walk, 4)]
    found: dict[str, RemoteRecord] = {}
    for after, until in zip(["", *bounds], [*bounds, ""], strict=True):
        cursor: str | None = after
        while cursor is not None:
            page = await connector.walk_page(object_name, [], walk, cursor, until)
            assert not page.unreadable
            assert not found.keys() & {each.remote_id for each in page.records}
            found |= {each.remote_id: each for each in page.records}
            cursor = page.after
    return found


async def changes_of(connector: Connector, object_name: str, since_ms: int) -> dict[str, RemoteRecord]:
    pages = [page async for page in connector.changed_pages(object_name, [], since_ms, None)]
    return {each.remote_id: each for page in pages for each in page.records}


def without_labels(value: Any) -> Any:
    """Return JSON with options by id alone, as the account keeps them."""
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        if held.keys() == {"id", "label"}:
            return held["id"]
        return {name: without_labels(each) for name, each in held.items()}
    return [without_labels(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(omits_empty_custom_fields=True, omits_last_cursor=True)]
)
async def test_every_record_arrives_as_it_is(settings: Settings):
    world = world_of(settings=settings, **FEW)
    async with client_of(world) as client:
        for object_name in ("persons", "organizations", "deals"):
            found = await read_all(client.connector, object_name)
            truth = world.truth(object_name)
            assert sorted(map(int, found)) == sorted(truth)
            for remote_id, record in found.items():
                assert without_labels(json.loads(record.payload)) == truth[int(remote_id)]
                assert PLATFORM.recall(object_name, record.payload) == record
        calls, tasks = [await read_all(client.connector, each) for each in ("activities", "tasks")]
        assert sorted(map(int, [*calls, *tasks])) == sorted(world.truth("activities"))
        for object_name in ("notes", "leads", "users"):
            assert await read_all(client.connector, object_name)


async def test_what_calls_cost_is_what_pipedrive_counts():
    world = world_of(contacts=600, deals=20)
    async with client_of(world) as client:
        await client.connector.check()
        await read_all(client.connector, "persons")
        await read_all(client.connector, "notes")
        await client.connector.list_pipelines("deals")
        await client.connector.describe("deals")
        await client.connector.archived_page("deals", [], "")
        await client.connector.read_many("deals", [str(each) for each in list(world.truth("deals"))[:3]], [])
        ours = sum(each.cost for each in client.requests)
        assert (await client.connector.check()).daily_used == ours + 2


async def test_options_are_read_by_label_and_survive_a_new_name_of_their_field():
    world = world_of(contacts=30)
    code = world.code("person", "Stage")
    async with client_of(world) as client:
        found = await read_all(client.connector, "persons")
        values = {each.properties[code] for each in found.values()} - {None}
        assert values
        assert not any(str(each).isdigit() for each in values)
        definitions = {each.name: each for each in await client.connector.describe("persons")}
        assert definitions[code].label == "Stage"
        _, choices = PLATFORM.classify(definitions[code].type, definitions[code].definition)
        assert values <= set(choices)


async def test_payloads_are_the_same_bytes_from_every_endpoint():
    world = world_of(contacts=60, deals=60)
    async with client_of(world) as client:
        for object_name in ("persons", "deals"):
            listed = await read_all(client.connector, object_name)
            ids = list(listed)[:30]
            many = await client.connector.read_many(object_name, ids, [])
            few = await client.connector.read_many(object_name, ids[:3], [])
            changed = await changes_of(client.connector, object_name, 0)
            for record in (*many.records, *few.records, *(changed[each] for each in ids if each in changed)):
                assert record.payload == listed[record.remote_id].payload


async def test_changes_are_found_and_so_are_archived_and_deleted_deals():
    world = world_of(deals=40)
    first, second, third, *_ = world.truth("deals")
    since_ms = to_ms(now())
    world.advance(5)
    world.update("deals", first, {"title": "Other"})
    world.archive("deals", second)
    world.delete("deals", third)
    async with client_of(world) as client:
        found = await changes_of(client.connector, "deals", since_ms)
        assert found[str(first)].properties["title"] == "Other"
        archived = {each for each, record in found.items() if record.archived_ms is not None}
        assert archived == {str(second), str(third)}
        page = await client.connector.read_many("deals", list(map(str, (first, second, third))), [])
        assert {each.remote_id for each in page.records if each.archived_ms is not None} == archived
        assert not archived & set((await client.connector.list_ids("deals", "", ""))[0])
        world.archive("deals", second, back=True)
        [back] = (await client.connector.read_many("deals", [str(second)], [])).records
        assert back.archived_ms is None


@pytest.mark.parametrize("way", ["flag", "404", "410"])
async def test_a_deleted_person_is_archived_or_absent(way: str):
    world = world_of(settings=Settings(get_deleted=way), contacts=20)
    first, second, *_ = world.truth("persons")
    world.delete("persons", first)
    async with client_of(world) as client:
        page = await client.connector.read_many("persons", [str(first), str(second)], [])
        living = [each.remote_id for each in page.records if each.archived_ms is None]
        assert living == [str(second)]
        assert str(first) not in await read_all(client.connector, "persons")


async def test_a_record_without_a_time_of_change_is_found_by_reading_everything():
    world = world_of(contacts=20)
    first, *_ = world.truth("persons")
    world.forget_update_time("persons", first)
    async with client_of(world) as client:
        assert str(first) not in await changes_of(client.connector, "persons", 0)
        assert (await read_all(client.connector, "persons"))[str(first)].updated_ms is None


async def test_a_record_is_made_changed_found_and_archived():
    world = world_of(contacts=5, organizations=5)
    async with client_of(world) as client:
        connector = client.connector
        wanted = connector.external_id_property("persons")
        assert wanted is not None
        [plan] = await connector.apply_properties("persons", [wanted])
        assert plan.state == "created"
        code = world.code("person", "Stage")
        properties = {"email": "new@example.com", "first_name": "New", "last_name": "One", code: "lead"}
        [made] = await connector.write_many("persons", [RemoteWrite("k", None, properties, "0199-a")])
        assert made.failure is None
        assert made.record is not None
        assert {name: made.record.properties[name] for name in properties} == properties
        remote_id = str(made.remote_id)
        assert (await connector.find_by_external_id("persons", ["0199-a"]))["0199-a"].remote_id == remote_id
        changes = {"email": "other@example.com", "last_name": None, "phone": "+372 555 1234", code: None}
        [changed] = await connector.write_many("persons", [RemoteWrite("k", remote_id, changes)])
        assert changed.record is not None
        assert {name: changed.record.properties[name] for name in changes} == changes
        assert changed.record.properties["first_name"] == "New"
        [read] = (await connector.read_many("persons", [remote_id], [])).records
        assert read.external_id == "0199-a"
        await connector.archive_many("persons", [remote_id, "999999"])
        assert int(remote_id) not in world.truth("persons")
        assert await connector.find_by_external_id("persons", ["0199-a"]) == {}


async def test_what_was_made_is_found_while_the_search_lags():
    world = world_of(settings=Settings(index_lag=3600), deals=5)
    async with client_of(world) as client:
        wanted = client.connector.external_id_property("deals")
        assert wanted is not None
        await client.connector.apply_properties("deals", [wanted])
        write = RemoteWrite("k", None, {"title": "New"}, "0199-b")
        [made] = await client.connector.write_many("deals", [write])
        found = await client.connector.find_by_external_id("deals", ["0199-b", "0199-c"])
        assert {key: each.remote_id for key, each in found.items()} == {"0199-b": made.remote_id}


async def test_what_was_made_long_ago_is_found_by_search():
    world = world_of(deals=5)
    async with client_of(world) as client:
        wanted = client.connector.external_id_property("deals")
        assert wanted is not None
        await client.connector.apply_properties("deals", [wanted])
        await client.connector.write_many("deals", [RemoteWrite("k", None, {"title": "New"}, "0199-b")])
        world.advance(86_400)
        world.create("deals", {"title": "Newer"})
        assert list(await client.connector.find_by_external_id("deals", ["0199-b"])) == ["0199-b"]


async def test_a_deal_is_won_and_tied_to_its_person_and_company():
    world = world_of(contacts=5, organizations=5, deals=5)
    deal, person, company = (next(iter(world.truth(each))) for each in ("deals", "persons", "organizations"))
    async with client_of(world) as client:
        connector = client.connector
        write = RemoteWrite("k", str(deal), {"status": "won", "value": "12.5", "expected_close_date": None})
        [outcome] = await connector.write_many("deals", [write])
        assert outcome.failure is None
        for other, to_id in (("persons", person), ("organizations", company)):
            link = RemoteLink("l", str(deal), str(to_id))
            assert [each.failure for each in await connector.associate_many("deals", other, [link])] == [None]
            [tie] = await connector.read_associations("deals", other, [str(deal)])
            assert tie.to_id == str(to_id)
        values = world.truth("deals")[deal]
        assert (values["status"], values["value"]) == ("won", 12.5)
        link = RemoteLink("l", str(deal), str(company))
        await connector.dissociate_many("deals", "organizations", [link])
        assert world.truth("deals")[deal]["org_id"] is None


async def test_an_activity_is_changed_and_given_another_person():
    world = world_of(contacts=5, activities=30)
    async with client_of(world) as client:
        connector = client.connector
        calls = await read_all(connector, "activities")
        remote_id = next(iter(calls))
        write = RemoteWrite(
            "k", remote_id, {"subject": "Talk", "happens_at": "2026-05-01T15:30:00.000Z", "kind": "call"}
        )
        [outcome] = await connector.write_many("activities", [write])
        assert outcome.record is not None
        assert outcome.record.properties["happens_at"] == "2026-05-01T15:30:00Z"
        person = str(next(iter(world.truth("persons"))))
        [tied] = await connector.associate_many("activities", "persons", [RemoteLink("l", remote_id, person)])
        assert tied.failure is None
        [read] = (await connector.read_many("activities", [remote_id], [])).records
        assert read.properties["person_id"] == person


async def test_two_persons_become_one():
    world = world_of(contacts=5)
    survivor, gone, *_ = world.truth("persons")
    async with client_of(world) as client:
        assert await client.connector.merge_records("persons", str(survivor), str(gone)) == str(survivor)
        assert gone not in world.truth("persons")
        with pytest.raises(NotFound):
            await client.connector.merge_records("persons", "999999", str(survivor))


async def test_webhooks_are_made_once_and_again_when_they_were_dropped():
    world = world_of()
    async with client_of(world) as client:
        made = await client.connector.ensure_webhooks(ADDRESS, "secret")
        assert made
        assert await client.connector.ensure_webhooks(ADDRESS, "secret") == []
        assert await client.connector.ensure_webhooks(ADDRESS, "renewed") == made
        assert await client.connector.remove_webhooks(ADDRESS) == len(made)
        assert await client.connector.ensure_webhooks(ADDRESS, "renewed") == made


async def test_what_pipedrive_sends_is_proven_and_says_which_record_changed():
    world = world_of(contacts=5, deals=5, activities=20)
    person, survivor, gone, *_ = world.truth("persons")
    deal = next(iter(world.truth("deals")))
    webhooks = PLATFORM.webhooks
    assert webhooks is not None
    async with client_of(world) as client, receiving(world.now_ms) as receiver:
        await client.connector.ensure_webhooks(receiver.url, "secret")
        world.update("persons", person, {"name": "Other Name"})
        world.archive("deals", deal)
        world.archive("deals", deal, back=True)
        world.delete("deals", deal)
        world.merge("persons", gone, survivor)
        await receiver.wait_for(6)
        told: set[tuple[str, str, str, tuple[str, ...]]] = set()
        for delivery in receiver.deliveries:
            webhooks.verify(delivery, "secret")
            assert webhooks.find_account(delivery.body) == str(world.company_id)
            told |= {
                (each.object, each.remote_id, each.kind, each.merged_ids)
                for each in webhooks.parse(delivery.body)
            }
    assert {
        ("persons", str(person), "changed", ()),
        ("deals", str(deal), "archived", ()),
        ("persons", str(survivor), "merged", (str(gone),)),
    } <= told


async def test_consent_becomes_a_token_that_is_renewed():
    world = world_of()
    oauth = PLATFORM.oauth
    assert oauth is not None
    async with in_loop(world) as url, aclosing(open_transport(PLATFORM, url)) as http:

        async def send(request: Request) -> Response:
            return await http.send(request, None)

        code = world.auth.issue_code(ALL_SCOPES, client_id=CLIENT_ID, redirect_uri="https://hub.example.com/")
        grant = await oauth.exchange_code(send, CLIENT_ID, CLIENT_SECRET, "https://hub.example.com/", code)
        again = await oauth.refresh(send, CLIENT_ID, CLIENT_SECRET, grant.token)
        assert again.token.access_token != grant.token.access_token

        async def send_with(request: Request) -> Response:
            return await http.send(request, again.token)

        account = await PLATFORM.make(send_with, {}).check()
        assert account.account_id == str(world.company_id)


async def test_a_token_that_is_not_accepted_is_told_as_such():
    async with client_of(world_of(), token="00" * 20) as client:
        with pytest.raises(TokenRejected):
            await client.connector.check()


async def test_a_used_up_day_is_not_taken_for_a_used_up_burst():
    world = world_of(settings=Settings(daily_limit=15), contacts=20)
    async with client_of(world) as client:
        await client.connector.walk_page("persons", [], SERIAL, "", "")
        with pytest.raises(RateLimited) as refusal:
            await client.connector.walk_page("persons", [], SERIAL, "", "")
        assert refusal.value.daily


async def test_a_burst_that_is_used_up_says_how_long_to_wait():
    world = world_of(settings=Settings(rate=2), contacts=20)
    async with client_of(world) as client:
        for _ in range(2):
            await client.connector.walk_page("persons", [], SERIAL, "", "")
        with pytest.raises(RateLimited) as refusal:
            await client.connector.walk_page("persons", [], SERIAL, "", "")
        assert not refusal.value.daily
        assert refusal.value.after_seconds is not None


async def test_everything_arrives_through_faults():
    world = world_of(settings=Settings(faults="0.2:500,reset,429"), contacts=1200)
    async with client_of(world, retries=12) as client:
        assert sorted(map(int, await read_all(client.connector, "persons"))) == sorted(world.truth("persons"))


async def test_an_answer_that_is_no_json_is_asked_for_again_later():
    world = world_of(settings=Settings(faults="1:html-200"), contacts=5)
    async with client_of(world) as client:
        with pytest.raises((Unavailable, RateLimited)):
            await client.connector.check()
