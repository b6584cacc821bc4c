"""The races that are known to lose data: an edit here, an edit there, a call on its way, in every order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest
from gated import Gate, gate_of
from hooked import work_off
from mortal import push_and_die
from simulated import SEARCH, Mirror, Watch, mirror_of, world_of
from test_push import contact_of, edit, queued, theirs, written
from test_remap import contacts, put

from syncline.clock import now, to_ms
from syncline.config import Settings
from syncline.store.db import Database
from tiny_webhooks import event, tiny

__all__ = ["tiny"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("tiny")]

READ, UPDATE = "contacts/batch/read", "contacts/batch/update"
#: Further apart than clocks are trusted.
APART_MS = 60_000


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    async with mirror_of(world_of(contacts=6), db, settings, tenant_id) as made:
        await made.pull("contacts")
        await made.allow("contacts")
        yield made


@pytest.fixture
async def gate(mirror: Mirror) -> AsyncGenerator[Gate]:
    async with gate_of(mirror) as made:
        yield made


def some(mirror: Mirror) -> int:
    return mirror.world.store("contacts").living[0]


def later(by_ms: int = APART_MS) -> int:
    return to_ms(now()) + by_ms


async def hear(mirror: Mirror, remote_id: int, way: str) -> None:
    """Learn what the CRM has of a record."""
    if way == "webhook":
        await work_off(mirror, [event("contacts", remote_id)])
    else:
        await mirror.pull("contacts", full=way == "full pull")


async def assert_both_have(mirror: Mirror, remote_id: int, **values: Any) -> None:
    """Check both sides, that nothing waits or is on its way, and that it stays so."""
    properties = {"first_name": "firstname", "last_name": "lastname", "job_title": "jobtitle"}
    for _ in range(2):
        record = await contact_of(mirror, remote_id)
        assert {name: record[name] for name in values} == values
        there = theirs(mirror, remote_id)
        assert {name: there[properties[name]] or None for name in values} == values
        assert await queued(mirror) == []
        assert await mirror.select("select from sync.links where sent is not null") == []
        assert await mirror.select("select from sync.remote_changes where state = 'sent'") == []
        await mirror.pull("contacts", full=True)
        await mirror.settle()


async def wait_for_lock(mirror: Mirror) -> None:
    """Wait until somebody stands behind a transaction of the test's."""
    async with asyncio.timeout(20):
        while not await mirror.select(
            "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("name", ["first_name", "last_name"])
async def test_an_edit_that_commits_while_a_push_merges_is_not_lost(mirror: Mirror, name: str):
    remote_id = some(mirror)
    record = await contact_of(mirror, remote_id)
    await edit(mirror, record, first_name="First")
    async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
        column = "first_name" if name == "first_name" else "last_name"
        await conn.execute(
            "update crm.contacts set " + column + " = 'Second' where id = %s",  # type: ignore[operator]
            (record["id"],),
        )
        pushing = asyncio.create_task(mirror.push())
        await wait_for_lock(mirror)
    await pushing
    await mirror.settle()
    await assert_both_have(mirror, remote_id, **{"first_name": "First", name: "Second"})
    assert await mirror.select("select from sync.decisions") == []


@pytest.mark.parametrize("values", [{"first_name": "Third"}, {"last_name": "Other"}, {"first_name": None}])
async def test_an_edit_between_what_was_sent_and_its_answer_is_sent_as_well(
    mirror: Mirror, gate: Gate, values: dict[str, Any]
):
    remote_id = some(mirror)
    before = await contact_of(mirror, remote_id)
    await edit(mirror, before, first_name="Second")
    held = gate.hold(UPDATE)
    pushing = asyncio.create_task(mirror.push())
    await held.wait()
    # None stands for what it was before: taking an edit back is an edit.
    values = {name: before[name] if value is None else value for name, value in values.items()}
    await edit(mirror, before, **values)
    held.release()
    await pushing
    await mirror.settle()
    await assert_both_have(mirror, remote_id, **{"first_name": "Second", **values})


async def test_an_edit_there_between_our_reading_and_our_writing_keeps_its_own_fields(
    mirror: Mirror, gate: Gate
):
    remote_id = some(mirror)
    await edit(mirror, await contact_of(mirror, remote_id), first_name="Ours")
    held = gate.hold(UPDATE, answered=False)
    pushing = asyncio.create_task(mirror.push())
    await held.wait()
    mirror.world.update("contacts", remote_id, {"lastname": "Theirs"})
    held.release()
    await pushing
    await mirror.pull("contacts")
    await assert_both_have(mirror, remote_id, first_name="Ours", last_name="Theirs")


@pytest.mark.parametrize("way", ["pull", "full pull", "webhook"])
async def test_an_edit_there_that_is_read_before_our_answer_is_stored_stands(
    mirror: Mirror, gate: Gate, way: str
):
    remote_id = some(mirror)
    await edit(mirror, await contact_of(mirror, remote_id), first_name="Ours")
    held = gate.hold(UPDATE)
    pushing = asyncio.create_task(mirror.push())
    await held.wait()
    mirror.world.update("contacts", remote_id, {"firstname": "Theirs, later"}, now_ms=later())
    await hear(mirror, remote_id, way)
    held.release()
    await pushing
    assert (await contact_of(mirror, remote_id))["first_name"] == "Theirs, later"
    # A person takes it back to what we had sent, before anything is read again.
    await edit(mirror, await contact_of(mirror, remote_id), first_name="Ours")
    mirror.world.now_ms = lambda: later(2 * APART_MS)
    await mirror.settle()
    await assert_both_have(mirror, remote_id, first_name="Ours")


@pytest.mark.parametrize("way", ["pull", "full pull", "webhook"])
@pytest.mark.parametrize("answered", [True, False])
async def test_the_echo_of_what_was_sent_does_not_undo_a_later_edit_that_waits(
    mirror: Mirror, way: str, answered: bool
):
    remote_id = some(mirror)
    record = await contact_of(mirror, remote_id)
    await edit(mirror, record, first_name="B")
    if answered:
        await mirror.push()
    else:
        assert await push_and_die(mirror, answered="batch/update")
    await edit(mirror, record, first_name="C")
    assert theirs(mirror, remote_id)["firstname"] == "B"
    await hear(mirror, remote_id, way)
    assert (await contact_of(mirror, remote_id))["first_name"] == "C"
    await mirror.settle()
    await assert_both_have(mirror, remote_id, first_name="C")
    assert [value for _, _, value in written(mirror)] == ["B", "C"]


@pytest.mark.parametrize("way", ["pull", "webhook"])
async def test_the_echo_of_what_the_crm_made_of_it_does_not_undo_a_later_edit(mirror: Mirror, way: str):
    remote_id = some(mirror)
    record = await contact_of(mirror, remote_id)
    await edit(mirror, record, email="Ann.Lee@Example.COM")
    assert await push_and_die(mirror, answered="batch/update")
    await edit(mirror, record, email="Ann.Low@Example.COM")
    await hear(mirror, remote_id, way)
    assert (await contact_of(mirror, remote_id))["email"] == "Ann.Low@Example.COM"
    await mirror.settle()
    await mirror.pull("contacts", full=True)
    assert (await contact_of(mirror, remote_id))["email"] == "Ann.Low@Example.COM"
    assert theirs(mirror, remote_id)["email"] == "ann.low@example.com"
    assert await queued(mirror) == []


async def test_a_page_requested_before_our_write_does_not_bring_the_old_value_back(
    mirror: Mirror, gate: Gate
):
    remote_id = some(mirror)
    mirror.world.update("contacts", remote_id, {"lastname": "New there"})
    held = gate.hold("contacts/search")
    pulling = asyncio.create_task(mirror.pull("contacts"))
    await held.wait()
    await edit(mirror, await contact_of(mirror, remote_id), first_name="Ours")
    await mirror.push()
    assert theirs(mirror, remote_id)["firstname"] == "Ours"
    held.release()
    await pulling
    assert (await contact_of(mirror, remote_id))["first_name"] == "Ours"
    log = await mirror.select("select changes from crm.change_log where changes ? 'first_name'")
    assert sum(row["changes"]["first_name"][1] == "Ours" for row in log) == 1
    await assert_both_have(mirror, remote_id, first_name="Ours", last_name="New there")
    assert len(written(mirror)) == 1


@pytest.mark.parametrize("way", ["pull", "full pull", "webhook"])
async def test_a_person_who_puts_back_what_the_mirror_last_had_is_heard(mirror: Mirror, way: str):
    remote_id = some(mirror)
    before = await contact_of(mirror, remote_id)
    modified = theirs(mirror, remote_id)["lastmodifieddate"]
    await edit(mirror, before, first_name="Ours")
    await mirror.push()
    mirror.world.update("contacts", remote_id, {"firstname": before["first_name"]}, now_ms=later())
    assert theirs(mirror, remote_id)["lastmodifieddate"] != modified
    await hear(mirror, remote_id, way)
    assert (await contact_of(mirror, remote_id))["first_name"] == before["first_name"]
    mirror.world.now_ms = lambda: later(2 * APART_MS)
    await assert_both_have(mirror, remote_id, first_name=before["first_name"])
    assert len(written(mirror)) == 1


@pytest.mark.parametrize("pushed", [True, False])
async def test_of_two_states_with_one_time_the_one_asked_for_later_counts(mirror: Mirror, pushed: bool):
    remote_id = some(mirror)
    at = to_ms(now())
    mirror.world.now_ms = lambda: at
    if pushed:
        await edit(mirror, await contact_of(mirror, remote_id), first_name="First")
        await mirror.push()
    else:
        mirror.world.update("contacts", remote_id, {"firstname": "First"})
        await mirror.pull("contacts")
    mirror.world.update("contacts", remote_id, {"firstname": "Second"})
    assert {e.occurred_ms for e in mirror.world.events if e.kind.endswith("propertyChange")} == {at}
    await mirror.pull("contacts")
    assert (await contact_of(mirror, remote_id))["first_name"] == "Second"


async def test_a_page_with_the_same_time_that_was_asked_for_earlier_is_passed_over(
    mirror: Mirror, gate: Gate
):
    remote_id = some(mirror)
    at = to_ms(now())
    mirror.world.now_ms = lambda: at
    mirror.world.update("contacts", remote_id, {"lastname": "Theirs"})
    held = gate.hold("contacts/search")
    pulling = asyncio.create_task(mirror.pull("contacts"))
    await held.wait()
    await edit(mirror, await contact_of(mirror, remote_id), first_name="Ours")
    await mirror.push()
    held.release()
    await pulling
    await assert_both_have(mirror, remote_id, first_name="Ours", last_name="Theirs")


async def test_what_was_not_read_is_not_taken_for_empty(mirror: Mirror, gate: Gate):
    first, second = mirror.world.store("contacts").living[:2]
    before = await contact_of(mirror, first)

    def cut(answer: dict[str, Any]) -> None:
        """Answer as an account does that shows less to this token, and leaves one record out."""
        answer["results"] = [each for each in answer["results"] if each["id"] != str(second)]
        for each in answer["results"]:
            del each["properties"]["lastname"], each["properties"]["jobtitle"]

    gate.spoil(READ, cut)
    await edit(mirror, before, first_name="Ours", job_title="Captain")
    await edit(mirror, await contact_of(mirror, second), first_name="Ours too")
    await mirror.push()
    after = await contact_of(mirror, first)
    assert (after["first_name"], after["last_name"], after["job_title"]) == (
        "Ours",
        before["last_name"],
        "Captain",
    )
    # What was left out is neither gone nor written blindly; it waits.
    assert (await contact_of(mirror, second))["archived_at"] is None
    assert {each for each, _, _ in written(mirror)} == {first}
    assert (await queued(mirror))[-1]["state"] == "pending"
    gate.behave()
    await mirror.pull("contacts", full=True)
    await mirror.settle()
    await assert_both_have(
        mirror, first, first_name="Ours", last_name=before["last_name"], job_title="Captain"
    )
    await assert_both_have(mirror, second, first_name="Ours too")


async def test_an_answer_that_tells_of_less_than_was_written_is_no_answer_for_the_rest(
    mirror: Mirror, gate: Gate
):
    remote_id = some(mirror)
    before = await contact_of(mirror, remote_id)

    def forget(body: dict[str, Any]) -> None:
        """Pass over one value, without a word."""
        for each in body.get("inputs", body.get("results", ())):
            each["properties"].pop("jobtitle", None)

    gate.twist(UPDATE, forget)
    gate.spoil(UPDATE, forget)
    await edit(mirror, before, first_name="Ours", job_title="Captain")
    held = gate.hold(UPDATE)
    pushing = asyncio.create_task(mirror.push())
    await held.wait()
    assert theirs(mirror, remote_id)["jobtitle"] == before["job_title"]
    gate.behave()
    await pushing
    await mirror.settle()
    await assert_both_have(mirror, remote_id, first_name="Ours", job_title="Captain")


async def test_a_crm_that_never_takes_a_value_is_not_asked_for_ever(mirror: Mirror, gate: Gate):
    remote_id = some(mirror)
    before = await contact_of(mirror, remote_id)

    def forget(body: dict[str, Any]) -> None:
        for each in body.get("inputs", body.get("results", ())):
            each["properties"].pop("jobtitle", None)

    gate.twist(UPDATE, forget)
    gate.spoil(UPDATE, forget)
    await edit(mirror, before, first_name="Ours", job_title="Captain")
    async with asyncio.timeout(30):
        await mirror.settle()
    after = await contact_of(mirror, remote_id)
    assert (after["first_name"], after["job_title"]) == ("Ours", "Captain")
    [row] = await queued(mirror)
    assert row["state"] == "parked"
    assert written(mirror) == [(remote_id, "firstname", "Ours")]


async def test_a_converter_that_changed_overwrites_and_pushes_nothing(mirror: Mirror):
    remote_id = some(mirror)
    mirror.world.update("contacts", remote_id, {"hs_lead_status": "NEW"})
    await mirror.pull("contacts")
    mine = mirror.world.store("contacts").living[1]
    mirror.world.update("contacts", mine, {"hs_lead_status": "OPEN"})
    await mirror.pull("contacts")
    before = await contact_of(mirror, remote_id)
    assert before["status"] == "NEW"
    words = {"NEW": "fresh", "OPEN": "open"}
    await put(mirror, contacts(status={"property": "hs_lead_status", "convert": "choice", "choices": words}))
    # Until it is applied, which is another's matter, what was agreed on stays agreed on.
    await mirror.pull("contacts", full=True)
    after = await contact_of(mirror, remote_id)
    assert after["status"] in ("NEW", "fresh")
    await mirror.settle()
    assert written(mirror) == []
    # An edit goes out by the new converter, and comes back by it.
    await edit(mirror, after, status="open")
    await mirror.settle()
    assert theirs(mirror, remote_id)["hs_lead_status"] == "OPEN"
    await mirror.pull("contacts", full=True)
    assert (await contact_of(mirror, remote_id))["status"] == "open"
    assert written(mirror) == [(remote_id, "hs_lead_status", "OPEN")]


async def test_an_edit_during_the_search_of_a_pull_is_seen_by_both(mirror: Mirror):
    """Edits on both sides, of one record, while a pull is between its reading and its writing."""
    remote_id = some(mirror)
    record = await contact_of(mirror, remote_id)
    mirror.world.update("contacts", remote_id, {"lastname": "Theirs"})
    done = False

    def meddle(route: str) -> None:
        nonlocal done
        if route == SEARCH and not done:
            done = True
            mirror.world.update("contacts", remote_id, {"jobtitle": "Theirs too"})

    Watch(mirror.world, meddle)
    pulling = asyncio.create_task(mirror.pull("contacts"))
    await edit(mirror, record, first_name="Ours")
    await pulling
    await mirror.settle()
    await mirror.pull("contacts")
    await assert_both_have(mirror, remote_id, first_name="Ours", last_name="Theirs", job_title="Theirs too")
