"""A first load of Pipedrive makes few calls besides its pages: each costs a slot of a small quota."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import UUID

import pytest
from test_pipedrive_sync import mirror_of, world_behind, world_of

from syncline.config import Settings
from syncline.store.db import Database

pytestmark = pytest.mark.anyio

PAGE = 500
LOADED = ("persons", "organizations", "deals")


async def test_what_several_objects_need_is_asked_for_once(db: Database, settings: Settings, tenant_id: UUID):
    world = world_of(contacts=20, organizations=5, deals=5)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("users")
        await asyncio.gather(*(mirror.pull(name) for name in LOADED))
        paths = Counter(call.path.partition("?")[0] for call in world_behind(mirror).calls)
    # Whose token it is tells the time, too; and a list of users that was read is not read again to compare.
    assert (paths["/v1/users/me"], paths["/v1/users"]) == (1, 1)
    assert all(paths[f"/api/v2/{name}Fields"] == 1 for name in ("person", "organization", "deal"))


async def test_ranges_cost_hardly_more_pages_than_one_cursor(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=10_400)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        run = await mirror.pull("persons")
        calls = [each for each in world_behind(mirror).calls if each.path.startswith("/api/v2/persons")]
    assert run.records_created == 10_400
    pages, probes, ranges = -(-10_400 // PAGE), 2, 2
    assert len(calls) <= pages + probes + ranges - 1


async def test_a_user_who_is_gone_is_noticed_by_the_list_that_was_read(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of()
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("users")
        gone = world.users.pop()
        await mirror.pull("users")
        owners = await mirror.select("select remote_id, archived_at from raw.pipedrive_users")
    assert {row["remote_id"]: row["archived_at"] is not None for row in owners}[str(gone.user_id)]
