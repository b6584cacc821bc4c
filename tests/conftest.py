"""What every test may ask for: a real Postgres, a database of its own, settings, a clean environment."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from syncline.config import Settings
from syncline.store import migrate
from syncline.store.db import Database
from syncline.store.embedded import EmbeddedServer, stop_server
from syncline.store.roles import OWNER, admit_roles
from syncline.store.urls import DatabaseUrls, with_database

#: Names another folder of Postgres programs to run the suite on, e.g. /usr/lib/postgresql/15/bin.
_POSTGRES = Path(os.environ["SYNCLINE_TEST_POSTGRES"]) if "SYNCLINE_TEST_POSTGRES" in os.environ else None
#: Nothing here must outlive a power cut.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}

#: Made by the first migration.
_DEFAULT_TENANT = UUID("00000000-0000-7000-8000-000000000001")


@dataclass(frozen=True, slots=True)
class TestServer:
    """The server of this session. `urls` point to a database without a schema of ours."""

    __test__ = False

    urls: DatabaseUrls
    #: One session for making and dropping databases: there are two for each test.
    administration: psycopg.Connection[Any]
    #: Databases of tests that have ended.
    dropped: list[str] = field(default_factory=list[str])

    @asynccontextmanager
    async def database(self, template: str | None = None) -> AsyncGenerator[DatabaseUrls]:
        """Make a database for the length of the block, empty or a copy of `template`."""
        name = f"test_{secrets.token_hex(8)}"
        await self.create(name, template)
        try:
            yield self.urls_of(name)
        finally:
            # Not now: Postgres would wait a tenth of a second for the sessions that are just ending.
            self.dropped.append(name)

    async def create(self, name: str, template: str | None = None) -> None:
        while self.dropped:
            left = sql.Identifier(self.dropped.pop())
            self.administration.execute(sql.SQL("drop database {} (force)").format(left))
        # Copied as files: the other way, through the log, takes twice as long.
        statement = sql.SQL("create database {} owner {} template {} strategy file_copy")
        self.administration.execute(
            statement.format(
                sql.Identifier(name), sql.Identifier(OWNER), sql.Identifier(template or "template0")
            )
        )

    def urls_of(self, name: str) -> DatabaseUrls:
        return DatabaseUrls(
            app=with_database(self.urls.app, name),
            admin=with_database(self.urls.admin, name),
            reader=with_database(self.urls.reader, name),
            superuser=with_database(self.urls.superuser, name),
        )


@pytest.hookimpl(trylast=True)  # behind the one that shuffles
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SYNCLINE_", "PG", "HUBSPOT_", "XDG_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def server() -> Generator[TestServer]:
    """One Postgres for the session (each worker of xdist has its own), ended even if that is killed."""
    folder = _reachable_folder()
    embedded = EmbeddedServer(
        folder / "home",
        postgres_bin=_POSTGRES,
        idle_seconds=1,
        server_settings=_FAST,
    )
    try:
        urls = asyncio.run(embedded.start())
        with psycopg.connect(urls.superuser, autocommit=True) as administration:
            yield TestServer(urls, administration)
    finally:
        embedded.close()
        asyncio.run(stop_server(folder / "home"))
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template(server: TestServer) -> str:
    """The name of a migrated database that nobody is connected to."""
    name = "syncline_template"

    async def build() -> None:
        await server.create(name)
        urls = server.urls_of(name)
        async with await psycopg.AsyncConnection.connect(urls.superuser, autocommit=True) as conn:
            await admit_roles(conn)
        await migrate.upgrade(urls.admin)

    asyncio.run(build())
    return name


@pytest.fixture
async def empty_database(server: TestServer) -> AsyncGenerator[DatabaseUrls]:
    """A database of this test's own with the roles admitted and no schema."""
    async with server.database() as urls:
        async with await psycopg.AsyncConnection.connect(urls.superuser, autocommit=True) as conn:
            await admit_roles(conn)
        yield urls


@pytest.fixture
async def database_urls(server: TestServer, template: str) -> AsyncGenerator[DatabaseUrls]:
    """The URLs of a migrated database of this test's own, through the eyes of each role."""
    async with server.database(template) as urls:
        yield urls


@pytest.fixture
async def db(database_urls: DatabaseUrls) -> AsyncGenerator[Database]:
    """A migrated database of this test's own, open as the application."""
    async with Database.open(database_urls.app, application_name="test", min_size=1, max_size=8) as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres_bin() -> Path | None:
    """The programs the suite was told to run on; None means those that Syncline finds by itself."""
    return _POSTGRES


@pytest.fixture
def tenant_id() -> UUID:
    return _DEFAULT_TENANT


@pytest.fixture
def home() -> Generator[Path]:
    """A SYNCLINE_HOME that does not exist yet; a server started in it is stopped afterwards."""
    folder = _reachable_folder()
    home = folder / "a höme"
    yield home
    if (home / "postgres").is_dir():
        asyncio.run(stop_server(home, even_if_used=True))
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _used_home() -> Generator[Path]:
    folder = _reachable_folder()
    embedded = EmbeddedServer(folder / "home", postgres_bin=_POSTGRES, idle_seconds=1)
    asyncio.run(embedded.start())
    embedded.close()
    asyncio.run(stop_server(folder / "home"))
    (folder / "home/postgres/port").unlink()  # copies must not compete for it
    with (folder / "home/postgres/data/postgresql.conf").open("a") as configuration:
        configuration.write("fsync = off\n")
    yield folder / "home"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def used_home(home: Path, _used_home: Path) -> Path:
    """A SYNCLINE_HOME whose server was set up and stopped before. Quicker than a new one, and without fsync:
    no test here cuts the power, only processes are killed.
    """
    subprocess.run(["cp", "-a", str(_used_home), str(home)], check=True)
    return home


@pytest.fixture
def settings(database_urls: DatabaseUrls, home: Path) -> Settings:
    return Settings(
        database_url=SecretStr(database_urls.app),
        admin_database_url=SecretStr(database_urls.admin),
        reader_database_url=SecretStr(database_urls.reader),
        home=home,
    )


def _reachable_folder() -> Path:
    # Not pytest's tmp_path: run by root, Postgres has another account, and the parents of tmp_path
    # let nobody else through.
    folder = Path(tempfile.mkdtemp(prefix="syncline-test-", dir=_memory()))
    folder.chmod(0o711)
    return folder


def _memory() -> str | None:
    """A folder in memory, if there is one with room where programs may run: files cost less there."""
    try:
        found = os.statvfs("/dev/shm")
    except (AttributeError, OSError):
        return None
    roomy = found.f_bavail * found.f_frsize > 4_000_000_000
    return "/dev/shm" if roomy and not found.f_flag & getattr(os, "ST_NOEXEC", 0) else None
