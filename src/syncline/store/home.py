"""The files of SYNCLINE_HOME that belong to the embedded Postgres, and where they lie.

Knows paths; starts nothing. Every file with a password is readable by its owner only.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
