"""Writing: each record its own outcome, made once whatever is lost, archived as often as one likes."""

from __future__ import annotations

import random
from dataclasses import replace
from uuid import NAMESPACE_URL, uuid5

import pytest
from drawn import Draft, draft_of
from imitated import Crm

from syncline.connectors.records import RemoteRecord
from syncline.connectors.transport import Request, Response
from syncline.connectors.writes import RemoteWrite, WantedProperty
from syncline.errors import (
    Invalid,
    NotFound,
    ParkRecord,
    RetryLater,
    SettingInvalid,
    Unavailable,
)

pytestmark = pytest.mark.anyio


def own_id(word: str) -> str:
    """Return an id of ours, the same for the same word."""
    return str(uuid5(NAMESPACE_URL, word))


async def prepare(crm: Crm, name: str) -> WantedProperty | None:
    """Make the property for our own ids; None where the object cannot have one."""
    wanted = crm.connector.external_id_property(name)
    if wanted is None:
        return None
    [plan] = await crm.connector.apply_properties(name, [wanted])
    return wanted if plan.state in ("created", "exists") else None


async def makable(crm: Crm) -> list[tuple[str, WantedProperty]]:
    """Return the objects of which records can be made once only, prepared for it."""
    found = [(each.name, await prepare(crm, each.name)) for each in crm.objects]
    return [(name, wanted) for name, wanted in found if wanted is not None]


def writable(crm: Crm) -> list[str]:
    by_content = crm.platform.capabilities.found_by_content
    return [
        each.name
        for each in crm.objects
        if each.name in by_content or crm.connector.external_id_property(each.name) is not None
    ]


async def read_one(crm: Crm, name: str, remote_id: str | None) -> RemoteRecord:
    [record] = (await crm.connector.read_many(name, [str(remote_id)], await crm.names(name))).records
    return record


def assert_written(draft: Draft, wanted: dict[str, str | None], record: RemoteRecord | None) -> None:
    """What was answered is what was written, as far as it was answered at all."""
    assert record is not None
    told = frozenset(wanted.keys() & record.properties.keys())
    assert told
    assert draft.means(record.properties, told) == draft.means(wanted, told)


async def test_our_ids_have_a_property_that_is_made_once(crm: Crm) -> None:
    assert writable(crm)
    for each in crm.objects:
        wanted = crm.connector.external_id_property(each.name)
        if wanted is None:
            continue
        [plan] = await crm.connector.plan_properties(each.name, [wanted])
        [again] = await crm.connector.plan_properties(each.name, [wanted])
        assert plan == again, "a plan writes nothing"
        if plan.state == "differs":
            assert plan.reason
            continue
        if plan.state == "exists":  # some CRMs bring one of their own
            assert await crm.connector.find_by_external_id(each.name, [own_id("nobody")]) == {}
            continue
        assert plan.state == "create", each.name
        with pytest.raises(SettingInvalid):
            await crm.connector.find_by_external_id(each.name, [own_id("nobody")])
        [made] = await crm.connector.apply_properties(each.name, [wanted])
        assert made.state == "created", each.name
        for connector in (crm.connector, crm.fresh()):
            [found] = await connector.apply_properties(each.name, [wanted])
            assert found.state == "exists"
            [found] = await connector.plan_properties(each.name, [wanted])
            assert found.state == "exists"
            assert await connector.find_by_external_id(each.name, [own_id("nobody")]) == {}


async def test_sets_of_properties_are_made_once(crm: Crm) -> None:
    for each in crm.connector.property_sets.values():
        for name, wanted in each.properties.items():
            plans = await crm.connector.apply_properties(name, wanted)
            assert [plan.wanted for plan in plans] == list(wanted)
            assert {plan.state for plan in plans} <= {"created", "exists"}
            plans = await crm.connector.apply_properties(name, wanted)
            assert {plan.state for plan in plans} == {"exists"}
            described = {one.name for one in await crm.connector.describe(name)}
            assert {one.name for one in wanted} <= described


async def test_a_record_is_made_and_holds_what_was_written(crm: Crm) -> None:
    for name, _ in await makable(crm):
        draft = await draft_of(crm, name)
        before = await crm.living(name)
        writes = [RemoteWrite(f"k{seed}", None, draft.draw(seed), own_id(f"{seed}")) for seed in range(2)]
        outcomes = await crm.connector.write_many(name, writes)
        assert [each.key for each in outcomes] == ["k0", "k1"]
        assert [each.failure for each in outcomes] == [None, None], name
        assert {str(each.remote_id) for each in outcomes} == await crm.living(name) - before
        for write, outcome in zip(writes, outcomes, strict=True):
            wanted = dict(write.properties)
            assert outcome.created is not False
            assert not outcome.unwritten
            assert_written(draft, wanted, outcome.record)
            record = await read_one(crm, name, outcome.remote_id)
            assert draft.means(record.properties, frozenset(wanted)) == draft.means(wanted), name
            assert record.external_id == write.external_id


