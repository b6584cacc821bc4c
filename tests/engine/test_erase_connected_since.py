"""A CRM that is connected after an erasure was ordered, and has the person: somebody is asked to say so."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from simulated import Mirror, mirror_of, world_of

from syncline.clock import now
from syncline.config import Settings
from syncline.domain.sealing import Vault, new_key
from syncline.domain.subject import Ref
from syncline.engine.barring import Order, add_found, put_order
from syncline.engine.erase import Eraser
from syncline.engine.persons import Sought, find_person
from syncline.store import remote_erasures
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

EMAIL = "petra@people.example"


@dataclass
class Place:
    """An installation with one CRM, to which others are connected."""

    one: Mirror
    stack: AsyncExitStack
    settings: Settings
    admin_url: str

    async def connect(self, name: str, **settings: Any) -> tuple[Mirror, int]:
        """Connect another CRM that has Petra; returns her id there."""
        world = world_of(contacts=2)
        remote_id = world.create("contacts", {"email": EMAIL, "firstname": "Petra"}).id
        made = await self.stack.enter_async_context(
            mirror_of(world, self.one.db, self.settings, self.one.tenant_id, name=name, vault=self.one.vault)
        )
        for key, value in settings.items():
            await self.one.execute(
                "update sync.connections set settings = settings || jsonb_build_object(%(key)s::text,"
                " %(value)s::text) where tenant_id = %(tenant_id)s and id = %(id)s",
                id=made.connection_id,
                key=key,
                value=value,
            )
        return made, remote_id

    async def order(self) -> UUID:
        async with self.one.db.transaction(tenant_id=self.one.tenant_id) as conn:
            person = await find_person(conn, Sought(emails=(EMAIL,)), tenant_id=self.one.tenant_id)
            order = Order("test", "cli", {self.one.connection_id: "wanted"}, {})
            return await put_order(
                conn, self.one.vault, person.subject, order, tenant_id=self.one.tenant_id, now=now()
            )

    async def go_on(self, erasure_id: UUID) -> bool:
        await self.one.execute("update sync.erasures set not_before = now() where tenant_id = %(tenant_id)s")
        eraser = Eraser(self.one.db, self.one.remotes, self.admin_url)
        return await eraser.go_on(self.one.tenant_id, erasure_id)

    async def asked(self) -> list[tuple[Any, ...]]:
        rows = await self.one.select(
            "select connection, remote_id, state, reason from sync.remote_erasures order by connection"
        )
        return [tuple(row.values()) for row in rows]


@pytest.fixture
async def place(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
) -> AsyncGenerator[Place]:
    async with AsyncExitStack() as stack:
        world = world_of(contacts=2)
        world.create("contacts", {"email": EMAIL, "firstname": "Petra"})
        one = await stack.enter_async_context(
            mirror_of(world, db, settings, tenant_id, name="one", vault=Vault([new_key()]))
        )
        await one.pull("contacts")
        yield Place(one, stack, settings, database_urls.admin)


async def test_who_is_found_there_is_kept_out_and_waits_for_somebody_to_say_what_becomes_of_them(
    place: Place,
) -> None:
    erasure_id = await place.order()
    since, remote_id = await place.connect("since")
    await since.pull("contacts")
    assert not await place.go_on(erasure_id)
    (mine, theirs) = await place.asked()
    assert mine[:3] == ("one", None, "done")
    assert theirs[:3] == ("since", str(remote_id), "review")
    assert "connected after" in theirs[3]
    await since.pull("contacts", full=True)
    assert len(await place.asked()) == 2
    async with place.one.db.transaction(tenant_id=place.one.tenant_id) as conn:
        decided = await remote_erasures.decide(
            conn,
            erasure_id,
            "wanted",
            tenant_id=place.one.tenant_id,
            now=now(),
            connections=["since"],
        )
        assert decided == 1
    assert await place.go_on(erasure_id)
    assert remote_id in since.world.store("contacts").erased


async def test_an_erasure_that_was_done_by_then_is_opened_again(place: Place) -> None:
    erasure_id = await place.order()
    await place.connect("since")
    assert await place.go_on(erasure_id)
    since, remote_id = await place.connect("later")
    await since.pull("contacts")
    assert [each[:3] for each in await place.asked()] == [
        ("later", str(remote_id), "review"),
        ("one", None, "done"),
    ]
    [row] = await place.one.select("select state from sync.erasures")
    assert row == {"state": "sending"}


async def test_one_that_follows_by_its_setting_is_asked_at_once(place: Place) -> None:
    erasure_id = await place.order()
    since, remote_id = await place.connect("since", erasures="everywhere")
    await since.pull("contacts")
    assert await place.go_on(erasure_id)
    assert remote_id in since.world.store("contacts").erased


async def test_one_that_was_connected_before_is_left_as_was_ordered(place: Place) -> None:
    before, _ = await place.connect("before")
    erasure_id = await place.order()
    await before.pull("contacts")
    assert await place.go_on(erasure_id)
    assert [each[:3] for each in await place.asked()] == [("one", None, "done")]


async def test_what_is_found_of_them_there_while_they_are_removed_waits_too(place: Place) -> None:
    erasure_id = await place.order()
    since, remote_id = await place.connect("since")
    tenant_id = place.one.tenant_id
    async with place.one.db.transaction(tenant_id=tenant_id) as conn:
        person = await find_person(conn, Sought(emails=(EMAIL,)), tenant_id=tenant_id)
        ref = Ref(since.connection_id, "contacts", str(remote_id))
        await add_found(
            conn, place.one.vault, person.subject, [ref], tenant_id=tenant_id, erasure_id=erasure_id
        )
    assert ("since", str(remote_id), "review") in [each[:3] for each in await place.asked()]
