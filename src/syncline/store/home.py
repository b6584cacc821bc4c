"""The files of SYNCLINE_HOME that belong to the embedded Postgres: where they lie, and their locks.

Knows paths and locks; starts nothing. Every file with a password is readable by its owner only.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from syncline.errors import HomeUnusable
from syncline.store.launcher import SUPERUSER
from syncline.store.roles import APP, OWNER, READER

#: The name of the database in the embedded server.
DATABASE = "syncline"


@dataclass(frozen=True, slots=True)
class ServerState:
    """What the supervisor says of the running server. The file exists only while it accepts connections."""

    port: int
    major: int
    postmaster_pid: int
    supervisor_pid: int


class Home:
    """SYNCLINE_HOME, created if need be. Raises `HomeUnusable` when it cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.postgres = path / "postgres"
        self.clients_lock = self.postgres / "clients.lock"
        self.start_lock = self.postgres / "start.lock"
        self.supervisor_lock = self.postgres / "supervisor.lock"
        self.supervisor_log = self.postgres / "supervisor.log"
        self._state = self.postgres / "server.json"
        self._passwords = self.postgres / "passwords.json"
        self._create()

    def data_major(self) -> int | None:
        """Return which major version of Postgres owns the data; None while there is none."""
        version = self.postgres / "data" / "PG_VERSION"
        try:
            return int(version.read_text().strip())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            raise HomeUnusable(
                f"{version} cannot be read. Restore it, or choose another SYNCLINE_HOME."
            ) from exc

    def read_state(self) -> ServerState | None:
        try:
            return ServerState(**json.loads(self._state.read_text()))
        except (FileNotFoundError, TypeError, ValueError):
            return None

    def write_state(self, state: ServerState) -> None:
        self._write(self._state, asdict(state))

    def clear_state(self) -> None:
        self._state.unlink(missing_ok=True)

    def passwords(self, *, create: bool = False) -> dict[str, str]:
        """Return each role's password. With `create` they are made first if there are none."""
        try:
            found: dict[str, str] = json.loads(self._passwords.read_text())
        except FileNotFoundError:
            if not create:
                raise HomeUnusable(
                    f"{self._passwords} is missing, without which the data beside it cannot be opened. "
                    "Restore the file, or choose another SYNCLINE_HOME."
                ) from None
            found = {name: secrets.token_urlsafe(24) for name in (SUPERUSER, OWNER, APP, READER)}
            self._write(self._passwords, found)
        return found

    def _create(self) -> None:
        # As root, Postgres runs as somebody else, who must pass through; nobody may list or read.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self.path, self.postgres):
                if not folder.is_dir():
                    folder.mkdir(exist_ok=True)
                    folder.chmod(mode)
            probe = self.postgres / f".probe-{os.getpid()}-{secrets.token_hex(4)}"
            probe.touch()
            probe.unlink()
        except OSError as exc:
            raise HomeUnusable(
                f"SYNCLINE_HOME is {self.path}, which cannot be written ({exc.strerror}). "
                "Set it to a folder of your own or correct its permissions."
            ) from exc

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
        with open(os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:  # noqa: PTH123 - Path.open cannot set the mode at creation
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)


class FileLock:
    """An advisory lock of this process on a file; the kernel drops it when the process dies."""

    def __init__(self, path: Path) -> None:
        try:
            self._fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise HomeUnusable(
                f"{path} cannot be opened ({exc.strerror}). Run Syncline as the user who owns this folder, "
                "or set SYNCLINE_HOME to one of your own."
            ) from exc

    def try_exclusive(self) -> bool:
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        return self._try(fcntl.LOCK_SH)

    def wait_exclusive(self, seconds: float) -> bool:
        return self._wait(fcntl.LOCK_EX, seconds)

    def wait_shared(self, seconds: float) -> bool:
        return self._wait(fcntl.LOCK_SH, seconds)

    def release(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release the lock and forget the file. Safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def write(self, text: str) -> None:
        """Leave `text` in the file for whoever finds the lock taken."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text.encode(), 0)

    def read(self) -> str:
        return os.pread(self._fd, 1000, 0).decode()

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait(self, kind: int, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self._try(kind):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
