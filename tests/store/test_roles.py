"""Three roles with just enough rights, also where the administrator is no superuser, as on Supabase."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr

from pooler import transaction_pooler
from syncline.clock import new_id
from syncline.config import Settings
from syncline.errors import DatabaseUnsuitable, RoleUnsuitable, SettingInvalid
from syncline.store import migrate
from syncline.store.backup import backup, restore
from syncline.store.db import Database, connect, require_current_schema
from syncline.store.embedded import hold_server
from syncline.store.location import locate_database
from syncline.store.psql import psql_command
from syncline.store.roles import inspect_role, prepare_roles, require_roles, roles_sql
from syncline.store.urls import DatabaseUrls, make_url, parse

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, slots=True)
class Foreign:
    """A server of somebody's own, where none of our roles exist."""

    port: int
    superuser: str

    def url(self, user: str, password: str = "pw", database: str = "theirs") -> str:
        return make_url(user=user, password=password, host="127.0.0.1", port=self.port, database=database)


@pytest.fixture
async def foreign(used_home: Path, postgres_bin: Path | None) -> AsyncGenerator[Foreign]:
    """Like Supabase: the database belongs to `postgres`, who may create roles and is no superuser."""
    async with hold_server(used_home, postgres_bin=postgres_bin, idle_seconds=1) as server:
        urls = await server.urls()
        parts = parse(urls.superuser)
        theirs = Foreign(int(parts["port"]), "")
        superuser = theirs.url(parts["user"], parts["password"], "postgres")
        async with await connect(superuser) as conn:
            await conn.execute("drop database syncline (force)")
            for role in ("syncline_app", "syncline_reader", "syncline_owner"):
                await conn.execute(f"drop role {role}")
            await conn.execute("create role postgres login createrole createdb password 'pw'")
            await conn.execute("create role anon nologin")
            await conn.execute("create database theirs owner postgres")
        yield Foreign(theirs.port, superuser)


async def test_an_administrator_without_superuser_sets_everything_up(
    foreign: Foreign, tmp_path: Path, postgres_bin: Path | None
):
    admin, app = foreign.url("postgres"), foreign.url("syncline_app", "a'b\\ü")
    async with await connect(admin) as conn:
        with pytest.raises(DatabaseUnsuitable, match="lacks the role"):
            await require_roles(conn)
        created = await prepare_roles(conn, app_password="a'b\\ü")
        assert created == ["syncline_owner", "syncline_app", "syncline_reader"]
        assert await prepare_roles(conn, reader_password="r") == []
    await migrate.upgrade(admin)

    async with (
        transaction_pooler(app) as (pooled, _),
        Database.open(pooled) as db,
        db.transaction(tenant_id=None) as conn,
    ):
        await require_current_schema(conn)
        await inspect_role(conn)
        await conn.execute("create temporary table staging (id int) on commit drop")
    async with await connect(admin) as conn:
        with pytest.raises(RoleUnsuitable, match="member of its owner"):
            await inspect_role(conn)

    rows = await backup(admin, tmp_path / "f", postgres_bin=postgres_bin)
    await migrate.downgrade(admin, "base")
    async with await connect(admin) as conn:
        await conn.execute("drop schema app cascade")
    assert (await restore(admin, tmp_path / "f", postgres_bin=postgres_bin)).rows == rows
    async with Database.open(app) as db, db.transaction(tenant_id=None) as conn:
        await require_current_schema(conn)


async def test_passwords_do_not_reach_the_server_in_clear(foreign: Foreign, home: Path):
    async with await connect(foreign.superuser) as conn:
        await conn.execute("alter system set log_statement = 'all'")
        await conn.execute("select pg_reload_conf()")
    async with await connect(foreign.url("postgres")) as conn:
        await prepare_roles(conn, app_password="s3cret-password")
    log = (home / "postgres/server.log").read_text()
    assert "alter role" in log
    assert "s3cret-password" not in log


async def test_two_set_ups_at_once_make_the_roles_once(foreign: Foreign):
    async def set_up() -> list[str]:
        async with await connect(foreign.url("postgres")) as conn:
            return await prepare_roles(conn, app_password="p")

    answers = await asyncio.gather(*(set_up() for _ in range(4)))
    assert sorted(len(created) for created in answers) == [0, 0, 0, 3]


async def test_a_dba_can_run_the_printed_statements(foreign: Foreign):
    async with await connect(foreign.url("postgres")) as conn:
        await conn.execute(roles_sql("theirs").encode())
        assert await prepare_roles(conn, app_password="p") == []
    await migrate.upgrade(foreign.url("postgres"))


async def test_a_role_that_may_not_create_roles_is_told_so(foreign: Foreign):
    async with await connect(foreign.superuser) as conn:
        await conn.execute("create role clerk login password 'pw'")
    async with await connect(foreign.url("clerk")) as conn:
        with pytest.raises(DatabaseUnsuitable, match="CREATEROLE"):
            await prepare_roles(conn, app_password="p")


async def test_a_migration_without_the_roles_says_what_is_missing(foreign: Foreign):
    with pytest.raises(DatabaseUnsuitable, match="roles must exist"):
        await migrate.upgrade(foreign.url("postgres"))


async def test_a_named_database_is_taken_and_no_server_is_started(settings: Settings, home: Path):
    async with locate_database(settings) as location:
        assert location.embedded is None
        assert settings.database_url is not None
        assert await location.app_url() == settings.database_url.get_secret_value()
    assert not home.exists()


async def test_without_a_named_database_the_embedded_one_is_used(used_home: Path, postgres_bin: Path | None):
    async with locate_database(
        Settings(home=used_home, postgres_bin=postgres_bin, postgres_idle_seconds=1)
    ) as location:
        await migrate.upgrade(await location.admin_url())
        async with Database.open(location.app_url) as db, db.transaction(tenant_id=None) as conn:
            await require_current_schema(conn)
            await inspect_role(conn)
        async with await connect(await location.reader_url()):
            pass


async def test_an_administrators_url_that_is_needed_and_not_set_is_named(database_urls: DatabaseUrls):
    settings = Settings(database_url=SecretStr(database_urls.app))
    async with locate_database(settings) as location:
        with pytest.raises(SettingInvalid, match="SYNCLINE_ADMIN_DATABASE_URL is not set"):
            await location.admin_url()


async def test_half_a_configuration_starts_no_embedded_server(home: Path):
    settings = Settings(home=home, admin_database_url=SecretStr("postgresql://h/d"))
    with pytest.raises(SettingInvalid, match="without SYNCLINE_DATABASE_URL"):
        async with locate_database(settings):
            pass


async def test_psql_sees_one_tenant_and_the_documented_names(
    database_urls: DatabaseUrls, tenant_id: UUID, postgres_bin: Path | None
):
    async def ask(tenant: UUID, statement: str) -> tuple[str, str]:
        arguments, environment = psql_command(
            database_urls.reader, tenant_id=tenant, postgres_bin=postgres_bin
        )
        assert parse(database_urls.reader)["password"] not in " ".join(arguments)
        process = await asyncio.create_subprocess_exec(
            *arguments,
            "-Atc",
            statement,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return out.decode().strip(), err.decode()

    assert await ask(tenant_id, "select label from tenants") == ("Default", "")
    assert await ask(new_id(), "select count(*) from tenants") == ("0", "")
    assert "read-only" in (await ask(tenant_id, "create table mine ()"))[1]
