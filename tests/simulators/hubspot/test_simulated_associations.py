"""Associations as v4 and the dated paths have them."""

from collections.abc import Callable
from typing import Any

import pytest
from hub import NOW_MS, Hub

from syncline.simulators.hubspot import World

pytestmark = pytest.mark.anyio

FAMILIES = ("/crm/v4/associations", "/crm/associations/2026-03")


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """Three contacts and two companies that know nothing of each other."""
    found = make_world(contacts=0, owners=0)
    for name in ("Ann", "Bea", "Cai"):
        found.create("contacts", {"firstname": name})
    for name in ("North", "South"):
        found.create("companies", {"name": name})
    return found


@pytest.fixture
def contacts(world: World) -> list[int]:
    return list(world.store("contacts").living)


@pytest.fixture
def companies(world: World) -> list[int]:
    return list(world.store("companies").living)


def inputs_of(*ids: int) -> dict[str, Any]:
    return {"inputs": [{"id": str(one)} for one in ids]}


@pytest.mark.parametrize("family", FAMILIES)
async def test_records_without_associations_make_a_207_that_is_no_failure(
    hub: Hub, contacts: list[int], companies: list[int], family: str
):
    hub.world.associate("contacts", contacts[0], "companies", companies[0])
    answer = await hub.post(f"{family}/contacts/companies/batch/read", inputs_of(*contacts[:2]), 207)
    assert answer["results"] == [
        {
            "from": {"id": str(contacts[0])},
            "to": [
                {
                    "toObjectId": companies[0],
                    "associationTypes": [
                        {"category": "HUBSPOT_DEFINED", "typeId": 279, "label": None},
                        {"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"},
                    ],
                }
            ],
        }
    ]
    error = answer["errors"][0]
    assert error["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert error["context"]["fromObjectId"] == [str(contacts[1])]
    assert answer["numErrors"] == 1
    whole = await hub.post(f"{family}/0-1/0-2/batch/read", inputs_of(contacts[0]))
    assert whole["results"] == answer["results"]


async def test_both_directions_carry_their_own_type(hub: Hub, contacts: list[int], companies: list[int]):
    hub.world.associate("contacts", contacts[0], "companies", companies[0])
    answer = await hub.post("/crm/v4/associations/companies/contacts/batch/read", inputs_of(companies[0]))
    to = answer["results"][0]["to"]
    assert [t["typeId"] for t in to[0]["associationTypes"]] == [280, 2]
    assert to[0]["toObjectId"] == contacts[0]


async def test_one_company_is_primary_at_a_time(hub: Hub, contacts: list[int], companies: list[int]):
    primary = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}]
    ann = contacts[0]
    hub.world.associate("contacts", ann, "companies", companies[0])
    hub.world.associate("contacts", ann, "companies", companies[1])
    assert hub.world.get("contacts", ann).get("associatedcompanyid") == str(companies[0])
    path = f"/crm/v4/objects/contacts/{ann}/associations/companies/{companies[1]}"
    answer = await hub.http.put(path, json=primary)
    assert (answer.status_code, answer.json()["labels"]) == (201, ["Primary"])
    found = hub.world.associated("0-1", ann, "0-2")
    assert found[companies[0]] == (("HUBSPOT_DEFINED", 279),)
    assert ("HUBSPOT_DEFINED", 1) in found[companies[1]]
    assert ("HUBSPOT_DEFINED", 279) in found[companies[1]]
    assert hub.world.get("contacts", ann).get("associatedcompanyid") == str(companies[1])


async def test_associating_moves_no_modified_time(hub: Hub, contacts: list[int], companies: list[int]):
    hub.clock.advance(60)
    hub.world.associate("contacts", contacts[0], "companies", companies[0])
    assert hub.world.get("contacts", contacts[0]).updated_ms == NOW_MS
    assert hub.world.get("companies", companies[0]).updated_ms == NOW_MS


@pytest.mark.parametrize("family", ["/crm/v4/objects", "/crm/objects/2026-03"])
async def test_one_record_s_associations_are_listed_in_pages(
    hub: Hub, contacts: list[int], companies: list[int], family: str
):
    for contact in contacts:
        hub.world.associate("companies", companies[0], "contacts", contact)
    path = f"{family}/companies/{companies[0]}/associations/contacts"
    first = await hub.get(path, limit=2)
    rest = await hub.get(path, limit=2, after=first["paging"]["next"]["after"])
    assert [r["toObjectId"] for r in first["results"] + rest["results"]] == contacts
    assert "paging" not in rest


async def test_large_records_are_paged_inside_a_batch(hub: Hub, contacts: list[int], companies: list[int]):
    hub.world.settings.association_page = 2
    for contact in contacts:
        hub.world.associate("companies", companies[0], "contacts", contact)
    path = "/crm/v4/associations/companies/contacts/batch/read"
    first = (await hub.post(path, inputs_of(companies[0])))["results"][0]
    after = first["paging"]["next"]["after"]
    rest = (await hub.post(path, {"inputs": [{"id": str(companies[0]), "after": after}]}))["results"][0]
    assert [t["toObjectId"] for t in first["to"] + rest["to"]] == contacts


async def test_the_old_list_has_its_own_shape(hub: Hub, contacts: list[int], companies: list[int]):
    hub.world.associate("contacts", contacts[0], "companies", companies[0])
    found = await hub.get(f"/crm/v3/objects/contacts/{contacts[0]}/associations/companies")
    assert {"id": str(companies[0]), "type": "contact_to_company"} in found["results"]


