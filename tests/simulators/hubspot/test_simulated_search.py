"""Search: what it finds, what it refuses, and how late it is."""

from collections.abc import Callable
from typing import Any

import pytest
from hub import NOW_MS, Hub

from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.values import iso

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(make_world: Callable[..., World], clock: Any) -> World:
    """Four contacts a minute apart, and a deal."""
    found = make_world(contacts=0, companies=0, deals=0, owners=1)
    for number, (name, stage) in enumerate(
        (("Ann", "lead"), ("Bea", "customer"), ("cai", "lead"), ("Dov", "other"))
    ):
        found.create(
            "contacts",
            {
                "email": f"{name.lower()}@{'north' if number % 2 else 'south'}-mail.example",
                "firstname": name,
                "lifecyclestage": stage,
                "hubspotscore": str(number * 10),
                "vsl_watched": "true" if number < 2 else None,
            },
        )
        clock.advance(60)
    found.create("deals", {"dealname": "Roof", "dealstage": "closedwon", "amount": "1500.50"})
    return found


def ids_of(hub: Hub, *names: str) -> list[str]:
    by_name = {
        record.get("firstname"): str(record.id) for record in hub.world.store("contacts").list_living()
    }
    return [by_name[name] for name in names]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([("firstname", "EQ", "ANN")], ["Ann"]),
        ([("firstname", "NEQ", "ann")], ["Bea", "cai", "Dov"]),
        ([("hubspotscore", "GT", "10")], ["cai", "Dov"]),
        ([("hubspotscore", "GTE", "10"), ("hubspotscore", "LT", 30)], ["Bea", "cai"]),
        ([("hubspotscore", "LTE", "0")], ["Ann"]),
        ([("firstname", "IN", ["ann", "cai"])], ["Ann", "cai"]),
        ([("firstname", "IN", ["Ann"])], []),
        ([("lifecyclestage", "IN", ["lead", "other"])], ["Ann", "cai", "Dov"]),
        ([("lifecyclestage", "NOT_IN", ["lead"])], ["Bea", "Dov"]),
        ([("lifecyclestage", "EQ", "LEAD")], []),
        ([("vsl_watched", "HAS_PROPERTY")], ["Ann", "Bea"]),
        ([("vsl_watched", "NOT_HAS_PROPERTY")], ["cai", "Dov"]),
        ([("email", "CONTAINS_TOKEN", "north")], ["Bea", "Dov"]),
        ([("email", "CONTAINS_TOKEN", "*outh")], ["Ann", "cai"]),
        ([("email", "NOT_CONTAINS_TOKEN", "north")], ["Ann", "cai"]),
        ([("lastmodifieddate", "GTE", NOW_MS + 60_000)], ["Bea", "cai", "Dov"]),
        ([("lastmodifieddate", "GT", iso(NOW_MS + 60_000))], ["cai", "Dov"]),
        ([("lastmodifieddate", "EQ", str(NOW_MS))], ["Ann"]),
        ([("hs_object_id", "GT", "60"), ("hs_object_id", "LT", "1")], []),
    ],
)
async def test_every_operator_finds_what_it_should(
    hub: Hub, filters: list[tuple[Any, ...]], names: list[str]
):
    assert await hub.found_ids("contacts", *filters) == ids_of(hub, *names)


async def test_between_includes_both_ends(hub: Hub):
    one = {"propertyName": "hubspotscore", "operator": "BETWEEN", "value": "10", "highValue": "20"}
    answer = await hub.search("contacts", filterGroups=[{"filters": [one]}])
    assert [record["id"] for record in answer["results"]] == ids_of(hub, "Bea", "cai")


async def test_groups_are_alternatives_and_a_bare_list_of_filters_is_one_more(hub: Hub):
    groups = [
        {"filters": [{"propertyName": "firstname", "operator": "EQ", "value": name}]}
        for name in ("ann", "dov")
    ]
    answer = await hub.search("contacts", filterGroups=groups)
    assert [record["id"] for record in answer["results"]] == ids_of(hub, "Ann", "Dov")
    answer = await hub.search("contacts", filters=groups[0]["filters"])
    assert answer["total"] == 1


async def test_text_is_searched_in_the_usual_properties(hub: Hub):
    assert (await hub.search("contacts", query="bea@NORTH"))["total"] == 1
    assert (await hub.search("deals", query="roof"))["total"] == 1


async def test_contacts_have_no_second_modified_time_to_be_found_by(hub: Hub):
    assert await hub.found_ids("contacts", ("hs_lastmodifieddate", "GTE", "1")) == []
    assert len(await hub.found_ids("deals", ("hs_lastmodifieddate", "GTE", "1"))) == 1


async def test_results_are_sorted_as_asked(hub: Hub):
    sorts = [{"propertyName": "hubspotscore", "direction": "DESCENDING"}]
    answer = await hub.search("contacts", sorts=sorts)
    assert [record["id"] for record in answer["results"]] == ids_of(hub, "Dov", "cai", "Bea", "Ann")
    answer = await hub.search("contacts", sorts=["-createdate"])
    assert [record["id"] for record in answer["results"]] == ids_of(hub, "Dov", "cai", "Bea", "Ann")


async def test_associated_records_are_found_by_the_pseudo_property(hub: Hub):
    deal = hub.world.store("deals").living[0]
    contact = int(ids_of(hub, "Bea")[0])
    hub.world.associate("deals", deal, "contacts", contact)
    assert await hub.found_ids("contacts", ("associations.deal", "EQ", str(deal))) == [str(contact)]


