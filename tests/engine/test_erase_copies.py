"""What is written down from other places while a person is removed leaves nothing of them behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

import psycopg
import pytest
from simulated import Mirror, mirror_of, world_of

from syncline.clock import now
from syncline.config import Settings
from syncline.domain.sealing import Vault, new_key
from syncline.engine.barring import Order, put_order
from syncline.engine.erase import Eraser
from syncline.engine.persons import Sought, find_person
from syncline.engine.pull import Order as PullOrder
from syncline.engine.reconcile import reconcile
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

EMAIL = "petra@people.example"


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    world = world_of(contacts=3)
    world.create("contacts", {"email": EMAIL, "firstname": "Petra", "lastname": "Fall"})
    async with mirror_of(world, db, settings, tenant_id, vault=Vault([new_key()])) as made:
        await made.pull("contacts")
        yield made


async def order(mirror: Mirror) -> UUID:
    async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
        person = await find_person(conn, Sought(emails=(EMAIL,)), tenant_id=mirror.tenant_id)
        return await put_order(
            conn,
            mirror.vault,
            person.subject,
            Order("test", "cli", {}, {}),
            tenant_id=mirror.tenant_id,
            now=now(),
        )


@pytest.mark.parametrize("report_only", [True, False])
async def test_a_comparison_writes_nothing_down_about_who_is_to_be_erased(
    mirror: Mirror, database_urls: DatabaseUrls, report_only: bool
) -> None:
    """It reads what stands here yet, and where it writes may have been cleared already."""
    store = mirror.world.store("contacts")
    for remote_id in store.living:
        mirror.world.update("contacts", remote_id, {"jobtitle": "Told by nobody"})
    [row] = await mirror.select("select id from contacts where email = %(email)s", email=EMAIL)
    erasure_id = await order(mirror)
    asked = PullOrder("contacts", requested_by="test")
    await reconcile(mirror.db, await mirror.open(), asked, mirror.settings, report_only=report_only)
    rows = await mirror.select("select record_id from sync.drift")
    assert row["id"] not in [each["record_id"] for each in rows]
    assert bool(rows) == report_only
    assert await Eraser(mirror.db, mirror.remotes, database_urls.admin).go_on(mirror.tenant_id, erasure_id)


async def test_what_is_put_back_into_a_place_that_is_cleared_already_is_taken_out_again(
    mirror: Mirror, database_urls: DatabaseUrls
) -> None:
    told = f"Ask {EMAIL}."
    await mirror.execute(
        "insert into crm.companies (tenant_id, id, name, description)"
        " values (%(tenant_id)s, gen_random_uuid(), 'Acme', %(told)s)",
        told=told,
    )
    erasure_id = await order(mirror)
    async with await psycopg.AsyncConnection.connect(database_urls.superuser) as blocking:
        await blocking.execute("lock table app.saved_views in access exclusive mode")
        eraser = Eraser(mirror.db, mirror.remotes, database_urls.admin)
        erasing = asyncio.create_task(eraser.go_on(mirror.tenant_id, erasure_id))
        async with asyncio.timeout(60):
            while not await mirror.select("select 1 from sync.erasures where removed ? 'crm.change_log'"):
                await asyncio.sleep(0.05)
        await mirror.execute("update crm.companies set description = %(told)s", told=told)
    assert await erasing
    [row] = await mirror.select(
        "select (select description from crm.companies) as told,"
        " (select count(*) from crm.change_log l where l.changes::text like %(like)s) as found",
        like=f"%{EMAIL}%",
    )
    assert row == {"told": "Ask [erased].", "found": 0}
