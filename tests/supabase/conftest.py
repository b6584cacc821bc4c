"""A Supabase project, imitated, that Syncline was set up in as a user would; and one it has synced into."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest
from command_line import simulator, syncline
from psycopg import sql
from real_pgbouncer import PROGRAM, WHY_NOT, pgbouncer
from supabase_project import DATABASE, PASSWORDS, Project, Synced

from syncline.domain.sealing import new_key
from syncline.store.embedded import EmbeddedServer, stop_server
from syncline.store.roles import APP, OWNER, READER
from syncline.store.urls import make_url, parse

_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}


@pytest.fixture(scope="session")
def empty_project(postgres_bin: Path | None) -> Generator[Project]:
    """A project in which nothing of ours exists. Tests use `project`; to set up is that fixture's part."""
    if PROGRAM is None:
        pytest.skip(WHY_NOT)
    folder = Path(tempfile.mkdtemp(prefix="syncline-supabase-"))
    folder.chmod(0o711)
    server = EmbeddedServer(folder / "home", postgres_bin=postgres_bin, idle_seconds=1, server_settings=_FAST)
    try:
        parts = parse(asyncio.run(server.start()).superuser)
        port = int(parts["port"])
        superuser = make_url(
            user=parts["user"],
            password=parts["password"],
            host="127.0.0.1",
            port=port,
            database=DATABASE,
        )
        _imitate(superuser)
        with (
            pgbouncer(port, PASSWORDS, mode="session") as session_port,
            pgbouncer(port, PASSWORDS, mode="transaction") as transaction_port,
        ):
            found = Project(port, session_port, transaction_port, superuser, {})
            yield Project(
                port, session_port, transaction_port, superuser, _surroundings(found, folder, postgres_bin)
            )
    finally:
        server.close()
        asyncio.run(stop_server(folder / "home", even_if_used=True))
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def project(empty_project: Project) -> Project:
    """A project that `syncline init` has prepared."""
    done = empty_project.run("init")
    assert (done.code, done.err) == (0, "")
    return empty_project


@pytest.fixture(scope="session")
def synced(project: Project) -> Generator[Synced]:
    """A project into which one account has been synced, through the pooler in transaction mode."""
    few = ("--companies", "20", "--deals", "30", "--calls", "40", "--meetings", "5", "--emails", "5")
    with simulator("--contacts", "300", *few, "--notes", "5", "--tasks", "5") as crm:
        environment = {**project.environment, "HUBSPOT_API_KEY": crm.token}
        connected = syncline(environment, "connect", "hubspot", "--name", "acme", "--base-url", crm.url)
        assert (connected.code, connected.err) == (0, "")
        first = project.run("sync", "acme", "--json")
        assert (first.code, first.err) == (0, ""), first.out
        yield Synced(project, crm, first)


def _imitate(superuser: str) -> None:
    with psycopg.connect(superuser, autocommit=True) as conn:
        conn.execute("drop database syncline (force)")
        for role in (APP, READER, OWNER):
            conn.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))
        conn.execute(Path(__file__).with_name("imitation.sql").read_bytes())
        for role in ("postgres", "authenticator"):
            conn.execute(
                sql.SQL("alter role {} password {}").format(
                    sql.Identifier(role), sql.Literal(PASSWORDS[role])
                )
            )


def _surroundings(project: Project, folder: Path, postgres_bin: Path | None) -> dict[str, str]:
    found = {
        # The port is not one by which a pooler is known, so it has to be said.
        "SYNCLINE_DATABASE_URL": project.url(APP, port=project.transaction_port) + "?pool_mode=transaction",
        "SYNCLINE_ADMIN_DATABASE_URL": project.url("postgres", port=project.session_port),
        "SYNCLINE_READER_DATABASE_URL": project.url(READER),
        "SYNCLINE_SECRET_KEY": new_key(),
        "SYNCLINE_HOME": str(folder / "syncline"),
    }
    return found if postgres_bin is None else found | {"SYNCLINE_POSTGRES_BIN": str(postgres_bin)}
