"""Writing to Pipedrive, one call a record: what each costs, and what becomes of which failure."""

from typing import Any

import pytest
from tiny_pipedrive import Tiny, ok, person

from syncline.connectors.transport import Request
from syncline.connectors.writes import RemoteLink, RemoteWrite
from syncline.errors import (
    Invalid,
    LeaseLost,
    NotFound,
    RateLimited,
    RecordRejected,
    ScopeMissing,
    SettingInvalid,
    TokenRejected,
    Unavailable,
)

pytestmark = pytest.mark.anyio

PERSONS = "/api/v2/persons"
FIELDS = "/api/v2/personFields"
OWN_ID = "ef" * 20
DEFINITIONS = ok(
    [
        {
            "field_name": "Syncline record id",
            "field_code": OWN_ID,
            "field_type": "varchar",
            "is_custom_field": True,
        }
    ]
)


def change(record_id: int, key: str | None = None, **properties: str | None) -> RemoteWrite:
    return RemoteWrite(key or f"k{record_id}", str(record_id), properties or {"owner_id": "2"})


def create(key: str, external_id: str | None = None, **properties: str | None) -> RemoteWrite:
    return RemoteWrite(key, None, properties or {"first_name": "A", "last_name": "B"}, external_id)


def echo(request: Request) -> Any:
    record_id = int(request.path.rpartition("/")[2]) if request.method == "PATCH" else 77
    return 200, ok(person(record_id) | dict(request.json))


async def test_changes_go_before_creates_and_outcomes_keep_the_order():
    tiny = Tiny(
        {
            ("PATCH", f"{PERSONS}/1"): echo,
            ("PATCH", f"{PERSONS}/2"): echo,
            ("POST", PERSONS): echo,
        }
    )
    outcomes = await tiny.connector.write_many("persons", [create("new"), change(1), change(2)])
    assert [(each.key, each.remote_id, each.created) for each in outcomes] == [
        ("new", "77", True),
        ("k1", "1", False),
        ("k2", "2", False),
    ]
    assert [each.method for each in tiny.requests] == ["PATCH", "PATCH", "POST"]
    assert [each.cost for each in tiny.requests] == [5, 5, 5]
    assert [each.idempotent for each in tiny.requests] == [True, True, False]
    assert outcomes[1].record is not None
    assert outcomes[1].record.properties["owner_id"] == "2"


async def test_of_two_changes_of_one_record_the_first_goes_first():
    tiny = Tiny({("PATCH", f"{PERSONS}/1"): echo})
    await tiny.connector.write_many("persons", [change(1, "a", owner_id="2"), change(1, "b", owner_id="3")])
    assert tiny.bodies("PATCH") == [{"owner_id": 2}, {"owner_id": 3}]


async def test_one_bad_record_fails_alone_and_its_values_are_not_repeated():
    refusal = (400, {"success": False, "error": "owner 4711secret is no user", "error_info": "x"})
    tiny = Tiny({("PATCH", f"{PERSONS}/1"): refusal, ("PATCH", f"{PERSONS}/2"): echo})
    bad, good = await tiny.connector.write_many("persons", [change(1, visible_to="3"), change(2)])
    assert isinstance(bad.failure, RecordRejected)
    assert bad.unwritten
    assert "is no user" in str(bad.failure)
    assert good.failure is None


async def test_a_refusal_with_http_200_is_a_refusal():
    tiny = Tiny({("PATCH", f"{PERSONS}/1"): {"success": False, "error": "no", "data": None}})
    [outcome] = await tiny.connector.write_many("persons", [change(1)])
    assert isinstance(outcome.failure, RecordRejected)


async def test_what_does_not_fit_costs_no_call():
    tiny = Tiny({})
    [outcome] = await tiny.connector.write_many("persons", [change(1, owner_id="nobody")])
    assert isinstance(outcome.failure, RecordRejected)
    assert tiny.requests == []


async def test_a_record_that_is_gone_is_not_found():
    tiny = Tiny({("PATCH", f"{PERSONS}/2"): echo})
    gone, good = await tiny.connector.write_many("persons", [change(1), change(2)])
    assert isinstance(gone.failure, NotFound)
    assert gone.unwritten
    assert good.failure is None


async def test_a_record_that_may_not_be_changed_is_set_aside_alone():
    refusal = (403, {"success": False, "error": "You do not have permission to do this."})
    tiny = Tiny({("PATCH", f"{PERSONS}/1"): refusal, ("PATCH", f"{PERSONS}/2"): echo})
    bad, good = await tiny.connector.write_many("persons", [change(1), change(2)])
    assert isinstance(bad.failure, RecordRejected)
    assert good.failure is None


async def test_a_token_without_the_scope_stops_everything():
    refusal = (403, {"success": False, "error": "Scope and URL mismatch"})
    tiny = Tiny({("PATCH", f"{PERSONS}/1"): refusal})
    with pytest.raises(ScopeMissing):
        await tiny.connector.write_many("persons", [change(1)])


