"""Creates at Pipedrive that are still on their way when they are looked for, or may not be made any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from uuid import UUID

import pytest
import time_machine
from gated import gate_of
from making import MADE, assert_settled, count_here, find_parents, left, links, notes, write_note
from mortal import push_and_die
from simulated import Mirror
from test_pipedrive_sync import KINDS, mirror_of, sync, world_behind, world_of

from syncline.clock import now
from syncline.config import Settings
from syncline.simulators.pipedrive.app import App
from syncline.store import writing
from syncline.store.db import Database

pytestmark = pytest.mark.anyio

_ON_ITS_WAY = "It was sent, and the answer was lost; it is looked for once it must have arrived."
_DUE = "update sync.queue set not_before = '-infinity' where tenant_id = %(tenant_id)s"


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    world = world_of(contacts=6, organizations=4, deals=4, users=3)
    async with mirror_of(world, db, settings, tenant_id) as made:
        await sync(made)
        for name in MADE:
            await made.allow(name, "create", "associate", kind=KINDS[name])
        yield made


async def lose(mirror: Mirror, fault: str) -> None:
    await mirror.fail_next([fault])
    await mirror.push()


async def forbid(mirror: Mirror, name: str, *scopes: str) -> None:
    """Take back what may be written of an object, as the action does."""
    keys = {"tenant_id": mirror.tenant_id, "connection_id": mirror.connection_id}
    async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
        gone = [(scope, "") for scope in scopes]
        await writing.forbid(conn, gone, keys={**keys, "object_name": name})
        await writing.drop_unallowed(conn, **keys)


@pytest.mark.parametrize("way", ["edited", "retried", "restarted"])
async def test_a_create_without_an_answer_is_not_looked_for_while_it_may_be_on_its_way(
    mirror: Mirror, way: str
):
    """It arrives late: found by nobody before, it would be made again."""
    deal, deal_id = (await find_parents(mirror))["deals"]
    ours = await write_note(mirror, "On its way", deal_id)
    if way == "restarted":
        assert await push_and_die(mirror, commits=6)
    else:
        await lose(mirror, "reset")
    assert [row["state"] for row in await mirror.select("select state from sync.remote_changes")] == ["sent"]
    assert notes(mirror) == []
    if way == "edited":
        await mirror.execute("update crm.activities set body = 'Rewritten' where id = %(id)s", id=ours)
    else:
        await mirror.execute("update sync.queue set not_before = queued_at where tenant_id = %(tenant_id)s")
    before = await mirror.select("select attempts from sync.queue")
    await mirror.push()
    assert notes(mirror) == []
    assert [state for state, _ in await left(mirror)] == ["pending"]
    assert await mirror.select("select attempts from sync.queue") == before
    made = world_behind(mirror).create(
        "notes", {"content": "On its way", "deal_id": deal}, add_ms=1_772_600_767_000
    )
    await mirror.settle()
    assert [each["id"] for each in notes(mirror)] == [made.id]
    assert await links(mirror, ours) == [str(made.id)]
    await assert_settled(mirror)


@pytest.mark.parametrize("way", ["stopped", "lost"])
async def test_a_create_that_waited_long_for_its_quota_may_still_be_on_its_way(mirror: Mirror, way: str):
    """What counts is when it may have left, not when it was written down."""
    _, deal_id = (await find_parents(mirror))["deals"]
    ours = await write_note(mirror, "On its way", deal_id)
    async with gate_of(mirror, App(world_behind(mirror))) as gate:
        hold = gate.hold("/notes", answered=way == "stopped")
        pushing = asyncio.create_task(mirror.push())
        await hold.wait()
        await mirror.execute("update sync.remote_changes set sent_at = sent_at - interval '1 hour'")
        if way == "lost":
            world_behind(mirror).settings.faults = "1:reset"
        else:
            pushing.cancel()
            await asyncio.wait([pushing])
        hold.release()
        await asyncio.wait([pushing])
        world_behind(mirror).settings.faults = "0"
        await mirror.execute(_DUE)
        await mirror.push()
        assert await left(mirror) == [("pending", _ON_ITS_WAY)]
        await mirror.settle()
    assert await links(mirror, ours) == [str(each["id"]) for each in notes(mirror)]
    assert len(notes(mirror)) == 1
    await assert_settled(mirror)


async def test_a_deal_without_an_answer_is_waited_for_as_well(mirror: Mirror):
    """Our id goes with it, and does not keep it from being made twice."""
    await mirror.allow("deals", "create", "associate", kind=KINDS["deals"])
    await mirror.make_unique("deals")
    await sync(mirror)
    await mirror.execute(
        "insert into crm.deals (tenant_id, id, name, status)"
        " values (%(tenant_id)s, gen_random_uuid(), 'Made here', 'open')"
    )
    deals = len(world_behind(mirror).truth("deals"))
    assert await push_and_die(mirror, commits=6)
    await mirror.push()
    assert await left(mirror) == [("pending", _ON_ITS_WAY)]
    await mirror.settle()
    assert len(world_behind(mirror).truth("deals")) == deals + 1


@pytest.mark.parametrize("minutes", [-90, 90])
async def test_another_clock_than_that_of_who_sent_it_makes_nothing_twice(mirror: Mirror, minutes: int):
    """How long ago it was is asked of the database."""
    _, deal_id = (await find_parents(mirror))["deals"]
    ours = await write_note(mirror, "Once", deal_id)
    await lose(mirror, "reset-after-commit")
    [made] = notes(mirror)
    mirror.remotes._skews.clear()  # measured by another process
    with time_machine.travel(now() + timedelta(minutes=minutes)):
        await mirror.execute(_DUE)
        await mirror.push()
        assert await links(mirror, ours) == []
        await mirror.let_time_pass()
        await mirror.execute(_DUE)
        await mirror.push()
    assert [each["id"] for each in notes(mirror)] == [made["id"]]
    assert await links(mirror, ours) == [str(made["id"])]


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("scopes", [("create",), ("create", "associate", "field")])
async def test_writing_taken_back_while_an_answer_is_out_makes_no_second_record(
    mirror: Mirror, arrived: bool, scopes: tuple[str, ...]
):
    _, deal_id = (await find_parents(mirror))["deals"]
    ours = await write_note(mirror, "Then forbidden", deal_id)
    await lose(mirror, "reset-after-commit" if arrived else "reset")
    await forbid(mirror, "notes", *scopes)
    await mirror.pull("notes")
    await mirror.pull("notes", full=True)
    assert await count_here(mirror) == 1
    await mirror.settle()
    assert await links(mirror, ours) == [str(each["id"]) for each in notes(mirror)]
    assert len(notes(mirror)) == int(arrived)
    assert await left(mirror) == []
    assert await mirror.select("select 1 from sync.remote_changes where state = 'sent'") == []
    await sync(mirror)
    assert await count_here(mirror) == 1
