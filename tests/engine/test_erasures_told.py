"""An erasure that a CRM tells of is carried out here; what other CRMs have is a matter of their settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from hooked import work_off
from simulated import Mirror, mirror_of, world_of

from syncline.config import Settings
from syncline.domain.sealing import Vault, new_key
from syncline.engine.erase import Eraser
from syncline.simulators.hubspot import World
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls
from tiny_webhooks import event, tiny

__all__ = ["tiny"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("tiny")]

EMAIL = "petra@people.example"


@asynccontextmanager
async def two_crms(
    db: Database, settings: Settings, tenant_id: UUID
) -> AsyncGenerator[tuple[Mirror, Mirror, int, int]]:
    """Two accounts that both have Petra, read: mirrors and her ids."""
    vault = Vault([new_key()])
    first, second = world_of(1, contacts=5), world_of(2, contacts=5)
    ids = [
        world.create("contacts", {"email": EMAIL, "firstname": "Petra", "lastname": f"No {number}"}).id
        for number, world in enumerate((first, second))
    ]
    async with (
        mirror_of(first, db, settings, tenant_id, name="first", vault=vault) as one,
        mirror_of(second, db, settings, tenant_id, name="second", vault=vault) as other,
    ):
        await one.sync("contacts")
        await other.sync("contacts")
        yield one, other, ids[0], ids[1]


def told(remote_id: int) -> list[dict[str, Any]]:
    return [event("contacts", remote_id, "erased")]


async def tell(mirror: Mirror, remote_id: int) -> None:
    mirror.world.erase(remote_id)
    await work_off(mirror, told(remote_id))


async def go_on(mirror: Mirror, urls: DatabaseUrls) -> None:
    eraser = Eraser(mirror.db, mirror.remotes, urls.admin)
    for row in await mirror.select("select id from sync.erasures where state <> 'done'"):
        await mirror.execute("update sync.erasures set not_before = now() where tenant_id = %(tenant_id)s")
        await eraser.go_on(mirror.tenant_id, row["id"])


async def states(mirror: Mirror) -> dict[str, str]:
    return {
        row["connection"]: row["state"]
        for row in await mirror.select("select connection, state from sync.remote_erasures")
    }


async def mentions(mirror: Mirror) -> int:
    [row] = await mirror.select(
        "select (select count(*) from crm.contacts where email_norm = %(email)s)"
        " + (select count(*) from raw.hubspot_contacts where email = %(email)s)"
        " + (select count(*) from crm.change_log"
        "    where changes::text like '%%' || %(email)s || '%%') as count",
        email=EMAIL,
    )
    return int(row["count"])


def is_living(world: World, remote_id: int) -> bool:
    return remote_id in world.store("contacts").living


async def test_a_person_erased_in_one_crm_is_erased_here_and_another_crm_waits_for_a_word(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
) -> None:
    async with two_crms(db, settings, tenant_id) as (one, other, first_id, second_id):
        await tell(one, first_id)
        await go_on(one, database_urls)
        assert await mentions(one) == 0
        assert await states(one) == {"first": "done", "second": "review"}
        assert is_living(other.world, second_id)
        # What stays there does not come back, whatever is read again.
        await other.sync("contacts", full=True)
        assert await mentions(one) == 0
        [row] = await one.select("select source, requested_by, state from sync.erasures")
        assert row == {"source": "webhook", "requested_by": "first", "state": "sending"}


async def test_another_crm_erases_the_person_too_where_it_is_set_to(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
) -> None:
    async with two_crms(db, settings, tenant_id) as (one, other, first_id, second_id):
        await other.execute(
            'update sync.connections set settings = settings || \'{"erasures": "everywhere"}\''
            " where tenant_id = %(tenant_id)s and name = 'second'"
        )
        await tell(one, first_id)
        await go_on(one, database_urls)
        assert await states(one) == {"first": "done", "second": "done"}
        assert second_id in other.world.store("contacts").erased
        [row] = await one.select("select state from sync.erasures")
        assert row == {"state": "done"}


async def test_the_same_erasure_told_again_orders_nothing_again(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
) -> None:
    async with two_crms(db, settings, tenant_id) as (one, _, first_id, __):
        await tell(one, first_id)
        await go_on(one, database_urls)
        await work_off(one, told(first_id), told(first_id))
        assert len(await one.select("select from sync.erasures")) == 1


async def test_a_webhook_about_somebody_erased_here_brings_nobody_back(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
) -> None:
    async with two_crms(db, settings, tenant_id) as (one, other, first_id, second_id):
        await tell(one, first_id)
        await go_on(one, database_urls)
        other.world.update("contacts", second_id, {"firstname": "Petra again"})
        await work_off(other, [event("contacts", second_id)])
        await other.sync("contacts")
        assert await mentions(one) == 0
