"""Races of whole records: made, merged, archived and deleted on one side while the other is at work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest
from gated import Gate, gate_of
from hooked import work_off
from mortal import push_and_die
from simulated import Mirror, mirror_of, world_of
from test_push import contact_of, edit, queued, theirs, written
from test_races import assert_both_have, hear, later, some

from syncline.config import Settings
from syncline.store.db import Database
from tiny_webhooks import event, tiny

__all__ = ["tiny"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("tiny")]

UPDATE, UPSERT = "contacts/batch/update", "contacts/batch/upsert"


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    async with mirror_of(world_of(contacts=6), db, settings, tenant_id) as made:
        await made.make_unique("contacts")
        await made.pull("contacts")
        await made.allow("contacts", "create", "archive")
        yield made


@pytest.fixture
async def gate(mirror: Mirror) -> AsyncGenerator[Gate]:
    async with gate_of(mirror) as made:
        yield made


async def make(mirror: Mirror, email: str = "New@Here.example") -> dict[str, Any]:
    """Make a contact here."""
    await mirror.execute(
        "insert into crm.contacts (tenant_id, id, email, first_name)"
        " values (%(tenant_id)s, gen_random_uuid(), %(email)s, 'Neu')",
        email=email,
    )
    [row] = await mirror.select("select * from crm.contacts where email = %(email)s", email=email)
    return row


def made_there(mirror: Mirror) -> list[int]:
    """Return the records that programs made at the account."""
    return [
        event.object_id
        for event in mirror.world.events
        if event.kind == "contact.creation" and event.source[0] == "INTEGRATION"
    ]


async def archive(mirror: Mirror, record: dict[str, Any]) -> None:
    await mirror.execute("update crm.contacts set archived_at = now() where id = %(id)s", id=record["id"])


async def delete(mirror: Mirror, record: dict[str, Any]) -> None:
    await mirror.execute("delete from crm.contacts where id = %(id)s", id=record["id"])


async def assert_settled(mirror: Mirror) -> None:
    """Check that nothing waits, nothing is on its way, and every link leads to a record."""
    assert await queued(mirror) == []
    assert await mirror.select("select from sync.links where sent is not null") == []
    assert await mirror.select("select * from sync.remote_changes where state = 'sent'") == []
    lost = "select * from sync.links l where not exists (select from crm.contacts c where c.id = l.record_id)"
    assert await mirror.select(lost + " and l.record_type = 'contact'") == []  # type: ignore[arg-type]


# Records made here


@pytest.mark.parametrize("way", ["pull", "full pull", "webhook"])
async def test_a_record_that_is_read_before_the_answer_to_its_making_is_one_record(
    mirror: Mirror, gate: Gate, way: str
):
    record = await make(mirror)
    held = gate.hold(UPSERT)
    pushing = asyncio.create_task(mirror.push())
    await held.wait()
    [remote_id] = made_there(mirror)
    await hear(mirror, remote_id, way)
    held.release()
    await pushing
    await mirror.settle()
    rows = await mirror.select("select id, email from crm.contacts where first_name = 'Neu'")
    # What the CRM made of the address is no word of a person's.
    assert [(row["id"], row["email"]) for row in rows] == [(record["id"], "New@Here.example")]
    assert (await contact_of(mirror, remote_id))["id"] == record["id"]
    assert made_there(mirror) == [remote_id]
    await assert_settled(mirror)
    # Only when it was made is the CRM's to say.
    decided = await mirror.select("select field from sync.decisions")
    assert {row["field"] for row in decided} <= {"created_at"}
    [sent] = await mirror.select("select * from sync.remote_changes")
    assert (sent["action"], sent["state"], sent["remote_id"]) == ("created", "done", str(remote_id))


@pytest.mark.parametrize("way", ["pull", "webhook"])
@pytest.mark.parametrize("value", ["Aaron", "Zoe"])
async def test_an_edit_between_a_making_and_its_echo_is_not_undone_by_it(
    mirror: Mirror, gate: Gate, way: str, value: str
):
    record = await make(mirror)
    held = gate.hold(UPSERT)
    pushing = asyncio.create_task(mirror.push())
    await held.wait()
    [remote_id] = made_there(mirror)
    await edit(mirror, record, first_name=value)
    await hear(mirror, remote_id, way)
    held.release()
    await pushing
    await mirror.settle()
    await assert_both_have(mirror, remote_id, first_name=value)
    assert made_there(mirror) == [remote_id]


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_record_deleted_here_while_it_is_being_made_there_does_not_come_back(
    mirror: Mirror, gate: Gate, allowed: bool
):
    if not allowed:
        await mirror.execute("delete from sync.writing where scope = 'archive'")
    record = await make(mirror)
    held = gate.hold(UPSERT)
    pushing = asyncio.create_task(mirror.push())
    await held.wait()
    [remote_id] = made_there(mirror)
    await delete(mirror, record)
    held.release()
    await pushing
    await assert_buried(mirror, remote_id, archived=allowed)


@pytest.mark.parametrize("way", ["push", "pull", "webhook"])
async def test_a_record_archived_here_while_it_is_being_made_there_is_archived_there(
    mirror: Mirror, gate: Gate, way: str
):
    record = await make(mirror)
    held = gate.hold(UPSERT)
    pushing = asyncio.create_task(mirror.push())
    await held.wait()
    [remote_id] = made_there(mirror)
    await archive(mirror, record)
    if way != "push":
        await hear(mirror, remote_id, way)
    held.release()
    await pushing
    await mirror.settle()
    await mirror.pull("contacts")
    await mirror.settle()
    assert remote_id not in mirror.world.store("contacts").living
    await mirror.pull("contacts", full=True)
    await mirror.settle()
    await assert_settled(mirror)
    [kept] = await mirror.select("select * from crm.contacts where first_name = 'Neu'")
    assert (kept["id"], kept["archived_at"] is None) == (record["id"], False)


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("first", ["push", "pull", "webhook"])
async def test_a_record_deleted_here_after_a_making_whose_answer_was_lost_does_not_come_back(
    mirror: Mirror, allowed: bool, first: str
):
    if not allowed:
        await mirror.execute("delete from sync.writing where scope = 'archive'")
    record = await make(mirror)
    assert await push_and_die(mirror, answered="batch/upsert")
    [remote_id] = made_there(mirror)
    await delete(mirror, record)
    if first != "push":
        await hear(mirror, remote_id, first)
    await assert_buried(mirror, remote_id, archived=allowed)


async def assert_buried(mirror: Mirror, remote_id: int, *, archived: bool) -> None:
    async with asyncio.timeout(30):
        await mirror.settle()
    assert (remote_id not in mirror.world.store("contacts").living) == archived
    mirror.world.update("contacts", remote_id, {"lastname": "Edited"}, now_ms=later())
    await mirror.pull("contacts")
    await mirror.pull("contacts", full=True)
    assert await mirror.select("select from crm.contacts where first_name = 'Neu'") == []
    assert len(made_there(mirror)) == 1
    await assert_settled(mirror)


async def test_a_record_deleted_here_while_a_change_of_it_is_on_its_way_is_archived_there(
    mirror: Mirror, gate: Gate
):
    remote_id = some(mirror)
    record = await contact_of(mirror, remote_id)
    await edit(mirror, record, first_name="Ours")
    held = gate.hold(UPDATE)
    pushing = asyncio.create_task(mirror.push())
    await held.wait()
    await delete(mirror, record)
    held.release()
    await pushing
    await mirror.settle()
    assert remote_id not in mirror.world.store("contacts").living
    await mirror.pull("contacts", full=True)
    assert await mirror.select("select from crm.contacts where id = %(id)s", id=record["id"]) == []
    await assert_settled(mirror)


# Two remote records of one record


async def test_an_edit_that_waits_for_a_record_that_is_merged_away_is_kept_and_written_nowhere_else(
    mirror: Mirror,
):
    one, two = mirror.world.store("contacts").living[:2]
    first, second = await contact_of(mirror, one), await contact_of(mirror, two)
    await edit(mirror, second, first_name="Of the second")
    survivor = mirror.world.merge("contacts", one, two).id
    before = theirs(mirror, survivor)["firstname"]
    await mirror.pull("contacts")
    await mirror.settle()
    assert (await contact_of(mirror, survivor))["id"] == first["id"]
    assert theirs(mirror, survivor)["firstname"] == before
    assert made_there(mirror) == []
    await assert_settled(mirror)
    # What was edited can be found, in the record that was merged away and in the log.
    [absorbed] = await mirror.select("select * from crm.contacts where id = %(id)s", id=second["id"])
    assert (absorbed["first_name"], absorbed["merged_into"]) == ("Of the second", first["id"])


@pytest.mark.parametrize("resolves", [True, False])
@pytest.mark.parametrize("which", [0, 1])
async def test_a_merge_there_that_is_met_first_by_a_push_costs_no_edit_of_the_survivor(
    mirror: Mirror, resolves: bool, which: int
):
    mirror.world.settings.batch_read_resolves_merged = resolves
    one, two = mirror.world.store("contacts").living[:2]
    edited = await contact_of(mirror, (one, two)[which])
    await edit(mirror, edited, first_name="Ours")
    survivor = mirror.world.merge("contacts", one, two).id
    await mirror.push()
    await mirror.pull("contacts")
    await mirror.settle()
    found = await contact_of(mirror, survivor)
    if which == 0:
        assert (found["id"], found["first_name"]) == (edited["id"], "Ours")
        assert theirs(mirror, survivor)["firstname"] == "Ours"
    assert made_there(mirror) == []
    await assert_settled(mirror)


@pytest.mark.parametrize("resolves", [True, False])
@pytest.mark.parametrize("which", [0, 1])
async def test_deleting_here_what_was_merged_there_leaves_the_survivor_alone(
    mirror: Mirror, resolves: bool, which: int
):
    mirror.world.settings.batch_read_resolves_merged = resolves
    one, two = mirror.world.store("contacts").living[:2]
    kept = await contact_of(mirror, (two, one)[which])
    survivor = mirror.world.merge("contacts", one, two).id
    await delete(mirror, await contact_of(mirror, (one, two)[which]))
    await mirror.settle()
    # It is the other's as well, and nobody deleted that.
    assert survivor in mirror.world.store("contacts").living
    await mirror.pull("contacts", full=True)
    await mirror.settle()
    assert (await contact_of(mirror, survivor))["id"] == kept["id"]
    assert survivor in mirror.world.store("contacts").living
    await assert_settled(mirror)


async def test_of_two_remote_records_of_one_record_only_the_primary_is_read_and_written(mirror: Mirror):
    one, two = mirror.world.store("contacts").living[:2]
    first, second = await contact_of(mirror, one), await contact_of(mirror, two)
    await mirror.execute(
        "update sync.links set record_id = %(one)s, is_primary = false where remote_id = %(two)s"
        " and object = 'contacts'",
        one=first["id"],
        two=str(two),
    )
    await mirror.execute("delete from crm.contacts where id = %(id)s", id=second["id"])
    mirror.world.update("contacts", two, {"firstname": "The other's"})
    await edit(mirror, first, last_name="Ours")
    await mirror.pull("contacts")
    await mirror.settle()
    await assert_both_have(mirror, one, first_name=first["first_name"], last_name="Ours")
    assert written(mirror) == [(one, "lastname", "Ours")]
    # That the other one goes takes nothing with it.
    mirror.world.archive("contacts", two)
    await work_off(mirror, [event("contacts", two, "archived")])
    await mirror.pull("contacts", full=True)
    assert (await contact_of(mirror, one))["archived_at"] is None


# Archives


@pytest.mark.parametrize("way", ["push", "pull", "full pull", "webhook"])
async def test_an_archive_there_while_an_edit_waits_here_loses_neither(mirror: Mirror, way: str):
    remote_id = some(mirror)
    record = await contact_of(mirror, remote_id)
    await edit(mirror, record, first_name="Ours")
    mirror.world.archive("contacts", remote_id)
    if way == "webhook":
        await work_off(mirror, [event("contacts", remote_id, "archived")])
    elif way != "push":
        await hear(mirror, remote_id, way)
    await mirror.settle()
    await mirror.pull("contacts", full=True)
    await mirror.settle()
    [kept] = await mirror.select("select * from crm.contacts where id = %(id)s", id=record["id"])
    assert kept["archived_at"] is not None
    assert kept["first_name"] == "Ours"
    # It is not brought back there by an edit, nor made a second time;
    assert remote_id not in mirror.world.store("contacts").living
    assert made_there(mirror) == []
    # and taken out of the bin it has the edit.
    mirror.world.restore("contacts", remote_id)
    await mirror.pull("contacts", full=True)
    await mirror.settle()
    await assert_both_have(mirror, remote_id, first_name="Ours")


@pytest.mark.parametrize("way", ["push", "pull", "webhook"])
async def test_an_edit_there_while_an_archive_waits_here_is_kept_with_the_archived_record(
    mirror: Mirror, way: str
):
    remote_id = some(mirror)
    record = await contact_of(mirror, remote_id)
    await archive(mirror, record)
    mirror.world.update("contacts", remote_id, {"firstname": "Theirs"}, now_ms=later())
    if way != "push":
        await hear(mirror, remote_id, way)
    await mirror.settle()
    assert remote_id not in mirror.world.store("contacts").living
    [kept] = await mirror.select("select * from crm.contacts where id = %(id)s", id=record["id"])
    assert (kept["first_name"], kept["archived_at"] is None) == ("Theirs", False)
    await mirror.pull("contacts", full=True)
    await mirror.settle()
    await assert_settled(mirror)


async def test_a_restore_there_while_our_archive_is_answered_is_heard(mirror: Mirror, gate: Gate):
    remote_id = some(mirror)
    record = await contact_of(mirror, remote_id)
    await archive(mirror, record)
    held = gate.hold("contacts/batch/archive")
    pushing = asyncio.create_task(mirror.push())
    await held.wait()
    mirror.world.restore("contacts", remote_id)
    held.release()
    await pushing
    mirror.world.update("contacts", remote_id, {"lastname": "Back"}, now_ms=later())
    await mirror.pull("contacts")
    await mirror.settle()
    assert remote_id in mirror.world.store("contacts").living
    assert (await contact_of(mirror, remote_id))["archived_at"] is None
    await assert_settled(mirror)


@pytest.mark.parametrize("way", ["full pull", "webhook"])
async def test_a_record_archived_by_us_and_taken_out_of_the_bin_as_it_was_lives_again(
    mirror: Mirror, way: str
):
    remote_id = some(mirror)
    await archive(mirror, await contact_of(mirror, remote_id))
    await mirror.settle()
    assert remote_id not in mirror.world.store("contacts").living
    # Nothing of it is other than it was when it was last read.
    mirror.world.restore("contacts", remote_id)
    if way == "webhook":
        await work_off(mirror, [event("contacts", remote_id, "restored")])
    else:
        await hear(mirror, remote_id, way)
    await mirror.settle()
    assert (await contact_of(mirror, remote_id))["archived_at"] is None
    assert remote_id in mirror.world.store("contacts").living
    await assert_settled(mirror)
