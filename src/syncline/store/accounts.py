"""The OS account under which Postgres runs, for Postgres refuses to run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from syncline.errors import HomeUnusable

_PREFERRED = ("syncline", "postgres")


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged account that root can start processes as."""

    name: str
    uid: int
    gid: int


class RunAs(TypedDict):
    """The arguments of `subprocess` that decide whose process it is."""

    user: int | None
    group: int | None
    extra_groups: list[int] | None


def run_as(account: Account | None) -> RunAs:
    """Return the arguments of `subprocess` for a process of `account`; None keeps the caller's own."""
    if account is None:
        return {"user": None, "group": None, "extra_groups": None}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def choose_account(data: Path) -> Account | None:
    """Return the account Postgres is to run as; None is the caller's own, which a plain user keeps.

    Existing `data` stays with its owner. Root otherwise takes `syncline`, `postgres`, a new system
    account `syncline`, or `nobody`, whichever comes first.
    """
    if os.geteuid() != 0:
        return None
    if data.is_dir() and data.stat().st_uid != 0:
        account = _by_uid(data.stat().st_uid, data.stat().st_gid)
    else:
        found = (_find(name) for name in _PREFERRED)
        account = next((each for each in found if each), None) or _create(_PREFERRED[0]) or _find("nobody")
    if account is None:
        raise HomeUnusable(
            "Postgres cannot run as root and no other OS account was found. "
            "Run Syncline as a plain user, or create one: useradd --system syncline."
        )
    _require_switch(account)
    return account


def require_reachable(folder: Path, account: Account) -> None:
    """Raise `HomeUnusable` unless `account` can enter `folder`. Permissions are never widened here."""
    if not _can(account, 'cd -- "$1"', str(folder)):
        raise HomeUnusable(
            f"Postgres runs as the OS user {account.name}, who may not enter {folder}. Set SYNCLINE_HOME to "
            "a folder that this user may enter, such as /var/lib/syncline, or run Syncline as a plain user."
        )


def _require_switch(account: Account) -> None:
    try:
        _can(account, ":")
    except (OSError, subprocess.SubprocessError) as exc:
        raise HomeUnusable(
            f"Postgres cannot run as root, and this root may not start it as {account.name} ({exc}). "
            "Run Syncline as a plain user, or give the container the capabilities SETUID and SETGID."
        ) from exc


def _can(account: Account, script: str, *arguments: str) -> bool:
    """Tell whether a line of shell succeeds as `account`."""
    answer = subprocess.run(  # noqa: S603 - fixed scripts; what varies is an argument, not shell text
        ["/bin/sh", "-c", script, "sh", *arguments],
        capture_output=True,
        check=False,
        cwd="/",
        **run_as(account),
    )
    return answer.returncode == 0


def _find(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid) if entry.pw_uid != 0 else None


def _by_uid(uid: int, gid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:  # an owner from another container or machine has no name here, and needs none
        return Account(str(uid), uid, gid)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _create(name: str) -> Account | None:
    useradd = shutil.which("useradd")
    if useradd is None:
        return None
    command = [useradd, "--system", "--no-create-home", "--home-dir", "/nonexistent"]
    subprocess.run(  # noqa: S603 - found on PATH, fixed arguments; failure shows in the look-up
        [*command, "--shell", "/usr/sbin/nologin", name], capture_output=True, check=False
    )
    return _find(name)