async def test_pages_are_numbered_by_offset(hub: Hub):
    first = await hub.search("contacts", limit=3)
    assert (first["total"], len(first["results"]), first["paging"]) == (4, 3, {"next": {"after": "3"}})
    last = await hub.search("contacts", limit=3, after="3")
    assert len(last["results"]) == 1
    assert "paging" not in last


REFUSED: list[dict[str, Any]] = [
    {"limit": 201},
    {"limit": 200, "after": "9900"},
    {"after": "10000"},
    {"after": "abc"},
    {"filterGroups": [{"filters": []}] * 6},
    {"filterGroups": [{"filters": [{"propertyName": "email", "operator": "HAS_PROPERTY"}] * 7}]},
    {"filterGroups": [{"filters": [{"propertyName": "email", "operator": "HAS_PROPERTY"}] * 5}] * 4},
    {"query": "x" * 3001},
    {"sorts": [{"propertyName": "email"}, {"propertyName": "phone"}]},
    {"filters": [{"propertyName": "no_such", "operator": "EQ", "value": "1"}]},
    {"filters": [{"propertyName": "email", "operator": "LIKE", "value": "1"}]},
    {"filters": [{"propertyName": "hubspotscore", "operator": "EQ", "value": "many"}]},
    {"filters": [{"propertyName": "email", "operator": "IN", "value": "x"}]},
]


@pytest.mark.parametrize("body", REFUSED)
async def test_a_search_beyond_its_rules_is_refused(hub: Hub, body: dict[str, Any]):
    status, error = await hub.refused("POST", "/crm/v3/objects/contacts/search", json=body)
    assert (status, error["status"]) == (400, "error")


async def test_the_very_beginning_of_time_breaks_search(hub: Hub):
    one = {"propertyName": "lastmodifieddate", "operator": "GTE", "value": "0"}
    assert (await hub.refused("POST", "/crm/v3/objects/contacts/search", json={"filters": [one]}))[0] == 500


async def test_long_lists_of_properties_are_refused_only_where_that_is_set(hub: Hub):
    body = {"properties": [f"property_number_{n}" for n in range(200)]}
    assert await hub.search("contacts", **body)
    hub.world.settings.strict_search_body = True
    assert (await hub.refused("POST", "/crm/v3/objects/contacts/search", json=body))[0] == 400


async def test_the_total_is_exact_beyond_ten_thousand(make_world: Callable[..., World], hub: Hub):
    store = hub.world.store("contacts")
    big = make_world(contacts=10_050)
    store.load([record for record in big.store("contacts").list_living() if record.id > store.last_id])
    answer = await hub.search("contacts", limit=200, after="9800")
    assert answer["total"] == len(store.living) > 10_000
    assert answer["paging"]["next"]["after"] == "10000"


async def test_archived_and_merged_records_are_not_found(hub: Hub):
    ann, bea, cai, _ = (int(i) for i in ids_of(hub, "Ann", "Bea", "cai", "Dov"))
    hub.world.archive("contacts", ann)
    survivor = hub.world.merge("contacts", bea, cai)
    assert await hub.found_ids("contacts", ("hs_object_id", "GT", "1")) == [
        *ids_of(hub, "Dov"),
        str(survivor.id),
    ]


async def test_search_sees_changes_only_after_the_lag_and_lists_see_them_at_once(hub: Hub):
    hub.world.settings.index_lag = 4
    ann = int(ids_of(hub, "Ann")[0])
    hub.world.update("contacts", ann, {"firstname": "Anna"})
    made = hub.world.create("contacts", {"firstname": "Eli"})
    hub.world.archive("contacts", int(ids_of(hub, "Dov")[0]))
    before = await hub.search("contacts", properties=["firstname"])
    assert [r["properties"]["firstname"] for r in before["results"]] == ["Ann", "Bea", "cai", "Dov"]
    listed = await hub.get("/crm/v3/objects/contacts", properties="firstname")
    assert [r["properties"]["firstname"] for r in listed["results"]] == ["Anna", "Bea", "cai", "Eli"]
    hub.clock.advance(3.9)
    assert (await hub.search("contacts"))["results"][-1]["id"] != str(made.id)
    hub.clock.advance(0.2)
    after = await hub.search("contacts", properties=["firstname"])
    assert [r["properties"]["firstname"] for r in after["results"]] == ["Anna", "Bea", "cai", "Eli"]


async def test_a_record_changed_again_within_the_lag_shows_its_states_one_after_another(hub: Hub):
    hub.world.settings.index_lag = 4
    ann = int(ids_of(hub, "Ann")[0])
    for name in ("Anna", "Annette"):
        hub.world.update("contacts", ann, {"firstname": name})
        hub.clock.advance(2)

    async def name_found() -> str:
        answer = await hub.search("contacts", properties=["firstname"], limit=1)
        return answer["results"][0]["properties"]["firstname"]

    assert await name_found() == "Anna"
    hub.clock.advance(2)
    assert await name_found() == "Annette"


async def test_a_lag_taken_away_does_not_reorder_what_is_under_way(hub: Hub):
    hub.world.settings.index_lag = 10
    ann = int(ids_of(hub, "Ann")[0])
    hub.world.update("contacts", ann, {"firstname": "Anna"})
    hub.world.settings.index_lag = 0
    hub.world.update("contacts", ann, {"firstname": "Annette"})
    hub.clock.advance(11)
    assert await hub.found_ids("contacts", ("firstname", "EQ", "annette")) == [str(ann)]


async def test_many_records_can_share_one_modified_time(hub: Hub):
    ids = hub.world.store("contacts").living
    now = hub.world.touch("contacts", ids)
    assert await hub.found_ids("contacts", ("lastmodifieddate", "EQ", now)) == [str(i) for i in ids]
