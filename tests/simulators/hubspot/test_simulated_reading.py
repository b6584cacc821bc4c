"""Lists, single records and batches as HubSpot gives them."""

import re
from collections.abc import Callable

import pytest
from hub import NOW_MS, Hub

from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.values import iso

pytestmark = pytest.mark.anyio

FAMILIES = ("/crm/v3/objects", "/crm/objects/2026-03")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["contacts", "0-1", "contact", "contacts/"])
async def test_a_list_gives_every_living_record_once_in_order_of_id(hub: Hub, family: str, name: str):
    found = await hub.walk(f"{family}/{name}", limit=100)
    assert [int(record["id"]) for record in found] == hub.world.store("contacts").living
    assert len(found) == 230


async def test_both_families_of_paths_give_the_same_records(hub: Hub):
    pages = [await hub.get(f"{family}/deals", limit=15, properties="amount,dealstage") for family in FAMILIES]
    assert pages[0] == pages[1]


async def test_dated_paths_can_be_unknown_as_in_older_times(hub: Hub):
    hub.world.settings.dated_paths = False
    assert (await hub.refused("GET", "/crm/objects/2026-03/contacts"))[0] == 404
    assert await hub.get("/crm/v3/objects/contacts")


async def test_a_list_may_be_entered_at_any_id_whether_a_record_has_it_or_not(hub: Hub):
    ids = hub.world.store("contacts").living
    for cursor in (0, ids[7], ids[7] + 1, ids[-1], ids[-1] + 1, 10**15):
        page = await hub.get("/crm/v3/objects/contacts", limit=3, after=cursor)
        assert [int(r["id"]) for r in page["results"]] == [i for i in ids if i >= cursor][:3]


async def test_a_page_tells_where_the_next_begins_and_the_last_page_does_not(hub: Hub):
    ids = hub.world.store("contacts").living
    first = await hub.get("/crm/v3/objects/contacts", limit=2)
    following = first["paging"]["next"]
    assert following["after"] == str(ids[1] + 1)
    assert following["link"].startswith("http://hub.test/crm/v3/objects/contacts?")
    assert "paging" not in await hub.get("/crm/v3/objects/contacts", limit=2, after=ids[-2])


async def test_opaque_cursors_can_be_followed_but_not_made_up(hub: Hub):
    hub.world.settings.opaque_after = True
    found = await hub.walk("/crm/v3/objects/contacts", limit=50)
    assert len(found) == 230
    assert (await hub.refused("GET", "/crm/v3/objects/contacts?after=99"))[0] == 400


async def test_a_cursor_that_is_no_number_is_refused(hub: Hub):
    status, error = await hub.refused("GET", "/crm/v3/objects/contacts?after=abc")
    assert (status, error["message"].startswith("Cannot deserialize value of type")) == (400, True)


@pytest.mark.parametrize("query", ["limit=101", "limit=0", "limit=51&propertiesWithHistory=email", "limit=x"])
async def test_pages_have_a_largest_size(hub: Hub, query: str):
    status, error = await hub.refused("GET", f"/crm/v3/objects/contacts?{query}")
    assert (status, error["category"]) == (400, "VALIDATION_ERROR")


async def test_ten_records_come_when_nobody_says_how_many(hub: Hub):
    assert len((await hub.get("/crm/v3/objects/contacts"))["results"]) == 10


async def test_an_empty_property_is_null_and_an_undefined_one_is_left_out(hub: Hub):
    page = await hub.get("/crm/v3/objects/contacts", properties="school,no_such_property")
    for record in page["results"]:
        assert record["properties"]["school"] is None
        assert set(record["properties"]) == {"school", "createdate", "lastmodifieddate", "hs_object_id"}


async def test_properties_may_be_separated_by_commas_or_repeated(hub: Hub):
    one = await hub.http.get("/crm/v3/objects/contacts?properties=email,phone")
    other = await hub.http.get("/crm/v3/objects/contacts?properties=email&properties=phone")
    assert one.json()["results"] == other.json()["results"]


async def test_each_type_has_its_own_default_properties(hub: Hub):
    expected = {
        "contacts": {"createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"},
        "companies": {"name", "domain", "createdate", "hs_lastmodifieddate", "hs_object_id"},
        "deals": {
            "dealname", "amount", "closedate", "pipeline", "dealstage", "createdate", "hs_lastmodifieddate",
            "hs_object_id",
        },
        "calls": {"hs_createdate", "hs_lastmodifieddate", "hs_object_id"},
    }  # fmt: skip
    for name, properties in expected.items():
        page = await hub.get(f"/crm/v3/objects/{name}", limit=1)
        assert set(page["results"][0]["properties"]) == properties


