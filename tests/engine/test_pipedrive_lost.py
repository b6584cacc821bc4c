"""Answers lost to creates of activities, tasks and notes at Pipedrive: nothing is made or taken twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from uuid import UUID

import pytest
from gated import Gate, gate_of
from making import (
    MADE,
    activities,
    assert_settled,
    count_here,
    find_parents,
    left,
    links,
    notes,
    write_call,
    write_note,
    write_task,
)
from mortal import push_and_die
from simulated import Mirror, reopened
from test_pipedrive_sync import KINDS, mirror_of, sync, world_behind, world_of

from syncline.config import Settings
from syncline.engine import leave
from syncline.errors import LeaseLost
from syncline.simulators.pipedrive.account import Actor
from syncline.simulators.pipedrive.app import App
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    world = world_of(contacts=6, organizations=4, deals=4, users=3)
    async with mirror_of(world, db, settings, tenant_id) as made:
        await sync(made)
        for name in MADE:
            await made.allow(name, "create", "associate", kind=KINDS[name])
        yield made


@pytest.fixture
async def gate(mirror: Mirror) -> AsyncGenerator[Gate]:
    async with gate_of(mirror, App(world_behind(mirror))) as made:
        yield made


async def lose(mirror: Mirror, fault: str = "reset-after-commit") -> None:
    """Send what waits, and hear nothing of the first record that is made."""
    await mirror.fail_next([fault])
    await mirror.push()


async def owner_of(mirror: Mirror, note: int) -> UUID:
    query = "select record_id from sync.links where object = 'notes' and remote_id = %(id)s"
    [row] = await mirror.select(query, id=str(note))
    return row["record_id"]


def colleagues_note(mirror: Mirror, body: str, deal: int, *, by: int | None = None) -> int:
    """Have a colleague write the very same note at the same moment."""
    world = world_behind(mirror)
    actor = None if by is None else Actor(by)
    return world.create("notes", {"content": body, "deal_id": deal}, by=actor).id


@pytest.mark.parametrize("fault", ["reset-after-commit", "empty-200", "truncated"])
async def test_a_note_whose_answer_was_lost_is_found_and_not_made_again(mirror: Mirror, fault: str):
    _, deal_id = (await find_parents(mirror))["deals"]
    made = await write_note(mirror, "One & only <script>x()</script>", deal_id)
    await lose(mirror, fault)
    assert len(notes(mirror)) == 1
    assert [state for state, _ in await left(mirror)] == ["pending"]
    await mirror.settle()
    [there] = notes(mirror)
    assert there["content"] == "One &amp; only"
    assert await links(mirror, made) == [str(there["id"])]
    await assert_settled(mirror)
    rows = await mirror.select("select body from crm.activities")
    assert [row["body"] for row in rows] == ["One & only <script>x()</script>"]


async def test_activities_and_tasks_are_found_though_their_times_were_cut(mirror: Mirror):
    world_behind(mirror).settings.cuts_seconds = True
    _, person_id = (await find_parents(mirror))["contacts"]
    call = await write_call(mirror, " A   call", person_id, "<p>Long</p>\nand wide")
    await lose(mirror)
    task = await write_task(mirror, "A task", person_id)
    await mirror.execute(
        "update sync.queue set not_before = now() + interval '1 hour'"
        " where tenant_id = %(tenant_id)s and record_type = 'activity'"
    )
    await lose(mirror)
    assert len(activities(mirror)) == 2
    await mirror.settle()
    there = {each["type"]: str(each["id"]) for each in activities(mirror)}
    assert len(activities(mirror)) == 2
    assert await links(mirror, call) == [there["call"]]
    assert await links(mirror, task) == [there["task"]]
    await assert_settled(mirror)


async def test_what_never_arrived_is_made_once(mirror: Mirror):
    known = await find_parents(mirror)
    await write_call(mirror, "A call", known["contacts"][1])
    await write_note(mirror, "A note", known["deals"][1])
    world_behind(mirror).settings.faults = "1:reset"
    await mirror.push()
    world_behind(mirror).settings.faults = "0"
    assert (activities(mirror), notes(mirror)) == ([], [])
    await mirror.settle()
    assert (len(activities(mirror)), len(notes(mirror))) == (1, 1)
    await assert_settled(mirror)


async def test_two_that_hold_the_same_are_both_made_and_each_has_one(mirror: Mirror):
    _, deal_id = (await find_parents(mirror))["deals"]
    ours = [await write_note(mirror, "Left voicemail", deal_id) for _ in range(3)]
    await mirror.fail_next(["reset-after-commit", "reset-after-commit"])
    await mirror.push()
    await mirror.settle()
    assert len(notes(mirror)) == 3
    found = [await links(mirror, each) for each in ours]
    assert sorted(each for one in found for each in one) == sorted(str(each["id"]) for each in notes(mirror))
    assert [len(each) for each in found] == [1, 1, 1]
    await assert_settled(mirror)


async def test_a_note_that_holds_the_same_by_a_colleague_is_not_taken_for_ours(mirror: Mirror):
    """Ours is dated, or by another author."""
    world = world_behind(mirror)
    deal, deal_id = (await find_parents(mirror))["deals"]
    ours = await write_note(mirror, "The very same", deal_id)
    await lose(mirror)
    [made] = notes(mirror)
    theirs = colleagues_note(mirror, "The very same", deal, by=world.users[1].user_id)
    await sync(mirror)  # neither is taken for anything yet
    assert await count_here(mirror) == 1
    await mirror.settle()
    assert await links(mirror, ours) == [str(made["id"])]
    assert len(notes(mirror)) == 2
    await sync(mirror)
    assert await count_here(mirror) == 2
    assert await owner_of(mirror, theirs) != ours
    await assert_settled(mirror)


async def test_where_it_cannot_be_told_which_is_ours_a_person_is_asked(mirror: Mirror):
    """The token's own user has written the very same in the same second."""
    deal, deal_id = (await find_parents(mirror))["deals"]
    ours = await write_note(mirror, "The very same", deal_id)
    await lose(mirror)
    [made] = notes(mirror)
    theirs = colleagues_note(mirror, "The very same", deal)
    await mirror.settle()
    [(state, reason)] = await left(mirror)
    assert state == "parked"
    assert "2 that hold just the same" in reason
    assert len(notes(mirror)) == 2
    assert await links(mirror, ours) == []
    # Looked at again it is the same, and nothing comes in twice meanwhile.
    await sync(mirror)
    await mirror.execute("update sync.queue set state = 'pending' where tenant_id = %(tenant_id)s")
    await mirror.settle()
    assert [state for state, _ in await left(mirror)] == ["parked"]
    assert (len(notes(mirror)), await count_here(mirror)) == (2, 1)
    # He deletes the one too many, and lets it go on.
    world_behind(mirror).delete("notes", theirs)
    await mirror.execute("update sync.queue set state = 'pending' where tenant_id = %(tenant_id)s")
    await mirror.settle()
    assert await links(mirror, ours) == [str(made["id"])]
    await sync(mirror)
    await assert_settled(mirror)


