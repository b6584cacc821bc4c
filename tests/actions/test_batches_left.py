"""Edits and imports whose process ended in the middle are gone on with, and each row is done once."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from record_rows import Desk, make_desk
from test_importing_again import PEOPLE, rows_of, upload

from syncline.actions import batches, bulk
from syncline.actions.api_keys import make_key, revoke_key
from syncline.actions.batches_left import LEFT_SECONDS, go_on_with_left
from syncline.actions.bulk import Selection
from syncline.actions.hub import Hub
from syncline.actions.people import PersonChange, add_person, change_person
from syncline.actions.work import run_worker
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.errors import Invalid
from syncline.store.batches import Batch
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

_PROCESS = Path(__file__).with_name("batch_process.py")


@pytest.fixture
async def desk(hub: Hub) -> Desk:
    desk = await make_desk(hub)
    desk.manager = await join(desk, "manager@example.com")
    return desk


def operator(desk: Desk) -> Caller:
    return replace(desk.caller("admin", "operator@example.com"), user_id=None, is_operator=True)


async def join(desk: Desk, email: str) -> Caller:
    """Take a manager into the tenant: who began a batch is looked up before anybody goes on with it."""
    person = (await add_person(desk.hub, operator(desk), email, "M", "manager")).person
    return replace(desk.caller("manager", email), user_id=person.id)


async def leave(desk: Desk, seconds: float = LEFT_SECONDS + 1) -> None:
    """Let a batch not have moved for a while."""
    await desk.rows.execute(
        "update app.batches set moved_at = moved_at - make_interval(secs => %(seconds)s)"
        " where tenant_id = %(tenant_id)s",
        seconds=seconds,
    )


async def start(urls: DatabaseUrls, settings: Settings, at_once: int) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(_PROCESS), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    asked = {"app": urls.app, "admin": urls.admin, "home": str(settings.home), "at_once": at_once}
    process.stdin.write(json.dumps(asked).encode())
    process.stdin.close()
    return process


async def test_a_batch_that_moves_is_nobody_elses_and_one_that_was_left_goes_on_by_itself(desk: Desk):
    made = [await desk.rows.insert("contact", first_name=f"C{n}") for n in range(5)]
    plan = await bulk.plan_bulk(
        desk.hub, desk.manager, "contact", Selection(ids=made), values={"job_title": "x"}
    )
    assert await go_on_with_left(desk.hub) == []
    other = await join(desk, "other-manager@example.com")
    await batches.begin_batch(desk.hub, other, plan.batch.id)
    assert await go_on_with_left(desk.hub) == []
    await leave(desk)
    ended = await asyncio.gather(*(go_on_with_left(desk.hub) for _ in range(3)))
    [batch] = [each for one in ended for each in one]
    assert (batch.state, batch.changed) == ("success", 5)
    log = await desk.rows.select("select distinct actor, source from crm.change_log where action = 'updated'")
    assert log == [{"actor": "other-manager@example.com", "source": "api"}]


@pytest.mark.parametrize("change", [PersonChange(role="rep"), PersonChange(is_active=False)])
async def test_nobody_goes_on_for_somebody_who_may_not_any_more(desk: Desk, change: PersonChange):
    made = [await desk.rows.insert("contact", first_name=f"C{n}") for n in range(5)]
    plan = await bulk.plan_bulk(
        desk.hub, desk.manager, "contact", Selection(ids=made), values={"job_title": "x"}
    )
    await batches.begin_batch(desk.hub, desk.manager, plan.batch.id)
    assert desk.manager.user_id is not None
    await change_person(desk.hub, operator(desk), desk.manager.user_id, change)
    [batch] = await go_on_with_left(desk.hub, seconds=0.0)
    assert (batch.state, batch.changed) == ("cancelled", 0)
    assert batch.failure == "Who began it may not any more."
    assert not batch.was_given_up
    assert await desk.rows.select("select 1 as n from crm.contacts where job_title = 'x'") == []


async def test_the_batch_of_a_key_ends_with_the_key(desk: Desk):
    made = await make_key(desk.hub, operator(desk), "robot", None, "manager", None)
    caller = replace(desk.caller("manager", "key:robot"), user_id=None, key_id=made.key.id)
    contact = await desk.rows.insert("contact", first_name="C")
    for values, revoked in (({"job_title": "x"}, False), ({"job_title": "y"}, True)):
        plan = await bulk.plan_bulk(desk.hub, caller, "contact", Selection(ids=[contact]), values=values)
        await batches.begin_batch(desk.hub, caller, plan.batch.id)
        if revoked:
            await revoke_key(desk.hub, operator(desk), made.key.id)
        [batch] = await go_on_with_left(desk.hub, seconds=0.0)
        assert batch.state == ("cancelled" if revoked else "success")
    assert await desk.rows.select("select job_title from crm.contacts") == [{"job_title": "x"}]


async def test_a_worker_goes_on_with_an_import_that_was_left(desk: Desk):
    plan = await upload(desk, "contact", PEOPLE)
    await batches.begin_batch(desk.hub, desk.manager, plan.batch.id)
    await leave(desk)
    stop = asyncio.Event()
    working = asyncio.create_task(run_worker(desk.hub, stop=stop))
    state = "running"
    while state == "running":
        await asyncio.sleep(0.05)
        state = (await batches.read_batch(desk.hub, desk.manager, plan.batch.id)).batch.state
    stop.set()
    await working
    assert state == "success"


async def give_up(desk: Desk, monkeypatch: pytest.MonkeyPatch, *, after: int = 0) -> tuple[Batch, list[int]]:
    """Let an import of two rows a chunk fail again and again behind so many; returns it, and the calls."""
    plan = await upload(desk, "contact", "email\n" + "".join(f"p{n}@example.com\n" for n in range(6)))
    await batches.begin_batch(desk.hub, desk.manager, plan.batch.id)
    do_chunk, calls = batches._do_chunk, list[int]()  # pyright: ignore[reportPrivateUsage]

    async def fail(*given: Any) -> None:
        calls.append(1)
        if len(calls) > after:
            raise ZeroDivisionError
        await do_chunk(*given)

    with monkeypatch.context() as patch:
        patch.setattr(batches, "AT_ONCE", 2)
        patch.setattr(batches, "_do_chunk", fail)
        for _ in range(8):
            await go_on_with_left(desk.hub, seconds=0.0)
    return (await batches.read_batch(desk.hub, desk.manager, plan.batch.id)).batch, calls


async def test_what_fails_each_time_ends_and_says_why(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    batch, calls = await give_up(desk, monkeypatch, after=1)
    # One of them did its rows: what counts is how often it came to nothing at one place.
    assert len(calls) == 6
    assert (batch.state, batch.done, batch.was_given_up) == ("partial", 2, True)
    assert batch.failure is not None
    assert "after 5 tries" in batch.failure
    assert "ZeroDivisionError" in batch.failure
    assert batch.ended_at is not None
    assert await go_on_with_left(desk.hub, seconds=0.0) == []


async def test_what_was_given_up_goes_on_where_it_was_when_it_is_begun_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    given_up, _ = await give_up(desk, monkeypatch, after=1)
    batch = await batches.apply_batch(desk.hub, desk.manager, given_up.id)
    assert (batch.state, batch.done, batch.created, batch.failure) == ("success", 6, 6, None)
    log = await desk.rows.select("select count(*) as n from crm.change_log where run_id is not null")
    assert log == [{"n": 6}]
    with pytest.raises(Invalid, match="ended"):
        await batches.begin_batch(desk.hub, desk.manager, given_up.id)


async def test_what_was_given_up_is_taken_back_as_far_as_it_got(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    given_up, _ = await give_up(desk, monkeypatch, after=1)
    planned = await batches.plan_undo_of(desk.hub, desk.manager, given_up.id)
    undone = await batches.apply_batch(desk.hub, desk.manager, planned.id)
    assert (undone.state, undone.rows, undone.changed) == ("success", 2, 2)
    assert await desk.rows.select("select 1 as n from crm.contacts where archived_at is null") == []
    with pytest.raises(Invalid, match="taken back"):
        await batches.begin_batch(desk.hub, desk.manager, given_up.id)


async def test_a_big_batch_keeps_no_small_one_waiting(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batches, "AT_ONCE", 1)
    ids: list[UUID] = []
    for rows in (40, 1, 3):
        text = "email\n" + "".join(f"b{rows}-{n}@example.com\n" for n in range(rows))
        plan = await upload(desk, "contact", text)
        await batches.begin_batch(desk.hub, desk.manager, plan.batch.id)
        ids.append(plan.batch.id)
    ended = await go_on_with_left(desk.hub, seconds=0.0)
    assert {each.state for each in ended} == {"success"}
    assert [each.id for each in ended] == [ids[1], ids[2], ids[0]]


async def test_one_that_fails_keeps_none_of_the_others_from_going_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    given_up, _ = await give_up(desk, monkeypatch)
    assert given_up.done == 0
    other = await upload(desk, "contact", PEOPLE)
    await batches.begin_batch(desk.hub, desk.manager, given_up.id)
    await batches.begin_batch(desk.hub, desk.manager, other.batch.id)
    do_chunk = batches._do_chunk  # pyright: ignore[reportPrivateUsage]

    async def fail(conn: Any, hub: Any, caller: Any, batch: Batch) -> None:
        if batch.id == given_up.id:
            raise ZeroDivisionError
        await do_chunk(conn, hub, caller, batch)

    monkeypatch.setattr(batches, "_do_chunk", fail)
    [ended] = await go_on_with_left(desk.hub, seconds=0.0)
    assert (ended.id, ended.state) == (other.batch.id, "success")


async def test_an_import_killed_again_and_again_does_every_row_once(
    desk: Desk, settings: Settings, database_urls: DatabaseUrls
):
    count = 400
    for n in range(0, count, 4):
        await desk.rows.insert("contact", email=f"p{n}@example.com", first_name="Old")
    text = "email,first_name\n" + "".join(f"p{n}@example.com,New\n" for n in range(count))
    plan = await upload(desk, "contact", text)
    await batches.begin_batch(desk.hub, desk.manager, plan.batch.id)
    rng = Random()
    for _ in range(4):
        process = await start(database_urls, settings, 8)
        assert process.stdout is not None
        for _ in range(rng.randint(1, 8)):
            assert await process.stdout.readline() != b""
        await asyncio.sleep(rng.random() * 0.02)
        process.kill()
        await process.wait()
    first, second = [await start(database_urls, settings, 8) for _ in range(2)]
    assert [await each.wait() for each in (first, second)] == [0, 0]
    batch = (await batches.read_batch(desk.hub, desk.manager, plan.batch.id)).batch
    assert (batch.state, batch.done, batch.created, batch.changed) == ("success", count, 300, 100)
    [told] = await desk.rows.select(
        "select count(*) as n, count(distinct email_norm) as people, count(*) filter"
        " (where first_name = 'New') as new, max(version) as version from crm.contacts"
    )
    assert (told["n"], told["people"], told["new"], told["version"]) == (count, count, count, 2)
    [log] = await desk.rows.select(
        "select count(*) as n from crm.change_log where run_id is not null and record_type = 'contact'"
    )
    assert log["n"] == count
    assert {row.state for row in (await rows_of(desk, plan.batch.id)).values()} == {"done"}
