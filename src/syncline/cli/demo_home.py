"""The demo's own home: a folder beside the real one that holds nothing of anybody's."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from syncline.clock import now
from syncline.config import Settings
from syncline.errors import Busy, HomeUnusable
from syncline.store.embedded import stop_server
from syncline.store.home import Home
from syncline.store.locks import FileLock

_FOLDER = "demo"
#: A demo that was killed is started again at once; its runs are not to be waited for.
_LEASE_SECONDS = 5
_FILE = "demo.json"
_LOCK = "demo.lock"
_JOURNAL = "edits"
#: They name a real installation; the demo never goes there.
_FOREIGN = (
    "database_url",
    "admin_database_url",
    "reader_database_url",
    "secret_key",
    "smtp_url",
    "oidc_issuer",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the simulated CRM is filled with; the same at every start, so that data and CRM fit together."""

    platform: str
    contacts: int
    anchor: str
    seed: int = 1


@dataclass(frozen=True, slots=True)
class DemoHome:
    """The demo's settings and plan, and the lock that keeps a second demo out."""

    settings: Settings
    plan: Plan
    #: There was a demo here before: its data is gone on with.
    goes_on: bool
    lock: FileLock

    @property
    def journal(self) -> Path:
        return self.settings.home / _JOURNAL


async def open_demo_home(settings: Settings, platform: str, contacts: int) -> DemoHome:
    """Return the demo's home; one that was made with another number of contacts is made anew.

    Raises `Busy` while another demo runs there, `HomeUnusable`.
    """
    own = settings.model_copy(
        update={
            "home": settings.home / _FOLDER,
            "lease_seconds": _LEASE_SECONDS,
            **dict.fromkeys(_FOREIGN),
        }
    )
    home = Home(own.home)
    lock = FileLock(home.path / _LOCK)
    if not lock.try_exclusive():
        lock.close()
        raise Busy(f"A demo is running already in {home.path}. End it with Ctrl-C where it was started.")
    known = _read(home.path / _FILE)
    if known is not None and (known.platform, known.contacts) == (platform, contacts):
        return DemoHome(own, known, goes_on=True, lock=lock)
    if known is not None:
        await stop_server(home.path, even_if_used=True)
        _empty(home.path)
        Home(own.home)
    plan = Plan(platform, contacts, now().date().isoformat())
    (home.path / _FILE).write_text(json.dumps(asdict(plan)))
    return DemoHome(own, plan, goes_on=False, lock=lock)


def write_command(demo: DemoHome, words: str) -> str:
    """Return how a command must be typed so that it reaches the demo, here and now."""
    unset = [f"-u SYNCLINE_{name.upper()}" for name in _FOREIGN if f"SYNCLINE_{name.upper()}" in os.environ]
    env = f"env {' '.join(unset)} " if unset else ""
    return f"{env}SYNCLINE_HOME={shlex.quote(str(demo.settings.home))} {_program()} {words}"


def _program() -> str:
    """Return how this program is called: by its name where the shell finds the same one, else by its path."""
    here = Path(sys.argv[0])
    if here.name != "syncline":
        return f"{shlex.quote(sys.executable)} -m syncline"
    found = shutil.which("syncline")
    if found is not None and Path(found).resolve() == here.resolve():
        return "syncline"
    return shlex.quote(os.path.relpath(here) if here.is_relative_to(Path.cwd()) else str(here))


def _read(path: Path) -> Plan | None:
    try:
        return Plan(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, TypeError, ValueError) as error:
        raise HomeUnusable(
            f"{path} cannot be read. Remove the folder {path.parent} and try again."
        ) from error


def _empty(folder: Path) -> None:
    """Remove what the demo made; the lock stays, since it is held."""
    for path in folder.iterdir():
        if path.name == _LOCK:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