async def test_a_record_carries_its_times_and_its_address_in_the_browser(hub: Hub):
    made = hub.world.create("contacts", {"email": "a@b.example"})
    record = await hub.get(f"/crm/v3/objects/contacts/{made.id}", properties="email")
    assert record == {
        "id": str(made.id),
        "properties": {
            "email": "a@b.example",
            "createdate": iso(NOW_MS),
            "lastmodifieddate": iso(NOW_MS),
            "hs_object_id": str(made.id),
        },
        "createdAt": iso(NOW_MS),
        "updatedAt": iso(NOW_MS),
        "archived": False,
        "url": f"https://app.hubspot.com/contacts/{hub.world.portal_id}/record/0-1/{made.id}",
    }


async def test_a_change_shows_in_the_next_page_although_pages_are_remembered(hub: Hub):
    first = hub.world.store("contacts").living[0]
    path, query = "/crm/v3/objects/contacts", {"properties": "jobtitle", "limit": 5}
    await hub.get(path, **query)
    hub.clock.advance(1)
    hub.world.update("contacts", first, {"jobtitle": "Changed"})
    record = (await hub.get(path, **query))["results"][0]
    assert record["properties"]["jobtitle"] == "Changed"
    assert record["updatedAt"] == record["properties"]["lastmodifieddate"] == iso(hub.clock.ms)


async def test_a_new_property_shows_although_pages_are_remembered(hub: Hub):
    query = {"properties": "email,brand_new", "limit": 1}
    await hub.get("/crm/v3/objects/contacts", **query)
    body = {
        "groupName": "contactinformation",
        "name": "brand_new",
        "label": "B",
        "type": "string",
        "fieldType": "text",
    }
    await hub.post("/crm/v3/properties/contacts", body, 201)
    record = (await hub.get("/crm/v3/objects/contacts", **query))["results"][0]
    assert record["properties"]["brand_new"] is None


async def test_archived_records_are_listed_apart_with_the_time_of_it(hub: Hub):
    hub.clock.advance(5)
    gone = hub.world.store("contacts").living[3]
    before = hub.world.store("contacts").records[gone].updated_ms
    hub.world.archive("contacts", gone)
    living = await hub.walk("/crm/v3/objects/contacts", limit=100)
    archived = await hub.walk("/crm/v3/objects/contacts", limit=4, archived="true")
    assert str(gone) not in {record["id"] for record in living}
    assert len(archived) == 7
    mine = next(record for record in archived if record["id"] == str(gone))
    assert (mine["archived"], mine["archivedAt"], mine["updatedAt"]) == (True, iso(hub.clock.ms), iso(before))


async def test_inline_associations_name_the_other_records_and_are_absent_where_there_are_none(hub: Hub):
    page = await hub.get("/crm/v3/objects/deals", limit=15, associations="contacts,companies")
    for record in page["results"]:
        deal = int(record["id"])
        contacts = hub.world.associated("0-3", deal, "0-1")
        listed = record["associations"]["contacts"]["results"]
        assert listed == [{"id": str(i), "type": "deal_to_contact"} for i in contacts]
    lonely = hub.world.create("contacts", {"email": "x@y.example"})
    record = await hub.get(f"/crm/v3/objects/contacts/{lonely.id}", associations="companies,deals")
    assert "associations" not in record


async def test_a_primary_company_is_listed_inline_with_both_of_its_types(hub: Hub):
    store = hub.world.store("contacts")
    contact = next(i for i in store.living if store.records[i].get("associatedcompanyid"))
    record = await hub.get(f"/crm/v3/objects/contacts/{contact}", associations="companies")
    types = [entry["type"] for entry in record["associations"]["companies"]["results"]]
    assert {"contact_to_company", "contact_to_company_unlabeled"} <= set(types)


async def test_history_is_told_newest_first(hub: Hub):
    contact = hub.world.create("contacts", {"email": "old@b.example"})
    hub.clock.advance(60)
    hub.world.update("contacts", contact.id, {"email": "new@b.example"})
    record = await hub.get(f"/crm/v3/objects/contacts/{contact.id}", propertiesWithHistory="email")
    values = [(entry["value"], entry["timestamp"]) for entry in record["propertiesWithHistory"]["email"]]
    assert values == [("new@b.example", iso(NOW_MS + 60_000)), ("old@b.example", iso(NOW_MS))]


async def test_populated_deals_have_walked_through_their_stages(hub: Hub):
    deals = await hub.walk(
        "/crm/v3/objects/deals", limit=50, propertiesWithHistory="dealstage", properties="dealstage"
    )
    for deal in deals:
        past = deal["propertiesWithHistory"]["dealstage"]
        times = [entry["timestamp"] for entry in past]
        assert past[0]["value"] == deal["properties"]["dealstage"]
        assert times == sorted(times, reverse=True)
    assert any(len(deal["propertiesWithHistory"]["dealstage"]) > 1 for deal in deals)


