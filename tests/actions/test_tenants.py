"""Tenants: made, renamed, suspended, let go on, and what of a suspended one is passed by."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from colleagues import caller_of, make_tenant, operator
from syncline.actions.audit import list_audit
from syncline.actions.connect import Connected
from syncline.actions.hub import Hub, open_hub
from syncline.actions.tenants import (
    create_tenant,
    list_tenants,
    rename_tenant,
    resume_tenant,
    suspend_tenant,
)
from syncline.actions.work import Runner
from syncline.clock import now
from syncline.config import Settings
from syncline.engine.listen import list_attended
from syncline.engine.work import RunJob
from syncline.errors import AlreadyExists, Forbidden, Invalid, NotFound
from syncline.store import inbox, runs, schedules

pytestmark = pytest.mark.anyio


async def test_a_tenant_is_made_with_its_settings_and_seen_by_its_people(hub: Hub):
    boss = await caller_of(hub, "boss", "admin", operator=True)
    made = await create_tenant(
        hub, boss, "acme", " Acme ", time_zone="Europe/Berlin", currency="eur", region="de"
    )
    assert (made.slug, made.label, made.status, made.time_zone) == ("acme", "Acme", "active", "Europe/Berlin")
    assert [each.slug for each in await list_tenants(hub, boss)] == ["acme", "default"]
    plain = await caller_of(hub, "ada", "admin")
    assert [each.slug for each in await list_tenants(hub, plain)] == ["default"]
    with pytest.raises(AlreadyExists):
        await create_tenant(hub, boss, "acme", "Another")
    with pytest.raises(Forbidden):
        await create_tenant(hub, plain, "mine", "Mine")


async def test_two_made_at_once_with_one_name_are_one(hub: Hub, keyed: Settings):
    async with open_hub(keyed, application_name="another") as another:
        tries = [create_tenant(each, operator(each), "acme", "Acme") for each in (hub, another) * 3]
        ended = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, AlreadyExists) for each in ended) == 5
    assert len(await list_tenants(hub, operator(hub))) == 2


@pytest.mark.parametrize("slug", ["", "Acme", "-a", "a b", "a/b", "ä", "x" * 64, "a\n"])
async def test_a_name_that_commands_cannot_use_is_refused(hub: Hub, slug: str):
    with pytest.raises(Invalid) as wrong:
        await create_tenant(hub, operator(hub), slug, "Acme")
    assert set(wrong.value.fields) == {"slug"}


async def test_an_admin_renames_their_own_tenant_and_an_operator_any(hub: Hub):
    await make_tenant(hub, "acme")
    admin, manager = await caller_of(hub, "ada", "admin"), await caller_of(hub, "grace", "manager")
    assert (await rename_tenant(hub, admin, "default", "Home")).label == "Home"
    for caller, slug in ((manager, "default"), (admin, "acme")):
        with pytest.raises(Forbidden):
            await rename_tenant(hub, caller, slug, "Mine")
    await rename_tenant(hub, operator(hub), "acme", "Acme Group")
    assert [each.label for each in await list_tenants(hub, operator(hub))] == ["Acme Group", "Home"]


async def test_suspending_is_for_operators_and_never_for_the_tenant_one_is_in(hub: Hub):
    acme = await make_tenant(hub, "acme")
    admin = await caller_of(acme, "ada", "admin")
    boss = await caller_of(hub, "boss", "admin", operator=True)
    with pytest.raises(Forbidden):
        await suspend_tenant(acme, admin, "acme")
    with pytest.raises(Forbidden):
        await resume_tenant(acme, admin, "acme")
    with pytest.raises(Invalid):
        await suspend_tenant(hub, boss, "default")
    with pytest.raises(NotFound):
        await suspend_tenant(hub, boss, "nowhere")
    for _ in range(2):
        assert (await suspend_tenant(hub, boss, "acme")).status == "suspended"
    await resume_tenant(hub, boss, "acme")
    told = [each.action for each in (await list_audit(acme, operator(acme))).entries]
    assert told[:2] == ["tenant.resumed", "tenant.suspended"]
    assert told.count("tenant.suspended") == 1


async def test_nothing_of_a_suspended_tenant_is_worked_on(
    hub: Hub, connect: Callable[..., Awaitable[Connected]], keyed: Settings
):
    made = await connect()
    connection = made.connection
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        run_id = await runs.request(
            conn,
            tenant_id=hub.tenant_id,
            connection_id=connection.id,
            object_name="contacts",
            mode="incremental",
            requested_by="test",
            now=now(),
        )
    await suspend_tenant(hub, operator(hub), "default")
    async with hub.db.statement() as conn:
        assert await schedules.list_due_tenants(conn, now()) == []
        platform = connection.platform
        assert await inbox.find_receivers(conn, platform, account=None, called="acme", slug=None) == []
    assert await list_attended(hub.db) == []
    job = RunJob(hub.tenant_id, connection.id, "contacts", "incremental", run_id, asyncio.Event())
    async with hub.remotes() as remotes:
        await Runner(hub.db, remotes, keyed).run(job)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        assert (await runs.get(conn, run_id, tenant_id=hub.tenant_id)).status == "pending"
    await resume_tenant(hub, operator(hub), "default")
    async with hub.db.statement() as conn:
        assert await schedules.list_due_tenants(conn, now()) == [hub.tenant_id]
