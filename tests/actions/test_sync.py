"""Syncing by hand: the order, what one failure does to the others, and what is shown meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from syncline.actions.connect import Connected
from syncline.actions.hub import Hub
from syncline.actions.status import read_status
from syncline.actions.sync import Synced, Unseen, sync
from syncline.engine.lease import hold_lease
from syncline.engine.write import Target, lease_purpose
from syncline.errors import Invalid, NotFound, PauseConnection, ScopeMissing, TokenRejected
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import ALL_SCOPES, DEFAULT_TOKEN
from syncline.store import connections

pytestmark = pytest.mark.anyio

Connect = Callable[..., Awaitable[Connected]]


@dataclass
class Witness(Unseen):
    """Remembers the order of things, and how many were under way at most."""

    planned_objects: list[str] = field(default_factory=list[str])
    seen: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    moves: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0
    most_under_way: int = 0

    def planned(self, _: str, objects: Sequence[str]) -> None:
        self.planned_objects = list(objects)

    def began(self, connection: str, object_name: str) -> None:
        assert connection == "acme"
        self.seen.append(("began", object_name))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)

    def waits(self, connection: str, object_name: str) -> None:
        assert (connection, object_name) == ("acme", "deals")
        self.waiting.set()

    def moved(self, connection: str, object_name: str, target: Target) -> None:
        assert connection == "acme"
        self.moves.append((object_name, target.counts.read, target.count_calls()))

    def ended(self, item: Synced) -> None:
        self.seen.append(("ended", item.object))
        self.under_way -= 1


async def test_everything_arrives_owners_first_and_readings_last(hub: Hub, world: World, connect: Connect):
    await connect(objects=())
    witness = Witness()
    result = await sync(hub, progress=witness)
    assert {item.outcome for item in result.items} == {"success"}
    order = [name for what, name in witness.seen if what == "began"]
    assert order[0] == "owners"
    assert order[-2:] == ["associations", "history"]
    assert witness.seen.index(("ended", "owners")) == 1
    assert 1 < witness.most_under_way <= 3
    assert witness.planned_objects[0] == "owners"
    status = await read_status(hub, ask_source=True)
    counts = {
        one.object: (one.count_here, one.count_there)
        for one in status.connections[0].objects
        if one.count_there is not None
    }
    assert counts["contacts"] == (40, 40)
    assert counts["owners"] == (3, 3)
    assert all(here == there for here, there in counts.values())


async def test_progress_tells_records_and_calls(hub: Hub, connect: Connect):
    await connect()
    witness = Witness()
    await sync(hub, objects=["contacts"], progress=witness)
    name, read, calls = witness.moves[-1]
    assert (name, read) == ("contacts", 42)
    assert calls > 0


async def test_the_second_sync_reads_changes_only(hub: Hub, world: World, connect: Connect):
    await connect()
    await sync(hub, objects=["contacts"])
    world.update("contacts", world.store("contacts").living[0], {"jobtitle": "Chief of Tests"})
    [item] = (await sync(hub, objects=["contacts"])).items
    assert item.run is not None
    assert (item.run.mode, item.run.records_updated) == ("incremental", 1)


async def test_full_reads_everything_again_and_changes_nothing(hub: Hub, connect: Connect):
    await connect()
    await sync(hub, objects=["companies"])
    [item] = (await sync(hub, objects=["companies"], full=True)).items
    assert item.run is not None
    assert (item.run.mode, item.run.records_unchanged, item.run.records_updated) == ("backfill", 8, 0)


async def test_one_objects_failure_does_not_stop_the_others(hub: Hub, world: World, connect: Connect):
    await connect()
    world.auth.add_token(DEFAULT_TOKEN, ALL_SCOPES - {"crm.objects.deals.read"})
    result = await sync(hub, objects=["contacts", "deals", "companies"])
    outcomes = {item.object: item.outcome for item in result.items}
    assert outcomes == {"contacts": "success", "deals": "failed", "companies": "success"}
    assert [type(error) for error in result.errors] == [ScopeMissing]


async def test_a_refused_token_stops_the_rest_without_trying(hub: Hub, world: World, connect: Connect):
    await connect()
    world.auth.revoke(DEFAULT_TOKEN)
    world.stats.clear()
    result = await sync(hub)
    outcomes = [item.outcome for item in result.items]
    assert outcomes[0] == "failed"
    assert set(outcomes[1:]) == {"skipped"}
    assert all(isinstance(error, TokenRejected) for error in result.errors)
    assert sum(world.stats.values()) <= 2


async def test_an_unknown_object_fails_alone_and_says_so(hub: Hub, connect: Connect):
    await connect()
    result = await sync(hub, objects=["contacts", "unicorns"])
    outcomes = {item.object: item.outcome for item in result.items}
    assert outcomes == {"contacts": "success", "unicorns": "failed"}
    assert isinstance(result.errors[0], NotFound)


async def test_what_another_worker_is_at_is_waited_for(hub: Hub, connect: Connect):
    connection = (await connect()).connection
    witness = Witness()
    async with hold_lease(
        hub.db,
        tenant_id=hub.tenant_id,
        connection_id=connection.id,
        purpose=lease_purpose("deals"),
        seconds=30,
    ):
        syncing = asyncio.create_task(sync(hub, objects=["deals"], progress=witness))
        await witness.waiting.wait()
        assert not syncing.done()
    result = await syncing
    assert [item.outcome for item in result.items] == ["success"]


async def test_nothing_to_sync_says_what_to_do(hub: Hub):
    with pytest.raises(Invalid, match="syncline connect"):
        await sync(hub)


async def test_an_unknown_connection_is_named_beside_those_there_are(hub: Hub, connect: Connect):
    await connect()
    with pytest.raises(NotFound, match="acme"):
        await sync(hub, names=["acne"])


async def test_a_paused_connection_says_why(hub: Hub, connect: Connect):
    connection = (await connect()).connection
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await connections.pause(
            conn, connection.id, "The token was refused.", tenant_id=hub.tenant_id, now=connection.created_at
        )
    with pytest.raises(PauseConnection, match="The token was refused"):
        await sync(hub, names=["acme"])


async def test_records_that_cannot_be_read_whole_make_it_partial(hub: Hub, world: World, connect: Connect):
    await connect()
    world.plant_all_defects()
    result = await sync(hub, objects=["contacts"])
    assert result.items[0].outcome == "partial"
    assert result.is_partial
    assert result.errors == []
