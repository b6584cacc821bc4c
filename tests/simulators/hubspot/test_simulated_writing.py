"""Creating, changing, archiving, merging and erasing through the API, with HubSpot's refusals."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hub import NOW_MS, Hub

from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.values import iso

pytestmark = pytest.mark.anyio

CONTACTS = "/crm/v3/objects/contacts"


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world(contacts=0, companies=0, deals=0, owners=2, archived_owners=1)


async def create(hub: Hub, kind: str = "contacts", /, **properties: Any) -> str:
    made = await hub.post(f"/crm/v3/objects/{kind}", {"properties": properties}, 201)
    return made["id"]


def with_unique_key(hub: Hub) -> str:
    assert hub.world.store("contacts").definitions["external_crm_key"].unique
    return "external_crm_key"


async def test_a_new_contact_gets_what_hubspot_adds(hub: Hub):
    made = await hub.post(CONTACTS, {"properties": {"email": " Ann@North.example ", "lastname": "Lee"}}, 201)
    found = made["properties"]
    assert found["email"] == "ann@north.example"
    assert found["lifecyclestage"] == "lead"
    assert found["hs_object_source"] == "INTEGRATION"
    assert found["hs_object_id"] == made["id"]
    assert found["createdate"] == found["lastmodifieddate"] == made["createdAt"] == iso(NOW_MS)


async def test_a_new_company_gets_its_website_from_its_domain(hub: Hub):
    made = await hub.post("/crm/v3/objects/companies", {"properties": {"domain": "north.example"}}, 201)
    assert made["properties"]["website"] == "north.example"


async def test_a_new_deal_gets_the_default_pipeline_and_its_stage_s_probability(hub: Hub):
    body = {"properties": {"dealname": "Roof", "dealstage": "closedwon"}}
    made = await hub.post("/crm/v3/objects/deals", body, 201)
    found = made["properties"]
    assert (found["pipeline"], found["hs_deal_stage_probability"], found["hs_is_closed_won"]) == (
        "default", "1.0", "true",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "properties"),
    [
        ("contacts", {"phone": "1"}),
        ("companies", {"phone": "1"}),
        ("deals", {"dealname": "x"}),
        ("calls", {"hs_call_title": "x"}),
        ("emails", {"hs_timestamp": "2026-01-01T00:00:00Z"}),
    ],
)
async def test_a_record_needs_its_required_properties(hub: Hub, name: str, properties: dict[str, str]):
    status, error = await hub.refused("POST", f"/crm/v3/objects/{name}", json={"properties": properties})
    assert (status, error["category"], error["errors"][0]["code"]) == (
        400,
        "VALIDATION_ERROR",
        "REQUIRED_FIELD",
    )


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("email", "jo", "INVALID_EMAIL"),
        ("no_such_thing", "1", "PROPERTY_DOESNT_EXIST"),
        ("lifecyclestage", "Lead", "INVALID_OPTION"),
        ("hubspotscore", "1", "READ_ONLY_VALUE"),
        ("vsl_watched", "maybe", "INVALID_OPTION"),
        ("trial_started_on", "2026-01-01T12:00:00Z", "INVALID_DATE"),
        ("vsl_watched_at", "soon", "INVALID_DATE"),
        ("associatedcompanyid", "x", "INVALID_NUMBER"),
        ("hubspot_owner_id", "4711", "INVALID_OWNER_ID"),
        ("message", "x" * 65_537, "INVALID_LENGTH"),
    ],
)
async def test_a_bad_value_is_refused_with_its_code(hub: Hub, name: str, value: str, code: str):
    body = {"properties": {"firstname": "Ann", name: value}}
    status, error = await hub.refused("POST", CONTACTS, json=body)
    assert (status, error["category"]) == (400, "VALIDATION_ERROR")
    assert (error["errors"][0]["code"], error["errors"][0]["context"]) == (code, {"propertyName": [name]})
    listed = json.loads(error["message"].removeprefix("Property values were not valid: "))
    assert (listed[0]["error"], listed[0]["portalId"]) == (code, hub.world.portal_id)
    assert not hub.world.store("contacts").living


async def test_every_bad_value_of_a_record_is_named_at_once(hub: Hub):
    _, error = await hub.refused("POST", CONTACTS, json={"properties": {"email": "jo", "vsl_watched": "7"}})
    assert {one["code"] for one in error["errors"]} == {"INVALID_EMAIL", "INVALID_OPTION"}


async def test_a_stage_must_be_one_of_its_pipeline(hub: Hub):
    body = {"properties": {"dealname": "x", "pipeline": "75893264", "dealstage": "closedwon"}}
    status, error = await hub.refused("POST", "/crm/v3/objects/deals", json=body)
    assert (status, error["errors"][0]["code"]) == (400, "INVALID_OPTION")


async def test_values_are_kept_as_hubspot_writes_them(hub: Hub):
    midnight = 1_767_225_600_000
    made = await create(
        hub, firstname="A", vsl_watched=True, vsl_watched_at=midnight + 5, trial_started_on=str(midnight),
        message="one\r\ntwo",
    )  # fmt: skip
    record = hub.world.get("contacts", int(made))
    assert record.own["vsl_watched"] == "true"
    assert record.own["vsl_watched_at"] == "2026-01-01T00:00:00.005Z"
    assert record.own["trial_started_on"] == "2026-01-01"
    assert record.own["message"] == "one\ntwo"


async def test_an_address_belongs_to_one_contact(hub: Hub):
    first = await create(hub, email="ann@north.example")
    status, error = await hub.refused("POST", CONTACTS, json={"properties": {"email": "ANN@north.example"}})
    assert (status, error["category"]) == (409, "CONFLICT")
    assert error["message"] == f"Contact already exists. Existing ID: {first}"
    assert "context" not in error
    second = await create(hub, email="bea@north.example")
    status, _ = await hub.refused(
        "PATCH", f"{CONTACTS}/{second}", json={"properties": {"email": "ann@north.example"}}
    )
    assert status == 409


async def test_additional_addresses_are_taken_too(hub: Hub):
    first = hub.world.create(
        "contacts", {"email": "a@b.example", "hs_additional_emails": "old@b.example;x@b.example"}
    )
    status, error = await hub.refused("POST", CONTACTS, json={"properties": {"email": "x@b.example"}})
    assert (status, error["message"]) == (409, f"Contact already exists. Existing ID: {first.id}")


async def test_the_address_of_an_archived_contact_is_free_again(hub: Hub):
    first = await create(hub, email="ann@north.example")
    assert (await hub.http.delete(f"{CONTACTS}/{first}")).status_code == 204
    assert await create(hub, email="ann@north.example") != first


async def test_a_unique_property_belongs_to_one_record(hub: Hub):
    key = with_unique_key(hub)
    await create(hub, firstname="A", **{key: "k1"})
    status, error = await hub.refused("POST", CONTACTS, json={"properties": {"firstname": "B", key: "K1"}})
    assert (status, error["errors"][0]["code"]) == (400, "CONFLICTING_UNIQUE_VALUE")


async def test_a_change_answers_with_what_changed(hub: Hub):
    made = await create(hub, email="ann@north.example", firstname="Ann")
    hub.clock.advance(5)
    answer = await hub.http.patch(
        f"{CONTACTS}/{made}", json={"properties": {"firstname": "Anna", "phone": ""}}
    )
    record = answer.json()
    assert set(record["properties"]) == {
        "firstname",
        "phone",
        "createdate",
        "lastmodifieddate",
        "hs_object_id",
    }
    assert record["properties"]["lastmodifieddate"] == iso(NOW_MS + 5000)


async def test_a_change_to_the_same_value_changes_nothing(hub: Hub):
    made = await create(hub, firstname="Ann")
    hub.clock.advance(5)
    answer = await hub.http.patch(f"{CONTACTS}/{made}", json={"properties": {"firstname": "Ann"}})
    assert answer.json()["updatedAt"] == iso(NOW_MS)


async def test_an_empty_text_clears_a_property(hub: Hub):
    made = await create(hub, firstname="Ann", phone="+12125550100")
    await hub.http.patch(f"{CONTACTS}/{made}", json={"properties": {"phone": ""}})
    assert (await hub.get(f"{CONTACTS}/{made}", properties="phone"))["properties"]["phone"] is None


async def test_choices_can_be_appended(hub: Hub):
    values = [option["value"] for option in hub.world.store("contacts").definitions["hs_legal_basis"].options]
    made = await create(hub, firstname="Ann", hs_legal_basis=values[0])
    await hub.http.patch(f"{CONTACTS}/{made}", json={"properties": {"hs_legal_basis": f";{values[1]}"}})
    assert hub.world.get("contacts", int(made)).get("hs_legal_basis") == f"{values[0]};{values[1]}"


async def test_a_lifecycle_goes_forward_only_until_it_is_cleared(hub: Hub):
    made = await create(hub, firstname="Ann", lifecyclestage="customer")
    for value, expected in (("lead", "customer"), ("", None), ("lead", "lead")):
        await hub.http.patch(f"{CONTACTS}/{made}", json={"properties": {"lifecyclestage": value}})
        assert hub.world.get("contacts", int(made)).get("lifecyclestage") == expected


async def test_a_change_of_what_is_not_there_is_refused(hub: Hub):
    status, error = await hub.refused("PATCH", f"{CONTACTS}/4242", json={"properties": {"firstname": "A"}})
    assert (status, error["category"]) == (404, "OBJECT_NOT_FOUND")
    assert error["message"] == "Object not found.  objectId are usually numeric."


async def test_archiving_hides_a_record_and_leaves_its_modified_time(hub: Hub):
    made = await create(hub, firstname="Ann")
    hub.clock.advance(5)
    assert (await hub.http.delete(f"{CONTACTS}/{made}")).status_code == 204
    assert (await hub.refused("GET", f"{CONTACTS}/{made}"))[0] == 404
    record = await hub.get(f"{CONTACTS}/{made}", archived="true")
    assert (record["updatedAt"], record["archivedAt"]) == (iso(NOW_MS), iso(NOW_MS + 5000))


async def test_a_create_may_bring_its_associations(hub: Hub):
    company = await create(hub, "companies", name="North")
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]
    body = {"properties": {"firstname": "Ann"}, "associations": [{"to": {"id": company}, "types": types}]}
    made = await hub.post(CONTACTS, body, 201)
    assert list(hub.world.associated("0-1", int(made["id"]), "0-2")) == [int(company)]
    body["associations"][0]["to"] = {"id": "999"}  # pyright: ignore[reportIndexIssue, reportArgumentType]
    assert (await hub.refused("POST", CONTACTS, json=body))[0] == 404
    assert len(hub.world.store("contacts").living) == 1


async def test_a_batch_of_creates_without_trace_ids_is_all_or_nothing(hub: Hub):
    await create(hub, email="ann@north.example")
    inputs = [{"properties": {"email": f"{name}@north.example"}} for name in ("bea", "ann", "cai")]
    status, error = await hub.refused("POST", f"{CONTACTS}/batch/create", json={"inputs": inputs})
    assert (status, error["message"], error["category"]) == (409, "Contact already exists", "CONFLICT")
    inputs[1] = {"properties": {"email": "not an address"}}
    assert (await hub.refused("POST", f"{CONTACTS}/batch/create", json={"inputs": inputs}))[0] == 400
    assert len(hub.world.store("contacts").living) == 1


async def test_a_batch_of_creates_with_trace_ids_says_which_failed(hub: Hub):
    ann = await create(hub, email="ann@north.example")
    inputs = [
        {"properties": {"email": f"{name}@north.example"}, "objectWriteTraceId": f"t{number}"}
        for number, name in enumerate(("bea", "ann", "cai"))
    ]
    answer = await hub.post(f"{CONTACTS}/batch/create", {"inputs": inputs}, 207)
    made = {record["objectWriteTraceId"]: record["properties"]["email"] for record in answer["results"]}
    assert made == {"t0": "bea@north.example", "t2": "cai@north.example"}
    assert answer["numErrors"] == 1
    error = answer["errors"][0]
    assert (error["category"], error["message"]) == (
        "CONFLICT",
        f"Contact already exists. Existing ID: {ann}",
    )
    assert error["context"] == {"objectWriteTraceId": ["t1"], "existingId": [ann]}


async def test_a_whole_batch_of_creates_answers_201_in_another_order(hub: Hub):
    inputs = [{"properties": {"firstname": f"N{number}"}} for number in range(5)]
    answer = await hub.post(f"{CONTACTS}/batch/create", {"inputs": inputs}, 201)
    names = [record["properties"]["firstname"] for record in answer["results"]]
    assert sorted(names) == [f"N{number}" for number in range(5)]
    assert names != sorted(names)


async def test_one_bad_value_fails_a_whole_batch_of_updates(hub: Hub):
    ids = [await create(hub, firstname=f"N{number}") for number in range(3)]
    inputs = [{"id": record_id, "properties": {"phone": "1"}} for record_id in ids]
    inputs[1]["properties"] = {"lifecyclestage": "nowhere"}
    assert (await hub.refused("POST", f"{CONTACTS}/batch/update", json={"inputs": inputs}))[0] == 400
    assert all(record.get("phone") is None for record in hub.world.store("contacts").list_living())


async def test_unknown_ids_fail_alone_in_a_batch_of_updates_and_merged_ones_vanish(hub: Hub):
    ids = [await create(hub, firstname=f"N{number}") for number in range(3)]
    hub.world.merge("contacts", int(ids[0]), int(ids[1]))
    inputs = [{"id": record_id, "properties": {"phone": "1"}} for record_id in (ids[0], ids[2], "4242")]
    answer = await hub.post(f"{CONTACTS}/batch/update", {"inputs": inputs}, 207)
    assert [record["id"] for record in answer["results"]] == [ids[2]]
    assert answer["errors"][0]["context"] == {"ids": ["4242"]}
    answer = await hub.post(f"{CONTACTS}/batch/update", {"inputs": inputs[:2]})
    assert [record["id"] for record in answer["results"]] == [ids[2]]


async def test_contacts_are_not_updated_in_batches_by_address(hub: Hub):
    await create(hub, email="ann@north.example")
    inputs = [{"id": "ann@north.example", "idProperty": "email", "properties": {"phone": "1"}}]
    status, error = await hub.refused("POST", f"{CONTACTS}/batch/update", json={"inputs": inputs})
    assert (status, error["message"]) == (400, "Unable to perform update/upsert by non-unique 0-1 property")


async def test_an_upsert_creates_or_changes_and_says_which(hub: Hub):
    key = with_unique_key(hub)
    old = await create(hub, firstname="A", **{key: "k1"})
    inputs = [{"id": k, "idProperty": key, "properties": {"firstname": f"F{k}"}} for k in ("k1", "k2")]
    answer = await hub.post(f"{CONTACTS}/batch/upsert", {"inputs": inputs})
    new = {record["properties"]["firstname"]: record["new"] for record in answer["results"]}
    assert new == {"Fk1": False, "Fk2": True}
    assert hub.world.get("contacts", int(old)).get("firstname") == "Fk1"
    again = await hub.post(f"{CONTACTS}/batch/upsert", {"inputs": inputs})
    assert {record["new"] for record in again["results"]} == {False}


async def test_a_batch_of_archives_ignores_what_is_not_there(hub: Hub):
    made = await create(hub, firstname="Ann")
    await hub.post(f"{CONTACTS}/batch/archive", {"inputs": [{"id": made}, {"id": "4242"}]}, 204)
    assert hub.world.store("contacts").living == []


async def test_a_merge_makes_a_new_record_that_both_ids_lead_to(hub: Hub):
    first = await create(hub, email="a@n.example", firstname="Ann")
    second = await create(hub, email="b@n.example", firstname="Bea", phone="+12125550100")
    company = await create(hub, "companies", name="North")
    hub.world.associate("contacts", int(second), "companies", int(company))
    hub.clock.advance(5)
    merged = await hub.post(f"{CONTACTS}/merge", {"primaryObjectId": first, "objectIdToMerge": second})
    assert merged["id"] not in (first, second)
    for old in (first, second):
        record = await hub.get(f"{CONTACTS}/{old}", properties="email,phone,firstname,hs_merged_object_ids")
        found = record["properties"]
        assert record["id"] == merged["id"]
        assert (found["firstname"], found["phone"], found["email"]) == ("Ann", "+12125550100", "a@n.example")
        assert found["hs_merged_object_ids"] == f"{first};{second}"
        assert record["updatedAt"] == iso(NOW_MS + 5000)
    assert [r["id"] for r in (await hub.get(CONTACTS))["results"]] == [merged["id"]]
    assert list(hub.world.associated("0-1", int(merged["id"]), "0-2")) == [int(company)]
    assert (await hub.refused("POST", CONTACTS, json={"properties": {"email": "b@n.example"}}))[0] == 409


async def test_chains_of_merges_lead_to_the_last_survivor(hub: Hub):
    ids = [int(await create(hub, firstname=f"N{number}")) for number in range(3)]
    one = hub.world.merge("contacts", ids[0], ids[1])
    last = hub.world.merge("contacts", one.id, ids[2])
    assert (await hub.get(f"{CONTACTS}/{ids[1]}"))["id"] == str(last.id)
    assert last.get("hs_merged_object_ids") == ";".join(map(str, (*ids[:2], one.id, ids[2])))


async def test_a_record_is_not_merged_with_itself_or_with_nothing(hub: Hub):
    made = await create(hub, firstname="Ann")
    for other, expected in ((made, 400), ("4242", 404)):
        body = {"primaryObjectId": made, "objectIdToMerge": other}
        assert (await hub.refused("POST", f"{CONTACTS}/merge", json=body))[0] == expected


async def test_an_erased_contact_is_gone_everywhere_and_its_address_blocked(hub: Hub):
    made = await create(hub, email="ann@north.example")
    body = {"objectId": "ann@north.example", "idProperty": "email"}
    await hub.post(f"{CONTACTS}/gdpr-delete", body, 204)
    for archived in ("true", "false"):
        assert (await hub.refused("GET", f"{CONTACTS}/{made}?archived={archived}"))[0] == 404
        assert (await hub.get(CONTACTS, archived=archived))["results"] == []
    assert (await hub.refused("POST", CONTACTS, json={"properties": {"email": "ann@north.example"}}))[
        0
    ] == 400


async def test_an_address_nobody_has_can_be_blocked(hub: Hub):
    await hub.post(f"{CONTACTS}/gdpr-delete", {"objectId": "no@one.example", "idProperty": "email"}, 204)
    assert (await hub.refused("POST", CONTACTS, json={"properties": {"email": "no@one.example"}}))[0] == 400


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"properties": 7}', b'{"properties": {"email": {"a": 1}}}']
)
async def test_a_body_that_makes_no_sense_is_refused(hub: Hub, body: bytes):
    assert (await hub.refused("POST", CONTACTS, content=body))[0] == 400


async def test_every_change_is_told_as_an_event_with_its_source(hub: Hub):
    made = int(await create(hub, email="ann@north.example"))
    hub.world.update("contacts", made, {"firstname": "Ann"})
    hub.world.archive("contacts", made)
    told = [(event.kind, event.object_id, event.source[0]) for event in hub.world.events]
    assert told == [
        ("contact.creation", made, "INTEGRATION"),
        ("contact.propertyChange", made, "INTEGRATION"),
        ("contact.propertyChange", made, "CRM_UI"),
        ("contact.deletion", made, "CRM_UI"),
    ]
