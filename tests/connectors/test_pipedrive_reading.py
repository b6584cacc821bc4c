"""Reading Pipedrive by lists, ranges, windows of time and ids: what is asked, and what it costs."""

from typing import Any

import pytest
from tiny_pipedrive import Tiny, ok, person

from syncline.clock import from_ms, now, to_ms
from syncline.connectors.pipedrive.walking import find_bounds, make_cursor
from syncline.connectors.reads import SERIAL, Walk
from syncline.connectors.transport import Request
from syncline.errors import Invalid, NotFound, Unavailable

pytestmark = pytest.mark.anyio

PERSONS = "/api/v2/persons"
DEALS = "/api/v2/deals"


def numbered(count: int, *, opaque: bool = False) -> Any:
    """Answer a list of persons 1 to `count` in either order, by cursors of the known form or others."""

    def handle(request: Request) -> Any:
        query = request.query
        ids = list(range(1, count + 1))
        if query.get("sort_direction") == "desc":
            ids.reverse()
        cursor = query.get("cursor", "")
        if cursor:
            known = {("x" if opaque else "") + make_cursor(each): each for each in ids}
            if cursor not in known:
                return 400, {"success": False, "error": "cursor"}
            ids = ids[ids.index(known[cursor]) + 1 :]
        page = ids[: int(query["limit"])]
        following = None if page == ids else ("x" if opaque else "") + make_cursor(page[-1])
        return 200, ok([person(each) for each in page], following)

    return handle


async def walked(tiny: Tiny, walk: Walk, after: str = "", until: str = "") -> list[int]:
    found: list[int] = []
    cursor: str | None = after
    while cursor is not None:
        page = await tiny.connector.walk_page("persons", [], walk, cursor, until)
        found += [int(each.remote_id) for each in page.records]
        cursor = page.after
    return found


async def test_a_large_object_is_read_in_ranges_of_ids():
    tiny = Tiny({("GET", PERSONS): numbered(9000)})
    walk = await tiny.connector.plan_walk("persons")
    assert (walk.kind, walk.last, walk.total) == ("list", 9000, 9000)
    assert tiny.cost == 20
    bounds = list(find_bounds(walk, 4))
    assert bounds == [2500, 5000, 7500]
    tiny.requests.clear()
    found = [
        each
        for after, until in zip(["", *map(str, bounds)], [*map(str, bounds), ""], strict=True)
        for each in await walked(tiny, walk, after, until)
    ]
    assert found == list(range(1, 9001))
    assert len(tiny.requests) == 18


async def test_cursors_of_another_form_are_followed_one_by_one():
    tiny = Tiny({("GET", PERSONS): numbered(9000, opaque=True)})
    walk = await tiny.connector.plan_walk("persons")
    assert walk.kind == "serial"
    assert list(find_bounds(walk, 4)) == []
    assert await walked(tiny, walk) == list(range(1, 9001))


async def test_a_small_object_is_not_worth_ranges():
    tiny = Tiny({("GET", PERSONS): numbered(700)})
    walk = await tiny.connector.plan_walk("persons")
    assert walk.kind == "serial"
    assert tiny.cost == 10
    assert len(await walked(tiny, walk)) == 700
    ids, following = await tiny.connector.list_ids("persons", "", "")
    assert len(ids) == 500
    assert following is not None


async def test_a_cursor_that_comes_again_is_not_followed():
    tiny = Tiny({("GET", PERSONS): ok([person(1)], "same")})
    with pytest.raises(Unavailable):
        await tiny.connector.walk_page("persons", [], SERIAL, "same", "")


async def test_few_ids_are_read_singly_and_many_by_list():
    tiny = Tiny({("GET", f"{PERSONS}/{number}"): ok(person(number)) for number in (1, 2)})
    page = await tiny.connector.read_many("persons", ["1", "2", "3", "../users"], [])
    assert [each.remote_id for each in page.records] == ["1", "2"]
    assert tiny.cost == 3
    tiny = Tiny({("GET", PERSONS): ok([person(number) for number in range(1, 8)])})
    await tiny.connector.read_many("persons", [str(number) for number in range(1, 9)], [])
    assert tiny.cost == 10
    assert tiny.requests[0].query["ids"] == "1,2,3,4,5,6,7,8"