@pytest.mark.parametrize("error", [RateLimited(), TokenRejected(), Unavailable()])
async def test_a_failure_before_anything_is_written_is_raised(error: Exception):
    tiny = Tiny({("PATCH", f"{PERSONS}/1"): error})
    with pytest.raises(type(error)):
        await tiny.connector.write_many("persons", [change(1)])


async def test_a_failure_after_something_is_written_is_the_outcome_of_the_rest():
    tiny = Tiny({("PATCH", f"{PERSONS}/1"): echo, ("POST", PERSONS): RateLimited()})
    done, refused = await tiny.connector.write_many("persons", [change(1), create("a")])
    assert done.failure is None
    assert isinstance(refused.failure, RateLimited)
    assert refused.unwritten


async def test_a_create_whose_answer_was_lost_is_told_as_such():
    tiny = Tiny({("POST", PERSONS): Unavailable()})
    [outcome] = await tiny.connector.write_many("persons", [create("a")])
    assert isinstance(outcome.failure, Unavailable)
    assert not outcome.unwritten


async def test_a_create_that_never_left_may_be_sent_again():
    tiny = Tiny({("POST", PERSONS): Unavailable(unsent=True)})
    with pytest.raises(Unavailable):
        await tiny.connector.write_many("persons", [create("a")])


async def test_a_lost_lease_is_raised_whatever_was_written():
    tiny = Tiny({("PATCH", f"{PERSONS}/1"): echo, ("POST", PERSONS): LeaseLost()})
    with pytest.raises(LeaseLost):
        await tiny.connector.write_many("persons", [change(1), create("a")])


async def test_a_create_brings_our_id_in_the_field_that_holds_it():
    tiny = Tiny({("GET", FIELDS): DEFINITIONS, ("POST", PERSONS): echo})
    [outcome] = await tiny.connector.write_many("persons", [create("a", "0199")])
    assert tiny.bodies("POST")[0]["custom_fields"] == {OWN_ID: "syncline:0199"}
    assert outcome.record is not None
    assert outcome.record.external_id == "0199"


async def test_an_address_is_written_with_the_others_that_are_there():
    held = person(1)
    held["emails"].append({"value": "x@example.com", "primary": False, "label": "home"})
    tiny = Tiny({("GET", f"{PERSONS}/1"): ok(held), ("PATCH", f"{PERSONS}/1"): echo})
    await tiny.connector.write_many("persons", [change(1, email="new@example.com")])
    assert [each["value"] for each in tiny.bodies("PATCH")[0]["emails"]] == [
        "new@example.com",
        "x@example.com",
    ]
    assert tiny.cost == 6


async def test_a_name_is_written_in_one_piece_where_two_are_refused():
    def handle(request: Request) -> Any:
        if "first_name" in request.json:
            return 400, {"success": False, "error": "Parameter first_name is not allowed"}
        return echo(request)

    tiny = Tiny({("PATCH", f"{PERSONS}/1"): handle})
    [outcome] = await tiny.connector.write_many("persons", [change(1, first_name="A", last_name="B")])
    assert outcome.failure is None
    assert tiny.bodies("PATCH")[-1] == {"name": "A B"}


async def test_notes_are_not_made_without_what_they_belong_to():
    [outcome] = await Tiny({}).connector.write_many("notes", [create("a", content="text")])
    assert isinstance(outcome.failure, RecordRejected)


async def test_deals_are_archived_and_others_deleted_and_what_is_gone_is_no_failure():
    tiny = Tiny({("PATCH", "/api/v2/deals/1"): ok({"id": 1}), ("DELETE", f"{PERSONS}/1"): ok({"id": 1})})
    outcomes = await tiny.connector.archive_many("deals", ["1", "2", "1"])
    assert [each.failure for each in outcomes] == [None, None, None]
    assert tiny.bodies("PATCH") == [{"is_archived": True}] * 2
    await tiny.connector.archive_many("persons", ["1"])
    assert [(each.method, each.cost) for each in tiny.requests][-1] == ("DELETE", 3)


async def test_more_than_a_batch_is_refused():
    with pytest.raises(Invalid):
        await Tiny({}).connector.write_many("persons", [change(number) for number in range(1, 22)])
    with pytest.raises(Invalid):
        await Tiny({}).connector.write_many("users", [change(1)])


async def test_what_was_just_made_is_found_though_the_search_lags():
    made = person(9, add_time="2999-01-01T00:00:00Z", custom_fields={OWN_ID: "syncline:b"})
    tiny = Tiny(
        {
            ("GET", FIELDS): DEFINITIONS,
            ("GET", PERSONS): ok([made]),
            ("GET", f"{PERSONS}/search"): ok({"items": []}),
        }
    )
    found = await tiny.connector.find_by_external_id("persons", ["a", "b"])
    assert {key: each.remote_id for key, each in found.items()} == {"b": "9"}
    searches = [each for each in tiny.requests if each.bucket == "search"]
    assert [each.query["term"] for each in searches] == ["syncline:a"]


