"""The embedded Postgres as its users see it: hold it, ask for its URLs, stop it.

Any number of programs share one server per SYNCLINE_HOME. Each holds a shared file lock while it uses the
server; the supervisor (a process of its own) starts it for the first and ends it some time after the last.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from syncline import errors
from syncline.errors import Busy, HomeUnusable
from syncline.store.home import DATABASE, Home, ServerState
from syncline.store.launcher import SUPERUSER, is_alive
from syncline.store.locks import FileLock
from syncline.store.roles import APP, OWNER, READER
from syncline.store.urls import DatabaseUrls, make_url

#: How long a program waits for another one's start or stop. Recovery of a large database can take minutes.
_PATIENCE_SECONDS = 600.0

#: Longer than the instant for which a supervisor looks whether anybody is there.
_ALONE_SECONDS = 0.5
#: Where the supervisor finds its end of the pipe.
_REPORT_FD = 3
_PROBLEMS = MappingProxyType({name: kind for name, kind in vars(errors).items() if isinstance(kind, type)})


class EmbeddedServer:
    """A program's hold on the embedded server: while it lasts, the server stays up and is revived."""

    def __init__(
        self,
        home: Path,
        *,
        postgres_bin: Path | None = None,
        idle_seconds: float = 30,
        server_settings: Mapping[str, str] | None = None,
    ) -> None:
        self._home = Home(home)
        self._postgres_bin = postgres_bin
        self._idle_seconds = idle_seconds
        #: Postgres settings beside ours, for a server that this program happens to start.
        self._server_settings = dict(server_settings or {})
        self._hold: FileLock | None = None
        self._one_at_a_time = threading.Lock()
        self._supervisor_pid: int | None = None

    async def start(self) -> DatabaseUrls:
        """Take hold of the server, starting it if nobody has, and return its URLs.

        Safe to be called by many programs at once: one starts it, the others wait for that.
        Raises `HomeUnusable` or `SettingInvalid` when it cannot be started.
        """
        return await asyncio.to_thread(self._ensure)

    async def urls(self) -> DatabaseUrls:
        """Return the URLs of this moment, reviving the server if it or its supervisor was killed."""
        return await asyncio.to_thread(self._ensure)

    async def app_url(self) -> str:
        """Return the application's URL of this moment: what `Database.open` takes to survive a restart."""
        return (await self.urls()).app

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        """Keep all other programs away for the length of the block: they wait until it ends.

        Raises `Busy` while another program holds the server.
        """
        await self.start()
        hold = self._hold
        if hold is None or not await asyncio.to_thread(hold.wait_exclusive, _ALONE_SECONDS):
            if hold is not None:  # the attempt may have cost the shared lock
                await asyncio.to_thread(hold.wait_shared, _PATIENCE_SECONDS)
            raise Busy("Other Syncline programs use the embedded Postgres. Stop them first.")
        try:
            yield
        finally:
            hold.try_shared()

    def close(self) -> None:
        """Let go. The server ends by itself some time after its last user has. Safe to call twice."""
        if self._hold is not None:
            self._hold.close()
            self._hold = None

    def _ensure(self) -> DatabaseUrls:
        with self._one_at_a_time:
            return self._ensure_running()

    def _ensure_running(self) -> DatabaseUrls:
        self._take_hold()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            state = self._running()
            if state is not None:
                return self._compose(state)
            with FileLock(self._home.start_lock) as start:
                if start.try_exclusive() and not _is_supervised(self._home):
                    self._spawn()
                    continue
            time.sleep(0.02)
        raise HomeUnusable(
            f"The embedded Postgres in {self._home.path} did not become ready. "
            f"Its log is {self._home.postgres / 'server.log'}."
        )

    def _take_hold(self) -> None:
        if self._hold is None:
            hold = FileLock(self._home.clients_lock)
            if not hold.wait_shared(_PATIENCE_SECONDS):  # a supervisor that is ending has it
                hold.close()
                raise HomeUnusable(
                    f"The embedded Postgres in {self._home.path} is being shut down and does not end. "
                    f"Its log is {self._home.postgres / 'server.log'}."
                )
            self._hold = hold

    def _running(self) -> ServerState | None:
        # Its supervisor takes a moment to notice that a server was killed; we look for ourselves.
        state = self._home.read_state()
        alive = state is not None and _is_supervised(self._home) and is_alive(state.postmaster_pid)
        return state if alive else None

    def _compose(self, state: ServerState) -> DatabaseUrls:
        passwords = self._home.passwords()

        def url(role: str) -> str:
            return make_url(
                user=role, password=passwords[role], host="127.0.0.1", port=state.port, database=DATABASE
            )

        return DatabaseUrls(app=url(APP), admin=url(OWNER), reader=url(READER), superuser=url(SUPERUSER))

    def _spawn(self) -> None:
        """Start a supervisor and wait for its word. Call with the start lock held."""
        self._reap()
        self._home.clear_state()
        read_fd, write_fd = os.pipe()
        # -P: nothing is imported from the folder somebody happens to stand in.
        command = [sys.executable, "-P", "-m", "syncline.store.supervisor", str(self._home.path)]
        command += ["--report-fd", str(_REPORT_FD), "--idle-seconds", str(self._idle_seconds)]
        command += ["--settings", json.dumps(self._server_settings)]
        if self._postgres_bin is not None:
            command += ["--postgres-bin", str(self._postgres_bin)]
        log = os.open(self._home.supervisor_log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
            (os.POSIX_SPAWN_DUP2, write_fd, _REPORT_FD),
        ]
        try:
            # It outlives us on purpose, so there is no handle that would wait for it.
            self._supervisor_pid = os.posix_spawn(
                sys.executable, command, _child_environment(), file_actions=actions
            )
        finally:
            os.close(log)
            os.close(write_fd)
        with os.fdopen(read_fd, "rb") as pipe:
            answer = pipe.read()
        if not answer:
            raise HomeUnusable(f"The embedded Postgres did not start. See {self._home.supervisor_log}.")
        problem = json.loads(answer)
        if "error" in problem:
            raise _PROBLEMS[problem["error"]](problem["message"])

    def _reap(self) -> None:
        if self._supervisor_pid is not None:
            with suppress(ChildProcessError):
                os.waitpid(self._supervisor_pid, os.WNOHANG)
            self._supervisor_pid = None


