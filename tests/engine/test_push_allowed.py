"""What is allowed or forbidden while a push runs holds for it from then on, and nothing is passed over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest
from gated import Gate, gate_of
from simulated import Mirror, mirror_of, truth, world_of

from syncline.config import Settings
from syncline.store.db import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    async with mirror_of(world_of(contacts=6, companies=1), db, settings, tenant_id) as made:
        await made.sync("owners", "contacts", "companies")
        await made.make_unique("contacts")
        yield made


@pytest.fixture
async def gate(mirror: Mirror) -> AsyncGenerator[Gate]:
    async with gate_of(mirror) as made:
        yield made


async def ours(mirror: Mirror, number: int) -> UUID:
    """Return one of our contacts, by its place among theirs."""
    remote_id = str(mirror.world.store("contacts").living[number])
    return (await mirror.records("contacts", "contacts"))[remote_id]["id"]


def theirs(mirror: Mirror, number: int) -> dict[str, Any]:
    return truth(mirror.world, "contacts")[str(mirror.world.store("contacts").living[number])]


async def rename(mirror: Mirror, number: int, name: str) -> None:
    await mirror.execute(
        "update crm.contacts set first_name = %(name)s where id = %(id)s",
        name=name,
        id=await ours(mirror, number),
    )


async def grant(mirror: Mirror, scope: str, field: str = "") -> None:
    await mirror.execute(
        "insert into sync.writing (tenant_id, connection_id, object, record_type, scope, field, allowed_at,"
        " allowed_by) values (%(tenant_id)s, %(connection_id)s, 'contacts', 'contact', %(scope)s, %(field)s,"
        " now(), 'test')",
        connection_id=mirror.connection_id,
        scope=scope,
        field=field,
    )


async def test_what_is_allowed_while_a_push_runs_is_sent_by_it(mirror: Mirror, gate: Gate):
    await mirror.allow("contacts", fields=["first_name"])
    held = gate.hold("batch/update")
    await rename(mirror, 0, "First")
    pushing = asyncio.create_task(mirror.push())
    await held.wait()
    await grant(mirror, "create")
    await grant(mirror, "field", "last_name")
    await mirror.execute(
        "insert into crm.contacts (tenant_id, id, first_name, last_name)"
        " values (%(tenant_id)s, gen_random_uuid(), 'New', 'Here')"
    )
    await mirror.execute(
        "update crm.contacts set last_name = 'Second' where id = %(id)s", id=await ours(mirror, 1)
    )
    held.release()
    done = await pushing
    assert (done.created, done.updated, len(done.run_ids)) == (1, 2, 1)
    assert theirs(mirror, 1)["lastname"] == "Second"
    made = [each for each in truth(mirror.world, "contacts").values() if each["firstname"] == "New"]
    assert [each["lastname"] for each in made] == ["Here"]
    assert await mirror.select("select 1 from sync.queue") == []
    [run] = await mirror.select("select status from sync.runs where mode = 'push'")
    assert run["status"] == "success"


async def test_what_is_forbidden_while_a_push_reads_is_not_sent_by_it(mirror: Mirror, gate: Gate):
    await mirror.allow("contacts", fields=["first_name", "last_name"])
    held = gate.hold("batch/read")
    before = theirs(mirror, 0)
    await rename(mirror, 0, "Forbidden")
    await mirror.execute(
        "update crm.contacts set last_name = 'Allowed' where id = %(id)s", id=await ours(mirror, 0)
    )
    pushing = asyncio.create_task(mirror.push())
    await held.wait()
    await mirror.execute("delete from sync.writing where field = 'first_name'")
    held.release()
    assert (await pushing).updated == 1
    after = theirs(mirror, 0)
    assert (after["firstname"], after["lastname"]) == (before["firstname"], "Allowed")
