"""The connector against the simulated HubSpot on a real port: what arrives is what is there."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from syncline.connectors.base import Connector
from syncline.connectors.hubspot.decode import parse_ms
from syncline.connectors.hubspot.objects import OBJECTS
from syncline.connectors.records import RemoteRecord
from syncline.connectors.registry import get_platform, open_transport
from syncline.connectors.transport import Request, Response, Token
from syncline.errors import NotFound, RateLimited, RetryLater, ScopeMissing, TokenRejected
from syncline.simulators.hubspot import Settings, World
from syncline.simulators.hubspot.definitions import Definition
from syncline.simulators.hubspot.server import in_loop

pytestmark = pytest.mark.anyio

PLATFORM = get_platform("hubspot")
SEARCHABLE = [each.name for each in OBJECTS if each.has_properties]
FEW = {
    "contacts": 450,
    "companies": 130,
    "deals": 130,
    "calls": 110,
    "meetings": 20,
    "emails": 120,
    "notes": 20,
    "tasks": 20,
}


@dataclass
class Client:
    """A connector with the least a caller must do: send again what failed for the moment."""

    world: World
    connector: Connector
    requests: list[Request]
    failures: list[RetryLater]


@asynccontextmanager
async def client_of(
    world: World, *, token: str = "pat-na1-simulated", retries: int = 0
) -> AsyncGenerator[Client]:
    requests: list[Request] = []
    failures: list[RetryLater] = []
    async with in_loop(world) as url, aclosing(open_transport(PLATFORM, url)) as http:

        async def send(request: Request) -> Response:
            for left in range(retries, -1, -1):
                requests.append(request)
                try:
                    return await http.send(request, Token(token))
                except RetryLater as error:
                    failures.append(error)
                    if not left:
                        raise
            raise AssertionError

        yield Client(world, PLATFORM.make(send, {}), requests, failures)


def world_of(*, settings: Settings | None = None, **counts: int) -> World:
    world = World(7, settings or Settings())
    world.populate(**(dict.fromkeys(FEW, 0) | counts))
    return world


async def names_of(connector: Connector, object_name: str) -> list[str]:
    return [each.name for each in await connector.describe(object_name)]


async def read_all(connector: Connector, object_name: str) -> dict[str, RemoteRecord]:
    names = await names_of(connector, object_name)
    walk = await connector.plan_walk(object_name)
    middle = str((walk.first + walk.last) // 2)
    ranges = [("", "")] if walk.kind == "serial" else [("", middle), (middle, "")]
    found: dict[str, RemoteRecord] = {}
    for after, until in ranges:
        cursor: str | None = after
        while cursor is not None:
            page = await connector.walk_page(object_name, names, walk, cursor, until)
            assert not page.unreadable
            assert not found.keys() & {each.remote_id for each in page.records}
            found |= {each.remote_id: each for each in page.records}
            cursor = page.after
    return found


def assert_equals_source(world: World, object_name: str, found: dict[str, RemoteRecord]) -> None:
    store = world.store(object_name)
    plan = store.plan_once(store.definitions)
    assert sorted(map(int, found)) == list(store.living)
    for record_id in store.living:
        record = store.records[record_id]
        mine = found[str(record_id)]
        assert mine.properties == plan.properties(record)
        assert mine.updated_ms == record.updated_ms
        assert mine.merged_ids == tuple(map(str, record.merged))


@pytest.mark.parametrize(
    ("settings", "kind"),
    [(Settings(), "list"), (Settings(opaque_after=True), "search"), (Settings(dated_paths=False), "list")],
)
async def test_every_property_of_every_record_arrives(settings: Settings, kind: str):
    world = world_of(settings=settings, **FEW)
    async with client_of(world) as client:
        assert (await client.connector.plan_walk("contacts")).kind == kind
        for object_name in SEARCHABLE:
            assert_equals_source(world, object_name, await read_all(client.connector, object_name))
            assert await client.connector.count(object_name) == len(world.store(object_name).living)


async def test_payloads_are_the_same_bytes_from_every_endpoint():
    world = world_of(contacts=150)
    async with client_of(world) as client:
        contacts = client.connector
        names = await names_of(contacts, "contacts")
        listed = await read_all(contacts, "contacts")
        ids = list(listed)[:100]
        batch = (
            await contacts.read_many("contacts", [*ids, "999999999999"], names[:]) if len(ids) < 100 else None
        )
        batch = batch or await contacts.read_many("contacts", ids, names)
        searched = [page async for page in contacts.changed_pages("contacts", names, 0, None)]
    assert {each.remote_id: each.payload for each in batch.records} == {
        each: listed[each].payload for each in ids
    }
    assert {each.remote_id: each.payload for page in searched for each in page.records} == {
        key: each.payload for key, each in listed.items()
    }


@pytest.mark.parametrize("strict", [False, True])
async def test_hundreds_of_long_property_names_are_read_whichever_way(strict: bool):
    world = world_of(contacts=230, settings=Settings(strict_search_body=strict))
    for number in range(700):
        name = f"a_property_somebody_once_needed_{number:04d}"
        world.define_property("contacts", Definition(name, name))
    world.archive("contacts", world.store("contacts").living[3])
    async with client_of(world) as client:
        assert_equals_source(world, "contacts", await read_all(client.connector, "contacts"))
        names = await names_of(client.connector, "contacts")
        pages = [page async for page in client.connector.changed_pages("contacts", names, 0, None)]
        assert_equals_source(
            world, "contacts", {each.remote_id: each for page in pages for each in page.records}
        )
        archived = await client.connector.archived_page("contacts", names, "")
        assert set(names) <= set(archived.records[0].properties)


async def test_ten_thousand_changes_and_twelve_thousand_in_one_millisecond_all_arrive():
    world = world_of(contacts=12_600)
    living = list(world.store("contacts").living)
    at_ms = world.touch("contacts", living[300:12_300])
    async with client_of(world) as client:
        delivered: set[int] = set()
        async for page in client.connector.changed_pages("contacts", ["email"], 0, None):
            delivered |= {int(each.remote_id) for each in page.records}
        assert delivered == set(living)
        recent: set[int] = set()
        async for page in client.connector.changed_pages("contacts", ["email"], at_ms, at_ms):
            recent |= {int(each.remote_id) for each in page.records}
        assert recent == set(living[300:12_300])


async def test_no_change_is_lost_to_an_index_that_lags_while_others_edit():
    world = world_of(contacts=400)
    living = list(world.store("contacts").living)
    world.settings.index_lag = 0.2
    started_ms = world.now_ms()
    overlap_ms = 1_000
    seen: dict[int, int] = {}
    async with client_of(world) as client:

        async def poll(since_ms: int) -> int:
            complete_ms = since_ms
            async for page in client.connector.changed_pages("contacts", ["email"], since_ms, None):
                for each in page.records:
                    seen[int(each.remote_id)] = max(seen.get(int(each.remote_id), 0), each.updated_ms or 0)
                complete_ms = page.complete_to_ms or complete_ms
            return complete_ms

        watermark_ms = started_ms
        for number, record_id in enumerate(living):
            world.update("contacts", record_id, {"firstname": f"Changed {number}"})
            if number % 40 == 0:
                watermark_ms = await poll(watermark_ms - overlap_ms)
        expected = {each: world.get("contacts", each).updated_ms for each in living}
        while seen != expected:  # the index catches up within its lag; a lost change would never come
            await asyncio.sleep(0.02)
            watermark_ms = await poll(watermark_ms - overlap_ms)


async def test_archived_merged_and_erased_records_are_told():
    world = world_of(contacts=320, archived_contacts=0)
    living = list(world.store("contacts").living)
    for record_id in living[:130]:
        world.archive("contacts", record_id)
    survivor = world.merge("contacts", living[140], living[141])
    async with client_of(world) as client:
        names = await names_of(client.connector, "contacts")
        archived: dict[str, RemoteRecord] = {}
        after: str | None = ""
        while after is not None:
            page = await client.connector.archived_page("contacts", names, after)
            archived |= {each.remote_id: each for each in page.records}
            after = page.after
        assert {str(each) for each in living[:130]} <= set(archived)
        first = archived[str(living[0])]
        assert first.archived_ms == world.get("contacts", living[0]).archived_ms
        found = await read_all(client.connector, "contacts")
        assert found[str(survivor.id)].merged_ids == (str(living[140]), str(living[141]))
        read = await client.connector.read_many("contacts", [str(living[0]), str(living[200]), "1"], names)
        assert [each.remote_id for each in read.records] == [str(living[200])]


async def test_one_bad_record_in_a_page_is_marked_and_the_others_are_untouched():
    world = world_of(contacts=30)
    planted = world.plant_all_defects()
    async with client_of(world) as client:
        found = await read_all(client.connector, "contacts")
        assert sorted(map(int, found)) == list(world.store("contacts").living)
        names = await names_of(client.connector, "contacts")
        searched = {
            each.remote_id: each
            async for page in client.connector.changed_pages("contacts", names, 0, None)
            for each in page.records
        }
    assert searched == found
    defective = {key for key, each in found.items() if each.defect is not None}
    assert defective == {str(planted["nul"].id), str(planted["lone_surrogate"].id)}
    assert found[str(planted["nul"].id)].properties["message"] == "before\ufffdafter"
    assert found[str(planted["literal_nul"].id)].properties["message"] == r"before\u0000after"
    assert len(found[str(planted["long_text"].id)].properties["message"]) > 70_000


@pytest.mark.parametrize("pair", PLATFORM.capabilities.association_pairs)
async def test_associations_equal_the_source(pair: tuple[str, str]):
    world = world_of(**FEW, settings=Settings(association_page=2))
    source, target = pair
    async with client_of(world) as client:
        ids = [str(each) for each in world.store(source).living]
        found = await client.connector.read_associations(source, target, [*ids[:999], "1"])
    expected = {
        (str(from_id), str(to_id), kind.type_id)
        for from_id, to_id, kinds in world.graph.list_all(
            world.store(source).kind.type_id, world.store(target).kind.type_id
        )
        if world.store(source).find_living(from_id) and world.store(target).find_living(to_id)
        for kind in kinds
    }
    assert {(each.from_id, each.to_id, each.type_id) for each in found} == expected
    assert len(found) == len(expected)


async def test_history_of_a_property_is_what_happened_to_it():
    world = world_of(deals=60, contacts=20, companies=20)
    [record_id] = world.store("deals").living[:1]
    world.update("deals", record_id, {"amount": "1234"})
    world.update("deals", record_id, {"amount": "5678"})
    async with client_of(world) as client:
        found = await client.connector.read_history("deals", [str(record_id)], ["amount", "dealstage"])
    amounts = found[str(record_id)]["amount"]
    assert [value for _, value, _ in amounts[:2]] == ["5678", "1234"]
    assert [ms for ms, _, _ in amounts] == sorted((ms for ms, _, _ in amounts), reverse=True)


async def test_definitions_pipelines_owners_and_custom_objects_come_along():
    world = world_of(cars=120)
    async with client_of(world) as client:
        hubspot = client.connector
        assert len(await hubspot.describe("contacts")) == len(world.store("contacts").definitions)
        [sales] = [each for each in await hubspot.list_pipelines("deals") if each.remote_id == "default"]
        assert any(each.is_closed and each.probability == 100 for each in sales.stages)
        owners = await hubspot.walk_page("owners", [], await hubspot.plan_walk("owners"), "", "")
        gone = await hubspot.archived_page("owners", [], "")
        assert len(owners.records) + len(gone.records) == len(world.owners)
        assert all(each.archived_ms is not None for each in gone.records)
        cars = await hubspot.get_object("cars")
        assert cars.record_type is None
        assert_equals_source(world, "cars", await read_all(hubspot, "cars"))
        with pytest.raises(NotFound):
            await hubspot.get_object("butterflies")
        with pytest.raises(NotFound):
            await hubspot.describe("2-99")


async def test_check_tells_the_account_and_an_honest_clock():
    world = world_of(settings=Settings(daily_limit=1000))
    async with client_of(world) as client:
        account = await client.connector.check()
    assert account.account_id == str(world.portal_id)
    assert abs(account.clock_skew_seconds) < 3
    assert account.daily_limit == 1000
    assert account.daily_used == 1


async def test_wrong_expired_and_narrow_tokens_are_told_apart():
    world = world_of(contacts=5)
    world.auth.add_token("expired", expires_in_seconds=10)
    world.auth.expire("expired")
    world.auth.add_token("narrow", {"crm.objects.companies.read"})
    async with client_of(world, token="unknown") as client:
        with pytest.raises(TokenRejected) as rejected:
            await client.connector.check()
        assert not rejected.value.expired
    async with client_of(world, token="expired") as client:
        with pytest.raises(TokenRejected) as rejected:
            await client.connector.check()
        assert rejected.value.expired
    async with client_of(world, token="narrow") as client:
        with pytest.raises(ScopeMissing) as missing:
            await client.connector.plan_walk("contacts")
        assert missing.value.scopes == ("crm.objects.contacts.read",)
        with pytest.raises(ScopeMissing) as missing:
            await client.connector.walk_page("owners", [], await client.connector.plan_walk("owners"), "", "")
        assert missing.value.scopes == ("crm.objects.owners.read",)


async def test_a_grant_is_refreshed_until_it_is_revoked():
    oauth = PLATFORM.oauth
    assert oauth is not None
    world = world_of()
    code = world.auth.issue_code(redirect_uri="https://hub.example/back")
    async with in_loop(world) as url, aclosing(open_transport(PLATFORM, url)) as http:

        async def send(request: Request) -> Response:
            return await http.send(request, None)

        client = ("simulated-client", "simulated-secret")
        grant = await oauth.exchange_code(send, *client, "https://hub.example/back", code)
        assert grant.account_id == str(world.portal_id)
        refreshed = await oauth.refresh(send, *client, grant.token)
        assert refreshed.token.refresh_token == grant.token.refresh_token
        assert refreshed.token.access_token in world.auth.tokens
        assert grant.token.refresh_token is not None
        world.auth.revoke(grant.token.refresh_token)
        with pytest.raises(TokenRejected, match="revoked"):
            await oauth.refresh(send, *client, grant.token)


async def test_limits_are_read_from_headers_and_a_429_says_when_to_come_back():
    world = world_of(contacts=5, settings=Settings(rate=3, search_rate=1))
    async with in_loop(world) as url, aclosing(open_transport(PLATFORM, url)) as http:
        token = Token("pat-na1-simulated")
        listing = Request("GET", "/crm/v3/objects/contacts")
        first = await http.send(listing, token)
        assert (first.quota.limit, first.quota.remaining) == (3, 2)
        await http.send(listing, token)
        await http.send(listing, token)
        with pytest.raises(RateLimited) as burst:
            await http.send(listing, token)
        assert not burst.value.daily
        assert burst.value.after_seconds == 10
        finding = Request("POST", "/crm/v3/objects/contacts/search", json={"limit": 1})
        assert (await http.send(finding, token)).quota.limit is None
        with pytest.raises(RateLimited) as search:  # noqa: PT012 -- on a slow machine a second may pass
            for _ in range(50):
                await http.send(finding, token)
        assert search.value.after_seconds == 1


async def test_with_faults_of_every_kind_everything_still_arrives():
    world = world_of(**FEW, settings=Settings(faults="0.2", slow_seconds=0.01))
    async with client_of(world, retries=12) as client:
        for object_name in ("contacts", "deals"):
            assert_equals_source(world, object_name, await read_all(client.connector, object_name))
        names: list[Any] = []
        async for page in client.connector.changed_pages("contacts", ["email"], 0, None):
            names += page.records
    assert len({each.remote_id for each in names}) == len(world.store("contacts").living)
    assert len(client.failures) > 5


async def test_the_modified_time_read_is_the_one_searched_by():
    world = world_of(contacts=30, companies=30)
    async with client_of(world) as client:
        for object_name, modified in (("contacts", "lastmodifieddate"), ("companies", "hs_lastmodifieddate")):
            for each in (await read_all(client.connector, object_name)).values():
                assert parse_ms(each.properties[modified]) == each.updated_ms
