"""Properties made at the simulated HubSpot: planned, created once, and never changed."""

from __future__ import annotations

import pytest
from writing_hubspot import PLATFORM, client_of, world_of

from syncline.connectors.writes import PropertyPlan, WantedProperty
from syncline.errors import Invalid, ScopeMissing
from syncline.simulators.hubspot import Settings
from syncline.simulators.hubspot.definitions import Definition, options

pytestmark = pytest.mark.anyio

GROUP = ("own_group", "Own group")


def states(plans: list[PropertyPlan]) -> dict[str, str]:
    return {each.wanted.name: each.state for each in plans}


@pytest.mark.parametrize("dated_paths", [True, False])
async def test_a_set_is_planned_without_a_trace_and_applied_once(dated_paths: bool):
    world = world_of(settings=Settings(dated_paths=dated_paths))
    async with client_of(world, ids_for=()) as client:
        hubspot = client.connector
        for object_name, wanted in hubspot.property_sets["forge"].properties.items():
            before = set(world.store(object_name).definitions)
            planned = await hubspot.plan_properties(object_name, wanted)
            assert set(states(planned).values()) == {"create"}
            assert set(world.store(object_name).definitions) == before
            first = await hubspot.apply_properties(object_name, wanted)
            assert set(states(first).values()) == {"created"}
            client.requests.clear()
            second = await hubspot.apply_properties(object_name, wanted)
            assert set(states(second).values()) == {"exists"}
            assert [each.method for each in client.requests] == ["GET"]
            assert set(world.store(object_name).definitions) - before == {each.name for each in wanted}


async def test_what_was_created_is_what_was_wanted():
    world = world_of()
    async with client_of(world, ids_for=()) as client:
        wanted = client.connector.property_sets["forge"].properties["contacts"]
        await client.connector.apply_properties("contacts", wanted)
        made = world.store("contacts").definitions
        assert made["forge_plan"].type == "enumeration"
        assert made["forge_plan"].option_values == ["free", "pro", "enterprise"]
        assert (made["forge_mrr"].type, made["forge_last_login"].type) == ("number", "datetime")
        assert {made[each.name].group for each in wanted} == {"forge_integration"}


async def test_the_property_for_our_ids_is_unique_and_every_written_object_has_one():
    world = world_of()
    async with client_of(world, ids_for=("contacts", "companies", "deals", "tasks")) as client:
        for name in ("contacts", "companies", "deals", "tasks"):
            assert world.store(name).definitions["syncline_record_id"].unique
        assert client.connector.external_id_property("owners") is None
        with pytest.raises(Invalid):
            await client.connector.plan_properties("owners", [])


async def test_a_property_that_is_something_else_is_named_and_left_as_it_is():
    world = world_of()
    theirs = [
        Definition("syncline_record_id", "Ours"),
        Definition("forge_plan", "Plan", "enumeration", "select", options=options(["free", "gold"])),
        Definition("forge_mrr", "Revenue"),
    ]
    for each in theirs:
        world.define_property("contacts", each)
    before = [each.wire() for each in theirs]
    async with client_of(world, ids_for=()) as client:
        hubspot = client.connector
        own_id = hubspot.external_id_property("contacts")
        assert own_id is not None
        wanted = [own_id, *hubspot.property_sets["forge"].properties["contacts"]]
        plans = await hubspot.apply_properties("contacts", wanted)
    reasons = {each.wanted.name: each.reason for each in plans if each.state == "differs"}
    assert set(reasons) == {"syncline_record_id", "forge_plan", "forge_mrr"}
    assert "unique" in reasons["syncline_record_id"]
    assert "pro, enterprise" in reasons["forge_plan"]
    assert "string, not number" in reasons["forge_mrr"]
    assert [world.store("contacts").definitions[each.name].wire() for each in theirs] == before
    assert states(plans)["forge_user_id"] == "created"


async def test_a_property_that_cannot_be_set_is_not_taken_for_the_one_wanted():
    world = world_of()
    async with client_of(world, ids_for=()) as client:
        wanted = WantedProperty("hs_object_id", "Id", "number", GROUP)
        [plan] = await client.connector.plan_properties("contacts", [wanted])
    assert plan.state == "differs"
    assert "cannot be set" in plan.reason


async def test_one_that_hubspot_refuses_stops_no_other():
    world = world_of()
    async with client_of(world, ids_for=()) as client:
        wanted = [
            WantedProperty("Not A Name", "A", "text", GROUP),
            WantedProperty("good_name", "B", "boolean", GROUP),
        ]
        plans = await client.connector.apply_properties("contacts", wanted)
    assert [each.state for each in plans] == ["refused", "created"]
    assert "not valid" in plans[0].reason
    assert world.store("contacts").definitions["good_name"].type == "bool"


async def test_a_property_made_by_somebody_else_in_between_is_compared_and_not_a_failure():
    world = world_of()
    async with client_of(world, ids_for=()) as client:

        def define(request: object) -> None:
            if client.requests[-1].method == "POST" and "groups" not in client.requests[-1].path:
                world.define_property("contacts", Definition("good_name", "Theirs"))

        client.before = define
        wanted = [WantedProperty("good_name", "Ours", "text", GROUP)]
        assert states(await client.connector.apply_properties("contacts", wanted)) == {"good_name": "exists"}
    assert world.store("contacts").definitions["good_name"].label == "Theirs"


async def test_a_token_that_may_not_create_properties_says_so():
    world = world_of()
    world.auth.add_token("reader", {"crm.schemas.contacts.read", "crm.objects.contacts.read"})
    async with client_of(world, token="reader", ids_for=()) as client:
        wanted = [WantedProperty("good_name", "Ours", "text", GROUP)]
        assert states(await client.connector.plan_properties("contacts", wanted)) == {"good_name": "create"}
        with pytest.raises(ScopeMissing) as missing:
            await client.connector.apply_properties("contacts", wanted)
        assert missing.value.scopes == ("crm.schemas.contacts.write",)
    assert "good_name" not in world.store("contacts").definitions


def test_the_sets_are_off_until_asked_for_and_none_changes_what_the_mapping_reads():
    mapped = {each.property for one in PLATFORM.mapping.values() for each in one.fields}
    for one in PLATFORM.make(None, {}).property_sets.values():  # pyright: ignore[reportArgumentType]
        for wanted in one.properties.values():
            assert not mapped & {each.name for each in wanted}