async def test_what_is_not_named_is_left_alone_and_none_empties(crm: Crm) -> None:
    for name, emptied in crm.emptied.items():
        draft = await draft_of(crm, name)
        remote_id = min(await crm.living(name))
        wanted = draft.draw(3)
        await crm.connector.write_many(name, [RemoteWrite("k", remote_id, wanted)])
        full = await read_one(crm, name, remote_id)
        assert full.properties[emptied] is not None, name
        [outcome] = await crm.connector.write_many(name, [RemoteWrite("k", remote_id, {emptied: None})])
        assert (outcome.failure, outcome.remote_id) == (None, remote_id), name
        assert outcome.created is not True
        after = await read_one(crm, name, remote_id)
        assert after.properties[emptied] is None, name
        rest = frozenset(wanted) - {emptied}
        assert draft.means(after.properties, rest) == draft.means(full.properties, rest), name
        assert (after.updated_ms or 0) >= (full.updated_ms or 0)


async def test_outcomes_keep_the_order_and_the_first_of_two_writes_goes_first(crm: Crm) -> None:
    for name, _ in await makable(crm):
        draft = await draft_of(crm, name)
        one, other = sorted(await crm.living(name))[:2]
        first, last = draft.draw(4), draft.draw(5)
        writes = [
            RemoteWrite("new", None, draft.draw(6), own_id("order")),
            RemoteWrite("first", one, first),
            RemoteWrite("other", other, draft.draw(7)),
            RemoteWrite("last", one, last),
        ]
        outcomes = await crm.connector.write_many(name, writes)
        assert [each.key for each in outcomes] == [each.key for each in writes]
        assert [each.failure for each in outcomes] == [None] * 4, name
        assert [each.remote_id for each in outcomes[1:]] == [one, other, one]
        record = await read_one(crm, name, one)
        assert draft.means(record.properties, frozenset(last)) == draft.means(last), name


async def test_changes_are_sent_before_creates(crm: Crm) -> None:
    """A create whose answer is lost tells of changes in the same call that they were made."""
    for name, _ in await makable(crm):
        draft = await draft_of(crm, name)
        remote_id = min(await crm.living(name))
        change = draft.draw(8)
        writes = [
            RemoteWrite("new", None, draft.draw(9), own_id("lost")),
            RemoteWrite("old", remote_id, change),
        ]
        await crm.lose_the_answer_of_a_create(name)
        try:
            outcomes = await crm.connector.write_many(name, writes)
        except RetryLater:
            outcomes = []  # all of it may be sent again
        record = await read_one(crm, name, remote_id)
        assert draft.means(record.properties, frozenset(change)) == draft.means(change), name
        assert [each.failure for each in outcomes if each.key == "old"] in ([], [None])


async def test_one_bad_record_fails_alone_and_its_words_are_repeated_nowhere(crm: Crm) -> None:
    chance = random.Random(1)
    for name in crm.emptied:
        draft = await draft_of(crm, name)
        good, bad = sorted(await crm.living(name))[:2]
        for _ in range(3):
            word = f"w{chance.getrandbits(60):x}q"
            wanted = draft.draw(chance.randrange(1000))
            writes = [
                RemoteWrite("bad", bad, crm.spoiled(name, word)),
                RemoteWrite("gone", crm.unknown_id(name), draft.draw(11)),
                RemoteWrite("good", good, wanted),
            ]
            spoiled, gone, fine = await crm.connector.write_many(name, writes)
            assert isinstance(spoiled.failure, ParkRecord), name
            assert spoiled.unwritten
            assert len(str(spoiled.failure)) > 10
            assert word not in f"{spoiled.failure!r} {spoiled.failure}"
            assert isinstance(gone.failure, NotFound), name
            assert gone.unwritten
            assert fine.failure is None, name
            record = await read_one(crm, name, good)
            assert draft.means(record.properties, frozenset(wanted)) == draft.means(wanted), name


async def test_a_create_that_is_refused_makes_nothing(crm: Crm) -> None:
    for name, _ in await makable(crm):
        draft = await draft_of(crm, name)
        before = await crm.living(name)
        bad = {**draft.draw(12), **crm.spoiled(name, "word")}
        writes = [
            RemoteWrite("bad", None, bad, own_id("bad")),
            RemoteWrite("good", None, draft.draw(13), own_id("good")),
        ]
        spoiled, fine = await crm.connector.write_many(name, writes)
        assert isinstance(spoiled.failure, ParkRecord), name
        assert (spoiled.remote_id, spoiled.unwritten) == (None, True)
        assert fine.failure is None
        assert await crm.living(name) - before == {fine.remote_id}


