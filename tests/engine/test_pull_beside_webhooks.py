"""A pull and a webhook that read one record at the same time: whoever asked later is believed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import UUID

import psycopg
import pytest
from simulated import Mirror, mirror_of, world_of

from syncline.config import Settings
from syncline.connectors.base import Connector
from syncline.connectors.reads import Page
from syncline.engine.absence import Absence
from syncline.engine.lease import hold_lease
from syncline.engine.prepare import prepare_page
from syncline.engine.pull import Order, begin_run
from syncline.engine.terms import set_terms
from syncline.engine.write import AlsoCommit, Target
from syncline.store import definitions
from syncline.store.db import Conn, Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio


@dataclass
class Beside:
    """Two runs of one object, each with a lease of its own, and what they read with."""

    mirror: Mirror
    one: Target
    two: Target
    connector: Connector
    properties: list[str]
    superuser: str

    async def read(self, remote_id: int) -> Page:
        return await self.connector.read_many("contacts", [str(remote_id)], self.properties)

    async def commit(self, target: Target, page: Page, also: AlsoCommit | None = None) -> None:
        await target.commit(prepare_page(page, target.mapper), also=also)

    async def somebody_waits(self) -> None:
        """Wait until one transaction waits for a lock of another."""
        async with await psycopg.AsyncConnection.connect(self.superuser, autocommit=True) as conn:
            while True:
                found = await conn.execute("select from pg_locks where not granted")
                if found.rowcount:
                    return
                await asyncio.sleep(0.01)

    async def first_name(self, remote_id: int) -> str:
        return (await self.mirror.records("contacts", "contacts"))[str(remote_id)]["first_name"]


@pytest.fixture
async def beside(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
) -> AsyncGenerator[Beside]:
    async with AsyncExitStack() as stack:
        mirror = await stack.enter_async_context(mirror_of(world_of(contacts=3), db, settings, tenant_id))
        await mirror.sync("owners", "contacts")
        remote = await mirror.open()
        contacts = await remote.connector.get_object("contacts")
        targets: list[Target] = []
        for purpose in ("one", "two"):
            lease = await stack.enter_async_context(
                hold_lease(db, **remote.keys, purpose=purpose, seconds=30)
            )
            order = Order("contacts", mode="webhook", excludes=())
            target = await begin_run(db, remote, order, contacts, lease, settings)
            async with db.transaction(tenant_id=tenant_id) as conn:
                await set_terms(conn, target, remote)
                names = await definitions.list_property_names(conn, **target.object_keys)
            targets.append(target)
        yield Beside(mirror, *targets, remote.connector, names, database_urls.superuser)


@pytest.mark.parametrize("newer_commits_first", [True, False])
async def test_of_two_who_both_read_a_new_record_the_later_state_stays(
    beside: Beside, newer_commits_first: bool
):
    new = beside.mirror.world.create("contacts", {"firstname": "Old"}).id
    older = await beside.read(new)
    await asyncio.sleep(0.002)  # the account's clock has milliseconds
    beside.mirror.world.update("contacts", new, {"firstname": "New"})
    pages = [await beside.read(new), older]
    first, second = pages if newer_commits_first else reversed(pages)
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def hold(conn: Conn) -> None:
        inside.set()
        await go_on.wait()

    async with asyncio.timeout(20):
        holding = asyncio.create_task(beside.commit(beside.one, first, hold))
        await inside.wait()
        waiting = asyncio.create_task(beside.commit(beside.two, second))
        await beside.somebody_waits()
        go_on.set()
        await asyncio.gather(holding, waiting)
    assert await beside.first_name(new) == "New"
    assert (await beside.mirror.raw("contacts"))[str(new)]["raw"]["properties"]["firstname"] == "New"
    assert len(await beside.mirror.select("select from crm.contacts")) == 4


async def test_what_was_read_before_a_record_went_does_not_bring_it_back(beside: Beside):
    world = beside.mirror.world
    gone = world.store("contacts").living[0]
    before = await beside.read(gone)
    await asyncio.sleep(0.002)
    world.archive("contacts", gone)
    answer = await beside.read(gone)
    assert answer.records == []
    await Absence(beside.one, beside.connector, beside.properties).mark(
        [str(gone)], "archived", asked_ms=answer.requested_ms
    )
    await beside.commit(beside.two, before)
    assert (await beside.mirror.raw("contacts"))[str(gone)]["archived_reason"] == "archived"
    record = (await beside.mirror.records("contacts", "contacts"))[str(gone)]
    assert record["archived_at"] is not None
    # What is read after it was taken out of the recycle bin does.
    world.restore("contacts", gone)
    await beside.commit(beside.two, await beside.read(gone))
    record = (await beside.mirror.records("contacts", "contacts"))[str(gone)]
    assert record["archived_at"] is None