@pytest.mark.parametrize("way", ["deleted", "dropped"])
async def test_what_is_given_up_here_comes_in_as_what_it_is_there(mirror: Mirror, way: str):
    deal, deal_id = (await find_parents(mirror))["deals"]
    ours = await write_note(mirror, "The very same", deal_id)
    await lose(mirror)
    colleagues_note(mirror, "The very same", deal)
    await mirror.settle()
    await sync(mirror)
    assert await count_here(mirror) == 1
    if way == "deleted":
        await mirror.execute("delete from crm.activities where id = %(id)s", id=ours)
    else:
        await mirror.execute("delete from sync.queue where tenant_id = %(tenant_id)s")
    await sync(mirror)
    assert await count_here(mirror) == (2 if way == "deleted" else 3)
    assert len(notes(mirror)) == 2


async def test_what_is_somebodys_already_is_not_taken(mirror: Mirror):
    """The same was written there before, and has come here."""
    deal, deal_id = (await find_parents(mirror))["deals"]
    world_behind(mirror).create("notes", {"content": "Again", "deal_id": deal}, add_ms=1_772_600_767_000)
    await sync(mirror)
    assert await count_here(mirror) == 1
    ours = await write_note(mirror, "Again", deal_id, at="2026-03-04 05:06:07+00")
    await lose(mirror, "reset")
    await mirror.settle()
    assert len(notes(mirror)) == 2
    assert len(await links(mirror, ours)) == 1
    await assert_settled(mirror)


