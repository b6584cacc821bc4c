"""Two records of an account are merged once, and what HubSpot refuses is said in its words."""

from __future__ import annotations

import pytest
from writing_hubspot import client_of, world_of

from syncline.connectors.hubspot.objects import CAPABILITIES
from syncline.errors import Invalid, NotFound, RecordRejected
from syncline.simulators.hubspot import Settings

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("dated_paths", [True, False])
async def test_the_survivor_is_named_by_the_id_that_means_both_from_then_on(dated_paths: bool):
    world = world_of(contacts=3, settings=Settings(dated_paths=dated_paths))
    one, other, _ = map(str, world.store("contacts").living)
    async with client_of(world) as client:
        new = await client.connector.merge_records("contacts", one, other)
        assert new not in (one, other)
        page = await client.connector.read_many("contacts", [new], [])
    [record] = page.records
    assert set(record.merged_ids) == {one, other}
    [call] = [each for each in client.requests if each.path.endswith("/merge")][-1:]
    assert call.json == {"primaryObjectId": one, "objectIdToMerge": other}
    assert call.idempotent is False


async def test_a_record_that_is_gone_cannot_be_merged():
    world = world_of(contacts=2)
    one, other = world.store("contacts").living
    world.archive("contacts", other)
    async with client_of(world) as client:
        with pytest.raises(NotFound):
            await client.connector.merge_records("contacts", str(one), str(other))


async def test_what_is_one_already_is_refused_and_not_merged_again():
    world = world_of(contacts=2)
    one, other = map(str, world.store("contacts").living)
    async with client_of(world) as client:
        await client.connector.merge_records("contacts", one, other)
        with pytest.raises(RecordRejected, match="itself"):
            await client.connector.merge_records("contacts", one, other)
    assert sum(each.kind == "contact.merge" for each in world.events) == 1


async def test_only_objects_that_hubspot_merges_are_sent():
    async with client_of(world_of(contacts=1)) as client:
        assert "calls" not in CAPABILITIES.mergeable
        with pytest.raises(Invalid):
            await client.connector.merge_records("calls", "1", "2")
        assert not client.paths("merge")
