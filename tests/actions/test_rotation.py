"""The installation's key is changed while everything goes on, and every secret with it."""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from pydantic import SecretStr

from syncline.actions.hub import Hub, open_hub
from syncline.actions.rotation import forget_old, inspect_sealing, rotate
from syncline.actions.secret_key import find_keys, make_key_file, replace_key_file
from syncline.clock import new_id
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.domain.sealing import Vault, new_key
from syncline.errors import Invalid, SettingInvalid
from syncline.store.embedded import EmbeddedServer
from syncline.store.sealed import NOT_SEALED, SEALED, lock_keys
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

Admin = psycopg.AsyncConnection[Any]
OTHER = UUID("00000000-0000-7000-8000-000000000002")
CREDENTIALS = "sync.connections.credentials"


def admin_of(hub: Hub) -> Caller:
    return Caller(hub.tenant_id, "admin", "anna@example.com", "cli")


def with_keys(settings: Settings, *keys: str) -> Settings:
    return settings.model_copy(update={"secret_key": SecretStr(",".join(keys))})


async def store(admin: Admin, tenant_id: UUID, sealed: bytes) -> UUID:
    made = new_id()
    await admin.execute(
        "insert into sync.connections (tenant_id, id, platform, name, base_url, credentials, created_at,"
        " updated_at) values (%s, %s, 'hubspot', %s, 'https://crm.example', %s, now(), now())",
        [tenant_id, made, str(made), sealed],
    )
    return made


async def sealed_of(admin: Admin, connection_id: UUID) -> bytes:
    row = await (
        await admin.execute("select credentials from sync.connections where id = %s", [connection_id])
    ).fetchone()
    assert row is not None
    return bytes(row[0])


async def test_every_secret_of_every_tenant_is_sealed_anew_and_opens_with_the_new_key_alone(
    settings: Settings, hub: Hub, admin: Admin
) -> None:
    await admin.execute(
        "insert into app.tenants (tenant_id, slug, label) values (%s, 'other', 'Other')", [OTHER]
    )
    old, new = new_key(), new_key()
    ids = [await store(admin, each, Vault([old]).seal(b"a token")) for each in (hub.tenant_id, OTHER)]
    async with open_hub(with_keys(settings, new, old)) as both:
        rotated = await rotate(both, admin_of(both))
        assert rotated.resealed == {CREDENTIALS: 2}
        assert rotated.standing.is_settled
        assert (await rotate(both, admin_of(both))).resealed == {}
    for each in ids:
        assert Vault([new]).open(await sealed_of(admin, each)) == b"a token"
        with pytest.raises(SettingInvalid):
            Vault([old]).open(await sealed_of(admin, each))


async def test_it_goes_on_where_it_was_broken_off(settings: Settings, hub: Hub, admin: Admin) -> None:
    old, new = new_key(), new_key()
    vault = Vault([new, old])
    done = await store(admin, hub.tenant_id, vault.reseal(Vault([old]).seal(b"done")))
    before = await sealed_of(admin, done)
    left = await store(admin, hub.tenant_id, Vault([old]).seal(b"left"))
    async with open_hub(with_keys(settings, new, old)) as both:
        standing = await inspect_sealing(both.db, both.vault())
        assert (standing.current, standing.old) == ({CREDENTIALS: 1}, {CREDENTIALS: 1})
        assert (await rotate(both, admin_of(both))).resealed == {CREDENTIALS: 1}
    assert await sealed_of(admin, done) == before
    assert Vault([new]).open(await sealed_of(admin, left)) == b"left"


async def test_what_no_key_opens_is_left_and_told(settings: Settings, hub: Hub, admin: Admin) -> None:
    old, new = new_key(), new_key()
    lost = await store(admin, hub.tenant_id, Vault([new_key()]).seal(b"lost"))
    before = await sealed_of(admin, lost)
    async with open_hub(with_keys(settings, new, old)) as both:
        rotated = await rotate(both, admin_of(both))
    assert rotated.standing.lost == {CREDENTIALS: 1}
    assert await sealed_of(admin, lost) == before


async def test_with_one_key_it_says_what_to_do(settings: Settings, hub: Hub) -> None:
    del hub
    async with open_hub(with_keys(settings, new_key())) as one:
        with pytest.raises(Invalid, match="NEW,OLD"):
            await rotate(one, admin_of(one))
        with pytest.raises(Invalid, match="SYNCLINE_SECRET_KEY"):
            await forget_old(one, admin_of(one))


async def test_a_program_that_runs_meanwhile_opens_and_seals_with_the_new_key(settings: Settings) -> None:
    old = make_key_file(settings.home)
    running = Vault([old], lambda: find_keys(settings))
    sealed = running.seal(b"before")
    new = new_key()
    replace_key_file(settings.home, [new, old])
    resealed = Vault([new, old]).reseal(sealed)
    assert running.open(resealed) == b"before"
    assert Vault([new]).open(running.seal(b"after")) == b"after"
    replace_key_file(settings.home, [new])
    with pytest.raises(SettingInvalid):
        Vault(find_keys(settings)).open(sealed)


async def test_of_two_who_rotate_at_once_the_second_goes_on_with_the_firsts_key(
    settings: Settings, hub: Hub, admin: Admin
) -> None:
    old = make_key_file(settings.home)
    sealed = await store(admin, hub.tenant_id, Vault([old]).seal(b"a token"))
    location = replace(hub.location, embedded=EmbeddedServer(settings.home))
    embedded = replace(hub, settings=settings, location=location)
    async with hub.db.transaction(tenant_id=None) as first:
        await lock_keys(first)
        second = asyncio.create_task(rotate(embedded, admin_of(embedded)))
        await until_it_waits(admin, second)
        assert find_keys(settings) == [old]
        new = new_key()
        replace_key_file(settings.home, [new, old])
        await store(admin, hub.tenant_id, Vault([new, old]).seal(b"another"))
    rotated = await second
    assert find_keys(settings) == [new, old]
    assert rotated.standing.is_settled
    assert Vault([new]).open(await sealed_of(admin, sealed)) == b"a token"
    assert await forget_old(embedded, admin_of(embedded)) == 1
    assert find_keys(settings) == [new]


async def until_it_waits(admin: Admin, task: asyncio.Task[Any]) -> None:
    async with asyncio.timeout(20):
        while not task.done():
            found = await admin.execute("select 1 from pg_locks where locktype = 'advisory' and not granted")
            if await found.fetchone():
                return
            await asyncio.sleep(0.01)
    task.result()


async def test_a_key_file_is_on_the_disk_with_its_folder(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut just after must not bring back a folder without the file, or with the old one."""
    synced: list[bool] = []
    write_through = os.fsync

    def note(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        write_through(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    key = make_key_file(settings.home)
    assert synced == [False, True]
    replace_key_file(settings.home, [new_key(), key])
    assert synced == [False, True] * 2


async def test_every_column_of_bytes_is_known_to_be_sealed_or_not(database_urls: DatabaseUrls) -> None:
    async with await psycopg.AsyncConnection.connect(database_urls.superuser) as conn:
        cursor = await conn.execute(
            "select n.nspname || '.' || c.relname || '.' || a.attname from pg_attribute a"
            " join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname in ('app', 'crm', 'sync') and c.relkind in ('r', 'p')"
            " and a.atttypid = 'bytea'::regtype and not a.attisdropped"
        )
        columns = {str(row[0]) for row in await cursor.fetchall()}
    assert columns == {each.name for each in SEALED} | set(NOT_SEALED)
