"""The process that owns the embedded Postgres of one SYNCLINE_HOME: starts it, revives it, ends it.

Run as `python -m syncline.store.supervisor HOME …` by whoever first needs the server; it outlives that
program and goes when nobody has needed the server for a while. Of the database's content it knows only roles.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import psycopg
from psycopg import sql

from syncline.errors import HomeUnusable, SynclineError
from syncline.store.accounts import choose_account
from syncline.store.binaries import find_programs
from syncline.store.home import DATABASE, Home, ServerState
from syncline.store.launcher import SUPERUSER, Cluster, Postmaster, free_port
from syncline.store.locks import FileLock
from syncline.store.roles import APP, OWNER, READER, admit_roles, create_roles
from syncline.store.urls import make_url

_TICK_SECONDS = 0.25
_PORT_ATTEMPTS = 10
#: More revivals than this within the window mean that it cannot live.
_REVIVALS, _REVIVAL_WINDOW_SECONDS = 5, 60.0


class Supervisor:
    """One server's keeper. Exactly one exists per home, by the lock its process holds while it lives."""

    def __init__(
        self, home: Home, *, postgres_bin: Path | None, idle_seconds: float, settings: dict[str, str]
    ) -> None:
        self._home = home
        self._settings = settings
        self._idle_seconds = idle_seconds
        self._stopping = False
        data = home.postgres / "data"
        account = choose_account(data)
        programs = find_programs(
            named=postgres_bin, cache=home.postgres, account=account, data_major=home.data_major()
        )
        self._cluster = Cluster(home.postgres, programs, account)
        self._revivals: list[float] = []

    def start(self) -> Postmaster:
        """Bring the server up, creating or adopting it as needed, and announce it."""
        fresh = not self._cluster.exists()
        passwords = self._home.passwords(create=fresh)
        if fresh:
            self._cluster.create(passwords[SUPERUSER])
        postmaster = self._adopt(passwords) or self._start_postgres(passwords)
        self._home.write_state(
            ServerState(postmaster.port, self._cluster.programs.major, postmaster.pid, os.getpid())
        )
        return postmaster

    def watch(self, postmaster: Postmaster, clients: FileLock) -> None:
        """Keep the server alive until nobody needs it or somebody ends us; then shut it down.

        On return `clients` is locked exclusively or the server was stopped by a signal: a program that asks
        for the server meanwhile waits for our end and then starts anew.
        """
        idle_since = time.monotonic()
        try:
            while not self._stopping:
                if not postmaster.is_running():
                    postmaster = self._revive()
                if not clients.try_exclusive():
                    idle_since = time.monotonic()
                elif time.monotonic() - idle_since > self._idle_seconds:
                    break
                else:
                    clients.release()
                time.sleep(_TICK_SECONDS)
        finally:
            self._home.clear_state()
            postmaster.stop()

    def end(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: shut down at the next tick."""
        del number, frame
        self._stopping = True

    def _adopt(self, passwords: dict[str, str]) -> Postmaster | None:
        postmaster = self._cluster.adopt()
        if postmaster is not None:
            try:
                asyncio.run(_furnish(postmaster.port, passwords))
            except psycopg.OperationalError:  # it is dying: killed with the supervisor that it had
                postmaster.stop()
                return None
        return postmaster

    def _start_postgres(self, passwords: dict[str, str]) -> Postmaster:
        preferred = self._last_port()
        for _ in range(_PORT_ATTEMPTS):
            port = free_port(preferred)
            postmaster = self._cluster.start(port, self._settings)
            if postmaster is not None:
                try:
                    asyncio.run(_furnish(port, passwords))
                except BaseException:
                    postmaster.stop()
                    raise
                (self._home.postgres / "port").write_text(str(port))
                return postmaster
            preferred = None
        raise HomeUnusable("No free port was found on 127.0.0.1. Close programs that hold connections open.")

    def _last_port(self) -> int | None:
        # The same port as last time, so that a URL noted down elsewhere stays good while it can.
        try:
            return int((self._home.postgres / "port").read_text())
        except (OSError, ValueError):
            return None

    def _revive(self) -> Postmaster:
        self._home.clear_state()
        now = time.monotonic()
        self._revivals = [at for at in self._revivals if now - at < _REVIVAL_WINDOW_SECONDS] + [now]
        if len(self._revivals) > _REVIVALS:
            raise HomeUnusable(f"Postgres died {len(self._revivals)} times. Its log is {self._cluster.log}.")
        return self.start()


_DATABASE_EXISTS = "select exists (select from pg_catalog.pg_database where datname = %(name)s)"


async def _furnish(port: int, passwords: dict[str, str]) -> None:
    """Make the roles and the database if they are not there. Idempotent; runs at every start."""

    def url(database: str) -> str:
        return make_url(
            user=SUPERUSER,
            password=passwords[SUPERUSER],
            host="127.0.0.1",
            port=port,
            database=database,
        )

    async with await psycopg.AsyncConnection.connect(url("postgres"), autocommit=True) as conn:
        await create_roles(
            conn,
            app_password=passwords[APP],
            reader_password=passwords[READER],
            owner_password=passwords[OWNER],
        )
        cursor = await conn.execute(_DATABASE_EXISTS, {"name": DATABASE})
        row = await cursor.fetchone()
        if not (row and row[0]):
            await conn.execute(
                sql.SQL("create database {} owner {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
            )
    async with await psycopg.AsyncConnection.connect(url(DATABASE), autocommit=True) as conn:
        await admit_roles(conn)


def _report(fd: int, problem: SynclineError | None) -> None:
    """Tell the program that started us how it went, once; it may be gone by now."""
    answer = {"error": type(problem).__name__, "message": str(problem)} if problem else {"ready": True}
    try:
        os.write(fd, json.dumps(answer).encode())
    except BrokenPipeError:
        pass
    finally:
        os.close(fd)


def main(arguments: list[str] | None = None) -> int:
    """Run until the server is no longer needed. Exit code 1 says that it never came up or could not live."""
    parser = argparse.ArgumentParser(prog="syncline-supervisor")
    parser.add_argument("home", type=Path)
    parser.add_argument("--report-fd", type=int, required=True)
    parser.add_argument("--idle-seconds", type=float, required=True)
    parser.add_argument("--postgres-bin", type=Path, default=None)
    parser.add_argument("--settings", type=json.loads, default={})
    options = parser.parse_args(arguments)
    # Ctrl-C in the terminal and the end of its session are for the program in front, not for the server.
    os.setsid()
    os.chdir("/")
    home = Home(options.home)
    with FileLock(home.supervisor_lock) as lock, FileLock(home.clients_lock) as clients:
        # Someone may be looking whether we live, by locking for an instant what we lock for good.
        if not lock.wait_exclusive(5):
            os.close(options.report_fd)
            return 0
        lock.write(str(os.getpid()))
        try:
            supervisor = Supervisor(
                home,
                postgres_bin=options.postgres_bin,
                idle_seconds=options.idle_seconds,
                settings=options.settings,
            )
            signal.signal(signal.SIGTERM, supervisor.end)
            signal.signal(signal.SIGINT, supervisor.end)
            postmaster = supervisor.start()
        except SynclineError as exc:
            _report(options.report_fd, exc)
            return 1
        _report(options.report_fd, None)
        supervisor.watch(postmaster, clients)
    return 0


if __name__ == "__main__":
    sys.exit(main())
