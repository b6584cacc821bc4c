"""Properties, pipelines, owners, schemas and the account, as HubSpot describes them."""

from collections.abc import Callable
from typing import Any

import pytest
from hub import Hub

from syncline.simulators.hubspot import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world(contacts=0, owners=5, archived_owners=2)


def definition(**changes: Any) -> dict[str, Any]:
    return {
        "name": "hub_key", "label": "Hub key", "groupName": "contactinformation", "type": "string",
        "fieldType": "text", "hasUniqueValue": True,
    } | changes  # fmt: skip


@pytest.mark.parametrize("path", ["/crm/v3/properties", "/crm/properties/2026-03"])
async def test_an_ordinary_account_defines_many_properties(hub: Hub, path: str):
    found = {one["name"]: one for one in (await hub.get(f"{path}/contacts"))["results"]}
    assert len(found) >= 150
    assert found["hubspot_owner_id"]["referencedObjectType"] == "OWNER"
    assert found["hubspot_owner_id"]["options"] == []
    assert found["createdate"]["modificationMetadata"]["readOnlyValue"]
    assert found["vsl_watched"]["type"] == "bool"
    assert found["num_associated_deals"]["calculated"]
    assert [option["value"] for option in found["lifecyclestage"]["options"]][:2] == ["subscriber", "lead"]


async def test_every_property_the_records_use_is_defined(make_world: Callable[..., World]):
    world = make_world(
        contacts=120, companies=20, deals=20, calls=20, meetings=9, emails=9, notes=9, tasks=9, cars=9
    )
    for store in world.stores.values():
        used = {name for record in store.list_living() for name in (*record.own, *record.shared)}
        assert used <= set(store.definitions)


async def test_populated_values_are_values_their_definitions_allow(make_world: Callable[..., World]):
    world = make_world(
        contacts=300, companies=60, deals=60, calls=60, meetings=30, emails=30, notes=9, tasks=30
    )
    for store in world.stores.values():
        for record in store.list_living():
            for name, value in {**record.shared, **record.own}.items():
                allowed = store.definitions[name].option_values
                if allowed:
                    assert set(str(value).split(";")) <= set(allowed), name


async def test_a_property_is_created_used_changed_and_archived(hub: Hub):
    made = await hub.post("/crm/v3/properties/contacts", definition(), 201)
    assert (made["hasUniqueValue"], made["modificationMetadata"]["readOnlyValue"]) == (True, False)
    contact = await hub.post(
        "/crm/v3/objects/contacts", {"properties": {"firstname": "A", "hub_key": "7"}}, 201
    )
    found = await hub.get("/crm/v3/objects/contacts/7", idProperty="hub_key", properties="hub_key")
    assert (found["id"], found["properties"]["hub_key"]) == (contact["id"], "7")
    path = "/crm/v3/properties/contacts/hub_key"
    assert (await hub.http.patch(path, json={"label": "Key"})).json()["label"] == "Key"
    assert (await hub.http.delete(path)).status_code == 204
    assert (await hub.refused("GET", path))[0] == 404
    page = await hub.get(f"/crm/v3/objects/contacts/{contact['id']}", properties="hub_key")
    assert "hub_key" not in page["properties"]


async def test_a_name_that_is_taken_has_its_own_words(hub: Hub):
    status, error = await hub.refused("POST", "/crm/v3/properties/contacts", json=definition(name="email"))
    assert status == 409
    assert error["message"] == "A property named 'email' already exists."
    assert (error["category"], error["subCategory"]) == (
        "OBJECT_ALREADY_EXISTS", "Properties.PROPERTY_WITH_NAME_EXISTS",
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes", [{"fieldType": "date"}, {"groupName": "nowhere"}, {"label": ""}, {"name": "1 bad name"}]
)
async def test_a_property_that_makes_no_sense_is_refused(hub: Hub, changes: dict[str, str]):
    assert (await hub.refused("POST", "/crm/v3/properties/contacts", json=definition(**changes)))[0] == 400


async def test_properties_come_in_batches_too(hub: Hub):
    body = {"inputs": [definition(name="k1"), definition(name="email")]}
    answer = await hub.post("/crm/v3/properties/contacts/batch/create", body, 207)
    assert [one["name"] for one in answer["results"]] == ["k1"]
    answer = await hub.post("/crm/v3/properties/contacts/batch/read", {"inputs": [{"name": "k1"}]})
    assert answer["results"][0]["hasUniqueValue"]
    await hub.post("/crm/v3/properties/contacts/batch/archive", {"inputs": [{"name": "k1"}]}, 204)