async def test_a_contact_is_found_by_email_and_a_missing_one_is_not(hub: Hub):
    made = hub.world.create("contacts", {"email": "find@me.example"})
    record = await hub.get("/crm/v3/objects/contacts/Find@Me.example", idProperty="email")
    assert record["id"] == str(made.id)
    status, error = await hub.refused("GET", "/crm/v3/objects/contacts/no@one.example?idProperty=email")
    assert (status, error["status"]) == (404, "error")


async def test_missing_and_malformed_ids_have_their_own_words(hub: Hub):
    status, error = await hub.refused("GET", "/crm/v3/objects/contacts/424242424242424242")
    assert (status, error["message"]) == (404, "resource not found")
    status, error = await hub.refused("GET", "/crm/v3/objects/contacts/abc")
    assert (status, error["category"], error["context"]) == (404, "OBJECT_NOT_FOUND", {"id": ["abc"]})


async def test_an_unknown_type_has_its_own_words(hub: Hub):
    status, error = await hub.refused("GET", "/crm/v3/objects/butterflies")
    assert (status, error["message"]) == (400, "Unable to infer object type from: butterflies")


async def test_a_url_that_is_too_long_is_refused(hub: Hub):
    names = ",".join(f"property_{n}" for n in range(1200))
    assert (await hub.http.get("/crm/v3/objects/contacts", params={"properties": names})).status_code == 414


async def test_a_custom_object_answers_to_all_of_its_names(hub: Hub):
    names = ("cars", "2-45678901", f"p{hub.world.portal_id}_cars", "p_cars")
    pages = [await hub.get(f"/crm/objects/2026-03/{name}", properties="vin", limit=100) for name in names]
    assert all([r["id"] for r in page["results"]] == [r["id"] for r in pages[0]["results"]] for page in pages)
    assert len(pages[0]["results"]) == 12


async def test_a_batch_gives_what_it_finds_and_says_what_it_does_not(hub: Hub):
    ids = [str(i) for i in hub.world.store("contacts").living[:40]]
    whole = await hub.post("/crm/v3/objects/contacts/batch/read", {"inputs": [{"id": i} for i in ids]})
    assert sorted(r["id"] for r in whole["results"]) == sorted(ids)
    assert [r["id"] for r in whole["results"]] != ids
    part = await hub.post(
        "/crm/v3/objects/contacts/batch/read",
        {"inputs": [{"id": i} for i in (*ids[:2], "7")], "properties": ["phone"]}, 207,
    )  # fmt: skip
    assert {r["id"] for r in part["results"]} == set(ids[:2])
    assert "phone" in part["results"][0]["properties"]
    assert part["numErrors"] == 1
    assert (part["errors"][0]["category"], part["errors"][0]["context"]) == (
        "OBJECT_NOT_FOUND",
        {"ids": ["7"]},
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"inputs": [{"id": str(i)} for i in range(101)]}, "maximum number of inputs is 100"),
        (
            {"inputs": [{"id": str(i)} for i in range(51)], "propertiesWithHistory": ["email"]},
            "maximum number of inputs is 50",
        ),
        ({"inputs": [{"id": "1"}, {"id": "2"}, {"id": "1"}]}, r"Duplicate IDs found in batch input: \[1\]"),
        ({}, "inputs"),
    ],
)
async def test_a_batch_beyond_its_rules_is_refused_whole(hub: Hub, body: dict[str, object], words: str):
    status, error = await hub.refused("POST", "/crm/v3/objects/contacts/batch/read", json=body)
    assert status == 400
    assert re.search(words, error["message"])


async def test_merged_ids_lead_to_the_survivor_singly_but_are_left_out_of_batches(hub: Hub):
    first, second, third = hub.world.store("contacts").living[:3]
    survivor = hub.world.merge("contacts", first, second)
    for old in (first, second):
        assert (await hub.get(f"/crm/v3/objects/contacts/{old}"))["id"] == str(survivor.id)
    body = {"inputs": [{"id": str(first)}, {"id": str(third)}]}
    found = await hub.post("/crm/v3/objects/contacts/batch/read", body)
    assert [r["id"] for r in found["results"]] == [str(third)]
    hub.world.settings.batch_read_resolves_merged = True
    found = await hub.post("/crm/v3/objects/contacts/batch/read", body)
    assert {r["id"] for r in found["results"]} == {str(third), str(survivor.id)}


async def test_writing_times_leaves_milliseconds_out_when_there_are_none():
    assert iso(1_790_000_000_000) == "2026-09-21T14:13:20Z"
    assert iso(1_790_000_000_030) == "2026-09-21T14:13:20.030Z"


async def test_the_answers_of_two_worlds_with_one_seed_are_the_same(
    make_world: Callable[..., World], hub: Hub
):
    twin = make_world(contacts=230, companies=20, owners=5, archived_owners=2)
    mine = hub.world.store("contacts")
    other = twin.store("contacts")
    assert mine.living == other.living
    plan = mine.plan_once(mine.definitions)
    assert [plan.write(mine.records[i]) for i in mine.living] == [
        plan.write(other.records[i]) for i in other.living
    ]