async def test_deals_that_the_list_leaves_out_are_asked_for_themselves():
    archived = {"id": 7, "is_archived": True, "archive_time": "2026-01-01T00:00:00Z"}
    tiny = Tiny(
        {
            ("GET", DEALS): ok([{"id": number, "status": "open"} for number in range(1, 7)]),
            ("GET", f"{DEALS}/7"): ok(archived),
        }
    )
    page = await tiny.connector.read_many("deals", [str(number) for number in range(1, 9)], [])
    assert [each.remote_id for each in page.records if each.archived_ms is not None] == ["7"]
    assert len(page.records) == 7
    assert tiny.cost == 12


async def test_archived_and_deleted_deals_are_listed_after_each_other():
    def deals(request: Request) -> Any:
        assert request.query["status"] == "deleted"
        return 200, ok([{"id": 3, "is_deleted": True}])

    tiny = Tiny(
        {
            ("GET", f"{DEALS}/archived"): [
                ok([{"id": 1, "is_archived": True, "custom_fields": {"ab" * 20: 2}}], "more"),
                ok([{"id": 2, "is_archived": True}]),
            ],
            ("GET", DEALS): deals,
            ("GET", "/api/v2/dealFields"): ok(
                [
                    {
                        "field_name": "Priority",
                        "field_code": "ab" * 20,
                        "field_type": "enum",
                        "is_custom_field": True,
                        "options": [{"id": 2, "label": "High"}],
                    }
                ]
            ),
        }
    )
    found: dict[str, Any] = {}
    after: str | None = ""
    while after is not None:
        page = await tiny.connector.archived_page("deals", [], after)
        found |= {each.remote_id: each for each in page.records}
        after = page.after
    assert sorted(found) == ["1", "2", "3"]
    assert all(each.archived_ms is not None for each in found.values())
    assert found["1"].properties["ab" * 20] == "High"
    assert (await tiny.connector.archived_page("persons", [], "")).records == []


async def test_changes_are_read_in_windows_oldest_first_and_complete_to_their_ends():
    tiny = Tiny({("GET", PERSONS): ok([person(1)])})
    week_ms = 7 * 86_400_000
    pages = [each async for each in tiny.connector.changed_pages("persons", [], week_ms, 3 * week_ms - 1)]
    asked = [(each.query["updated_since"], each.query["updated_until"]) for each in tiny.requests]
    assert asked == [
        ("1970-01-08T00:00:00Z", "1970-01-15T00:00:00Z"),
        ("1970-01-15T00:00:00Z", "1970-01-22T00:00:00Z"),
    ]
    assert [each.complete_to_ms for each in pages if each.complete_to_ms] == [2 * week_ms, 3 * week_ms]
    assert {each.query["sort_by"] for each in tiny.requests} == {"id"}


async def test_an_open_window_is_complete_to_their_clock():
    tiny = Tiny({("GET", PERSONS): ok([])})
    since_ms = to_ms(now()) - 3_600_000
    pages = [each async for each in tiny.connector.changed_pages("persons", [], since_ms, None)]
    assert "updated_until" not in tiny.requests[0].query
    noon_ms = 1795262400000
    assert abs((pages[-1].complete_to_ms or 0) - noon_ms) < 5_000
    assert tiny.cost == 10


async def test_changed_deals_include_those_archived_and_deleted():
    tiny = Tiny({("GET", DEALS): ok([]), ("GET", f"{DEALS}/archived"): ok([])})
    since_ms = to_ms(now()) - 3_600_000
    _ = [each async for each in tiny.connector.changed_pages("deals", [], since_ms, None)]
    assert [(each.path, each.query.get("status"), each.cost) for each in tiny.requests] == [
        (DEALS, None, 10),
        (f"{DEALS}/archived", None, 20),
        (DEALS, "deleted", 10),
    ]
    since = from_ms(since_ms).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert {each.query["updated_since"] for each in tiny.requests} == {since}


