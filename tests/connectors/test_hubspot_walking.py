"""Every record is read exactly once in ranges, whatever the list's cursor turns out to be."""

import pytest
from tiny_hubspot import TinyHubSpot

from syncline.connectors.hubspot.connector import HubSpot
from syncline.connectors.reads import Walk
from syncline.errors import Unavailable

pytestmark = pytest.mark.anyio

NAMES = ["email", "firstname"]


def contacts(count: int, step: int = 7) -> dict[int, int]:
    return {1000 + each * step: 1_700_000_000_000 + each for each in range(count)}


async def read_range(
    hubspot: HubSpot, walk: Walk, after: str, until: str, names: list[str] = NAMES
) -> list[int]:
    found: list[int] = []
    while True:
        page = await hubspot.walk_page("contacts", names, walk, after, until)
        found += [int(each.remote_id) for each in page.records]
        if page.after is None:
            return found
        after = page.after


@pytest.mark.parametrize(
    ("cursor", "kind", "inclusive"),
    [
        ("inclusive", "list", True),
        ("next", "list", True),
        ("exclusive", "list", False),
        ("offset", "search", False),
        ("opaque", "search", False),
    ],
)
async def test_the_probe_finds_out_what_the_cursor_is(cursor: str, kind: str, inclusive: bool):
    server = TinyHubSpot(contacts(950), cursor)
    walk = await HubSpot(server.send).plan_walk("contacts")
    assert (walk.kind, walk.inclusive, walk.first, walk.last) == (kind, inclusive, 1000, 1000 + 949 * 7)
    assert walk.total == 950
    assert len(server.requests) <= 4


@pytest.mark.parametrize("cursor", ["inclusive", "next", "exclusive", "offset", "opaque"])
async def test_ranges_cover_every_record_exactly_once(cursor: str):
    server = TinyHubSpot(contacts(950), cursor)
    hubspot = HubSpot(server.send)
    walk = await hubspot.plan_walk("contacts")
    server.modified[walk.last + 1] = 1_800_000_000_000  # made after the probe
    found: list[int] = []
    for after, until in (("", "1700"), ("1700", "4500"), ("4500", "")):
        found += await read_range(hubspot, walk, after, until)
    assert found == sorted(server.modified)


@pytest.mark.parametrize("cursor", ["inclusive", "exclusive"])
async def test_a_walk_that_forgot_whether_its_cursor_is_inclusive_still_reads_everything_once(cursor: str):
    server = TinyHubSpot(contacts(333, step=1), cursor)
    found = await read_range(HubSpot(server.send), Walk("list", 1000, 1332), "1050", "1300")
    assert found == list(range(1051, 1301))


@pytest.mark.parametrize("cursor", ["inclusive", "next", "exclusive", "offset", "opaque"])
async def test_a_serial_walk_follows_the_cursor_as_it_is(cursor: str):
    server = TinyHubSpot(contacts(333), cursor)
    assert await read_range(HubSpot(server.send), Walk("serial"), "", "") == sorted(server.modified)


async def test_an_object_that_fits_one_page_costs_one_call_to_plan():
    server = TinyHubSpot(contacts(30))
    walk = await HubSpot(server.send).plan_walk("contacts")
    assert (walk.kind, walk.total, len(server.requests)) == ("serial", 30, 1)


async def test_an_empty_object_is_read_in_one_page():
    server = TinyHubSpot({})
    hubspot = HubSpot(server.send)
    assert await read_range(hubspot, await hubspot.plan_walk("contacts"), "", "") == []


@pytest.mark.parametrize("kind", ["list", "serial"])
async def test_a_cursor_that_repeats_ends_the_walk_with_an_error(kind: str):
    server = TinyHubSpot(contacts(333), "stuck")
    with pytest.raises(Unavailable, match="repeats"):
        await read_range(HubSpot(server.send), Walk(kind), "7000", "")  # type: ignore[arg-type]


@pytest.mark.parametrize("cursor", ["inclusive", "opaque"])
async def test_more_properties_than_a_url_holds_are_read_by_batch(cursor: str):
    server = TinyHubSpot(contacts(250), cursor)
    hubspot = HubSpot(server.send)
    names = [f"a_property_with_a_long_name_{each:04d}" for each in range(600)]
    walk = await hubspot.plan_walk("contacts")
    page = await hubspot.walk_page("contacts", names, walk, "", "")
    assert set(names) <= set(page.records[0].properties)
    assert [int(each.remote_id) for each in page.records] == sorted(server.modified)[: len(page.records)]
    assert await read_range(hubspot, walk, "", "", names) == sorted(server.modified)
    assert all(len(str(dict(each.query))) < 16_000 for each in server.requests)


@pytest.mark.parametrize("cursor", ["inclusive", "exclusive", "opaque"])
async def test_ids_alone_are_listed_in_the_same_ranges(cursor: str):
    server = TinyHubSpot(contacts(450), cursor)
    hubspot = HubSpot(server.send)
    walk = await hubspot.plan_walk("contacts")
    found: list[str] = []
    for after, until in (("", "2000"), ("2000", "")):
        cursor_of: str | None = after
        while cursor_of is not None:
            ids, cursor_of = await hubspot.list_ids("contacts", cursor_of, until, walk)
            found += ids
    assert [int(each) for each in found] == sorted(server.modified)


async def test_an_older_server_is_read_by_the_legacy_paths_from_then_on():
    server = TinyHubSpot(contacts(450), legacy_only=True)
    hubspot = HubSpot(server.send)
    assert await read_range(hubspot, Walk("list"), "", "") == sorted(server.modified)
    assert [each.path for each in server.requests].count("/crm/objects/2026-03/contacts") == 1
    assert await hubspot.count("contacts") == 450
    assert server.requests[-2].path == "/crm/v3/objects/contacts"