@asynccontextmanager
async def hold_server(
    home: Path, *, postgres_bin: Path | None = None, idle_seconds: float = 30
) -> AsyncGenerator[EmbeddedServer]:
    """Hold the embedded server of `home` for the length of a block."""
    server = EmbeddedServer(home, postgres_bin=postgres_bin, idle_seconds=idle_seconds)
    try:
        await server.start()
        yield server
    finally:
        server.close()


async def stop_server(home: Path, *, even_if_used: bool = False) -> bool:
    """Stop the embedded server of `home` and wait until it is down; False when it was not running.

    Raises `Busy` while programs use it, unless `even_if_used`: then they lose their connections, and revive
    the server when they need it next.
    """
    return await asyncio.to_thread(_stop, Home(home), even_if_used)


def _stop(home: Home, even_if_used: bool) -> bool:
    with FileLock(home.supervisor_lock) as lock, FileLock(home.clients_lock) as clients:
        # Waits a little: somebody may be looking whether it lives, by locking this for an instant.
        if lock.wait_exclusive(0.1):
            return False
        # One that is ending by itself has announced that first, and keeps this lock for good.
        while home.read_state() is not None and not clients.wait_exclusive(_ALONE_SECONDS):
            if even_if_used:
                break
            if home.read_state() is not None:
                raise Busy("Other Syncline programs use the embedded Postgres. Stop them first.")
        with suppress(ProcessLookupError):
            os.kill(int(lock.read()), signal.SIGTERM)
        if not lock.wait_exclusive(_PATIENCE_SECONDS):
            raise HomeUnusable(
                f"The embedded Postgres does not end. Its log is {home.postgres / 'server.log'}."
            )
    return True


def _child_environment() -> dict[str, str]:
    # The supervisor needs no secret of ours, and libpq's variables would mislead it.
    return {k: v for k, v in os.environ.items() if not k.startswith(("SYNCLINE_", "PG"))}


def _is_supervised(home: Home) -> bool:
    with FileLock(home.supervisor_lock) as lock:
        return not lock.try_shared()
