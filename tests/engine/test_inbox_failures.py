"""Whatever happens while an inbox is worked off: nothing is lost, nothing comes twice, nobody is held up."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from uuid import UUID

import psycopg
import pytest
from hooked import deliver, give_secret, inbox_of, runs_of, settled, work_off, working
from simulated import (
    BATCH,
    TOKEN,
    Mirror,
    Watch,
    assert_mirrors,
    insert_connection,
    mirror_of,
    reopened,
    world_of,
)

from pooler import transaction_pooler
from syncline.clock import now
from syncline.config import Settings
from syncline.connectors.hubspot.platform import HUBSPOT
from syncline.connectors.registry import PLATFORMS
from syncline.connectors.webhooks import WebhookEvent
from syncline.domain.sealing import Vault, new_key
from syncline.engine.burst import MOST_ATTEMPTS
from syncline.engine.inbox import prune_inboxes, serve_inbox
from syncline.engine.remotes import Remotes
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls
from tiny_webhooks import TINY, event, parse, tiny

__all__ = ["tiny"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("tiny")]

PROCESS = Path(__file__).with_name("inbox_process.py")
OTHER_TENANT = UUID("00000000-0000-7000-8000-000000000002")


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    async with mirror_of(world_of(contacts=40), db, settings, tenant_id) as made:
        await made.sync("owners", "contacts")
        made.forget_requests()
        yield made


def edit(mirror: Mirror, count: int, city: str) -> list[int]:
    ids = mirror.world.store("contacts").living[:count]
    for each in ids:
        mirror.world.update("contacts", each, {"city": city})
    return ids


async def test_a_paused_connection_keeps_its_inbox_until_it_goes_on(mirror: Mirror):
    ids = edit(mirror, 3, "Aarau")
    await mirror.execute("update sync.connections set status = 'paused', paused_reason = 'tested'")
    await deliver(mirror, [event("contacts", each) for each in ids])
    other = edit(mirror, 1, "Baden")
    async with mirror_of(mirror.world, mirror.db, mirror.settings, mirror.tenant_id, name="second") as second:
        # Another connection's inbox goes on meanwhile.
        await deliver(second, [event("contacts", other[0])])
        async with working(second):
            while any(
                row["state"] == "pending"
                for row in await inbox_of(second)
                if row["connection_id"] == second.connection_id
            ):
                await asyncio.sleep(0.02)
        assert [row["state"] for row in await inbox_of(mirror)] == ["pending", "done"]
        await mirror.execute("update sync.connections set status = 'active', paused_reason = null")
        async with working(mirror):
            rows = await settled(mirror)
    assert [row["state"] for row in rows] == ["done", "done"]
    assert await cities(mirror, ids[1:]) == {"Aarau"}


async def cities(mirror: Mirror, ids: list[int]) -> set[str | None]:
    rows = await mirror.raw("contacts")
    return {rows[str(each)]["raw"]["properties"]["city"] for each in ids}


async def test_a_token_that_is_gone_pauses_the_connection_and_costs_no_delivery(mirror: Mirror):
    ids = edit(mirror, 2, "Thun")
    mirror.world.auth.revoke(TOKEN)
    await deliver(mirror, [event("contacts", each) for each in ids])
    async with working(mirror):
        while (await mirror.select("select status from sync.connections"))[0]["status"] == "active":
            await asyncio.sleep(0.02)
    (row,) = await inbox_of(mirror)
    assert (row["state"], row["attempts"]) == ("pending", 0)
    assert [run["status"] for run in await runs_of(mirror)] == ["failed"]


async def test_one_delivery_that_cannot_be_worked_off_takes_no_other_with_it(mirror: Mirror):
    ids = edit(mirror, 6, "Visp")
    bursts = [[event("contacts", each)] for each in ids]
    await deliver(mirror, *bursts[:3], [event("contacts", "no\0id")], *bursts[3:])
    async with working(mirror):
        while sum(row["state"] == "done" for row in await inbox_of(mirror)) < 6:
            await asyncio.sleep(0.02)
    assert await cities(mirror, ids) == {"Visp"}
    (left,) = [row for row in await inbox_of(mirror) if row["state"] != "done"]
    assert (left["state"], left["attempts"]) == ("pending", 1)
    assert left["not_before"] > left["received_at"]
    assert left["last_error"]


async def test_a_delivery_that_fails_again_and_again_is_given_up_and_shown(mirror: Mirror):
    one = mirror.world.store("contacts").living[0]
    await deliver(mirror, [event("contacts", one, "erased")])  # which is not true
    await mirror.execute("update sync.inbox set attempts = %(attempts)s", attempts=MOST_ATTEMPTS - 1)
    async with working(mirror):
        (row,) = await settled(mirror)
    assert (row["state"], row["attempts"]) == ("failed", MOST_ATTEMPTS)
    assert "still has it" in row["last_error"]


async def test_waiting_for_quota_is_no_failure_of_a_delivery(mirror: Mirror):
    one = edit(mirror, 1, "Wil")[0]
    mirror.world.settings.daily_limit = 1
    await deliver(mirror, [event("contacts", one)])
    async with working(mirror):
        while (await inbox_of(mirror))[0]["last_error"] is None:
            await asyncio.sleep(0.02)
    (row,) = await inbox_of(mirror)
    assert (row["state"], row["attempts"]) == ("pending", 0)
    assert row["not_before"] - row["received_at"] > timedelta(seconds=1)


async def test_what_cannot_be_understood_any_more_is_not_in_the_way(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
):
    ids = edit(mirror, 2, "Zofingen")
    strange = event("contacts", ids[1]) | {"event": "strange"}
    await deliver(mirror, [event("contacts", ids[0])], [strange])

    def parse_with_less(body: bytes) -> list[WebhookEvent]:
        if b"strange" in body:
            raise ValueError
        return parse(body)

    platform = replace(HUBSPOT, webhooks=replace(TINY, parse=parse_with_less))
    monkeypatch.setitem(PLATFORMS, "hubspot", platform)
    async with working(mirror):
        while [row["attempts"] for row in await inbox_of(mirror)] != [0, 1]:
            await asyncio.sleep(0.02)
    assert await cities(mirror, ids[:1]) == {"Zofingen"}


async def test_two_workers_share_the_inboxes_and_read_nothing_twice(
    mirror: Mirror, database_urls: DatabaseUrls
):
    ids = edit(mirror, 20, "Sursee")
    async with (
        mirror_of(mirror.world, mirror.db, mirror.settings, mirror.tenant_id, name="second") as second,
        reopened(mirror, database_urls.app) as other,
    ):
        await second.pull("contacts")
        mirror.forget_requests()
        for each in ids:
            await deliver(mirror, [event("contacts", each)])
            await deliver(second, [event("contacts", each)])
        # The tests' connections seal with a key each; a worker has but one.
        await use_vault(second, mirror.vault)
        async with working(mirror), working(other):
            await settled(mirror)
    assert await cities(mirror, ids) == {"Sursee"}
    runs = await runs_of(mirror)
    assert {run["status"] for run in runs} == {"success"}
    assert len({run["connection_id"] for run in runs}) == 2
    for connection_id in {run["connection_id"] for run in runs}:
        begun = [run for run in runs if run["connection_id"] == connection_id]
        for earlier, later in pairwise(begun):
            assert earlier["completed_at"] <= later["started_at"]
    changes = await mirror.select(
        "select count(*), count(distinct record_id) as records from crm.change_log where action = 'updated'"
    )
    assert changes[0]["count"] == changes[0]["records"]


async def use_vault(mirror: Mirror, vault: Vault) -> None:
    mirror.vault = vault
    await give_secret(mirror)


async def test_a_worker_that_is_killed_between_reading_and_committing_loses_nothing(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
):
    key, rng = new_key(), Random()
    async with mirror_of(world_of(contacts=30), db, settings, tenant_id, vault=Vault([key])) as mirror:
        await mirror.sync("owners", "contacts")
        answered = asyncio.Event()
        Watch(mirror.world, lambda route: answered.set() if route == BATCH else None)
        for city in ("Aigle", "Bex", "Crans"):
            ids = edit(mirror, 5, city)
            await deliver(mirror, [event("contacts", each) for each in ids])
            answered.clear()
            process = await start(database_urls.app, key)
            async with asyncio.timeout(30):
                await answered.wait()
            await asyncio.sleep(rng.random() * 0.02)  # anywhere between the answer and the commit
            process.kill()
            await process.wait()
        async with working(mirror, lease_seconds=1):
            rows = await settled(mirror)
        assert {row["state"] for row in rows} == {"done"}
        assert {run["status"] for run in await runs_of(mirror)} <= {"success", "failed"}
        await assert_mirrors(mirror, "contacts")
        assert await cities(mirror, ids) == {"Crans"}


async def start(url: str, key: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PROCESS), stdin=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"url": url, "key": key}).encode())
    process.stdin.close()
    return process


async def test_two_tenants_never_mix(mirror: Mirror, database_urls: DatabaseUrls):
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        await conn.execute(
            "insert into app.tenants (tenant_id, slug, label) values (%s, 'theirs', 'Theirs')", [OTHER_TENANT]
        )
    connection_id = await insert_connection(
        mirror.db, mirror.vault, mirror.url, tenant_id=OTHER_TENANT, name="main"
    )
    theirs = replace(mirror, tenant_id=OTHER_TENANT, connection_id=connection_id)
    ours = mirror.world.store("contacts").living[0]
    await deliver(theirs, [event("contacts", ours)])
    async with working(mirror):
        await settled(theirs)
    assert await inbox_of(mirror) == []
    assert [row["state"] for row in await inbox_of(theirs)] == ["done"]
    assert (await theirs.records("contacts", "contacts")).keys() == {str(ours)}
    assert await runs_of(mirror) == []


async def test_behind_a_transaction_pooler_inboxes_are_worked_off_as_well(
    mirror: Mirror, database_urls: DatabaseUrls
):
    # An echo: the tests' pooler does not know COPY, by which what is new is written.
    ids = mirror.world.store("contacts").living[:3]
    await deliver(mirror, [event("contacts", each) for each in ids])
    async with (
        transaction_pooler(database_urls.app) as (url, _),
        Database.open(url, application_name="pooled", max_size=4) as db,
        Remotes(db, mirror.vault) as remotes,
    ):
        assert db.pooled
        async with working(replace(mirror, db=db, remotes=remotes)):
            await settled(mirror)
    assert [(run["status"], run["records_unchanged"]) for run in await runs_of(mirror)] == [("success", 3)]


async def test_who_rings_is_heard_before_the_next_look(mirror: Mirror, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("syncline.engine.inbox.POLL_SECONDS", 3600.0)
    bell, stop = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(
        serve_inbox(mirror.db, mirror.remotes, mirror.settings, stop=stop, bell=bell)
    )
    one = edit(mirror, 1, "Luzern")[0]
    await deliver(mirror, [event("contacts", one)])
    bell.set()
    await settled(mirror)
    stop.set()
    await serving
    assert await cities(mirror, [one]) == {"Luzern"}


async def test_what_was_worked_off_is_forgotten_after_a_week_and_refusals_are_bounded(mirror: Mirror):
    one = mirror.world.store("contacts").living[0]
    for _ in range(3):
        await work_off(mirror, [event("contacts", one)])
    await mirror.execute(
        "update sync.inbox set ended_at = %(at)s where id = (select min(id::text)::uuid from sync.inbox)",
        at=now() - timedelta(days=8),
    )
    await mirror.execute(
        "update sync.runs set completed_at = completed_at - interval '2 days' where mode = 'webhook'"
    )
    await mirror.execute(
        "insert into sync.refused_webhooks (id, platform, reason, network, first_at, last_at, count)"
        " select gen_random_uuid(), 'hubspot', 'x', '', now(), now(), 1 from generate_series(1, 10500)"
    )
    await prune_inboxes(mirror.db)
    assert len(await inbox_of(mirror)) == 2
    assert await runs_of(mirror) == []  # none of them changed anything
    left = await mirror.select("select count(*) from sync.refused_webhooks")
    assert left[0]["count"] == 10_000
