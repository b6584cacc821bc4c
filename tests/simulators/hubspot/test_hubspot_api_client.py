"""HubSpot's official client runs against the simulator unmodified: a witness from outside (v3, v4)."""

# pyright: basic
# The client has no types.

from collections.abc import Callable, Generator
from typing import Any

import hubspot
import pytest
from hubspot.crm.associations.v4 import (
    AssociationSpec,
    BatchInputPublicAssociationMultiPost,
    BatchInputPublicFetchAssociationsBatchRequest,
    PublicAssociationMultiPost,
    PublicFetchAssociationsBatchRequest,
    PublicObjectId,
)
from hubspot.crm.contacts import (
    BatchInputSimplePublicObjectBatchInput,
    BatchInputSimplePublicObjectBatchInputForCreate,
    BatchInputSimplePublicObjectBatchInputUpsert,
    BatchInputSimplePublicObjectId,
    BatchReadInputSimplePublicObjectId,
    Filter,
    FilterGroup,
    PublicGdprDeleteInput,
    PublicMergeInput,
    PublicObjectSearchRequest,
    SimplePublicObjectBatchInput,
    SimplePublicObjectBatchInputForCreate,
    SimplePublicObjectBatchInputUpsert,
    SimplePublicObjectId,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)
from hubspot.crm.contacts.exceptions import ApiException as ContactsError
from hubspot.crm.properties import PropertyCreate
from hubspot.crm.properties.exceptions import ApiException as PropertiesError

from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import CLIENT_ID, CLIENT_SECRET, DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_thread

COUNTS = {
    "contacts": 230,
    "companies": 10,
    "deals": 8,
    "calls": 10,
    "owners": 4,
    "archived_owners": 1,
    "cars": 3,
}


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world(**COUNTS)


@pytest.fixture
def client(world: World) -> Generator[Any]:
    with in_thread(world) as url:
        yield hubspot.HubSpot(access_token=DEFAULT_TOKEN, host=url, base_url=url)


def refused(error: Any) -> str:
    return f"{error.value.status} {error.value.body}"


def test_it_reads_every_contact(client: Any, world: World):
    found = client.crm.contacts.get_all(properties=["email", "phone"], associations=["companies"])
    assert [int(record.id) for record in found] == world.store("contacts").living
    first = world.get("contacts", int(found[0].id))
    assert found[0].properties["phone"] == first.get("phone")
    assert any(record.associations for record in found)


def test_it_reads_one_record_with_history(client: Any, world: World):
    deal = str(world.store("deals").living[0])
    found = client.crm.deals.basic_api.get_by_id(deal, properties_with_history=["dealstage"])
    assert found.properties_with_history["dealstage"][0].value == world.get("deals", int(deal)).get(
        "dealstage"
    )


def test_it_reads_archived_records(client: Any, world: World):
    gone = world.store("contacts").living[0]
    client.crm.contacts.basic_api.archive(str(gone))
    page = client.crm.contacts.basic_api.get_page(archived=True)
    assert [(int(record.id), record.archived) for record in page.results] == [(gone, True)]


def test_it_searches(client: Any, world: World):
    wanted = world.store("contacts").records[world.store("contacts").living[5]]
    one = Filter(property_name="hs_object_id", operator="EQ", value=str(wanted.id))
    request = PublicObjectSearchRequest(
        filter_groups=[FilterGroup(filters=[one])],
        properties=["firstname"], limit=10, sorts=[{"propertyName": "createdate", "direction": "DESCENDING"}],
    )  # fmt: skip
    found = client.crm.contacts.search_api.do_search(request)
    assert found.total == 1
    assert found.results[0].properties["firstname"] == wanted.get("firstname")


def test_it_reads_in_batches_and_learns_what_is_missing(client: Any, world: World):
    ids = [str(i) for i in world.store("contacts").living[:3]]
    body = BatchReadInputSimplePublicObjectId(
        inputs=[SimplePublicObjectId(i) for i in (*ids, "7")],
        properties=["email"],
        properties_with_history=[],
    )
    found = client.crm.contacts.batch_api.read(body)
    assert sorted(record.id for record in found.results) == sorted(ids)
    assert found.num_errors == 1
    assert found.errors[0].category == "OBJECT_NOT_FOUND"


def test_it_creates_updates_and_archives(client: Any, world: World):
    api = client.crm.contacts.basic_api
    made = api.create(
        SimplePublicObjectInputForCreate(properties={"email": "ann@north.example"}, associations=[])
    )
    changed = api.update(made.id, SimplePublicObjectInput(properties={"firstname": "Ann"}))
    assert changed.properties["firstname"] == "Ann"
    assert world.get("contacts", int(made.id)).get("firstname") == "Ann"
    api.archive(made.id)
    assert int(made.id) in world.store("contacts").archived


def test_it_writes_in_batches(client: Any, world: World):
    api = client.crm.contacts.batch_api
    made = api.create(
        BatchInputSimplePublicObjectBatchInputForCreate(
            inputs=[
                SimplePublicObjectBatchInputForCreate(properties={"firstname": f"N{n}"}, associations=[])
                for n in range(3)
            ]
        )
    )
    ids = [record.id for record in made.results]
    assert len(ids) == 3
    changed = api.update(
        BatchInputSimplePublicObjectBatchInput(
            inputs=[SimplePublicObjectBatchInput(id=i, properties={"city": "Kraków"}) for i in (*ids, "7")]
        )
    )
    assert (len(changed.results), changed.num_errors) == (3, 1)
    api.archive(BatchInputSimplePublicObjectId(inputs=[SimplePublicObjectId(i) for i in ids]))
    assert not {int(i) for i in ids} & set(world.store("contacts").living)