async def test_batches_create_and_archive_associations(hub: Hub, contacts: list[int], companies: list[int]):
    pairs = [{"from": {"id": str(c)}, "to": {"id": str(companies[0])}} for c in contacts[:2]]
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]
    path = "/crm/v4/associations/contacts/companies/batch"
    answer = await hub.post(f"{path}/create", {"inputs": [pair | {"types": types} for pair in pairs]}, 201)
    assert len(answer["results"]) == 2
    body = {"inputs": [{"from": pairs[0]["from"], "to": [pairs[0]["to"]]}]}
    await hub.post(f"{path}/archive", body, 204)
    assert list(hub.world.associated("0-2", companies[0], "0-1")) == [contacts[1]]
    await hub.post(f"{path}/associate/default", {"inputs": pairs[:1]})
    assert list(hub.world.associated("0-2", companies[0], "0-1")) == contacts[:2]


async def test_removing_the_unlabeled_type_removes_the_association(
    hub: Hub, contacts: list[int], companies: list[int]
):
    hub.world.associate("contacts", contacts[0], "companies", companies[0])
    pair = {"from": {"id": str(contacts[0])}, "to": {"id": str(companies[0])}}
    path = "/crm/v4/associations/contacts/companies/batch/labels/archive"
    for type_id, left in ((1, 1), (279, 0)):
        types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id}]
        await hub.post(path, {"inputs": [pair | {"types": types}]}, 204)
        assert len(hub.world.associated("0-1", contacts[0], "0-2")) == left


async def test_a_type_of_another_pair_is_refused(hub: Hub, contacts: list[int], companies: list[int]):
    path = f"/crm/v4/objects/contacts/{contacts[0]}/associations/companies/{companies[0]}"
    body = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 4}]
    assert (await hub.refused("PUT", path, json=body))[0] == 400
    body = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]
    assert (await hub.refused("PUT", f"{path}9", json=body))[0] == 404


async def test_an_account_can_have_labels_of_its_own(hub: Hub, contacts: list[int], companies: list[int]):
    path = "/crm/associations/v4/contacts/companies/labels"
    made = await hub.post(path, {"name": "buyer", "label": "Buyer", "inverseLabel": "Bought by"})
    there = made["results"][0]
    assert (there["category"], there["label"]) == ("USER_DEFINED", "Buyer")
    types = [{"associationCategory": "USER_DEFINED", "associationTypeId": there["typeId"]}]
    single = f"/crm/v4/objects/contacts/{contacts[0]}/associations/companies/{companies[0]}"
    assert (await hub.http.put(single, json=types)).json()["labels"] == ["Buyer", "Primary"]
    back = await hub.get(f"/crm/v4/objects/companies/{companies[0]}/associations/contacts")
    labels = [t["label"] for t in back["results"][0]["associationTypes"]]
    assert "Bought by" in labels
    assert there in (await hub.get(path))["results"]
    renamed = {"associationTypeId": there["typeId"], "label": "Decision maker"}
    assert (await hub.http.put(path, json=renamed)).status_code == 204
    there["label"] = "Decision maker"
    assert there in (await hub.get(path))["results"]
    assert (await hub.http.put(single, json=types)).json()["labels"] == ["Decision maker", "Primary"]
    assert (await hub.http.delete(f"{path}/{there['typeId']}")).status_code == 204
    assert there not in (await hub.get(path))["results"]
    assert len(hub.world.associated("0-1", contacts[0], "0-2")[companies[0]]) == 2


async def test_archived_records_are_left_out_until_they_come_back(
    hub: Hub, contacts: list[int], companies: list[int]
):
    hub.world.associate("contacts", contacts[0], "companies", companies[0])
    path = f"/crm/v4/objects/companies/{companies[0]}/associations/contacts"
    hub.world.archive("contacts", contacts[0])
    assert (await hub.get(path))["results"] == []
    hub.world.restore("contacts", contacts[0])
    assert len((await hub.get(path))["results"]) == 1


async def test_a_contact_s_company_follows_archives_and_merges_without_a_new_modified_time(
    hub: Hub, contacts: list[int], companies: list[int]
):
    def company() -> object:
        return hub.world.get("contacts", contacts[0]).get("associatedcompanyid")

    hub.world.associate("contacts", contacts[0], "companies", companies[0])
    hub.clock.advance(60)
    hub.world.archive("companies", companies[0])
    assert company() is None
    hub.world.restore("companies", companies[0])
    assert company() == str(companies[0])
    survivor = hub.world.merge("companies", companies[1], companies[0])
    assert company() == str(survivor.id)
    assert hub.world.get("contacts", contacts[0]).updated_ms == NOW_MS
    merged = hub.world.merge("contacts", contacts[1], contacts[0])
    assert merged.get("associatedcompanyid") == str(survivor.id)


async def test_more_than_a_thousand_ids_are_refused(hub: Hub):
    body = inputs_of(*range(1001))
    assert (await hub.refused("POST", "/crm/v4/associations/contacts/deals/batch/read", json=body))[0] == 400


async def test_an_id_that_is_none_is_a_real_fault_of_its_input(hub: Hub, contacts: list[int]):
    body = {"inputs": [{"id": "abc"}]}
    answer = await hub.post("/crm/v4/associations/contacts/deals/batch/read", body, 207)
    assert answer["errors"][0]["subCategory"] == "crm.associations.INVALID_IDENTIFIER"


async def test_custom_objects_are_associated_with_types_of_the_account(hub: Hub, contacts: list[int]):
    car = hub.world.create("cars", {"vin": "X1"})
    hub.world.associate("cars", car.id, "contacts", contacts[0])
    answer = await hub.post("/crm/v4/associations/cars/contacts/batch/read", inputs_of(car.id))
    assert answer["results"][0]["to"][0]["associationTypes"][0]["category"] == "USER_DEFINED"
