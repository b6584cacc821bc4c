"""Search: whole words and parts, custom fields, notes, one field of a kind; and an index that is late."""

import pytest
from pipe import V2, Pipe

pytestmark = pytest.mark.anyio


async def ids(pipe: Pipe, kind: str, term: str, **query: str | int) -> list[int]:
    found = await pipe.get(f"{V2}/{kind}/search", term=term, **query)
    return [each["item"]["id"] for each in found["data"]["items"]]


async def test_an_exact_match_minds_the_whole_value_but_not_its_case(pipe: Pipe):
    made = await pipe.create("persons", name="Zed Quux", emails=[{"value": "Zed@quux.example"}])
    asked = {"exact_match": "true", "fields": "email"}
    assert await ids(pipe, "persons", "zed@QUUX.example", **asked) == [made["id"]]
    assert await ids(pipe, "persons", "zed@quux", **asked) == []
    assert await ids(pipe, "persons", "d@quu") == [made["id"]]
    assert await ids(pipe, "persons", "zed@quux.example", exact_match="true", fields="name,phone") == []


async def test_custom_fields_are_searched_by_some_types_only(pipe: Pipe):
    code, kicked = pipe.world.code("deal", "SAM notice id"), pipe.world.code("deal", "Kick-off")
    made = await pipe.create("deals", title="A", custom_fields={code: "NOTICE-77", kicked: "1999-01-02"})
    found = (
        await pipe.get(f"{V2}/deals/search", term="notice-77", exact_match="true", fields="custom_fields")
    )["data"]
    [item] = [each["item"] for each in found["items"]]
    assert (item["id"], item["custom_fields"], item["stage"]["name"]) == (
        made["id"],
        ["NOTICE-77"],
        "Qualified",
    )
    assert await ids(pipe, "deals", "1999-01-02") == []


async def test_search_sees_a_change_only_after_the_lag(pipe: Pipe):
    pipe.world.settings.index_lag = 4
    made = await pipe.create("organizations", name="Xanadu Ltd")
    assert await ids(pipe, "organizations", "xanadu") == []
    pipe.clock.advance(5)
    assert await ids(pipe, "organizations", "xanadu") == [made["id"]]
    await pipe.send("DELETE", f"{V2}/organizations/{made['id']}")
    assert await ids(pipe, "organizations", "xanadu") == [made["id"]]
    pipe.clock.advance(5)
    assert await ids(pipe, "organizations", "xanadu") == []


async def test_archived_deals_are_found_and_say_so(pipe: Pipe):
    made = await pipe.create("deals", title="Xanadu", is_archived=True)
    found = (await pipe.get(f"{V2}/deals/search", term="xanadu"))["data"]["items"]
    assert [(each["item"]["id"], each["item"]["is_archived"]) for each in found] == [(made["id"], True)]


async def test_results_come_in_pages(pipe: Pipe):
    for number in range(5):
        await pipe.create("organizations", name=f"Xanadu {number}")
    first = await pipe.get(f"{V2}/organizations/search", term="xanadu", limit=3)
    second = await pipe.get(
        f"{V2}/organizations/search", term="xanadu", limit=3, cursor=first["additional_data"]["next_cursor"]
    )
    names = [each["item"]["name"] for page in (first, second) for each in page["data"]["items"]]
    assert names == [f"Xanadu {number}" for number in range(5)]
    assert second["additional_data"]["next_cursor"] is None


async def test_items_of_every_kind_are_found_in_one_search(pipe: Pipe):
    organization = await pipe.create("organizations", name="Xanadu")
    await pipe.create("persons", name="Kubla Xanadu", org_id=organization["id"])
    await pipe.create("deals", title="Xanadu deal")
    found = (await pipe.get(f"{V2}/itemSearch", term="xanadu"))["data"]["items"]
    assert [each["item"]["type"] for each in found] == ["person", "organization", "deal"]
    only = (await pipe.get(f"{V2}/itemSearch", term="xanadu", item_types="deal,product"))["data"]["items"]
    assert [each["item"]["type"] for each in only] == ["deal"]
    assert found[0]["item"]["organization"]["name"] == "Xanadu"


async def test_one_field_can_be_searched_with_its_case(pipe: Pipe):
    code = pipe.world.code("person", "Job title")
    made = await pipe.create("persons", name="A", custom_fields={code: "Xanadu keeper"})
    asked = {"entity_type": "person", "field": code}
    path = f"{V2}/itemSearch/field"
    for term, match in (("Xanadu keeper", "exact"), ("Xanadu", "beginning"), ("nadu", "middle")):
        [found] = (await pipe.get(path, term=term, match=match, **asked))["data"]
        assert found["item"] == {"id": made["id"], code: "Xanadu keeper"}
    assert (await pipe.get(path, term="xanadu keeper", **asked))["data"] == []


async def test_notes_are_searched_too(pipe: Pipe):
    person = pipe.living("persons")[0]
    pipe.world.create("notes", {"content": "<p>Met in Xanadu</p>", "person_id": person})
    found = (await pipe.get(f"{V2}/persons/search", term="xanadu"))["data"]["items"]
    assert [(each["item"]["id"], each["item"]["notes"]) for each in found] == [
        (person, ["<p>Met in Xanadu</p>"])
    ]


@pytest.mark.parametrize("query", [{"term": "x"}, {"term": ""}, {"term": "xx", "fields": "weather"},
                                   {"term": "xx", "limit": 501}])  # fmt: skip
async def test_a_search_that_makes_no_sense_is_refused(pipe: Pipe, query: dict[str, str]):
    assert (await pipe.refused("GET", f"{V2}/persons/search", **query))[0] == 400


async def test_leads_are_found_by_their_title_and_narrowed_by_their_person(pipe: Pipe):
    lead = pipe.world.stores["leads"].records[pipe.living("leads")[0]]
    found = (await pipe.get(f"{V2}/leads/search", term=lead.get("title"), person_id=lead.get("person_id")))[
        "data"
    ]
    assert lead.get("uuid") in [each["item"]["id"] for each in found["items"]]
    assert await ids(pipe, "leads", "lead", person_id=99999999) == []
