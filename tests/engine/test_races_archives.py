"""Races of archives and merges there: both archived it, or one did, or a change was on its way to it."""

from __future__ import annotations

import asyncio

import pytest
from hooked import work_off
from mortal import push_and_die
from simulated import Mirror
from test_push import contact_of, edit, queued, theirs
from test_races import assert_both_have, hear, some
from test_races_records import archive, assert_settled, gate, made_there, make, mirror

from syncline.connectors.hubspot.objects import EXTERNAL_ID
from syncline.engine.intents import ANOTHERS
from tiny_webhooks import event, tiny

__all__ = ["gate", "mirror", "tiny"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("tiny")]


async def settle_all(mirror: Mirror) -> None:
    """Let both sides hear everything of each other."""
    for _ in range(2):
        await mirror.pull("contacts", full=True)
        await mirror.settle()
    await assert_settled(mirror)


@pytest.mark.parametrize("heard", ["full pull", "webhook"])
@pytest.mark.parametrize("noticed", ["push", "killed push", "pull", "webhook"])
async def test_what_both_sides_archived_and_a_person_took_out_of_the_bin_there_lives_on_both(
    mirror: Mirror, noticed: str, heard: str
):
    remote_id = some(mirror)
    record = await contact_of(mirror, remote_id)
    mirror.world.archive("contacts", remote_id)
    await archive(mirror, record)
    if noticed == "killed push":
        assert await push_and_die(mirror, commits=5)
    if noticed in ("push", "killed push"):
        await mirror.settle()
    elif noticed == "pull":
        await hear(mirror, remote_id, noticed)
    else:
        await work_off(mirror, [event("contacts", remote_id, "archived")])
    # Nothing of it is other than it was when it was last read.
    mirror.world.restore("contacts", remote_id)
    if heard == "webhook":
        await work_off(mirror, [event("contacts", remote_id, "restored")])
    else:
        await hear(mirror, remote_id, heard)
    await mirror.settle()
    # Their person was the last to say something of it.
    assert remote_id in mirror.world.store("contacts").living
    assert (await contact_of(mirror, remote_id))["archived_at"] is None
    await settle_all(mirror)
    assert remote_id in mirror.world.store("contacts").living
    assert made_there(mirror) == []


async def test_an_archive_here_of_what_nobody_had_heard_was_in_the_bin_before_is_done_there_once_it_is_out(
    mirror: Mirror,
):
    remote_id = some(mirror)
    record = await contact_of(mirror, remote_id)
    mirror.world.archive("contacts", remote_id)
    mirror.world.restore("contacts", remote_id)
    await archive(mirror, record)
    await mirror.settle()
    assert remote_id not in mirror.world.store("contacts").living
    await settle_all(mirror)
    assert (await contact_of(mirror, remote_id))["archived_at"] is not None


async def test_an_edit_made_here_of_what_both_sides_archived_is_there_once_it_is_out_of_the_bin(
    mirror: Mirror,
):
    remote_id = some(mirror)
    record = await contact_of(mirror, remote_id)
    mirror.world.archive("contacts", remote_id)
    await archive(mirror, record)
    await mirror.settle()
    await edit(mirror, record, first_name="Ours")
    await mirror.settle()
    mirror.world.restore("contacts", remote_id)
    await settle_all(mirror)
    assert (await contact_of(mirror, remote_id))["archived_at"] is None
    await assert_both_have(mirror, remote_id, first_name="Ours")


@pytest.mark.parametrize("payload", [b'{"id": "%d", "properties": "?"}', b'"?"'])
async def test_an_archive_here_of_what_comes_from_there_in_no_readable_form_is_not_forgotten(
    mirror: Mirror, payload: bytes
):
    remote_id = some(mirror)
    await archive(mirror, await contact_of(mirror, remote_id))
    store = mirror.world.store("contacts")
    store.plan([*store.definitions]).cache[remote_id] = payload.replace(b"%d", str(remote_id).encode())
    await mirror.settle()
    # It is there; only what it says cannot be read.
    [row] = await queued(mirror)
    assert (row["state"], row["fields"]) == ("parked", ["archived_at"])
    assert remote_id in mirror.world.store("contacts").living


@pytest.mark.parametrize("resolves", [True, False])
@pytest.mark.parametrize("first", ["push", "pull"])
@pytest.mark.parametrize("which", [0, 1])
async def test_archiving_here_one_of_two_that_were_merged_there_leaves_the_survivor_alone(
    mirror: Mirror, resolves: bool, first: str, which: int
):
    mirror.world.settings.batch_read_resolves_merged = resolves
    one, two = mirror.world.store("contacts").living[:2]
    unwanted, kept = (one, two) if which == 0 else (two, one)
    gone, other = await contact_of(mirror, unwanted), await contact_of(mirror, kept)
    survivor = mirror.world.merge("contacts", one, two).id
    await archive(mirror, gone)
    if first == "push":
        await mirror.settle()
    await settle_all(mirror)
    # It is the other's as well, and nobody archived that.
    assert survivor in mirror.world.store("contacts").living
    found = await contact_of(mirror, survivor)
    assert (found["id"], found["archived_at"]) == (other["id"], None)
    assert found["first_name"] == theirs(mirror, survivor)["firstname"]
    [absorbed] = await mirror.select("select * from crm.contacts where id = %(id)s", id=gone["id"])
    assert absorbed["merged_into"] == other["id"]
    assert made_there(mirror) == []