async def test_groups_can_be_listed_and_made(hub: Hub):
    await hub.post("/crm/v3/properties/contacts/groups", {"name": "ours", "label": "Ours"}, 201)
    names = {one["name"] for one in (await hub.get("/crm/v3/properties/contacts/groups"))["results"]}
    assert {"contactinformation", "ours"} <= names
    await hub.post("/crm/v3/properties/contacts", definition(groupName="ours"), 201)


async def test_deals_have_two_pipelines_with_probabilities_as_text(hub: Hub):
    found = (await hub.get("/crm/pipelines/2026-03/deals"))["results"]
    assert [one["label"] for one in found] == ["Sales Pipeline", "Partner Pipeline"]
    stages = {stage["id"]: stage["metadata"] for stage in found[0]["stages"]}
    assert stages["closedwon"] == {"isClosed": "true", "probability": "1.0"}
    assert stages["appointmentscheduled"] == {"isClosed": "false", "probability": "0.2"}
    assert all(stage["id"].isdigit() for stage in found[1]["stages"])


async def test_a_stage_in_use_is_not_deleted(hub: Hub):
    hub.world.create("deals", {"dealname": "x", "dealstage": "contractsent"})
    path = "/crm/v3/pipelines/deals/default/stages"
    status, error = await hub.refused("DELETE", f"{path}/contractsent")
    assert (status, error["subCategory"]) == (400, "PipelineError.STAGE_ID_IN_USE")
    made = await hub.post(path, {"label": "New", "displayOrder": 9, "metadata": {"probability": "0.5"}}, 201)
    assert made["id"].isdigit()
    assert (await hub.refused("POST", path, json={"label": "New", "metadata": {}}))[0] == 400
    assert (await hub.http.delete(f"{path}/{made['id']}")).status_code == 204


@pytest.mark.parametrize("path", ["/crm/v3/owners/", "/crm/owners/2026-03"])
async def test_owners_who_left_are_listed_apart(hub: Hub, path: str):
    active = await hub.walk(path, limit=2)
    gone = await hub.walk(path, archived="true")
    assert (len(active), len(gone)) == (5, 2)
    assert all(owner["userId"] is None and owner["archived"] for owner in gone)
    assert all(owner["teams"][0]["primary"] for owner in active)
    by_mail = await hub.get(path, email=active[0]["email"])
    assert by_mail["results"] == active[:1]


async def test_one_owner_is_found_by_id_or_user(hub: Hub):
    owner = hub.world.owners[0]
    by_id = await hub.get(f"/crm/v3/owners/{owner.owner_id}")
    by_user = await hub.get(f"/crm/v3/owners/{owner.user_id}", idProperty="userId")
    assert by_id == by_user
    assert (await hub.refused("GET", "/crm/v3/owners/1"))[0] == 404


@pytest.mark.parametrize("path", ["/crm/v3/schemas", "/crm-object-schemas/2026-03/schemas"])
async def test_custom_objects_have_a_schema(hub: Hub, path: str):
    schema = (await hub.get(path))["results"][0]
    assert (schema["objectTypeId"], schema["name"]) == ("2-45678901", "cars")
    assert schema["fullyQualifiedName"] == f"p{hub.world.portal_id}_cars"
    assert "vin" in {one["name"] for one in schema["properties"]}
    assert (await hub.get(f"{path}/cars"))["id"] == schema["id"]


@pytest.mark.parametrize("version", ["v3", "2026-03"])
async def test_the_account_says_who_it_is(hub: Hub, version: str):
    found = await hub.get(f"/account-info/{version}/details")
    assert (found["portalId"], found["companyCurrency"]) == (hub.world.portal_id, "USD")


async def test_the_day_s_use_is_told(hub: Hub):
    for _ in range(3):
        await hub.get("/crm/v3/owners")
    usage = (await hub.get("/account-info/v3/api-usage/daily/private-apps"))["results"][0]
    assert (usage["currentUsage"], usage["fetchStatus"]) == (4, "SUCCESS")
