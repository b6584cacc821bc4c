"""Channels and the rules that name them: whoever comes first, no rule names a channel that is not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import psycopg
import pytest

from syncline.actions.alert_rules import set_rules, show_rules
from syncline.actions.channels import add_channel, list_channels, remove_channel
from syncline.actions.hub import Hub
from syncline.domain.callers import Caller
from syncline.errors import Invalid
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio
Psql = psycopg.AsyncConnection[Any]

NAMING = "alerts: [{name: stuck, condition: queue_age_minutes > 15, notify: slack:ops}]"
NOT_NAMING = NAMING.replace("slack:ops", "role:admin")


@pytest.fixture
def ada(hub: Hub) -> Caller:
    return Caller(hub.tenant_id, "admin", "ada@example.com", "cli", is_operator=True)


@pytest.fixture
async def ops(hub: Hub, ada: Caller) -> None:
    """A channel that no rule names yet."""
    await add_channel(hub, ada, "slack", "ops", "https://hooks.chat.example.com/services/T0/B0/x")
    await set_rules(hub, ada, NOT_NAMING)


@pytest.fixture
async def in_the_way(database_urls: DatabaseUrls) -> AsyncGenerator[Psql]:
    """A session that holds others up with what it locks, until it commits."""
    async with await psycopg.AsyncConnection.connect(database_urls.superuser) as conn:
        yield conn


async def run_until_held_up(admin: Psql, work: Coroutine[Any, Any, Any], held_up: int) -> asyncio.Task[Any]:
    """Begin something, and wait until it is done or so many sessions wait for locks."""
    task = asyncio.create_task(work)
    async with asyncio.timeout(30):
        while not task.done():
            cursor = await admin.execute(
                "select count(distinct pid) from pg_locks l where not granted and pid in"
                " (select pid from pg_stat_activity where datname = current_database())"
            )
            row = await cursor.fetchone()
            if row is not None and row[0] >= held_up:
                break
            await asyncio.sleep(0.01)
    return task


async def test_a_channel_stays_that_is_removed_while_rules_begin_to_name_it(
    hub: Hub, ada: Caller, ops: None, admin: Psql, in_the_way: Psql
) -> None:
    await in_the_way.execute("select from app.alert_rules for update")
    setting = await run_until_held_up(admin, set_rules(hub, ada, NAMING), 1)
    removing = await run_until_held_up(admin, remove_channel(hub, ada, "slack", "ops"), 2)
    await in_the_way.commit()
    async with asyncio.timeout(30):
        await setting
        with pytest.raises(Invalid, match="Alert rules name slack:ops"):
            await removing
    assert [each.name for each in await list_channels(hub, ada)] == ["ops"]


async def test_rules_that_come_while_a_channel_goes_either_keep_it_or_do_not_name_it(
    hub: Hub, ada: Caller, ops: None, admin: Psql, in_the_way: Psql
) -> None:
    await in_the_way.execute("select from app.channels for key share")
    removing = await run_until_held_up(admin, remove_channel(hub, ada, "slack", "ops"), 1)
    setting = await run_until_held_up(admin, set_rules(hub, ada, NAMING), 2)
    await in_the_way.commit()
    async with asyncio.timeout(30):
        await asyncio.gather(setting, removing, return_exceptions=True)
    there = [each.name for each in await list_channels(hub, ada)]
    is_named = (await show_rules(hub, ada)).document == NAMING
    assert (there, is_named) in ((["ops"], True), ([], False))


async def test_rules_wait_for_a_channel_that_goes_and_are_refused(
    hub: Hub, ada: Caller, ops: None, admin: Psql, in_the_way: Psql
) -> None:
    await in_the_way.execute("delete from app.channels")
    setting = await run_until_held_up(admin, set_rules(hub, ada, NAMING), 1)
    await in_the_way.commit()
    async with asyncio.timeout(30):
        with pytest.raises(Invalid, match="there is no channel slack:ops"):
            await setting
    assert (await show_rules(hub, ada)).document == NOT_NAMING