@pytest.mark.parametrize("first", ["push", "pull"])
async def test_two_that_were_archived_here_and_merged_there_end_alike_on_both_sides(
    mirror: Mirror, first: str
):
    one, two = mirror.world.store("contacts").living[:2]
    records = [await contact_of(mirror, each) for each in (one, two)]
    survivor = mirror.world.merge("contacts", one, two).id
    for each in records:
        await archive(mirror, each)
    if first == "push":
        await mirror.settle()
    await settle_all(mirror)
    found = await contact_of(mirror, survivor)
    lives = survivor in mirror.world.store("contacts").living
    assert (found["archived_at"] is None) == lives
    # A push finds them gone, as if they were in the bin; that they were merged it is told only later, and
    # takes it for a return. What a pull finds first, it knows to be theirs.
    assert lives == (first == "push")


async def test_one_that_both_archived_and_that_was_then_taken_out_and_merged_is_the_survivor_on_both(
    mirror: Mirror,
):
    one, two = mirror.world.store("contacts").living[:2]
    gone, other = await contact_of(mirror, one), await contact_of(mirror, two)
    mirror.world.archive("contacts", one)
    await archive(mirror, gone)
    await mirror.settle()
    mirror.world.restore("contacts", one)
    survivor = mirror.world.merge("contacts", one, two).id
    await settle_all(mirror)
    assert survivor in mirror.world.store("contacts").living
    found = await contact_of(mirror, survivor)
    assert (found["id"], found["archived_at"]) == (other["id"], None)


@pytest.mark.parametrize("survives", [True, False])
@pytest.mark.parametrize("again", ["Ours", "Aaron", "Zoe"])
async def test_a_change_on_its_way_to_one_that_is_merged_there_is_no_word_of_theirs_when_it_is_read(
    mirror: Mirror, again: str, survives: bool
):
    one, two = mirror.world.store("contacts").living[:2]
    remote_id = one if survives else two
    record, kept = await contact_of(mirror, remote_id), await contact_of(mirror, one)
    await edit(mirror, record, first_name="Ours")
    assert await push_and_die(mirror, answered="batch/update")
    await edit(mirror, record, first_name=again)
    survivor = mirror.world.merge("contacts", one, two).id
    await settle_all(mirror)
    assert (await contact_of(mirror, survivor))["id"] == kept["id"]
    if survives:
        await assert_both_have(mirror, survivor, first_name=again)
        # That the other's name gave way is written down; nobody decided about ours.
        decided = await mirror.select(
            "select * from sync.decisions where field = 'first_name' and rule <> 'merged'"
        )
        assert decided == []
    assert made_there(mirror) == []


@pytest.mark.parametrize("primary", [True, False])
@pytest.mark.parametrize("first", ["push", "pull", "full pull", "webhook"])
async def test_one_made_by_us_and_merged_there_before_its_answer_came_is_merged_here_as_well(
    mirror: Mirror, first: str, primary: bool
):
    record, other = await make(mirror), await contact_of(mirror, some(mirror))
    assert await push_and_die(mirror, answered="batch/upsert")
    [made] = made_there(mirror)
    pair = (made, some(mirror)) if primary else (some(mirror), made)
    survivor = mirror.world.merge("contacts", *pair).id
    if first != "push":
        await hear(mirror, survivor, first)
    async with asyncio.timeout(30):
        await settle_all(mirror)
    found = await contact_of(mirror, survivor)
    kept, absorbed = (record, other) if primary else (other, record)
    assert (found["id"], found["archived_at"]) == (kept["id"], None)
    assert found["first_name"] == theirs(mirror, survivor)["firstname"]
    [gone] = await mirror.select("select * from crm.contacts where id = %(id)s", id=absorbed["id"])
    assert gone["merged_into"] == kept["id"]
    assert len(made_there(mirror)) == 1
    [sent] = await mirror.select("select * from sync.remote_changes where action = 'created'")
    assert (sent["state"], sent["remote_id"]) == ("done", str(made))


async def test_our_id_on_a_record_that_is_another_one_here_is_left_to_a_person(mirror: Mirror):
    record, remote_id = await make(mirror), some(mirror)
    commits = 0
    while not await mirror.select("select from sync.remote_changes"):  # written down, and not sent yet
        commits += 1
        assert await push_and_die(mirror, commits=commits)
    assert made_there(mirror) == []
    mirror.world.update("contacts", remote_id, {EXTERNAL_ID: str(record["id"])})
    async with asyncio.timeout(30):
        await mirror.settle()
    [row] = await queued(mirror)
    assert (row["state"], row["record_id"], row["last_error"]) == ("parked", record["id"], ANOTHERS)
    assert made_there(mirror) == []