@pytest.mark.parametrize("name", MADE)
async def test_a_pull_between_the_making_and_its_answer_makes_no_second_record(
    mirror: Mirror, gate: Gate, name: str
):
    known = await find_parents(mirror)
    if name == "notes":
        ours = await write_note(mirror, "Quick", known["deals"][1])
    elif name == "tasks":
        ours = await write_task(mirror, "Quick", known["contacts"][1])
    else:
        ours = await write_call(mirror, "Quick", known["contacts"][1])
    hold = gate.hold("/notes" if name == "notes" else "/activities")
    pushing = asyncio.create_task(mirror.push())
    await hold.wait()
    await mirror.pull(name)
    await mirror.pull(name, full=True)
    assert await count_here(mirror) == 1
    assert await mirror.select("select 1 from sync.links where record_id = %(id)s", id=ours) == []
    hold.release()
    await pushing
    [made] = notes(mirror) if name == "notes" else activities(mirror)
    assert await links(mirror, ours) == [str(made["id"])]
    await assert_settled(mirror)


async def test_an_answer_that_another_worker_keeps_from_being_stored_counts_from_when_it_came(
    mirror: Mirror, gate: Gate
):
    """Whoever looks for the record reckons from then on, however long the call had waited for its quota."""
    await write_note(mirror, "Late", (await find_parents(mirror))["deals"][1])
    hold = gate.hold("/notes")
    pushing = asyncio.create_task(mirror.push())
    await hold.wait()
    await mirror.execute(
        "update sync.remote_changes set sent_at = sent_at - interval '1 hour'"
        " where tenant_id = %(tenant_id)s and state = 'sent'"
    )
    await mirror.execute("update sync.leases set fence = fence + 1 where tenant_id = %(tenant_id)s")
    hold.release()
    with suppress(LeaseLost):
        await pushing
    rows = await mirror.select(
        "select sent_at > now() - interval '30 minutes' as is_late from sync.remote_changes"
        " where state = 'sent' and action = 'created'"
    )
    assert rows == [{"is_late": True}]


async def test_a_create_that_waited_for_quota_counts_from_when_it_left(
    mirror: Mirror, gate: Gate, database_urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
):
    """Killed behind that, it is not looked for before it must have arrived, however long it had waited."""
    monkeypatch.setattr(leave, "_NOTE_SECONDS", 0.0)
    await write_note(mirror, "Late", (await find_parents(mirror))["deals"][1])
    hold = gate.hold("/notes", answered=False)
    await set_quota(mirror, 60)
    async with reopened(mirror, database_urls.app) as other:
        pushing = asyncio.create_task(other.push())
        async with asyncio.timeout(20):
            while not await mirror.select("select 1 from sync.remote_changes where state = 'sent'"):
                await asyncio.sleep(0.02)
        await mirror.execute(
            "update sync.remote_changes set sent_at = sent_at - interval '1 hour'"
            " where tenant_id = %(tenant_id)s and state = 'sent'"
        )
        await set_quota(mirror, 0)
        await hold.wait()
        rows = await mirror.select(
            "select sent_at > now() - interval '30 minutes' as is_late from sync.remote_changes"
            " where state = 'sent' and action = 'created'"
        )
        hold.release()
        await pushing
    assert rows == [{"is_late": True}]
    await assert_settled(mirror)


async def set_quota(mirror: Mirror, seconds: int) -> None:
    """Let no call out for so long."""
    async with mirror.db.transaction(tenant_id=None) as conn:
        await conn.execute(
            "update sync.quota_buckets set closed_until = now() + make_interval(secs => %s)", (seconds,)
        )


async def test_a_colleagues_equal_that_a_pull_met_comes_in_with_the_answer(mirror: Mirror, gate: Gate):
    """It waits no longer than the push, and is nobody's but the colleague's."""
    deal, deal_id = (await find_parents(mirror))["deals"]
    ours = await write_note(mirror, "The very same", deal_id)
    hold = gate.hold("/notes")
    pushing = asyncio.create_task(mirror.push())
    await hold.wait()
    [made] = notes(mirror)
    theirs = colleagues_note(mirror, "The very same", deal)
    await mirror.pull("notes")
    assert await count_here(mirror) == 1
    hold.release()
    await pushing
    assert await links(mirror, ours) == [str(made["id"])]
    assert await count_here(mirror) == 2
    assert await owner_of(mirror, theirs) != ours
    assert await mirror.select("select state from sync.cursors where kind = 'in_doubt'") == [{"state": {}}]
    await assert_settled(mirror)


