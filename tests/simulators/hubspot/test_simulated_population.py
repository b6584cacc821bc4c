"""What a populated account looks like, and that it goes on living."""

import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from hub import SMALL, Hub

from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.planting import LONG_TEXT

pytestmark = pytest.mark.anyio


def digits(text: object) -> str:
    return "".join(character for character in str(text) if character.isdigit())[-9:]


def test_it_holds_what_was_asked_for(world: World):
    for name in ("contacts", "companies", "deals", "calls", "meetings", "emails", "notes", "tasks", "cars"):
        assert len(world.store(name).living) == SMALL[name]
    assert len(world.store("contacts").archived) == SMALL["archived_contacts"]
    assert sum(owner.archived for owner in world.owners) == SMALL["archived_owners"]


def test_contacts_carry_at_least_sixty_properties(world: World):
    for record in world.store("contacts").list_living():
        values = {**record.shared, **record.own}
        assert sum(value is not None for value in values.values()) >= 60


def test_ids_ascend_with_gaps_of_very_different_size(make_world: Callable[..., World]):
    ids = make_world(contacts=3000).store("contacts").living
    gaps = [later - earlier for earlier, later in pairwise(ids)]
    assert min(gaps) == 1
    assert max(gaps) > 10**9
    assert sum(gap == 1 for gap in gaps) > 100


def test_created_times_ascend_with_ids_and_all_is_older_than_the_day(world: World):
    for store in world.stores.values():
        records = store.list_living()
        times = [record.created_ms for record in records]
        assert times == sorted(times)
        assert all(record.created_ms <= record.updated_ms < world.anchor_ms for record in records)


def test_a_contact_has_one_primary_company_at_most_and_knows_it(world: World):
    store = world.store("contacts")
    with_company = 0
    for record in store.list_living():
        linked = world.associated("0-1", record.id, "0-2")
        primary = [i for i, types in linked.items() if ("HUBSPOT_DEFINED", 1) in types]
        assert len(primary) == (1 if linked else 0)
        assert record.get("associatedcompanyid") == (str(primary[0]) if primary else None)
        with_company += bool(linked)
    assert with_company > len(store.living) / 2


def test_some_calls_are_known_by_their_number_only(make_world: Callable[..., World]):
    world = make_world(contacts=200, calls=200)
    phones = {digits(r.get("hs_calculated_phone_number")) for r in world.store("contacts").list_living()}
    alone = [
        record for record in world.store("calls").list_living()
        if not world.associated("0-48", record.id, "0-1")
    ]  # fmt: skip
    named = [
        record for record in alone
        if {digits(record.get("hs_call_to_number")), digits(record.get("hs_call_from_number"))} & phones
    ]  # fmt: skip
    assert 30 < len(alone) < 110
    assert len(named) > len(alone) * 0.8


def test_every_deal_has_a_contact_and_that_contact_s_company(world: World):
    for record in world.store("deals").list_living():
        contacts = world.associated("0-3", record.id, "0-1")
        companies = world.associated("0-3", record.id, "0-2")
        assert contacts
        assert all(any(c in world.associated("0-1", i, "0-2") for i in contacts) for c in companies)


def test_values_refer_to_owners_pipelines_and_stages_that_exist(world: World):
    owners = {str(owner.owner_id) for owner in world.owners}
    stages = {(p.pipeline_id, s.stage_id) for p in world.pipelines["0-3"] for s in p.stages}
    for store in world.stores.values():
        for record in store.list_living():
            assert record.get("hubspot_owner_id") in owners | {None}
    for record in world.store("deals").list_living():
        assert (record.get("pipeline"), record.get("dealstage")) in stages


def test_addresses_are_distinct_and_nobody_s(make_world: Callable[..., World]):
    emails = [
        r.get("email") for r in make_world(contacts=4000).store("contacts").list_living() if r.get("email")
    ]
    assert len(set(emails)) == len(emails)
    assert all(email.endswith(".example") and email.isascii() for email in emails)


def test_another_seed_makes_another_account(make_world: Callable[..., World]):
    worlds = [make_world(seed, contacts=50) for seed in (1, 2)]
    assert worlds[0].store("contacts").living != worlds[1].store("contacts").living


def test_colleagues_do_all_kinds_of_things(world: World):
    rng = random.Random(4)
    done = Counter(world.colleague_edit(rng).split()[0] for _ in range(400))
    assert {"contact", "deal", "call", "note", "company"} <= set(done)
    kinds = {event.kind.partition(".")[2] for event in world.events}
    assert {"creation", "deletion", "propertyChange", "associationChange", "merge"} <= kinds


def test_the_same_colleagues_do_the_same_things(make_world: Callable[..., World]):
    worlds = [make_world(**SMALL) for _ in range(2)]
    edits = [[world.colleague_edit() for _ in range(150)] for world in worlds]
    assert edits[0] == edits[1]


def test_colleagues_find_something_to_do_in_an_empty_account(make_world: Callable[..., World]):
    world = make_world()
    for _ in range(20):
        world.colleague_edit()
    assert world.store("contacts").records


async def test_bad_records_go_out_exactly_as_they_are_in_an_otherwise_good_page(hub: Hub):
    planted = hub.world.plant_all_defects()
    first = min(record.id for record in planted.values())
    names = "message,createdate,num_notes,hubspotscore,vsl_watched,company,planted_unknown,vsl_watched_at"
    answer = await hub.http.get(
        "/crm/v3/objects/contacts", params={"after": first - 1, "limit": 100, "properties": names}
    )
    body = answer.content
    assert len(answer.json()["results"]) == len(planted)
    for expected in (
        rb'"message":"before\u0000after"',
        rb'"message":"before\\u0000after"',
        rb'"message":"before\ud800after"',
        b'"createdate":"the day before yesterday"',
        b'"vsl_watched_at":"2026-13-45T99:00:00Z"',
        b'"num_notes":"NaN"',
        b'"num_notes":7',
        b'"hubspotscore":1.5',
        b'"vsl_watched":true',
        b'"company":{"x":1}',
        b'"message":["a",{"b":null}]',
        rb'"planted_unknown":"{\"lat\": 1}"',
    ):
        assert body.count(expected) == 1, expected
    longest = max(len(str(r["properties"]["message"])) for r in answer.json()["results"])
    assert longest == LONG_TEXT - LONG_TEXT % 5
    types = {d["name"]: d["type"] for d in (await hub.get("/crm/v3/properties/contacts"))["results"]}
    assert types["planted_unknown"] == "object_coordinates"


def test_good_records_can_be_spoilt(world: World):
    first = world.store("contacts").living[0]
    world.spoil("contacts", first, {"hubspotscore": ["x"]})
    assert world.get("contacts", first).get("hubspotscore") == ["x"]
