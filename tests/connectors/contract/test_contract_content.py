"""What has no room for our ids: made with what it belongs to, and found again by what it holds."""

from __future__ import annotations

import pytest
from drawn import Draft, draft_of
from imitated import Crm

from syncline.clock import now, to_ms
from syncline.connectors.records import RemoteRecord
from syncline.connectors.writes import RemoteWrite, WriteOutcome
from syncline.errors import ParkRecord, RetryLater

pytestmark = pytest.mark.anyio


def by_content(crm: Crm) -> list[str]:
    return sorted(crm.platform.capabilities.found_by_content)


async def a_create(crm: Crm, name: str, seed: int, key: str = "k") -> tuple[Draft, RemoteWrite]:
    draft = await draft_of(crm, name)
    parents = await crm.some_parents(name)
    assert parents
    return draft, RemoteWrite(key, None, draft.draw(seed), key, parents)


async def find(crm: Crm, name: str, *writes: RemoteWrite) -> dict[str, list[str]]:
    """Look as another process does that has not made them."""
    since_ms = to_ms(now()) - 1000
    found = await crm.fresh().find_made(name, writes, await crm.names(name), since_ms)
    return {key: [each.remote_id for each in records] for key, records in found.items()}


async def write(crm: Crm, name: str, *writes: RemoteWrite) -> list[WriteOutcome]:
    return await crm.connector.write_many(name, writes)


async def read_one(crm: Crm, name: str, remote_id: str | None) -> RemoteRecord:
    [record] = (await crm.connector.read_many(name, [str(remote_id)], await crm.names(name))).records
    return record


async def test_it_is_made_with_what_it_belongs_to_and_holds_what_was_written(crm: Crm) -> None:
    for name in by_content(crm):
        assert crm.connector.external_id_property(name) is None
        draft, wanted = await a_create(crm, name, 1)
        [outcome] = await write(crm, name, wanted)
        assert outcome.failure is None, name
        record = await read_one(crm, name, outcome.remote_id)
        assert draft.means(record.properties, frozenset(wanted.properties)) == draft.means(wanted.properties)
        for other, remote_id in wanted.references.items():
            found = await crm.connector.read_associations(name, other, [record.remote_id])
            assert [(each.from_id, each.to_id) for each in found] == [(record.remote_id, remote_id)]


async def test_nothing_is_found_of_what_was_never_made(crm: Crm) -> None:
    for name in by_content(crm):
        _, wanted = await a_create(crm, name, 2)
        assert await find(crm, name, wanted) == {}
        assert await find(crm, name) == {}


async def test_what_was_made_is_found_at_once_though_its_answer_was_lost(crm: Crm) -> None:
    for name in by_content(crm):
        _, wanted = await a_create(crm, name, 3)
        _, other = await a_create(crm, name, 4, "other")
        before = await crm.living(name)
        await crm.lose_the_answer_of_a_create(name)
        start = len(crm.requests)
        [outcome] = await write(crm, name, wanted)
        assert isinstance(outcome.failure, RetryLater)
        assert not outcome.unwritten
        assert not all(each.idempotent for each in crm.requests[start:]), name
        [made] = await crm.living(name) - before
        assert await find(crm, name, wanted, other) == {"k": [made]}
        record = await read_one(crm, name, made)
        alike = crm.connector.find_likeness(name, wanted, record)
        assert alike is not None
        assert alike <= wanted.properties.keys()
        assert crm.connector.find_likeness(name, other, record) is None


async def test_all_that_hold_the_same_are_named_in_the_order_of_their_making(crm: Crm) -> None:
    for name in by_content(crm):
        _, wanted = await a_create(crm, name, 5)
        again = RemoteWrite("again", None, wanted.properties, "again", wanted.references)
        made = [(await write(crm, name, each))[0].remote_id for each in (wanted, again)]
        assert await find(crm, name, wanted, again) == {"k": made, "again": made}


async def test_what_belongs_to_another_is_another(crm: Crm) -> None:
    for name in by_content(crm):
        _, wanted = await a_create(crm, name, 6)
        for other in wanted.references:
            [elsewhere] = [
                each for each in sorted(await crm.living(other)) if each != wanted.references[other]
            ][:1]
            moved = {**wanted.references, other: elsewhere}
            await write(crm, name, RemoteWrite("moved", None, wanted.properties, "moved", moved))
        assert await find(crm, name, wanted) == {}


async def test_what_was_archived_is_not_found(crm: Crm) -> None:
    for name in by_content(crm):
        _, wanted = await a_create(crm, name, 7)
        [made] = await write(crm, name, wanted)
        await crm.connector.archive_many(name, [str(made.remote_id)])
        assert await find(crm, name, wanted) == {}


async def test_what_needs_a_parent_is_refused_without(crm: Crm) -> None:
    for name in sorted(crm.platform.capabilities.needs_parent):
        draft, _ = await a_create(crm, name, 8)
        before = await crm.living(name)
        [outcome] = await write(crm, name, RemoteWrite("k", None, draft.draw(8), "k"))
        assert isinstance(outcome.failure, ParkRecord)
        assert outcome.unwritten
        assert await crm.living(name) == before
