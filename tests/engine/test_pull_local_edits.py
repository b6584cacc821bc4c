"""A person's edit here stays until the CRM changes the same field, and is never lost without a trace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest
from simulated import Mirror, mirror_of, world_of

from syncline.config import Settings
from syncline.store.db import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    world = world_of(contacts=5)
    async with mirror_of(world, db, settings, tenant_id) as made:
        await made.pull("contacts")
        yield made


async def contact_of(mirror: Mirror, remote_id: int) -> dict[str, Any]:
    return (await mirror.records("contacts", "contacts"))[str(remote_id)]


async def test_an_edit_stays_when_the_crm_changed_something_else_or_nothing(mirror: Mirror):
    world = mirror.world
    remote_id = world.store("contacts").living[0]
    before = await contact_of(mirror, remote_id)
    await mirror.execute(
        "update crm.contacts set first_name = 'By hand', phone = '+16465550111' where id = %(id)s",
        id=before["id"],
    )
    # Read again as it was,
    await mirror.pull("contacts", full=True)
    assert (await contact_of(mirror, remote_id))["first_name"] == "By hand"
    # and with a change of another field.
    world.update("contacts", remote_id, {"lastname": "By the CRM"})
    run = await mirror.pull("contacts")
    after = await contact_of(mirror, remote_id)
    assert (after["first_name"], after["last_name"]) == ("By hand", "By the CRM")
    assert (after["phone"], after["phone_e164"]) == ("+16465550111", "+16465550111")
    log = await mirror.select("select changes from crm.change_log where run_id = %(r)s", r=run.id)
    assert [row["changes"] for row in log] == [{"last_name": [before["last_name"], "By the CRM"]}]


async def test_an_edit_gives_way_when_the_crm_changed_the_same_field_and_the_log_keeps_it(mirror: Mirror):
    world = mirror.world
    remote_id = world.store("contacts").living[1]
    before = await contact_of(mirror, remote_id)
    await mirror.execute("update crm.contacts set first_name = 'By hand' where id = %(id)s", id=before["id"])
    world.update("contacts", remote_id, {"firstname": "By the CRM"})
    run = await mirror.pull("contacts")
    after = await contact_of(mirror, remote_id)
    assert after["first_name"] == "By the CRM"
    assert after["version"] == before["version"] + 2
    log = await mirror.select(
        "select changes, source, actor, connection_id from crm.change_log"
        " where record_id = %(id)s order by changed_at desc limit 2",
        id=before["id"],
    )
    assert [row["changes"] for row in log] == [
        {"first_name": ["By hand", "By the CRM"]},
        {"first_name": [before["first_name"], "By hand"]},
    ]
    assert [row["source"] for row in log] == ["pull", "sql"]
    assert log[0]["connection_id"] == mirror.connection_id
    assert run.records_updated == 1


async def test_an_edit_that_commits_while_a_pull_waits_for_it_is_not_lost(mirror: Mirror):
    world = mirror.world
    remote_id = world.store("contacts").living[2]
    before = await contact_of(mirror, remote_id)
    world.update("contacts", remote_id, {"lastname": "By the CRM"})
    async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
        await conn.execute("update crm.contacts set first_name = 'By hand' where id = %s", (before["id"],))
        pulling = asyncio.create_task(mirror.pull("contacts"))
        while True:  # until the pull stands behind this transaction
            waiting = await conn.execute(
                "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
            )
            if waiting.rowcount:
                break
            await asyncio.sleep(0.02)
    await pulling
    after = await contact_of(mirror, remote_id)
    assert (after["first_name"], after["last_name"]) == ("By hand", "By the CRM")
    assert after["version"] == before["version"] + 2


async def test_a_contact_made_here_becomes_the_crms_when_it_has_the_same_address(mirror: Mirror):
    world = mirror.world
    await mirror.execute(
        "insert into crm.contacts (tenant_id, id, email, first_name, job_title)"
        " values (%(tenant_id)s, gen_random_uuid(), 'New@here.example', 'Here', 'Founder')"
    )
    world.create("contacts", {"email": "new@here.example", "lastname": "There", "firstname": "Their word"})
    await mirror.pull("contacts")
    rows = await mirror.select("select * from crm.contacts where email_norm = 'new@here.example'")
    [row] = rows
    # One side was empty: filled. Both say something: the newer.
    assert (row["last_name"], row["job_title"]) == ("There", "Founder")
    assert row["first_name"] == "Their word"
    log = await mirror.select(
        "select changes -> 'first_name' as change from crm.change_log"
        " where record_id = %(id)s and action = 'updated'",
        id=row["id"],
    )
    assert [each["change"] for each in log] == [["Here", "Their word"]]
