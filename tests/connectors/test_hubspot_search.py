"""No change is lost on the way from HubSpot's search to us."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_hubspot import TinyHubSpot

from syncline.connectors.hubspot import search
from syncline.connectors.hubspot.connector import HubSpot
from syncline.connectors.reads import Page

pytestmark = pytest.mark.anyio

T0 = 1_790_000_000_000


async def changes(
    server: TinyHubSpot, since_ms: int, until_ms: int | None = None, names: tuple[str, ...] = ("email",)
) -> list[Page]:
    return [page async for page in HubSpot(server.send).changed_pages("contacts", names, since_ms, until_ms)]


def ids(pages: list[Page]) -> list[int]:
    return [int(each.remote_id) for page in pages for each in page.records]


async def test_two_hundred_changes_cost_one_call():
    server = TinyHubSpot({each: T0 + each for each in range(1, 201)})
    assert sorted(ids(await changes(server, T0))) == list(range(1, 201))
    assert len(server.requests) == 1


@pytest.mark.parametrize("crowd", [199, 200, 201, 400])
async def test_a_full_page_of_one_millisecond_hides_nothing_behind_it(crowd: int):
    modified = dict.fromkeys(range(1, crowd + 1), T0) | {9_000 + each: T0 + 1 + each for each in range(250)}
    assert set(ids(await changes(TinyHubSpot(modified), T0))) == set(modified)


async def test_records_that_move_to_the_end_while_we_read_do_not_push_others_out_of_sight():
    server = TinyHubSpot({each: T0 + each for each in range(1, 1_001)})
    moved = iter(range(1, 1_001, 3))

    def touch(tiny: TinyHubSpot, body: dict[str, Any]) -> None:
        for _ in range(10):
            tiny.modified[next(moved)] = T0 + 5_000 + len(tiny.requests)

    server.before_search = touch
    assert set(ids(await changes(server, T0))) == set(range(1, 1_001))


async def test_pages_tell_up_to_when_they_are_complete():
    server = TinyHubSpot({each: T0 + each for each in range(1, 451)})
    delivered: set[int] = set()
    for page in await changes(server, T0):
        delivered |= {int(each.remote_id) for each in page.records}
        assert page.complete_to_ms is not None
        assert {each for each, ms in server.modified.items() if ms < page.complete_to_ms} <= delivered


async def test_without_changes_the_last_page_still_moves_the_watermark_by_hubspots_clock():
    server = TinyHubSpot({1: T0}, server_date="Mon, 30 Nov 2026 12:00:00 GMT")
    [page] = await changes(server, T0 + 1)
    assert page.records == []
    assert page.complete_to_ms is not None
    assert 1_796_040_000_000 - 5_000 < page.complete_to_ms <= 1_796_040_000_000


async def test_changes_after_the_end_of_the_window_are_left_for_the_next_run():
    server = TinyHubSpot(
        {each: T0 + each for each in range(1, 11)}, server_date="Mon, 30 Nov 2026 12:00:00 GMT"
    )
    pages = await changes(server, T0 + 3, T0 + 7)
    assert ids(pages) == [3, 4, 5, 6, 7]
    assert pages[-1].complete_to_ms == T0 + 8


async def test_a_search_since_the_beginning_asks_for_no_time_hubspot_fails_at():
    server = TinyHubSpot({1: 5_000})
    assert ids(await changes(server, 0)) == [1]
    assert server.requests[0].json["filterGroups"][0]["filters"][0]["value"] == "1000"


async def test_more_properties_than_a_search_takes_are_read_by_batch():
    server = TinyHubSpot({each: T0 + each for each in range(1, 301)})
    names = tuple(f"a_property_with_a_long_name_{each:03d}" for each in range(400))
    pages = await changes(server, T0, names=names)
    assert sorted(ids(pages)) == list(range(1, 301))
    assert set(names) <= set(pages[0].records[0].properties)


async def test_the_count_is_one_call_for_one_record():
    server = TinyHubSpot(dict.fromkeys(range(1, 12001), T0))
    assert await HubSpot(server.send).count("contacts") == 12_000
    assert len(server.requests) == 1


@settings(max_examples=150, deadline=None)
@given(
    start=st.dictionaries(st.integers(1, 60), st.integers(0, 6), max_size=40),
    touched=st.lists(st.integers(1, 60), max_size=60),
    size=st.integers(2, 5),
)
async def test_whatever_moves_while_we_read_nothing_is_lost(
    start: dict[int, int], touched: list[int], size: int
):
    server = TinyHubSpot({each: T0 + ms for each, ms in start.items()})
    moves = iter(touched)

    def touch(tiny: TinyHubSpot, body: dict[str, Any]) -> None:
        number = next(moves, None)
        if number in tiny.modified:
            tiny.modified[number] = T0 + 10 + len(tiny.requests)

    server.before_search = touch
    delivered: dict[int, int | None] = {}
    complete_to_ms = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_PAGE", size)
        async for page in HubSpot(server.send).changed_pages("contacts", ["email"], T0, None):
            delivered |= {int(each.remote_id): each.updated_ms for each in page.records}
            assert page.complete_to_ms is not None
            assert page.complete_to_ms >= complete_to_ms
            complete_to_ms = page.complete_to_ms
            overdue = {each for each, ms in server.modified.items() if ms < min(complete_to_ms, T0 + 10)}
            assert overdue <= set(delivered)
    assert set(delivered) == set(start)