async def test_a_create_whose_answer_is_lost_is_found_at_once_and_not_made_twice(crm: Crm) -> None:
    for name, wanted in await makable(crm):
        draft = await draft_of(crm, name)
        before = await crm.living(name)
        write = RemoteWrite("k", None, draft.draw(14), own_id("lost"))
        await crm.lose_the_answer_of_a_create(name)
        try:
            [outcome] = await crm.connector.write_many(name, [write])
        except RetryLater:
            assert wanted.unique, "what nothing makes unique must not be sent again, and this is"
        else:
            assert isinstance(outcome.failure, RetryLater)
            assert not outcome.unwritten
        [made] = await crm.living(name) - before
        found = await crm.connector.find_by_external_id(name, [own_id("other"), own_id("lost")])
        assert {key: each.remote_id for key, each in found.items()} == {own_id("lost"): made}
        assert found[own_id("lost")].external_id == own_id("lost")
        if not wanted.unique:
            continue
        [again] = await crm.connector.write_many(name, [replace(write, properties=draft.draw(15))])
        assert (again.failure, again.remote_id) == (None, made)
        assert again.created is not True
        assert await crm.living(name) - before == {made}


async def test_a_create_without_an_id_of_ours_is_never_sent_again(crm: Crm) -> None:
    for name, _ in await makable(crm):
        draft = await draft_of(crm, name)
        await crm.lose_the_answer_of_a_create(name)
        before = await crm.living(name)
        start = len(crm.requests)
        [outcome] = await crm.connector.write_many(name, [RemoteWrite("k", None, draft.draw(16))])
        assert isinstance(outcome.failure, RetryLater), name
        assert not outcome.unwritten
        assert len(await crm.living(name) - before) == 1
        assert not all(each.idempotent for each in crm.requests[start:]), name


async def test_what_fails_before_anything_is_written_is_raised(crm: Crm) -> None:
    for name in writable(crm):
        draft = await draft_of(crm, name)
        remote_id = min(await crm.living(name))
        await crm.connector.write_many(name, [RemoteWrite("warm", remote_id, draft.draw(17))])

        async def send(request: Request) -> Response:
            raise Unavailable("Nobody is there.", unsent=True)

        connector = crm.platform.make(send, crm.settings)
        with pytest.raises(Unavailable):
            await connector.write_many(name, [RemoteWrite("k", remote_id, draft.draw(18))])


async def test_no_answer_is_lost_when_the_connection_breaks_half_way(crm: Crm) -> None:
    for name, _ in await makable(crm):
        draft = await draft_of(crm, name)
        before = await crm.living(name)
        writes = [
            RemoteWrite(f"k{seed}", None, draft.draw(20 + seed), own_id(f"half {seed}")) for seed in range(3)
        ]
        await crm.break_after_a_create(name)
        outcomes = await crm.connector.write_many(name, writes)
        crm.mend()
        made = await crm.living(name) - before
        assert made
        assert [each.key for each in outcomes] == ["k0", "k1", "k2"]
        told = {each.remote_id for each in outcomes if each.failure is None}
        assert told
        assert told <= made
        for each in outcomes:
            assert each.failure is None or isinstance(each.failure, RetryLater), name
        unsure = [each for each in outcomes if each.failure is not None and not each.unwritten]
        assert len(made - told) <= len(unsure), name


async def test_archiving_may_be_repeated_and_spares_the_others(crm: Crm) -> None:
    for name in crm.emptied:
        living = await crm.living(name)
        one, other = sorted(living)[:2]
        await crm.end(name, other)
        for ids in ([one, other, crm.unknown_id(name)], [one]):
            outcomes = await crm.connector.archive_many(name, ids)
            assert [each.key for each in outcomes] == ids
            assert [each.failure for each in outcomes] == [None] * len(ids), name
        assert await crm.living(name) == living - {one, other}


async def test_what_was_archived_is_not_found_by_our_id(crm: Crm) -> None:
    for name, _ in await makable(crm):
        draft = await draft_of(crm, name)
        write = RemoteWrite("k", None, draft.draw(19), own_id("gone"))
        [made] = await crm.connector.write_many(name, [write])
        await crm.connector.archive_many(name, [str(made.remote_id)])
        assert await crm.connector.find_by_external_id(name, [own_id("gone")]) == {}


async def test_writing_nothing_sends_nothing_and_too_much_is_refused(crm: Crm) -> None:
    most = crm.platform.capabilities.write_batch
    for name in writable(crm):
        assert await crm.connector.archive_many(name, []) == []
        many = [str(number + 1) for number in range(most + 1)]
        before = len(crm.requests)
        with pytest.raises(Invalid):
            await crm.connector.write_many(name, [RemoteWrite(each, each, {}) for each in many])
        with pytest.raises(Invalid):
            await crm.connector.archive_many(name, many)
        assert len(crm.requests) == before


async def test_objects_that_are_only_read_refuse_to_be_written(crm: Crm) -> None:
    for each in crm.objects:
        if each.name in writable(crm):
            continue
        remote_id = min(await crm.living(each.name))
        with pytest.raises(Invalid):
            await crm.connector.write_many(each.name, [RemoteWrite("k", remote_id, {"email": "a@b.example"})])
        with pytest.raises(Invalid):
            await crm.connector.archive_many(each.name, [remote_id])
        assert remote_id in await crm.living(each.name)