async def test_what_was_made_long_ago_is_found_by_search_and_read_itself():
    made = person(3, custom_fields={OWN_ID: "syncline:a"})
    tiny = Tiny(
        {
            ("GET", FIELDS): DEFINITIONS,
            ("GET", PERSONS): ok([person(8)]),
            ("GET", f"{PERSONS}/search"): ok({"items": [{"item": {"id": 3}}, {"item": {"id": 4}}]}),
            ("GET", f"{PERSONS}/3"): ok(made),
            ("GET", f"{PERSONS}/4"): ok(person(4)),
        }
    )
    found = await tiny.connector.find_by_external_id("persons", ["a"])
    assert {key: each.remote_id for key, each in found.items()} == {"a": "3"}


async def test_without_the_field_nothing_is_proven():
    with pytest.raises(SettingInvalid):
        await Tiny({("GET", FIELDS): ok([])}).connector.find_by_external_id("persons", ["a"])
    with pytest.raises(SettingInvalid):
        await Tiny({}).connector.find_by_external_id("activities", ["a"])


async def test_an_association_that_is_there_is_not_written():
    tiny = Tiny(
        {
            ("GET", "/api/v2/deals/1"): ok({"id": 1, "person_id": 5}),
            ("GET", "/api/v2/deals/2"): ok({"id": 2, "person_id": 6}),
            ("PATCH", "/api/v2/deals/2"): ok({"id": 2, "person_id": 5}),
        }
    )
    links = [RemoteLink("a", "1", "5"), RemoteLink("b", "2", "5"), RemoteLink("c", "3", "5")]
    outcomes = await tiny.connector.associate_many("deals", "persons", links)
    assert [type(each.failure) for each in outcomes] == [type(None), type(None), NotFound]
    assert tiny.bodies("PATCH") == [{"person_id": 5}]


async def test_only_the_association_that_was_meant_is_taken_away():
    tiny = Tiny(
        {
            ("GET", "/api/v2/deals/1"): ok({"id": 1, "org_id": 5}),
            ("GET", "/api/v2/deals/2"): ok({"id": 2, "org_id": 6}),
            ("PATCH", "/api/v2/deals/1"): ok({"id": 1, "org_id": None}),
        }
    )
    links = [RemoteLink("a", "1", "5"), RemoteLink("b", "2", "5"), RemoteLink("c", "3", "5")]
    outcomes = await tiny.connector.dissociate_many("deals", "organizations", links)
    assert [each.failure for each in outcomes] == [None, None, None]
    assert tiny.bodies("PATCH") == [{"org_id": None}]


async def test_the_person_of_an_activity_is_its_primary_participant():
    held = {"id": 1, "type": "call", "person_id": 6, "participants": [{"person_id": 6, "primary": True}]}
    tiny = Tiny(
        {
            ("GET", "/api/v2/activities/1"): ok(held),
            ("PATCH", "/api/v2/activities/1"): ok(held | {"person_id": 5}),
        }
    )
    await tiny.connector.associate_many("activities", "persons", [RemoteLink("a", "1", "5")])
    assert tiny.bodies("PATCH") == [
        {"participants": [{"person_id": 5, "primary": True}, {"person_id": 6, "primary": False}]}
    ]


async def test_a_merge_keeps_the_survivor():
    tiny = Tiny({("PUT", "/v1/persons/2/merge"): ok({"id": 1})})
    assert await tiny.connector.merge_records("persons", "1", "2") == "1"
    [request] = tiny.requests
    assert (request.json, request.cost, request.idempotent) == ({"merge_with_id": 1}, 40, False)
    with pytest.raises(NotFound):
        await tiny.connector.merge_records("persons", "1", "3")
    with pytest.raises(Invalid):
        await tiny.connector.merge_records("notes", "1", "2")


async def test_the_field_for_our_ids_is_found_by_its_label_and_made_once():
    wanted = Tiny({}).connector.external_id_property("persons")
    assert wanted is not None
    tiny = Tiny({("GET", FIELDS): ok([]), ("POST", FIELDS): ok({"field_code": OWN_ID})})
    assert [each.state for each in await tiny.connector.plan_properties("persons", [wanted])] == ["create"]
    assert [each.state for each in await tiny.connector.apply_properties("persons", [wanted])] == ["created"]
    assert tiny.bodies("POST") == [{"field_name": "Syncline record id", "field_type": "varchar"}]
    tiny = Tiny({("GET", FIELDS): DEFINITIONS})
    assert [each.state for each in await tiny.connector.apply_properties("persons", [wanted])] == ["exists"]
    [plan] = await tiny.connector.plan_properties("activities", [wanted])
    assert plan.state == "differs"
    assert tiny.connector.external_id_property("users") is None
