"""HubSpot's newer SDK runs against the simulator unmodified: a second witness (the dated paths)."""

# pyright: basic
# Its types are generated and change with every alpha.

from collections.abc import AsyncGenerator, Callable, Generator

import hubspot_sdk
import pytest
from hubspot_sdk import AsyncHubSpot, HubSpot

from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_loop, in_thread

pytestmark = pytest.mark.anyio

COUNTS = {"contacts": 230, "companies": 10, "deals": 8, "owners": 4, "archived_owners": 1, "cars": 3}


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world(**COUNTS)


@pytest.fixture
def client(world: World) -> Generator[HubSpot]:
    with (
        in_thread(world) as url,
        HubSpot(access_token=DEFAULT_TOKEN, base_url=url, max_retries=0) as opened,
    ):
        yield opened


@pytest.fixture
async def async_client(world: World) -> AsyncGenerator[AsyncHubSpot]:
    async with (
        in_loop(world) as url,
        AsyncHubSpot(access_token=DEFAULT_TOKEN, base_url=url, max_retries=0) as opened,
    ):
        yield opened


def test_it_reads_every_contact_through_its_own_paging(client: HubSpot, world: World):
    found = list(client.crm.objects.contacts.list(limit=50, properties=["email", "phone"]))
    assert [int(record.id) for record in found] == world.store("contacts").living
    assert found[3].properties["phone"] == world.get("contacts", int(found[3].id)).get("phone")


async def test_it_reads_asynchronously_too(async_client: AsyncHubSpot, world: World):
    found = [record.id async for record in async_client.crm.objects.contacts.list(limit=100)]
    assert len(found) == len(world.store("contacts").living)


def test_it_searches(client: HubSpot, world: World):
    wanted = str(world.store("contacts").living[9])
    answer = client.crm.objects.contacts.search(
        after="0",
        filter_groups=[{"filters": [{"property_name": "hs_object_id", "operator": "EQ", "value": wanted}]}],
        limit=10,
        properties=["firstname"],
        sorts=["createdate"],
    )
    assert [record.id for record in answer.results] == [wanted]


def test_it_reads_and_writes_in_batches(client: HubSpot, world: World):
    ids = [str(i) for i in world.store("contacts").living[:3]]
    batch = client.crm.objects.contacts.batch
    found = batch.get(inputs=[{"id": i} for i in ids], properties=["email"], properties_with_history=[])
    assert sorted(record.id for record in found.results) == sorted(ids)
    made = batch.create(inputs=[{"associations": [], "properties": {"firstname": f"N{n}"}} for n in range(2)])
    assert len(made.results) == 2
    batch.update(inputs=[{"id": ids[0], "properties": {"city": "Kraków"}}])
    assert world.get("contacts", int(ids[0])).get("city") == "Kraków"


def test_it_associates_and_reads_associations(client: HubSpot, world: World):
    contact, company = str(world.store("contacts").living[1]), str(world.store("companies").living[1])
    associations = client.crm.associations
    associations.create(
        company, from_object_type="contacts", from_object_id=contact, to_object_type="companies"
    )
    listed = list(associations.list("companies", object_type="contacts", object_id=contact))
    assert company in {str(one.to_object_id) for one in listed}
    associations.batch.create(
        "contacts",
        from_object_type="companies",
        inputs=[
            {
                "from": {"id": company},
                "to": {"id": contact},
                "types": [{"association_category": "HUBSPOT_DEFINED", "association_type_id": 2}],
            }
        ],
    )
    assert world.get("contacts", int(contact)).get("associatedcompanyid") == company
    found = associations.batch.get("companies", from_object_type="contacts", inputs=[{"id": contact}])
    assert company in {str(to.to_object_id) for to in found.results[0].to}
    associations.delete(company, object_type="contacts", object_id=contact, to_object_type="companies")
    assert int(company) not in world.associated("0-1", int(contact), "0-2")


def test_it_creates_changes_merges_and_erases(client: HubSpot, world: World):
    contacts = client.crm.objects.contacts
    one = contacts.create(associations=[], properties={"email": "ann@north.example"})
    two = contacts.create(associations=[], properties={"firstname": "Ann"})
    contacts.update(two.id, properties={"lastname": "Lee"})
    merged = contacts.merge(primary_object_id=one.id, object_id_to_merge=two.id)
    assert contacts.get(two.id, properties=["lastname"]).properties["lastname"] == "Lee"
    contacts.gdpr_delete(object_id="ann@north.example", id_property="email")
    assert int(merged.id) in world.store("contacts").erased


def test_it_reads_what_surrounds_records(client: HubSpot, world: World):
    assert len(list(client.crm.owners.list())) == 4
    pipelines = client.crm.pipelines.list("deals")
    assert [pipeline.label for pipeline in pipelines.results] == ["Sales Pipeline", "Partner Pipeline"]
    properties = client.crm.properties.list("contacts")
    assert len(properties.results) >= 150


def test_it_gets_the_documented_errors(client: HubSpot, world: World):
    contacts = client.crm.objects.contacts
    world.create("contacts", {"email": "ann@north.example"})
    with pytest.raises(hubspot_sdk.ConflictError, match="Existing ID"):
        contacts.create(associations=[], properties={"email": "ann@north.example"})
    with pytest.raises(hubspot_sdk.BadRequestError, match="INVALID_EMAIL"):
        contacts.create(associations=[], properties={"email": "jo"})
    with pytest.raises(hubspot_sdk.NotFoundError):
        contacts.get("4242424242")
    world.settings.rate = 1
    contacts.list(limit=1)
    with pytest.raises(hubspot_sdk.RateLimitError):
        contacts.list(limit=1)


def test_it_is_refused_with_a_wrong_token(client: HubSpot):
    with (
        HubSpot(access_token="wrong", base_url=str(client.base_url), max_retries=0) as other,
        pytest.raises(hubspot_sdk.AuthenticationError),
    ):
        other.crm.objects.contacts.list()
