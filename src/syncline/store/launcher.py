"""Creates a Postgres cluster in a folder and starts, watches and ends its server as a direct child.

Knows processes and files only: no roles, no databases of ours, no lock against a second caller, which the
supervisor holds. A direct child, because only then can a killed server be told from a living one at once.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from syncline.errors import HomeUnusable
from syncline.store.accounts import Account, require_reachable, run_as
from syncline.store.binaries import Programs
from syncline.store.locks import FileLock

#: The superuser that `create` makes; people and programs use the roles of `store.roles`.
SUPERUSER = "syncline_admin"

#: Our defaults for one machine that Postgres shares with Syncline. Durable: fsync stays on.
SERVER_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    # No socket: its path has a length limit that a deep SYNCLINE_HOME breaks.
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    # A failed statement carries records in its text and in DETAIL; neither may reach a log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}

#: The first version of Postgres that brings a Unicode locale of its own.
BUILTIN_LOCALES_SINCE = 17

_LOG_LIMIT_BYTES = 10_000_000
_ORPHANS_SECONDS = 10.0


@dataclass(slots=True)
class Postmaster:
    """A running server: our child, or one that survived the supervisor that started it."""

    pid: int
    port: int
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def is_running(self) -> bool:
        """Tell whether it lives. A zombie does not: nobody else may ever reap it."""
        if self._child is not None:
            return self._child.poll() is None
        return is_alive(self.pid)

    def stop(self, *, timeout_seconds: float = 120.0) -> None:
        """Disconnect everyone and shut down, with a checkpoint; harder when that takes too long."""
        for number, patience in (
            (signal.SIGINT, timeout_seconds),
            (signal.SIGQUIT, 15.0),
            (signal.SIGKILL, 15.0),
        ):
            if not self.is_running():
                return
            _send(self.pid, number)
            self._wait(patience)

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.is_running() and time.monotonic() < deadline:
            time.sleep(0.01)


class Cluster:
    """One server's data, in `folder`/data, owned by `account`. Not safe for two processes at once."""

    def __init__(self, folder: Path, programs: Programs, account: Account | None) -> None:
        self.folder = folder
        self.programs = programs
        self.account = account
        self.data = folder / "data"
        self.log = folder / "server.log"
        # Shows in the title of each process of this server, so that they can be found without its files.
        self.tag = "syncline-" + hashlib.sha256(os.fsencode(self.data.resolve())).hexdigest()[:12]

    def exists(self) -> bool:
        return (self.data / "PG_VERSION").is_file()

    def create(self, password: str) -> None:
        """Make an empty cluster whose only role is `SUPERUSER`. All of it or nothing.

        Raises `HomeUnusable` when the account cannot work in the folder or `initdb` fails.
        """
        self._require_reachable()
        unfinished = self.folder / "data.new"
        _remove(unfinished)
        unfinished.mkdir(mode=0o700)
        self._give(unfinished)
        password_file = self.folder / f"initdb-{secrets.token_hex(8)}"
        try:
            with open(os.open(password_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:  # noqa: PTH123 - Path.open cannot set the mode at creation
                file.write(password + "\n")
            self._give(password_file)
            self._initdb(unfinished, password_file)
        finally:
            password_file.unlink(missing_ok=True)
        unfinished.rename(self.data)

    def start(self, port: int, settings: Mapping[str, str] | None = None) -> Postmaster | None:
        """Start the server and wait until it accepts connections, however long its recovery takes.

        Returns None when `port` was taken. Leftovers of a killed server are cleared first.
        Raises `HomeUnusable` when it does not start; the message ends with the last line of its log.
        """
        self._require_reachable()
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        chosen = {**SERVER_SETTINGS, **(settings or {}), "port": str(port), "cluster_name": self.tag}
        command = [self.programs.path("postgres"), "-D", str(self.data)]
        for name, value in chosen.items():
            command += ["-c", f"{name}={value}"]
        with FileLock(self.folder / "data.lock") as lock, self.log.open("ab") as log:
            self._clear_leftovers(lock)
            self.log.chmod(0o600)
            beginning = log.tell()
            child = self._spawn(command, log.fileno(), lock.fileno())
        while not self._is_ready(child.pid):
            if child.poll() is not None:
                return self._explain_failure(beginning)
            time.sleep(0.005)
        return Postmaster(child.pid, port, child)

    def adopt(self) -> Postmaster | None:
        """Return the running server of this cluster when the process that started it was killed."""
        lines = self._pid_lines()
        if len(lines) < 8 or not lines[0].isdigit() or not lines[3].isdigit():
            return None
        pid = int(lines[0])
        if lines[7].strip() != "ready" or pid not in self._living_pids():
            return None
        return Postmaster(pid, int(lines[3]))

    def _initdb(self, data: Path, password_file: Path) -> None:
        command: list[str | Path] = [self.programs.path("initdb"), "-D", str(data), "-U", SUPERUSER]
        command += ["--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C"]
        answer = self._run([*command, *_unicode_options(self.programs.major)])
        if answer.returncode != 0 and self.programs.major < BUILTIN_LOCALES_SINCE:
            # Systems without that locale: then lower() knows the letters of English alone.
            _remove(data)
            data.mkdir(mode=0o700)
            self._give(data)
            answer = self._run(command)
        if answer.returncode != 0:
            lines = answer.stdout.decode(errors="replace").strip().splitlines()
            raise HomeUnusable(
                f"Postgres could not set up its data in {self.folder}: "
                f"{_last_complaint(lines)}. Free space there or choose another SYNCLINE_HOME."
            )

    def _run(self, command: Sequence[str | Path]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(  # noqa: S603 - programs we chose
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            cwd="/",
            umask=0o077,
            env=_environment(),
            **run_as(self.account),
        )

    def _spawn(self, command: list[str], log: int, lock: int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603 - programs we chose
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                umask=0o077,
                env=_environment(),
                # Ctrl-C in the terminal is for the program in front, not for the server.
                start_new_session=True,
                pass_fds=(lock,),
                **run_as(self.account),
            )
        except (OSError, subprocess.SubprocessError) as exc:
            raise HomeUnusable(
                f"{command[0]} could not be started ({exc}). Check that the file may be executed."
            ) from exc

    def _explain_failure(self, beginning: int) -> None:
        with self.log.open("rb") as log:
            log.seek(beginning)
            lines = log.read().decode(errors="replace").splitlines()
        if any("could not bind" in line for line in lines):
            return
        raise HomeUnusable(
            f"Postgres did not start in {self.folder}: {_last_complaint(lines)}. Its log is {self.log}."
        )

    def _is_ready(self, pid: int) -> bool:
        lines = self._pid_lines()
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _pid_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def _clear_leftovers(self, lock: FileLock) -> None:
        """Wait until nothing of a killed server runs any more, take `lock`, and remove its lock file.

        Postgres itself refuses to start while the process id in its lock file exists: as a zombie, or
        reused by a stranger. What that check is for is done here by `lock`, which every process of the
        server inherits, and which the kernel drops with the last of them, whoever sees them or not.
        """
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            living = self._living_pids()
            if not living and number != signal.SIGINT:
                break  # whoever holds the lock cannot be seen from here, let alone be ended
            for pid in living:
                _send(pid, number)
            deadline = time.monotonic() + _ORPHANS_SECONDS
            while time.monotonic() < deadline:
                if not self._living_pids() and lock.try_exclusive():
                    (self.data / "postmaster.pid").unlink(missing_ok=True)
                    return
                time.sleep(0.02)
        raise HomeUnusable(
            f"Another Postgres still uses the data in {self.folder} and cannot be ended from here. "
            "Stop it first; it may run in another container."
        )

    def _living_pids(self) -> set[int]:
        found: set[int] = set()
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                ours = bool(words) and "postgres" in words[0] and any(self.tag in word for word in words)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.add(process.pid)
            except psutil.Error:  # gone, a zombie, or not ours to look at
                continue
        return found

    def _require_reachable(self) -> None:
        if self.account is not None:
            require_reachable(self.folder, self.account)

    def _give(self, path: Path) -> None:
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)


def free_port(preferred: int | None = None) -> int:
    """Return `preferred` if nobody listens there, else a port the system chose. Another may still take it."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise HomeUnusable("No free port was found on 127.0.0.1. Close programs that hold connections open.")


def _unicode_options(major: int) -> list[str]:
    """Return what makes lower() fold every alphabet, with an order no system library's update can change."""
    if major >= BUILTIN_LOCALES_SINCE:
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--lc-ctype=C.UTF-8"]


def _environment() -> dict[str, str]:
    # Nothing of the caller's: no PG* variables, no library path, and messages in a language we can read.
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def is_alive(pid: int) -> bool:
    """Tell whether the process lives. A zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _last_complaint(lines: list[str]) -> str:
    complaints = [line for line in lines if "FATAL" in line or "PANIC" in line or "error:" in line]
    chosen = (complaints or lines or ["it gave no reason"])[-1]
    return chosen.partition("FATAL:")[2].strip() or chosen.strip()
