"""The doctor: every injected fault is named, with the command that mends it; where none is, none is found."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import time_machine
from psycopg import sql
from pydantic import SecretStr

from syncline.actions.connect import Connected, Wish, connect_token
from syncline.actions.doctor import Finding, Thresholds, diagnose
from syncline.actions.hub import Hub, open_hub
from syncline.actions.secret_key import make_key_file
from syncline.actions.setup import migrate_down
from syncline.actions.sync import sync
from syncline.clock import now
from syncline.config import Settings
from syncline.domain.sealing import new_key
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import ALL_SCOPES, DEFAULT_TOKEN
from syncline.store import connections, runs
from syncline.store.db import list_revisions
from syncline.store.roles import admit_roles
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

Connect = Callable[..., Awaitable[Connected]]
Admin = psycopg.AsyncConnection[Any]


def faults_of(findings: list[Finding]) -> dict[str, Finding]:
    return {each.id: each for each in findings if each.level != "ok"}


async def examine(settings: Settings, *, ask_crms: bool = False, **changes: Any) -> dict[str, Finding]:
    return faults_of(await diagnose(settings, ask_crms=ask_crms, thresholds=replace(Thresholds(), **changes)))


async def add_worker(admin: Admin, *, silent_seconds: float) -> None:
    await admin.execute(
        "insert into sync.workers (id, host, pid, version, concurrency, started_at, seen_at) "
        "values (gen_random_uuid(), 'machine-7', 4711, '0', 4, now(), now() - make_interval(secs => %s))",
        [silent_seconds],
    )


async def test_a_sound_installation_has_no_fault(keyed: Settings, connect: Connect, hub: Hub, admin: Admin):
    await connect()
    await sync(hub, objects=["owners", "contacts"])
    await add_worker(admin, silent_seconds=0)
    assert await examine(keyed, ask_crms=True) == {}


async def test_every_fault_has_a_remedy_and_nothing_secret(keyed: Settings, connect: Connect, admin: Admin):
    await connect()
    await admin.execute("alter table crm.contacts disable row level security")
    for finding in (await examine(keyed)).values():
        assert finding.remedy
        assert DEFAULT_TOKEN not in f"{finding.message}{finding.remedy}"


# -- the machine


async def test_a_home_that_is_no_folder(keyed: Settings, tmp_path: Path):
    (tmp_path / "file").write_text("")
    found = await examine(keyed.model_copy(update={"home": tmp_path / "file" / "home"}))
    assert "SYNCLINE_HOME" in str(found["home-writable"].remedy)


async def test_an_embedded_home_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").write_text("")
    found = await examine(Settings(home=tmp_path / "file" / "home"))
    assert found["home-writable"].level == "fail"


async def test_a_key_file_that_others_can_read(keyed: Settings):
    settings = keyed.model_copy(update={"secret_key": None})
    make_key_file(settings.home)
    (settings.home / "secret.key").chmod(0o644)
    found = await examine(settings)
    assert str(found["key-file-private"].remedy).startswith("chmod 600 ")


async def test_a_disk_that_is_nearly_full(keyed: Settings):
    found = await examine(keyed, disk_free_bytes=1 << 60)
    assert "du -xh" in str(found["disk-space"].remedy)


# -- the database


async def test_a_database_that_cannot_be_reached(home: Path):
    url = SecretStr("postgresql://someone:hidden-word@127.0.0.1:1/nothing")
    found = await examine(Settings(database_url=url, home=home))
    assert "SYNCLINE_DATABASE_URL" in str(found["database-reachable"].remedy)
    assert "hidden-word" not in str(found)


async def test_a_clock_that_disagrees_with_the_databases(keyed: Settings):
    with time_machine.travel(now() + timedelta(hours=1), tick=True):
        found = await examine(keyed)
    assert "timedatectl" in str(found["database-clock"].remedy)


async def test_a_schema_that_is_behind(keyed: Settings):
    await migrate_down(keyed, list_revisions()[-2])
    found = await examine(keyed)
    assert found["schema"].remedy == "syncline migrate"


async def test_a_database_without_a_schema(empty_database: DatabaseUrls, home: Path):
    found = await examine(Settings(database_url=SecretStr(empty_database.app), home=home))
    assert found["schema"].remedy == "syncline migrate"


async def test_a_database_that_knows_the_letters_of_english_alone(
    server: Any, empty_database: DatabaseUrls, home: Path
):
    name = f"test_letters_{secrets.token_hex(8)}"
    create = "create database {} template template0 locale_provider libc locale 'C'"
    async with await psycopg.AsyncConnection.connect(empty_database.superuser, autocommit=True) as conn:
        await conn.execute(sql.SQL(create).format(sql.Identifier(name)))
    # Dropped with the next database that is made.
    server.dropped.append(name)
    urls = server.urls_of(name)
    async with await psycopg.AsyncConnection.connect(urls.superuser, autocommit=True) as conn:
        await admit_roles(conn)
    finding = (await examine(Settings(database_url=SecretStr(urls.app), home=home)))["database-letters"]
    assert finding.level == "fail"
    assert "C.UTF-8" in str(finding.remedy)


async def test_a_schema_that_is_ahead(keyed: Settings, admin: Admin):
    await admin.execute("update app.alembic_version set version_num = '9999'")
    assert "upgrade" in str((await examine(keyed))["schema"].remedy)


async def test_a_role_that_is_a_superuser(keyed: Settings, database_urls: DatabaseUrls):
    found = await examine(keyed.model_copy(update={"database_url": SecretStr(database_urls.superuser)}))
    assert "is a superuser" in found["database-role"].message
    assert "syncline_app" in str(found["database-role"].remedy)


async def test_a_role_that_owns_the_tables(keyed: Settings, database_urls: DatabaseUrls):
    found = await examine(keyed.model_copy(update={"database_url": SecretStr(database_urls.admin)}))
    assert "owns" in found["database-role"].message


async def test_a_role_that_bypasses_row_level_security(
    keyed: Settings, database_urls: DatabaseUrls, admin: Admin
):
    # A role of its own: roles are the server's, and other tests use the application's.
    name = f"bypasser_{admin.info.backend_pid}"
    await admin.execute(f"create role {name} login bypassrls password 'made-up' in role syncline_app")  # type: ignore[arg-type]
    try:
        _, _, place = database_urls.app.rpartition("@")
        url = SecretStr(f"postgresql://{name}:made-up@{place}")
        found = await examine(keyed.model_copy(update={"database_url": url}))
        assert "BYPASSRLS" in found["database-role"].message
    finally:
        await admin.execute(f"drop role {name}")  # type: ignore[arg-type]


async def test_row_level_security_that_is_off(keyed: Settings, admin: Admin):
    await admin.execute("alter table crm.deals disable row level security")
    finding = (await examine(keyed))["row-level-security"]
    assert "crm.deals" in finding.message
    assert "alter table crm.deals enable row level security" in str(finding.remedy)


async def test_a_policy_that_is_missing_and_the_remedy_mends_it(keyed: Settings, admin: Admin):
    await admin.execute("drop policy tenant_isolation on crm.tasks")
    finding = (await examine(keyed))["tenant-policy"]
    assert "crm.tasks" in finding.message
    await admin.execute(_statement(finding))  # type: ignore[arg-type]
    assert "tenant-policy" not in await examine(keyed)


async def test_a_trigger_that_is_disabled_and_the_remedy_mends_it(keyed: Settings, admin: Admin):
    await admin.execute("alter table crm.contacts disable trigger capture_change")
    finding = (await examine(keyed))["change-capture"]
    assert "disabled" in finding.message
    await admin.execute(_statement(finding))  # type: ignore[arg-type]
    assert "change-capture" not in await examine(keyed)


async def test_a_trigger_that_is_missing_and_the_remedy_mends_it(keyed: Settings, admin: Admin):
    await admin.execute("drop trigger capture_change on crm.companies")
    finding = (await examine(keyed))["change-capture"]
    assert "crm.companies" in finding.message
    await admin.execute(_statement(finding))  # type: ignore[arg-type]
    assert "change-capture" not in await examine(keyed)


async def test_a_partition_that_nobody_made_and_the_remedy_mends_it(keyed: Settings, admin: Admin):
    month = (now().date().replace(day=1) + timedelta(days=32)).strftime("%Y_%m")
    await admin.execute(f"drop table crm.change_log_{month}")  # type: ignore[arg-type]
    finding = (await examine(keyed))["change-log-partitions"]
    assert month.replace("_", "-") in finding.message
    await admin.execute(_statement(finding))  # type: ignore[arg-type]
    assert "change-log-partitions" not in await examine(keyed)


async def test_a_transaction_that_stays_open(keyed: Settings, database_urls: DatabaseUrls):
    async with await psycopg.AsyncConnection.connect(database_urls.admin) as conn:
        await conn.execute("select 1")
        pid = conn.info.backend_pid
        found = await examine(keyed, long_transaction_seconds=0.0)
        assert f"pg_terminate_backend({pid})" in str(found["long-transactions"].remedy)
        await conn.rollback()


def _statement(finding: Finding) -> str:
    """Return what the remedy has psql run."""
    remedy = str(finding.remedy)
    assert remedy.startswith('syncline psql --admin -- -c "')
    return remedy.split('"')[1]


# -- the work


async def test_a_worker_that_has_stalled(keyed: Settings, admin: Admin):
    await add_worker(admin, silent_seconds=300)
    finding = (await examine(keyed))["worker-alive"]
    assert "machine-7" in finding.message
    assert "syncline worker" in str(finding.remedy)


async def test_schedules_that_nobody_serves(keyed: Settings, connect: Connect, admin: Admin):
    await connect()
    await admin.execute("update sync.schedules set next_at = now() - interval '1 hour'")
    finding = (await examine(keyed))["schedules-served"]
    assert (finding.level, finding.remedy) == ("fail", "syncline worker")
    await add_worker(admin, silent_seconds=0)
    assert (await examine(keyed))["schedules-served"].level == "warn"


async def test_a_schedule_that_was_switched_off(keyed: Settings, connect: Connect, admin: Admin):
    await connect()
    await admin.execute(
        "update sync.schedules set enabled = false, problem = 'It cannot be kept.' where object = 'deals'"
    )
    assert "cannot be kept" in (await examine(keyed))["schedules-valid"].message


async def test_runs_that_wait_for_a_worker(keyed: Settings, hub: Hub, connect: Connect):
    connection = (await connect()).connection
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await runs.request(
            conn,
            tenant_id=hub.tenant_id,
            connection_id=connection.id,
            object_name="deals",
            mode="manual",
            requested_by="sql",
            now=now() - timedelta(hours=1),
        )
    finding = (await examine(keyed))["runs-waiting"]
    assert "deals of acme" in finding.message
    assert finding.remedy == "syncline worker"


async def test_a_queue_that_is_full(keyed: Settings, connect: Connect, admin: Admin):
    connection = (await connect()).connection
    await admin.execute(
        "insert into sync.queue (tenant_id, connection_id, record_type, record_id, fields, queued_at, "
        "not_before) select %s, %s, 'contact', gen_random_uuid(), '{}', now(), now() "
        "from generate_series(1, 3)",
        [connection.tenant_id, connection.id],
    )
    assert "3 changed records" in (await examine(keyed, unpushed_records=2))["queue-depth"].message


async def test_a_last_run_that_failed(keyed: Settings, hub: Hub, world: World, connect: Connect):
    await connect()
    world.auth.add_token(DEFAULT_TOKEN, ALL_SCOPES - {"crm.objects.deals.read"})
    await sync(hub, objects=["deals"])
    assert (await examine(keyed))["last-runs"].remedy == "syncline sync acme --object deals"


async def test_records_that_are_parked(keyed: Settings, hub: Hub, world: World, connect: Connect):
    await connect()
    world.plant_all_defects()
    await sync(hub, objects=["contacts"])
    assert (await examine(keyed))["parked-records"].remedy == "syncline parked acme --object contacts"


# -- the CRMs


async def test_a_connection_that_is_paused(keyed: Settings, hub: Hub, connect: Connect):
    connection = (await connect()).connection
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await connections.pause(
            conn, connection.id, "Somebody asked for it.", tenant_id=hub.tenant_id, now=now()
        )
    finding = (await examine(keyed))["connection-paused"]
    assert "Somebody asked for it" in finding.message
    assert finding.remedy == "HUBSPOT_API_KEY=TOKEN syncline connect hubspot --name acme"


async def test_a_token_that_was_revoked(keyed: Settings, world: World, connect: Connect):
    await connect()
    world.auth.revoke(DEFAULT_TOKEN)
    finding = (await examine(keyed, ask_crms=True))["crm-token"]
    assert "syncline connect hubspot --name acme" in str(finding.remedy)


async def test_a_permission_that_was_taken_away(keyed: Settings, world: World, connect: Connect):
    await connect()
    world.auth.add_token(DEFAULT_TOKEN, ALL_SCOPES - {"crm.objects.companies.read"})
    finding = (await examine(keyed, ask_crms=True))["crm-permissions"]
    assert "crm.objects.companies.read" in finding.message


async def test_a_host_that_cannot_be_reached(keyed: Settings, connect: Connect, admin: Admin):
    await connect()
    await admin.execute("update sync.connections set base_url = 'http://127.0.0.1:1'")
    assert (await examine(keyed, ask_crms=True))["crm-reachable"].remedy == "curl -I http://127.0.0.1:1"


async def test_a_clock_that_disagrees_with_the_crms(keyed: Settings):
    async with simulator_process() as url, open_hub(keyed) as hub:
        await connect_token(hub, Wish("hubspot", "acme", url, ("companies",)), DEFAULT_TOKEN)
        with time_machine.travel(now() + timedelta(minutes=5), tick=True):
            found = await examine(keyed, ask_crms=True)
    assert "timedatectl" in str(found["crm-clock"].remedy)


async def test_a_key_that_does_not_open_the_credentials(keyed: Settings, connect: Connect):
    await connect()
    other = keyed.model_copy(update={"secret_key": SecretStr(new_key())})
    finding = (await examine(other, ask_crms=True))["credentials-open"]
    assert "acme" in finding.message
    assert "SYNCLINE_SECRET_KEY=NEW,OLD" in str(finding.remedy)


async def test_a_key_that_is_missing_is_not_made_in_passing(keyed: Settings, connect: Connect):
    await connect()
    without = keyed.model_copy(update={"secret_key": None})
    assert (await examine(without))["credentials-open"].level == "fail"
    assert not (keyed.home / "secret.key").exists()


async def test_a_quota_that_is_nearly_used_up(keyed: Settings, connect: Connect, admin: Admin):
    await connect()
    await admin.execute("update sync.quota_days set used = 950, max_calls = 1000")
    assert "95%" in (await examine(keyed))["crm-quota"].message


@asynccontextmanager
async def simulator_process() -> AsyncGenerator[str]:
    """Run a simulated CRM whose clock is its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "syncline", "simulate", "hubspot", "--port", "0", "--guided", "--contacts", "1",
        "--companies", "2", "--deals", "1", "--calls", "0", "--emails", "0", "--notes", "0",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield json.loads(await process.stdout.readline())["url"]
    finally:
        process.stdin.close()
        await process.wait()
