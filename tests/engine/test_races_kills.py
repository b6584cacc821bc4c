"""A push that is killed, after any commit or behind any answer, is finished by the next, and nothing twice.

Also what was edited while nothing might be written, once it may.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest
from mortal import push_and_die
from opened import opened
from simulated import Mirror, mirror_of, world_of
from test_push import contact_of, edit, queued, theirs, written
from test_races import assert_both_have, later, some
from test_races_records import archive, assert_settled, delete, made_there, make

from syncline.actions.permissions import Wish
from syncline.actions.writing import allow
from syncline.config import Settings
from syncline.store.db import Database

pytestmark = pytest.mark.anyio

#: More than any push of one record has.
COMMITS = 40


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    async with mirror_of(world_of(contacts=COMMITS), db, settings, tenant_id) as made:
        await made.make_unique("contacts")
        await made.pull("contacts")
        await made.allow("contacts", "create", "archive")
        yield made


async def assert_all_answered(mirror: Mirror) -> list[dict[str, Any]]:
    """Check that what was written is written down with the record it was written to, and return it."""
    await assert_settled(mirror)
    rows = await mirror.select("select * from sync.remote_changes order by sent_at, id")
    assert {row["state"] for row in rows} <= {"done", "refused"}
    assert all(row["remote_id"] for row in rows if row["state"] == "done")
    return rows


async def test_a_change_is_made_once_wherever_its_push_is_killed(mirror: Mirror):
    for commits, remote_id in enumerate(mirror.world.store("contacts").living, start=1):
        record = await contact_of(mirror, remote_id)
        await edit(mirror, record, first_name=f"Ours {commits}")
        killed = await push_and_die(mirror, commits=commits)
        await mirror.settle()
        assert theirs(mirror, remote_id)["firstname"] == f"Ours {commits}"
        assert [value for each, _, value in written(mirror) if each == remote_id] == [f"Ours {commits}"]
        rows = await assert_all_answered(mirror)
        assert [row["action"] for row in rows if row["record_id"] == record["id"]] == ["updated"]
        if not killed:
            assert commits > 3
            return
    raise AssertionError("The push has more commits than the test has records.")


async def test_a_record_is_made_once_wherever_its_push_is_killed(mirror: Mirror):
    for commits in range(1, COMMITS):
        record = await make(mirror, f"new-{commits}@here.example")
        killed = await push_and_die(mirror, commits=commits)
        await mirror.settle()
        made = made_there(mirror)
        assert len(made) == commits
        assert (await contact_of(mirror, made[-1]))["id"] == record["id"]
        rows = await assert_all_answered(mirror)
        assert [row["action"] for row in rows if row["record_id"] == record["id"]].count("created") == 1
        if not killed:
            assert commits > 3
            return
    raise AssertionError("The push has more commits than were tried.")


@pytest.mark.parametrize("how", [archive, delete])
async def test_a_record_is_archived_once_wherever_its_push_is_killed(mirror: Mirror, how: Any):
    for commits, remote_id in enumerate(list(mirror.world.store("contacts").living), start=1):
        record = await contact_of(mirror, remote_id)
        await how(mirror, record)
        killed = await push_and_die(mirror, commits=commits)
        await mirror.settle()
        assert remote_id not in mirror.world.store("contacts").living
        rows = await assert_all_answered(mirror)
        assert [row["action"] for row in rows if row["record_id"] == record["id"]] == ["archived"]
        if not killed:
            assert commits > 3
            return
    raise AssertionError("The push has more commits than the test has records.")


async def test_a_change_whose_answer_was_lost_is_not_made_again(mirror: Mirror):
    remote_id = some(mirror)
    record = await contact_of(mirror, remote_id)
    await edit(mirror, record, first_name="Ours", last_name="Ours as well")
    assert await push_and_die(mirror, answered="batch/update")
    assert theirs(mirror, remote_id)["firstname"] == "Ours"
    await mirror.settle()
    assert len(written(mirror)) == 2
    [row] = await assert_all_answered(mirror)
    assert row["state"] == "done"
    await assert_both_have(mirror, remote_id, first_name="Ours", last_name="Ours as well")


async def test_a_record_whose_making_was_not_answered_is_not_made_again(mirror: Mirror):
    record = await make(mirror)
    assert await push_and_die(mirror, answered="batch/upsert")
    [remote_id] = made_there(mirror)
    # Somebody has been at it since, on both sides.
    mirror.world.update("contacts", remote_id, {"lastname": "Theirs"}, now_ms=later())
    await edit(mirror, record, job_title="Ours")
    await mirror.settle()
    assert made_there(mirror) == [remote_id]
    mirror.world.now_ms = lambda: later(120_000)
    await assert_both_have(mirror, remote_id, first_name="Neu", last_name="Theirs", job_title="Ours")
    rows = await assert_all_answered(mirror)
    assert [row["action"] for row in rows] == ["created", "updated"]
    [owner] = await mirror.select("select * from crm.contacts where email = 'New@Here.example'")
    assert owner["id"] == record["id"]


@pytest.mark.parametrize("how", [archive, delete])
async def test_an_archive_whose_answer_was_lost_is_no_riddle_to_the_next_push(mirror: Mirror, how: Any):
    remote_id = some(mirror)
    await how(mirror, await contact_of(mirror, remote_id))
    assert await push_and_die(mirror, answered="batch/archive")
    assert remote_id not in mirror.world.store("contacts").living
    await mirror.settle()
    [row] = await assert_all_answered(mirror)
    assert (row["action"], row["state"]) == ("archived", "done")


# Writing switched on


@pytest.mark.parametrize(
    "meanwhile", [None, "another field", "the same field, older", "the same field, newer"]
)
async def test_what_was_edited_while_writing_was_off_is_sent_once_it_is_on(
    settings: Settings, meanwhile: str | None
):
    async with opened(world_of(contacts=4), settings) as (hub, mirror):
        await mirror.pull("contacts")
        remote_id = some(mirror)
        record = await contact_of(mirror, remote_id)
        await edit(mirror, record, first_name="Ours")
        if meanwhile == "another field":
            mirror.world.update("contacts", remote_id, {"lastname": "Theirs"})
        elif meanwhile is not None:
            apart = later(-60_000) if meanwhile.endswith("older") else later()
            mirror.world.update("contacts", remote_id, {"firstname": "Theirs"}, now_ms=apart)
        await mirror.pull("contacts", full=True)
        assert await queued(mirror) == []
        await allow(hub, "main", Wish("contacts"), by="a test")
        mirror.world.now_ms = lambda: later(120_000)
        await mirror.settle()
        newer = meanwhile == "the same field, newer"
        expected = {"first_name": "Theirs" if newer else "Ours"}
        if meanwhile == "another field":
            expected["last_name"] = "Theirs"
        await assert_both_have(mirror, remote_id, **expected)
        # The word that lost can be found.
        lost = await mirror.select("select losing from sync.decisions")
        if meanwhile is not None and meanwhile.startswith("the same"):
            assert {row["losing"] for row in lost} == {"Ours" if newer else "Theirs"}
        else:
            assert lost == []
