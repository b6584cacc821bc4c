"""The schema goes up and down without a trace, by the right role, once at a time."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from syncline.errors import Busy, DatabaseUnsuitable, Invalid, SchemaOutdated
from syncline.store import migrate
from syncline.store.db import VERSIONS, Database, connect, list_revisions, require_current_schema
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

OURS = "nspname !~ '^(pg_|information_schema)'"
#: Everything a migration can leave behind: relations, columns, constraints, functions, policies, grants.
CATALOGUE = f"""
with ours as (select oid, nspname, nspacl from pg_namespace where {OURS})
select 'relation', nspname || '.' || relname, relkind::text || coalesce(relacl::text, '') || relrowsecurity
from pg_class c join ours on ours.oid = c.relnamespace
union all
select 'column', attrelid::regclass::text, attname || format_type(atttypid, atttypmod) || attnotnull
from pg_attribute a join pg_class c on c.oid = a.attrelid join ours on ours.oid = c.relnamespace
where attnum > 0 and not attisdropped
union all
select 'constraint', conname, pg_get_constraintdef(c.oid)
from pg_constraint c join ours on ours.oid = c.connamespace
union all
select 'function', p.oid::regprocedure::text, coalesce(p.proacl::text, '') || p.prosecdef
from pg_proc p join ours on ours.oid = p.pronamespace
union all
select 'policy', polname, polrelid::regclass::text || pg_get_expr(polqual, polrelid) from pg_policy
union all
select 'trigger', tgname, pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
union all
select 'schema', nspname, coalesce(nspacl::text, '') from ours
order by 1, 2, 3
"""


async def catalogue(url: str) -> list[tuple[object, ...]]:
    async with await connect(url) as conn:
        return await (await conn.execute(CATALOGUE)).fetchall()


def write_version(folder: Path, number: str, before: str | None, up: str, down: str = "") -> None:
    (folder / f"{number}_v.py").write_text(
        "from syncline.store.migrations import run_sql\n"
        f"revision = {number!r}\ndown_revision = {before!r}\n"
        "def upgrade(): run_sql(__file__, 'up')\n"
        "def downgrade(): run_sql(__file__, 'down')\n"
    )
    (folder / f"{number}_v.up.sql").write_text(up)
    (folder / f"{number}_v.down.sql").write_text(down)


async def test_all_versions_go_up_and_down_and_leave_nothing(empty_database: DatabaseUrls):
    url = empty_database.admin
    assert await migrate.upgrade(url) == list_revisions()
    at_head = await catalogue(url)
    assert await migrate.upgrade(url) == []
    assert await migrate.downgrade(url, "base") == list_revisions()[::-1]
    at_base = await catalogue(url)
    assert {name for kind, name, _ in at_base if kind == "schema"} == {"app", "public"}
    assert {name for kind, name, _ in at_base if kind == "relation"} == {
        "app.alembic_version",
        "app.alembic_version_pkc",
    }
    await migrate.upgrade(url)
    assert await catalogue(url) == at_head


async def test_each_version_goes_down_to_what_the_one_before_made(empty_database: DatabaseUrls):
    url = empty_database.admin
    made: dict[str, list[tuple[object, ...]]] = {}
    for revision in list_revisions():
        assert await migrate.upgrade(url, revision) == [revision]
        made[revision] = await catalogue(url)
    for revision in list_revisions()[-2::-1]:
        await migrate.downgrade(url, revision)
        assert await catalogue(url) == made[revision], revision


async def test_everything_belongs_to_the_owner(database_urls: DatabaseUrls):
    async with await connect(database_urls.admin) as conn:
        cursor = await conn.execute(
            f"select distinct pg_get_userbyid(relowner) from pg_class c "
            f"join pg_namespace n on n.oid = relnamespace where {OURS}"
        )
        assert await cursor.fetchall() == [("syncline_owner",)]


def test_versions_are_numbered_as_they_follow_each_other():
    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())[::-1]
    assert [script.revision for script in scripts] == list_revisions()
    for script in scripts:
        for direction in ("up", "down"):
            assert Path(script.path).with_suffix(f".{direction}.sql").is_file()


async def test_a_version_that_fails_leaves_nothing_of_itself(empty_database: DatabaseUrls, tmp_path: Path):
    write_version(tmp_path, "0001", None, "create table app.one (a int);")
    write_version(tmp_path, "0002", "0001", "create table app.two (a int); select 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        await migrate.upgrade(empty_database.admin, versions=tmp_path)
    assert await migrate.current(empty_database.admin) == "0001"
    tables = {name for kind, name, _ in await catalogue(empty_database.admin) if kind == "relation"}
    assert "app.one" in tables
    assert "app.two" not in tables
    write_version(tmp_path, "0002", "0001", "create table app.two (a int);")
    assert await migrate.upgrade(empty_database.admin, versions=tmp_path) == ["0002"]


async def test_sql_files_may_hold_anything_that_sql_may(empty_database: DatabaseUrls, tmp_path: Path):
    up = """
    create function app.f(t text) returns text language plpgsql as $x$
    begin -- 100 %, a :colon, a %s and a ; inside
      return format('%s:%I', t, ':b'); end $x$;
    create table app.t (a text default 'é; %(x)s {y}');
    insert into app.t default values;
    """
    write_version(tmp_path, "0001", None, up)
    await migrate.upgrade(empty_database.admin, versions=tmp_path)
    async with await connect(empty_database.admin) as conn:
        row = await (await conn.execute("select a, app.f('x') from app.t")).fetchone()
    assert row == ("é; %(x)s {y}", 'x:":b"')


async def test_two_programs_that_migrate_at_once_do_it_once(empty_database: DatabaseUrls):
    program = (
        "import asyncio, sys; from syncline.store import migrate\nasyncio.run(migrate.upgrade(sys.argv[1]))"
    )
    started = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, empty_database.admin)
        for _ in range(3)
    ]
    assert [await process.wait() for process in started] == [0, 0, 0]
    assert await migrate.pending(empty_database.admin) == []


async def test_printed_sql_makes_the_same_schema(empty_database: DatabaseUrls, database_urls: DatabaseUrls):
    first = list_revisions()[0]
    async with await connect(empty_database.admin) as conn:
        await conn.execute(migrate.offline_sql(target=first).encode())
        await conn.execute(migrate.offline_sql(start=first).encode())
    assert await catalogue(empty_database.admin) == await catalogue(database_urls.admin)
    async with Database.open(empty_database.app) as db, db.transaction(tenant_id=None) as conn:
        await require_current_schema(conn)


async def test_the_application_may_not_migrate(empty_database: DatabaseUrls):
    with pytest.raises(DatabaseUnsuitable, match="SYNCLINE_ADMIN_DATABASE_URL must log in as"):
        await migrate.upgrade(empty_database.app)


async def test_a_transaction_pooler_is_refused(empty_database: DatabaseUrls):
    with pytest.raises(DatabaseUnsuitable, match="transaction-mode pooler"):
        await migrate.upgrade(empty_database.admin + "?pool_mode=transaction")


async def test_a_schema_newer_than_this_program_is_left_alone(database_urls: DatabaseUrls):
    async with await connect(database_urls.admin) as conn:
        await conn.execute("update app.alembic_version set version_num = '9999'")
    for action in (migrate.upgrade(database_urls.admin), migrate.downgrade(database_urls.admin, "base")):
        with pytest.raises(SchemaOutdated, match="newer than this program"):
            await action


async def test_an_unknown_revision_is_named_with_the_known_ones(empty_database: DatabaseUrls):
    with pytest.raises(Invalid, match="There is no revision 0815"):
        await migrate.upgrade(empty_database.admin, "0815")


async def test_a_long_transaction_in_the_way_is_reported(database_urls: DatabaseUrls):
    async with await connect(database_urls.admin) as conn, conn.transaction():
        await conn.execute("lock table app.tenants in access share mode")
        with pytest.raises(Busy, match="try again"):
            await migrate.downgrade(database_urls.admin, "base", patience_seconds=0.1)