@pytest.mark.parametrize("commits", range(1, 8))
async def test_a_process_killed_after_any_commit_leaves_nothing_doubled(mirror: Mirror, commits: int):
    known = await find_parents(mirror)
    ours = [await write_note(mirror, f"Note {n % 2}", known["deals"][1]) for n in range(4)]
    ours += [await write_call(mirror, f"Call {n % 2}", known["contacts"][1]) for n in range(4)]
    await push_and_die(mirror, commits=commits)
    await sync(mirror)
    await mirror.settle()
    assert (len(notes(mirror)), len(activities(mirror))) == (4, 4)
    found = [await links(mirror, each) for each in ours]
    assert [len(each) for each in found] == [1] * 8
    await assert_settled(mirror)


@pytest.mark.parametrize("answered", ["POST /v1/notes", "POST /v2/activities"])
async def test_a_process_killed_behind_an_answer_leaves_nothing_doubled(mirror: Mirror, answered: str):
    known = await find_parents(mirror)
    for number in range(3):
        await write_note(mirror, f"Note {number}", known["deals"][1])
        await write_call(mirror, f"Call {number}", known["contacts"][1])
    assert await push_and_die(mirror, answered=answered)
    assert len(notes(mirror)) + len(activities(mirror)) > 0
    await mirror.settle()
    assert (len(notes(mirror)), len(activities(mirror))) == (3, 3)
    await sync(mirror)
    await assert_settled(mirror)


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_deal_merged_there_meanwhile_takes_its_note_along(mirror: Mirror, is_known: bool):
    """Whether the merge has come here or not, the note is the same."""
    world = world_behind(mirror)
    deals = await mirror.records("deals", "deals")
    gone, stays = sorted(map(int, deals))[:2]
    ours = await write_note(mirror, "Of a deal", deals[str(gone)]["id"])
    await lose(mirror)
    [made] = notes(mirror)
    if is_known:
        await mirror.execute(
            "update sync.links set is_primary = false, record_id = %(stays)s"
            " where object = 'deals' and remote_id = %(gone)s",
            stays=deals[str(stays)]["id"],
            gone=str(gone),
        )
        await mirror.execute(
            "update crm.activities set deal_id = %(stays)s where id = %(id)s",
            stays=deals[str(stays)]["id"],
            id=ours,
        )
        world.update("notes", made["id"], {"deal_id": stays})
    await mirror.settle()
    assert len(notes(mirror)) == 1
    assert await links(mirror, ours) == [str(made["id"])]


async def test_what_a_colleague_did_to_it_meanwhile_is_his_word(mirror: Mirror):
    """Whose it is, and that it is done, says nothing of what it is."""
    world = world_behind(mirror)
    _, person_id = (await find_parents(mirror))["contacts"]
    ours = await write_task(mirror, "To do", person_id)
    await lose(mirror)
    [made] = activities(mirror)
    world.advance(60)
    world.update("activities", made["id"], {"done": True})
    await mirror.settle()
    assert await links(mirror, ours) == [str(made["id"])]
    [record] = await mirror.select("select status from crm.tasks where id = %(id)s", id=ours)
    assert record["status"] == "COMPLETED"
    assert activities(mirror)[0]["done"] is True
    await assert_settled(mirror)


async def test_a_deal_whose_answer_was_lost_is_known_by_our_id_and_made_once(mirror: Mirror, gate: Gate):
    await mirror.allow("deals", "create", "associate", kind=KINDS["deals"])
    await mirror.make_unique("deals")
    await sync(mirror)
    await mirror.execute(
        "insert into crm.deals (tenant_id, id, name, status)"
        " values (%(tenant_id)s, gen_random_uuid(), 'Made here', 'open')"
    )
    hold = gate.hold("/deals")
    pushing = asyncio.create_task(mirror.push())
    await hold.wait()
    assert _titles(mirror).count("Made here") == 1
    pushing.cancel()
    await asyncio.wait([pushing])
    gate.behave()
    await mirror.settle()
    assert _titles(mirror).count("Made here") == 1
    assert len(await mirror.select("select 1 from crm.deals where name = 'Made here'")) == 1


def _titles(mirror: Mirror) -> list[str]:
    return [each["title"] for each in world_behind(mirror).truth("deals").values()]