async def test_lists_of_version_1_are_counted_off():
    def notes(request: Request) -> Any:
        start = int(request.query["start"])
        paging = {"start": start, "limit": 500, "more_items_in_collection": start == 0, "next_start": 500}
        return 200, {"success": True, "data": [{"id": start + 1}], "additional_data": {"pagination": paging}}

    def leads(request: Request) -> Any:
        start = int(request.query["start"])
        paging = {"start": start, "limit": 500, "more_items_in_collection": start == 0}
        return 200, {"success": True, "data": [{"id": f"a-{start}"}], "additional_data": paging}

    tiny = Tiny({("GET", "/v1/notes"): notes, ("GET", "/v1/leads"): leads})
    assert await tiny.connector.plan_walk("notes") == SERIAL
    for object_name, ids in (("notes", ["1", "501"]), ("leads", ["a-0", "a-1"])):
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            page = await tiny.connector.walk_page(object_name, [], SERIAL, after, "")
            found += [each.remote_id for each in page.records]
            after = page.after
        assert found == ids


async def test_an_empty_list_of_version_1_has_no_data():
    page = await Tiny({("GET", "/v1/notes"): ok(None)}).connector.walk_page("notes", [], SERIAL, "", "")
    assert (page.records, page.after) == ([], None)


async def test_pipelines_come_with_their_stages_and_none_is_closed():
    tiny = Tiny(
        {
            ("GET", "/api/v2/pipelines"): ok([{"id": 2, "name": "B", "order_nr": 2}, {"id": 1, "name": "A"}]),
            ("GET", "/api/v2/stages"): ok(
                [
                    {"id": 5, "name": "Last", "order_nr": 2, "pipeline_id": 1, "deal_probability": 100},
                    {"id": 4, "name": "First", "order_nr": 1, "pipeline_id": 1, "deal_probability": 10},
                    {"id": 6, "name": "Gone", "pipeline_id": 1, "is_deleted": True},
                ]
            ),
        }
    )
    first, second = await tiny.connector.list_pipelines("deals")
    assert [(each.remote_id, each.probability, each.is_closed) for each in first.stages] == [
        ("4", 10.0, False),
        ("5", 100.0, False),
    ]
    assert second.stages == ()
    assert await tiny.connector.list_pipelines("persons") == []


async def test_definitions_name_an_accounts_own_fields_by_key_and_their_parts():
    page = [
        {"field_name": "Lead Source", "field_code": "ab" * 20, "field_type": "enum", "is_custom_field": True,
         "options": [{"id": 1, "label": "Inbound"}]},
        {"field_name": "Budget", "field_code": "cd" * 20, "field_type": "monetary", "is_custom_field": True},
        {"field_name": "Job title", "field_code": "job_title", "field_type": "varchar"},
        {"field_name": "Open deals", "field_code": "open_deals_count", "field_type": "int"},
    ]  # fmt: skip
    tiny = Tiny({("GET", "/api/v2/personFields"): [ok(page[:2], "more"), ok(page[2:])]})
    found = {each.name: each for each in await tiny.connector.describe("persons")}
    assert found["ab" * 20].label == "Lead Source"
    assert found["cd" * 20 + ".currency"].read_only is False
    assert {"email", "first_name", "owner_id", "add_time"} <= found.keys()
    assert found["add_time"].read_only
    assert found["open_deals_count"].read_only
    assert not found["job_title"].read_only
    assert await tiny.connector.describe("users") == []


async def test_what_pipedrive_does_not_have_is_not_found():
    for call in (Tiny({}).connector.get_object("calls"), Tiny({}).connector.plan_walk("companies")):
        with pytest.raises(NotFound):
            await call
    with pytest.raises(Invalid):
        await Tiny({}).connector.read_many("persons", [str(each) for each in range(101)], [])
