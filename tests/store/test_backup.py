"""A backup holds every row, and a restore brings all of it back or changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.errors import AlreadyExists, Busy, DatabaseUnsuitable, Invalid
from syncline.store import migrate
from syncline.store.backup import REPLACED, backup, restore, restore_embedded
from syncline.store.db import Database, connect, require_current_schema
from syncline.store.embedded import EmbeddedServer, hold_server
from syncline.store.urls import DatabaseUrls, with_database

pytestmark = pytest.mark.anyio


async def add_tenants(url: str, count: int, slug: str = "t-") -> None:
    async with await connect(url) as conn:
        await conn.execute(
            "insert into app.tenants (tenant_id, slug, label) "
            "select gen_random_uuid(), %(slug)s || n, E'line\\nbreak \\\\. ' || n "
            "from generate_series(1, %(count)s) n",
            {"count": count, "slug": slug},
        )


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


async def count_tenants(url: str) -> int:
    async with await connect(url) as conn:
        row = await (await conn.execute("select count(*) from app.tenants")).fetchone()
        assert row
        return int(row[0])


async def test_what_was_backed_up_is_restored_into_an_empty_database(
    database_urls: DatabaseUrls, empty_database: DatabaseUrls, tmp_path: Path, postgres_bin: Path | None
):
    await add_tenants(database_urls.admin, 500)
    rows = await backup(database_urls.admin, tmp_path / "a b.dump", postgres_bin=postgres_bin)

    restored = await restore(empty_database.admin, tmp_path / "a b.dump", postgres_bin=postgres_bin)

    assert rows["app.tenants"] == 501
    assert restored.rows == rows
    assert await count_tenants(empty_database.admin) == 501
    async with Database.open(empty_database.app) as db, db.transaction(tenant_id=None) as conn:
        await require_current_schema(conn)


async def test_backup_file_is_for_its_owner_only(
    database_urls: DatabaseUrls, tmp_path: Path, postgres_bin: Path | None
):
    await backup(database_urls.admin, tmp_path / "f", postgres_bin=postgres_bin)
    assert modes(tmp_path) == {"f": 0o600}


async def test_a_database_with_data_is_not_restored_over(
    database_urls: DatabaseUrls, tmp_path: Path, postgres_bin: Path | None
):
    await backup(database_urls.admin, tmp_path / "f", postgres_bin=postgres_bin)
    with pytest.raises(AlreadyExists, match="empty database"):
        await restore(database_urls.admin, tmp_path / "f", postgres_bin=postgres_bin)


async def test_a_damaged_file_leaves_the_database_empty(
    database_urls: DatabaseUrls, empty_database: DatabaseUrls, tmp_path: Path, postgres_bin: Path | None
):
    await add_tenants(database_urls.admin, 2000)
    file = tmp_path / "f"
    await backup(database_urls.admin, file, postgres_bin=postgres_bin)
    file.write_bytes(file.read_bytes()[:-3000])
    with pytest.raises(Invalid):
        await restore(empty_database.admin, file, postgres_bin=postgres_bin)
    assert await migrate.current(empty_database.admin) is None


async def test_a_file_that_is_no_backup_is_refused(
    empty_database: DatabaseUrls, tmp_path: Path, postgres_bin: Path | None
):
    (tmp_path / "f").write_text("not a backup")
    with pytest.raises(Invalid, match="not a backup"):
        await restore(empty_database.admin, tmp_path / "f", postgres_bin=postgres_bin)


async def test_a_failed_backup_keeps_the_file_of_the_last_one(
    empty_database: DatabaseUrls, tmp_path: Path, postgres_bin: Path | None
):
    (tmp_path / "f").write_text("the last one")
    with pytest.raises(Invalid, match="nothing to back up"):
        await backup(empty_database.admin, tmp_path / "f", postgres_bin=postgres_bin)
    assert (tmp_path / "f").read_text() == "the last one"


async def test_programs_older_than_the_server_are_named(
    database_urls: DatabaseUrls, tmp_path: Path, postgres_bin: Path | None
):
    with pytest.raises(DatabaseUnsuitable, match="no pg_dump of version"):
        await backup(database_urls.admin, tmp_path / "f", postgres_bin=tmp_path)


async def test_restore_replaces_the_embedded_database_and_keeps_the_old_one(
    used_home: Path, tmp_path: Path, postgres_bin: Path | None
):
    async with hold_server(used_home, postgres_bin=postgres_bin, idle_seconds=1) as server:
        urls = await server.urls()
        await migrate.upgrade(urls.admin)
        await add_tenants(urls.admin, 3)
        await backup(urls.admin, tmp_path / "f", postgres_bin=postgres_bin)
        await add_tenants(urls.admin, 1, "later-")
        with pytest.raises(AlreadyExists):
            await restore_embedded(server, tmp_path / "f", postgres_bin=postgres_bin)

        async with await connect(urls.app):  # somebody's psql
            await restore_embedded(server, tmp_path / "f", replace=True, postgres_bin=postgres_bin)

        assert await count_tenants(urls.admin) == 4
        assert await count_tenants(with_database(urls.admin, REPLACED)) == 5
        async with Database.open(urls.app) as db, db.transaction(tenant_id=None) as conn:
            await require_current_schema(conn)


async def test_restore_waits_for_no_other_program_but_says_who_is_in_the_way(
    used_home: Path, tmp_path: Path, postgres_bin: Path | None
):
    other = EmbeddedServer(used_home, postgres_bin=postgres_bin, idle_seconds=1)
    async with hold_server(used_home, postgres_bin=postgres_bin, idle_seconds=1) as server:
        urls = await server.urls()
        await migrate.upgrade(urls.admin)
        await backup(urls.admin, tmp_path / "f", postgres_bin=postgres_bin)
        await other.start()
        with pytest.raises(Busy):
            await restore_embedded(server, tmp_path / "f", replace=True, postgres_bin=postgres_bin)
        other.close()
        await restore_embedded(server, tmp_path / "f", replace=True, postgres_bin=postgres_bin)