def test_it_upserts_by_a_unique_property_it_has_made(client: Any, world: World):
    client.crm.properties.core_api.create(
        "contacts",
        PropertyCreate(
            name="hub_key", label="Key", type="string", field_type="text", group_name="contactinformation",
            has_unique_value=True,
        ),
    )  # fmt: skip
    inputs = [
        SimplePublicObjectBatchInputUpsert(id=k, id_property="hub_key", properties={"firstname": k})
        for k in ("k1", "k2")
    ]
    body = BatchInputSimplePublicObjectBatchInputUpsert(inputs=inputs)
    assert {record.new for record in client.crm.contacts.batch_api.upsert(body).results} == {True}
    assert {record.new for record in client.crm.contacts.batch_api.upsert(body).results} == {False}


def test_it_associates_and_reads_associations(client: Any, world: World):
    contact, company = world.store("contacts").living[1], world.store("companies").living[1]
    client.crm.associations.v4.basic_api.create(
        "contacts", str(contact), "companies", str(company),
        [AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=1)],
    )  # fmt: skip
    assert world.get("contacts", contact).get("associatedcompanyid") == str(company)
    page = client.crm.associations.v4.basic_api.get_page("contacts", str(contact), "companies")
    assert str(company) in {str(found.to_object_id) for found in page.results}
    body = BatchInputPublicFetchAssociationsBatchRequest(
        inputs=[PublicFetchAssociationsBatchRequest(id=str(i)) for i in world.store("companies").living[:10]]
    )
    found = client.crm.associations.v4.batch_api.get_page("companies", "contacts", body)
    mine = next(one for one in found.results if one._from.id == str(company))
    assert str(contact) in {str(to.to_object_id) for to in mine.to}


def test_it_associates_in_batches(client: Any, world: World):
    deal, contact = str(world.store("deals").living[0]), str(world.store("contacts").living[7])
    body = BatchInputPublicAssociationMultiPost(
        inputs=[
            PublicAssociationMultiPost(
                _from=PublicObjectId(deal), to=PublicObjectId(contact),
                types=[AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=3)],
            )
        ]
    )  # fmt: skip
    client.crm.associations.v4.batch_api.create("deals", "contacts", body)
    assert int(contact) in world.associated("0-3", int(deal), "0-1")


def test_it_merges(client: Any, world: World):
    first, second = map(str, world.store("contacts").living[:2])
    merged = client.crm.contacts.basic_api.merge(
        PublicMergeInput(primary_object_id=first, object_id_to_merge=second)
    )
    assert merged.id not in (first, second)
    assert client.crm.contacts.basic_api.get_by_id(second).id == merged.id


def test_it_erases(client: Any, world: World):
    contact = world.create("contacts", {"email": "ann@north.example"})
    client.crm.contacts.basic_api.purge(
        PublicGdprDeleteInput(object_id="ann@north.example", id_property="email")
    )
    assert contact.id in world.store("contacts").erased


def test_it_reads_what_surrounds_records(client: Any, world: World):
    assert len(client.crm.owners.owners_api.get_page(limit=100).results) == 4
    assert len(client.crm.owners.owners_api.get_page(archived=True).results) == 1
    assert client.crm.pipelines.pipelines_api.get_all("deals").results[0].label == "Sales Pipeline"
    assert len(client.crm.properties.core_api.get_all("contacts").results) >= 150
    assert client.crm.schemas.core_api.get_all().results[0].name == "cars"
    assert len(client.crm.objects.basic_api.get_page("cars").results) == 3
    answer = client.api_request({"path": "/account-info/v3/details"})
    assert answer.json()["portalId"] == world.portal_id


def test_it_gets_the_documented_errors(client: Any, world: World):
    api = client.crm.contacts.basic_api
    taken = world.create("contacts", {"email": "ann@north.example"})
    with pytest.raises(ContactsError) as conflict:
        api.create(
            SimplePublicObjectInputForCreate(properties={"email": "ann@north.example"}, associations=[])
        )
    assert refused(conflict).startswith("409")
    assert f"Existing ID: {taken.id}" in refused(conflict)
    with pytest.raises(ContactsError) as invalid:
        api.create(SimplePublicObjectInputForCreate(properties={"email": "jo"}, associations=[]))
    assert "INVALID_EMAIL" in refused(invalid)
    with pytest.raises(ContactsError) as missing:
        api.get_by_id("4242424242")
    assert refused(missing).startswith("404")
    with pytest.raises(PropertiesError) as exists:
        client.crm.properties.core_api.create(
            "contacts",
            PropertyCreate(
                name="email", label="E", type="string", field_type="text", group_name="contactinformation"
            ),
        )
    assert "PROPERTY_WITH_NAME_EXISTS" in refused(exists)


def test_it_is_refused_without_token_or_scope(client: Any, world: World):
    host = client.config["host"]
    world.auth.add_token("narrow", ["oauth"])
    for token, expected in (("wrong", "401"), ("narrow", "403")):
        other = hubspot.HubSpot(access_token=token, host=host)
        with pytest.raises(ContactsError) as refusal:
            other.crm.contacts.basic_api.get_page()
        assert refused(refusal).startswith(expected)


def test_it_refreshes_oauth_tokens(client: Any, world: World):
    refresh_token = world.auth.issue_refresh_token()
    grant = client.oauth.tokens_api.create(
        grant_type="refresh_token",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        refresh_token=refresh_token,
    )
    other = hubspot.HubSpot(access_token=grant.access_token, host=client.config["host"])
    assert other.crm.contacts.basic_api.get_page(limit=1).results
    assert client.oauth.access_tokens_api.get(grant.access_token).hub_id == world.portal_id
