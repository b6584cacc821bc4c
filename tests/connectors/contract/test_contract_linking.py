"""What belongs to what, records that become one, and what a CRM cannot do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from imitated import Crm
from walked import ids_of

from syncline.connectors.reads import Association
from syncline.connectors.writes import RemoteLink
from syncline.errors import Invalid, NotFound, ParkRecord

pytestmark = pytest.mark.anyio


def pairs_of(crm: Crm) -> list[tuple[str, str]]:
    connector = crm.connector
    return [
        pair
        for pair in crm.platform.capabilities.association_pairs
        if connector.external_id_property(pair[0]) is not None
    ]


async def ends_of(crm: Crm, pair: tuple[str, str]) -> tuple[str, str]:
    """Return records of both objects that are not tied yet."""
    targets = sorted(await crm.living(pair[1]))
    for from_id in sorted(await crm.living(pair[0])):
        if not await crm.connector.read_associations(*pair, [from_id]):
            return from_id, targets[0]
    [from_id, *_] = sorted(await crm.living(pair[0]))
    tied = [RemoteLink(each.to_id, from_id, each.to_id) for each in await read(crm, pair, [from_id])]
    await crm.connector.dissociate_many(*pair, tied)
    return from_id, targets[0]


async def read(crm: Crm, pair: tuple[str, str], ids: Sequence[str]) -> list[Association]:
    return await crm.connector.read_associations(*pair, ids)


async def test_ties_are_made_and_taken_away_as_often_as_one_likes(crm: Crm) -> None:
    assert pairs_of(crm)
    for pair in pairs_of(crm):
        from_id, to_id = await ends_of(crm, pair)
        link = RemoteLink("l", from_id, to_id)
        for _ in range(2):
            [outcome] = await crm.connector.associate_many(*pair, [link])
            assert (outcome.key, outcome.failure) == ("l", None), pair
            found = await read(crm, pair, [from_id])
            assert {(each.from_id, each.to_id) for each in found} == {(from_id, to_id)}, pair
        for _ in range(2):
            [outcome] = await crm.connector.dissociate_many(*pair, [link])
            assert (outcome.key, outcome.failure) == ("l", None), pair
            assert await read(crm, pair, [from_id]) == [], pair


async def test_a_reference_stands_in_the_payload_where_it_is_said_to(crm: Crm) -> None:
    for pair, path in crm.platform.capabilities.references.items():
        if pair not in pairs_of(crm):
            continue
        from_id, to_id = await ends_of(crm, pair)
        await crm.connector.associate_many(*pair, [RemoteLink("l", from_id, to_id)])
        page = await crm.connector.read_many(pair[0], [from_id], await crm.names(pair[0]))
        [record] = page.records
        value: Any = json.loads(record.payload)
        for step in path:
            value = value[step]
        assert str(value) == to_id, pair


async def test_both_ends_of_a_tie_must_be_there(crm: Crm) -> None:
    for pair in pairs_of(crm):
        from_id, to_id = await ends_of(crm, pair)
        links = [
            RemoteLink("nobody", from_id, crm.unknown_id(pair[1])),
            RemoteLink("no one", crm.unknown_id(pair[0]), to_id),
        ]
        outcomes = await crm.connector.associate_many(*pair, links)
        assert [each.key for each in outcomes] == ["nobody", "no one"]
        for each in outcomes:
            assert isinstance(each.failure, ParkRecord | NotFound), (pair, each.key)
        outcomes = await crm.connector.dissociate_many(*pair, links)
        assert [each.failure for each in outcomes] == [None, None], pair
        assert await read(crm, pair, [from_id]) == []


async def test_ties_of_many_records_are_read_at_once(crm: Crm) -> None:
    for pair in crm.platform.capabilities.association_pairs:
        ids = sorted(await crm.living(pair[0]))
        together = {(each.from_id, each.to_id) for each in await read(crm, pair, ids)}
        singly = {(each.from_id, each.to_id) for one in ids for each in await read(crm, pair, [one])}
        assert together == singly, pair
        assert {from_id for from_id, _ in together} <= set(ids)
        assert await read(crm, pair, [crm.unknown_id(pair[0])]) == []


async def test_two_records_become_one(crm: Crm) -> None:
    for name in [each.name for each in crm.objects if each.name in crm.platform.capabilities.mergeable]:
        before = await crm.living(name)
        survivor, merged = sorted(before)[:2]
        with pytest.raises(NotFound):
            await crm.connector.merge_records(name, survivor, crm.unknown_id(name))
        assert await crm.living(name) == before
        kept = await crm.connector.merge_records(name, survivor, merged)
        after = await crm.living(name)
        assert after == before - {survivor, merged} | {kept}, name
        [record] = (await crm.connector.read_many(name, [kept], await crm.names(name))).records
        assert record.archived_ms is None
        # Whoever asks for the others is told of the survivor or of nothing, never of a record that lives.
        page = await crm.connector.read_many(name, [survivor, merged], await crm.names(name))
        assert {each.remote_id for each in page.records if each.archived_ms is None} <= {kept}


async def test_what_colleagues_merged_is_one_record_however_it_is_read(crm: Crm) -> None:
    for name in [each.name for each in crm.objects if each.name in crm.platform.capabilities.mergeable]:
        survivor, merged = sorted(await crm.living(name))[:2]
        kept = await crm.unite(name, survivor, merged)
        assert kept is not None
        names = await crm.names(name)
        page = await crm.connector.read_many(name, [kept, survivor, merged], names)
        [record] = [each for each in page.records if each.archived_ms is None]
        assert record.remote_id == kept, name
        assert set(record.merged_ids) <= {survivor, merged} - {kept}
        assert set(await ids_of(crm.connector, name)) == await crm.living(name)


async def test_what_cannot_be_merged_is_refused(crm: Crm) -> None:
    for each in crm.objects:
        if each.name not in crm.platform.capabilities.mergeable:
            one, other, *_ = [*await crm.living(each.name), crm.unknown_id(each.name)]
            before = await crm.living(each.name)
            with pytest.raises(Invalid):
                await crm.connector.merge_records(each.name, one, other)
            assert await crm.living(each.name) == before


async def test_the_past_of_records_is_told_or_nothing_is(crm: Crm) -> None:
    for name in crm.emptied:
        ids = sorted(await crm.living(name))[:3]
        found = await crm.connector.read_history(name, ids, [crm.emptied[name]])
        assert found.keys() <= set(ids)
        for past in (entries for properties in found.values() for entries in properties.values()):
            assert [ms for ms, _, _ in past] == sorted((ms for ms, _, _ in past), reverse=True)
