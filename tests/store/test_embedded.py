"""The embedded server: shared by programs, ended after the last, and back after any kind of kill."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import psutil
import pytest

from syncline.errors import Busy, DatabaseUnreachable, HomeUnusable, SettingInvalid
from syncline.store.accounts import Account, choose_account, run_as
from syncline.store.binaries import find_programs
from syncline.store.db import Database, connect
from syncline.store.embedded import EmbeddedServer, hold_server, stop_server
from syncline.store.home import Home, ServerState
from syncline.store.locks import FileLock

pytestmark = pytest.mark.anyio

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account for Postgres")
as_anyone_else = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


@pytest.fixture
async def embedded(used_home: Path, postgres_bin: Path | None) -> AsyncGenerator[EmbeddedServer]:
    async with hold_server(used_home, postgres_bin=postgres_bin, idle_seconds=1) as server:
        yield server


def state_of(home: Path) -> ServerState:
    state = Home(home).read_state()
    assert state is not None
    return state


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


async def until_gone(pid: int) -> None:
    await until(lambda: is_gone(pid))


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def write_note(url: str, text: str) -> None:
    async with await connect(url) as conn:
        await conn.execute("create table if not exists note (text text)")
        await conn.execute("insert into note values (%(text)s)", {"text": text})


async def read_notes(url: str) -> list[str]:
    async with await connect(url) as conn:
        return [row[0] for row in await (await conn.execute("select text from note order by 1")).fetchall()]


async def test_the_first_program_gets_a_server_with_all_roles(embedded: EmbeddedServer):
    urls = await embedded.urls()
    for url, role in (
        (urls.app, "syncline_app"),
        (urls.admin, "syncline_owner"),
        (urls.reader, "syncline_reader"),
    ):
        async with await connect(url) as conn:
            row = await (await conn.execute("select current_user, current_setting('timezone')")).fetchone()
            assert row == (role, "UTC")


async def test_files_with_passwords_are_for_their_owner_only(embedded: EmbeddedServer, used_home: Path):
    def exposed() -> list[str]:
        folder = used_home / "postgres"
        return [path.name for path in folder.iterdir() if path.is_file() and path.stat().st_mode & 0o077]

    await embedded.urls()
    assert exposed() == ["port"]


async def test_nobody_gets_in_without_the_password(embedded: EmbeddedServer):
    urls = await embedded.urls()
    for url in (urls.app, urls.superuser):
        with pytest.raises(DatabaseUnreachable, match="password authentication failed") as caught:
            await connect(url.replace("@", "wrong@"))
        assert "wrong" not in str(caught.value)


async def test_it_is_durable_and_only_this_machine_can_connect(home: Path, postgres_bin: Path | None):
    asked = "select current_setting('listen_addresses'), current_setting('fsync'), current_setting('jit')"
    async with (
        hold_server(home, postgres_bin=postgres_bin, idle_seconds=1) as server,
        await connect((await server.urls()).superuser) as conn,
    ):
        row = await (await conn.execute(asked)).fetchone()
    assert row == ("127.0.0.1", "on", "off")


async def test_a_second_program_shares_the_server(
    embedded: EmbeddedServer, used_home: Path, postgres_bin: Path | None
):
    first = state_of(used_home)
    async with hold_server(used_home, postgres_bin=postgres_bin) as second:
        assert await second.urls() == await embedded.urls()
    assert state_of(used_home) == first


async def test_programs_that_start_at_once_share_one_server(home: Path, postgres_bin: Path | None):
    program = (
        "import asyncio, sys; from pathlib import Path; from syncline.store.embedded import *\n"
        "async def main():\n"
        "    server = EmbeddedServer(Path(sys.argv[1]), postgres_bin=eval(sys.argv[2]), idle_seconds=1)\n"
        "    print((await server.start()).app)\n"
        "asyncio.run(main())"
    )
    named = f"Path({str(postgres_bin)!r})" if postgres_bin else "None"
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(home), named, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    answers = {(await process.communicate())[0] for process in started}
    assert len(answers) == 1
    assert answers != {b""}


async def test_the_server_ends_some_time_after_its_last_program(used_home: Path, postgres_bin: Path | None):
    async with hold_server(used_home, postgres_bin=postgres_bin, idle_seconds=1):
        state = state_of(used_home)
    await until_gone(state.supervisor_pid)
    assert is_gone(state.postmaster_pid)
    assert Home(used_home).read_state() is None


async def test_data_and_port_are_the_same_the_next_time(used_home: Path, postgres_bin: Path | None):
    async with hold_server(used_home, postgres_bin=postgres_bin, idle_seconds=1) as server:
        first = await server.urls()
        await write_note(first.admin, "kept")
    await stop_server(used_home)
    async with hold_server(used_home, postgres_bin=postgres_bin, idle_seconds=1) as server:
        assert await server.urls() == first
        assert await read_notes(first.admin) == ["kept"]


async def test_a_server_in_use_is_not_stopped_unless_told_to(embedded: EmbeddedServer, used_home: Path):
    with pytest.raises(Busy):
        await stop_server(used_home)
    assert await stop_server(used_home, even_if_used=True)
    assert not await stop_server(used_home, even_if_used=True)


async def test_a_killed_server_is_revived_with_what_was_committed(embedded: EmbeddedServer, used_home: Path):
    await write_note((await embedded.urls()).admin, "committed")
    killed = state_of(used_home).postmaster_pid
    os.kill(killed, signal.SIGKILL)
    await until(
        lambda: (state := Home(used_home).read_state()) is not None and state.postmaster_pid != killed
    )
    assert await read_notes((await embedded.urls()).admin) == ["committed"]


async def test_a_pool_finds_the_revived_server(embedded: EmbeddedServer, used_home: Path):
    async with Database.open(embedded.app_url, max_size=2) as db:
        killed = state_of(used_home)
        os.kill(killed.supervisor_pid, signal.SIGKILL)
        os.kill(killed.postmaster_pid, signal.SIGKILL)

        async def answers() -> bool:
            try:
                async with db.transaction(tenant_id=None) as conn:
                    await conn.execute("select 1")
            except Exception:  # noqa: BLE001 - whatever it is, it must pass
                return False
            return True

        async with asyncio.timeout(60):
            while not await answers():
                await asyncio.sleep(0.05)
        assert state_of(used_home).postmaster_pid != killed.postmaster_pid


async def test_a_killed_supervisor_costs_no_connection_and_is_replaced(
    embedded: EmbeddedServer, used_home: Path
):
    before = state_of(used_home)
    async with await connect((await embedded.urls()).app) as conn:
        os.kill(before.supervisor_pid, signal.SIGKILL)
        await until_gone(before.supervisor_pid)
        await embedded.urls()
        await conn.execute("select 1")
    after = state_of(used_home)
    assert after.postmaster_pid == before.postmaster_pid
    assert after.supervisor_pid != before.supervisor_pid
    embedded.close()
    await until_gone(after.supervisor_pid)
    assert is_gone(after.postmaster_pid)


async def test_another_path_to_the_same_home_finds_the_same_server(
    embedded: EmbeddedServer, used_home: Path, postgres_bin: Path | None
):
    before = state_of(used_home)
    link = used_home.with_name("link")
    link.symlink_to(used_home)
    os.kill(before.supervisor_pid, signal.SIGKILL)
    await until_gone(before.supervisor_pid)
    async with hold_server(link, postgres_bin=postgres_bin, idle_seconds=1):
        assert state_of(link).postmaster_pid == before.postmaster_pid


async def test_every_process_of_the_server_guards_its_data(embedded: EmbeddedServer, used_home: Path):
    with FileLock(used_home / "postgres/data.lock") as lock:
        assert not lock.try_exclusive()
        await stop_server(used_home, even_if_used=True)
        assert lock.try_exclusive()


async def test_everything_killed_recovers_at_the_next_start(used_home: Path, postgres_bin: Path | None):
    for text in ("a", "b"):
        server = EmbeddedServer(used_home, postgres_bin=postgres_bin, idle_seconds=1)
        await write_note((await server.start()).admin, text)
        state = state_of(used_home)
        os.kill(state.supervisor_pid, signal.SIGKILL)
        os.kill(state.postmaster_pid, signal.SIGKILL)
        for pid in (state.supervisor_pid, state.postmaster_pid):
            await until_gone(pid)
        server.close()
    async with hold_server(used_home, postgres_bin=postgres_bin, idle_seconds=1) as again:
        assert await read_notes((await again.urls()).admin) == ["a", "b"]


async def test_a_zombie_counts_as_dead(used_home: Path, postgres_bin: Path | None):
    if not sys.platform.startswith("linux"):
        pytest.skip("needs a way to become the parent of orphans")
    server = EmbeddedServer(used_home, postgres_bin=postgres_bin, idle_seconds=1)
    await write_note((await server.start()).admin, "kept")
    state = state_of(used_home)
    become_subreaper = ctypes.CDLL(None).prctl
    become_subreaper(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans become ours, and we do not reap them
    try:
        os.kill(state.supervisor_pid, signal.SIGKILL)
        os.kill(state.postmaster_pid, signal.SIGKILL)
        await until(lambda: psutil.Process(state.postmaster_pid).status() == psutil.STATUS_ZOMBIE)
        assert await read_notes((await server.urls()).admin) == ["kept"]
    finally:
        become_subreaper(36, 0, 0, 0, 0)
        server.close()
        os.waitpid(state.postmaster_pid, 0)


async def test_a_lock_file_that_names_a_stranger_does_not_keep_it_from_starting(
    used_home: Path, postgres_bin: Path | None
):
    async with hold_server(used_home, postgres_bin=postgres_bin, idle_seconds=1):
        content = (used_home / "postgres/data/postmaster.pid").read_text()
    await stop_server(used_home)
    stranger = subprocess.Popen(["sleep", "60"], **run_as(choose_account(used_home / "postgres/data")))
    try:
        lines = content.splitlines(keepends=True)
        (used_home / "postgres/data/postmaster.pid").write_text("".join([f"{stranger.pid}\n", *lines[1:]]))
        async with hold_server(used_home, postgres_bin=postgres_bin, idle_seconds=1) as again:
            await read_version(again)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def read_version(server: EmbeddedServer) -> None:
    async with await connect((await server.urls()).app) as conn:
        await conn.execute("select version()")


async def test_a_set_up_that_was_killed_half_way_is_begun_anew(home: Path, postgres_bin: Path | None):
    unfinished = home / "postgres" / "data.new"
    unfinished.mkdir(parents=True)
    for folder in (home, home / "postgres"):
        folder.chmod(0o711)
    (unfinished / "PG_VERSION").write_text("18")
    async with hold_server(home, postgres_bin=postgres_bin, idle_seconds=1) as server:
        await read_version(server)


async def test_data_of_another_major_version_is_left_alone(home: Path):
    data = home / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("11\n")
    with pytest.raises(HomeUnusable, match="belongs to PostgreSQL 11"):
        await EmbeddedServer(home).start()
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


async def test_a_named_folder_without_postgres_is_an_error_of_that_setting(home: Path, tmp_path: Path):
    with pytest.raises(SettingInvalid, match="SYNCLINE_POSTGRES_BIN"):
        await EmbeddedServer(home, postgres_bin=tmp_path).start()


async def test_lost_passwords_are_named_and_the_data_is_left_alone(
    used_home: Path, postgres_bin: Path | None
):
    async with hold_server(used_home, postgres_bin=postgres_bin, idle_seconds=1):
        pass
    await stop_server(used_home)
    (used_home / "postgres/passwords.json").unlink()
    with pytest.raises(HomeUnusable, match=r"passwords\.json is missing"):
        await EmbeddedServer(used_home, postgres_bin=postgres_bin).start()
    assert (used_home / "postgres/data/PG_VERSION").is_file()


async def test_a_home_that_is_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeUnusable, match="cannot be written"):
        EmbeddedServer(tmp_path / "file" / "home")


@as_anyone_else
async def test_a_home_without_permission_is_refused(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(HomeUnusable, match="cannot be written"):
        EmbeddedServer(tmp_path / "home")


@as_root
async def test_no_parent_folder_is_opened_for_others(home: Path, postgres_bin: Path | None):
    home.parent.chmod(0o700)
    with pytest.raises(HomeUnusable, match="may not enter"):
        await EmbeddedServer(home, postgres_bin=postgres_bin).start()
    assert home.parent.stat().st_mode & 0o777 == 0o700


@as_root
async def test_programs_in_a_private_folder_are_copied(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    wheel = find_programs(named=None, cache=tmp_path, account=None, data_major=18).folder.parent.parent
    private = tmp_path / "private"
    for package in (wheel, wheel.with_name(wheel.name + ".libs")):
        if package.is_dir():
            shutil.copytree(package, private / package.name)
    tmp_path.chmod(0o700)
    monkeypatch.setenv("PYTHONPATH", str(private))
    async with hold_server(home, idle_seconds=1) as server:
        await read_version(server)
    process = psutil.Process(state_of(home).postmaster_pid)
    assert Path(process.cmdline()[0]).is_relative_to(home)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@as_root
async def test_a_plain_user_runs_it_twice_under_his_own_account(home: Path, postgres_bin: Path | None):
    account = choose_account(home)
    assert account is not None
    python = find_python(account)
    if python is None:
        pytest.skip("there is no Python here that another account may run")
    make_home_of(account, home)
    program = (
        "import asyncio, os, sys; from pathlib import Path; from syncline.store.embedded import *\n"
        "async def main():\n"
        "    home = Path(sys.argv[1])\n"
        "    for _ in range(2):\n"
        "        async with hold_server(home, postgres_bin=eval(sys.argv[2]), idle_seconds=1): pass\n"
        "        print(await stop_server(home), os.geteuid() == (home / 'postgres/data').stat().st_uid)\n"
        "asyncio.run(main())"
    )
    words = [python, "-c", program, str(home), f"Path({str(postgres_bin)!r})" if postgres_bin else "None"]
    done = subprocess.run(
        words,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        **run_as(account),
    )
    assert done.stdout.split() == ["True", "True"] * 2, done.stderr


def find_python(account: Account) -> str | None:
    """A Python of our version that `account` may run and that sees our packages."""
    for python in (sys.executable, f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"):
        try:
            answer = subprocess.run(
                [python, "-c", "import syncline, psycopg"],
                env={"PYTHONPATH": os.pathsep.join(sys.path)},
                cwd="/",
                capture_output=True,
                check=False,
                **run_as(account),
            )
        except OSError:
            continue
        if answer.returncode == 0:
            return python
    return None


def make_home_of(account: Account, home: Path) -> None:
    home.mkdir(mode=0o700)
    os.chown(home, account.uid, account.gid)


async def test_the_port_of_last_time_taken_by_another_is_left_to_him(
    used_home: Path, postgres_bin: Path | None
):
    async with hold_server(used_home, postgres_bin=postgres_bin, idle_seconds=1):
        port = state_of(used_home).port
    await stop_server(used_home)
    taker = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with taker, hold_server(used_home, postgres_bin=postgres_bin, idle_seconds=1) as server:
        await read_version(server)
        assert state_of(used_home).port != port


async def test_state_left_by_a_killed_supervisor_is_not_believed(used_home: Path, postgres_bin: Path | None):
    folder = Home(used_home)
    folder.write_state(ServerState(port=1, major=18, postmaster_pid=os.getpid(), supervisor_pid=os.getpid()))
    with FileLock(folder.supervisor_lock) as lock:
        lock.write(json.dumps(os.getpid()))
    async with hold_server(used_home, postgres_bin=postgres_bin, idle_seconds=1) as server:
        await read_version(server)
