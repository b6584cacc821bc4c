"""A database made ready: roles, schema, key; and refused while it is not."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from syncline.actions.hub import open_hub
from syncline.actions.setup import initialize, migrate_down, migrate_up, migration_sql
from syncline.config import Settings
from syncline.domain.sealing import Vault
from syncline.errors import NotFound, RoleUnsuitable, SchemaOutdated
from syncline.store.db import list_revisions
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio


def settings_of(urls: DatabaseUrls, home: Path, **changes: str) -> Settings:
    found = {"database_url": urls.app, "admin_database_url": urls.admin} | changes
    return Settings(home=home, **{name: SecretStr(url) for name, url in found.items()})  # type: ignore[arg-type]


async def test_init_makes_an_empty_database_ready_and_gives_a_key(empty_database: DatabaseUrls, home: Path):
    done = await initialize(settings_of(empty_database, home))
    assert done.applied == list_revisions()
    assert done.new_key is not None
    Vault([done.new_key])
    async with open_hub(settings_of(empty_database, home)) as hub:
        assert hub.tenant.slug == "default"


async def test_init_again_changes_nothing(empty_database: DatabaseUrls, home: Path):
    settings = settings_of(empty_database, home)
    await initialize(settings)
    again = await initialize(settings)
    assert (again.applied, again.created_roles) == ([], [])


async def test_init_as_administrator_gives_roles_the_passwords_of_the_urls(
    empty_database: DatabaseUrls, home: Path
):
    done = await initialize(settings_of(empty_database, home, admin_database_url=empty_database.superuser))
    assert done.revision == list_revisions()[-1]


async def test_a_schema_that_is_behind_is_refused_and_says_how_to_migrate(
    database_urls: DatabaseUrls, home: Path
):
    settings = settings_of(database_urls, home)
    revisions = list_revisions()
    down = await migrate_down(settings, revisions[-2])
    assert down.versions == [revisions[-1]]
    with pytest.raises(SchemaOutdated, match="syncline migrate"):
        async with open_hub(settings):
            pass
    up = await migrate_up(settings)
    assert (up.versions, up.revision) == ([revisions[-1]], revisions[-1])


async def test_a_schema_of_a_newer_program_is_refused(database_urls: DatabaseUrls, home: Path):
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        await conn.execute("update app.alembic_version set version_num = '9999'")
    with pytest.raises(SchemaOutdated, match="newer than this program"):
        async with open_hub(settings_of(database_urls, home)):
            pass


async def test_a_role_that_owns_the_tables_is_refused(database_urls: DatabaseUrls, home: Path):
    with pytest.raises(RoleUnsuitable):
        async with open_hub(settings_of(database_urls, home, database_url=database_urls.admin)):
            pass


async def test_an_unknown_tenant_is_named_beside_those_there_are(database_urls: DatabaseUrls, home: Path):
    with pytest.raises(NotFound, match="default"):
        async with open_hub(settings_of(database_urls, home), tenant="nobody"):
            pass


def test_the_schema_can_be_printed_without_a_database():
    text = migration_sql()
    assert "create schema crm" in text
    assert "set role" in text
