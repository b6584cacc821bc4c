"""Reading: who we are, what there is, every record exactly once, and the same bytes by every road."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from imitated import Crm, Imitation
from walked import archived_of, ids_of, pages_of, read_all, unplain

from syncline.connectors.reads import Walk
from syncline.connectors.records import RemoteRecord
from syncline.errors import Invalid, NotFound

pytestmark = pytest.mark.anyio
#: More would be looked for where nobody looks.
_NOBODYS = "no_such_object_zz"


async def test_check_names_the_account(crm: Crm) -> None:
    account = await crm.connector.check()
    assert account.account_id
    assert account.name
    assert abs(account.clock_skew_seconds) < 10
    assert (
        await crm.fresh().check() == account or account.account_id == (await crm.fresh().check()).account_id
    )


async def test_every_object_can_be_got_described_and_listed(crm: Crm) -> None:
    for each in crm.objects:
        found = await crm.connector.get_object(each.name)
        assert (found.name, found.record_type) == (each.name, each.record_type)
        definitions = await crm.connector.describe(each.name)
        assert [one.name for one in definitions] == sorted(one.name for one in definitions)
        assert len({one.name for one in definitions}) == len(definitions)
        assert bool(definitions) or not found.has_properties, each.name
        assert set(await ids_of(crm.connector, each.name)) == await crm.living(each.name), each.name


async def test_what_an_account_does_not_have_is_not_found(imitation: Imitation, server: object) -> None:
    async with imitation.opened(server) as crm:
        for ask in (crm.connector.get_object, crm.connector.describe):
            with pytest.raises(NotFound):
                await ask(_NOBODYS)
    if imitation.crm.bare is None:
        assert not any(each.optional for each in imitation.crm.platform.capabilities.objects)
        return
    async with imitation.opened(server, imitation.crm.bare) as crm:
        for each in crm.objects:
            if not each.optional:
                assert (await crm.connector.get_object(each.name)).name == each.name
                continue
            for ask in (crm.connector.get_object, crm.connector.describe):
                with pytest.raises(NotFound):
                    await ask(each.name)


async def test_what_the_crm_sets_itself_is_marked_so(crm: Crm) -> None:
    for each in crm.objects:
        found = await crm.connector.get_object(each.name)
        named = {one.name: one for one in await crm.connector.describe(each.name)}
        if named and found.modified_property in named:
            modified = named[found.modified_property]
            assert modified.read_only or modified.calculated, each.name
    for name, properties in crm.emptied.items():
        named = {one.name: one for one in await crm.connector.describe(name)}
        assert not named[properties].read_only


async def test_only_objects_with_pipelines_have_some(crm: Crm) -> None:
    for each in crm.objects:
        pipelines = await crm.connector.list_pipelines(each.name)
        assert bool(pipelines) == each.has_pipelines, each.name
        assert len({one.remote_id for one in pipelines}) == len(pipelines)
        for pipeline in pipelines:
            ids = [stage.remote_id for stage in pipeline.stages]
            assert ids
            assert len(set(ids)) == len(ids)
            assert [stage.position for stage in pipeline.stages] == sorted(
                stage.position for stage in pipeline.stages
            )


async def test_a_count_is_right_where_there_is_one(crm: Crm) -> None:
    for each in crm.objects:
        count = await crm.connector.count(each.name)
        assert count is None or count == len(await crm.living(each.name)), each.name


async def test_everything_living_is_read_once_by_every_way_that_is_planned(
    imitation: Imitation, server: object
) -> None:
    for way in imitation.crm.ways:
        async with imitation.opened(server, way.variant) as crm:
            if way.object_name in crm.lists_ended:
                await crm.end(way.object_name, min(await crm.living(way.object_name)))
            names = await crm.names(way.object_name)
            before = len(crm.requests)
            walk = await crm.connector.plan_walk(way.object_name)
            assert walk.kind == way.kind
            assert len(crm.requests) - before <= 4
            bounds = [each async for each in crm.connector.find_bounds(way.object_name, walk, 4)]
            assert all(low < high for low, high in pairwise([0, *bounds]))
            assert len(bounds) < 4
            assert walk.kind != "serial" or not bounds
            found: list[str] = []
            for low, high in pairwise(["", *map(str, bounds), ""]):
                pages = await pages_of(crm.connector, way.object_name, names, walk, low, high)
                found += [each.remote_id for page in pages.values() for each in page.records]
            assert len(found) == len(set(found))
            assert set(found) == await crm.living(way.object_name)
            assert sorted(await ids_of(crm.connector, way.object_name, walk)) == sorted(found)
            assert walk.total is None or walk.total >= len(found)


async def test_a_walk_goes_on_from_any_cursor_in_another_process(
    imitation: Imitation, server: object
) -> None:
    for way in imitation.crm.ways:
        async with imitation.opened(server, way.variant) as crm:
            walk = await crm.connector.plan_walk(way.object_name)
            pages = await pages_of(crm.connector, way.object_name, [], walk)
            assert len(pages) > 1 or walk.kind == "serial"
            for cursor, page in pages.items():
                assert all(each.archived_ms is None for each in page.records)
                again = await crm.fresh().walk_page(way.object_name, [], walk, cursor, "")
                assert [each.remote_id for each in again.records] == [each.remote_id for each in page.records]
                assert again.after == page.after


async def test_records_are_read_by_id_as_they_are_by_walking(crm: Crm) -> None:
    for each in crm.objects:
        walked = await read_all(crm, each.name)
        assert walked, each.name
        names = await crm.names(each.name)
        ids = list(reversed(walked))
        page = await crm.connector.read_many(each.name, [*ids, crm.unknown_id(each.name), ids[0]], names)
        found = {one.remote_id: one for one in page.records}
        assert len(found) == len(page.records)
        assert not page.unreadable
        assert found.keys() == walked.keys(), each.name
        for remote_id, record in walked.items():
            assert found[remote_id].payload == record.payload, each.name
            assert found[remote_id] == record
        assert (await crm.connector.read_many(each.name, [], names)).records == []


async def test_a_payload_is_plain_json_that_says_again_what_was_read(crm: Crm) -> None:
    for each in crm.objects:
        for record in (await read_all(crm, each.name)).values():
            assert unplain(record.payload) == [], each.name
            assert record.defect is None
            assert known(crm.platform.recall(each.name, record.payload)) == known(record), each.name


def known(record: RemoteRecord) -> RemoteRecord:
    """Return a record with what is not empty: a payload alone does not say what else was asked for."""
    values = {name: value for name, value in record.properties.items() if value is not None}
    return msgspec.structs.replace(record, properties=values)


async def test_text_that_cannot_be_stored_is_reported_and_replaced(crm: Crm) -> None:
    remote_id = await crm.plant(crm.crowded, "before\0 \ud800 after")
    if remote_id is None:
        return
    name = "parcels" if remote_id not in await crm.living(crm.crowded) else crm.crowded
    pages = (await pages_of(crm.connector, name, await crm.names(name))).values()
    [record] = [each for page in pages for each in page.records if each.remote_id == remote_id]
    assert unplain(record.payload) == []
    assert record.defect is not None
    assert "after" in record.defect[1]
    kept = crm.platform.recall(name, record.payload)
    assert known(kept).properties == known(record).properties
    assert kept.updated_ms == record.updated_ms


async def test_what_is_asked_for_and_empty_is_none(crm: Crm) -> None:
    for each in crm.objects:
        names = await crm.names(each.name)
        for record in (await read_all(crm, each.name)).values():
            assert set(names) <= set(record.properties), each.name
            assert all(value != "" for value in record.properties.values()), each.name


async def test_more_than_a_batch_is_refused(crm: Crm) -> None:
    many = [f"{number + 1}" for number in range(crm.platform.capabilities.read_batch + 1)]
    before = len(crm.requests)
    with pytest.raises(Invalid):
        await crm.connector.read_many(crm.crowded, many, [])
    assert len(crm.requests) == before


async def test_what_was_ended_is_no_longer_walked_and_is_told_where_the_crm_tells(crm: Crm) -> None:
    for each in crm.objects:
        if each.name not in {*crm.emptied, *crm.lists_ended}:
            continue
        living = await crm.living(each.name)
        ended = min(living)
        await crm.end(each.name, ended)
        assert (await read_all(crm, each.name)).keys() == living - {ended}
        assert set(await ids_of(crm.connector, each.name)) == living - {ended}
        told = await archived_of(crm, each.name)
        assert set(told) == ({ended} if each.name in crm.lists_ended else set()), each.name
        assert all(one.archived_ms is not None for one in told.values())
        names = await crm.names(each.name)
        by_id = await crm.connector.read_many(each.name, [ended], names)
        assert all(one.archived_ms is not None for one in by_id.records), each.name
        if await crm.bring_back(each.name, ended):
            [back] = (await crm.connector.read_many(each.name, [ended], names)).records
            assert back.archived_ms is None, each.name
            assert (await read_all(crm, each.name)).keys() == living
            assert ended not in await archived_of(crm, each.name)


async def test_an_empty_range_is_read_in_one_call(imitation: Imitation, server: object) -> None:
    for way in imitation.crm.ways:
        if way.kind == "serial":
            continue
        async with imitation.opened(server, way.variant) as crm:
            walk: Walk = await crm.connector.plan_walk(way.object_name)
            page = await crm.connector.walk_page(way.object_name, [], walk, str(walk.last + 100_000), "")
            assert (page.records, page.after) == ([], None)
