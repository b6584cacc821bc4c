"""What can be wrong on this machine: the home folder, the key in it, the disk under it."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from syncline.actions.checks.findings import Finding, Thresholds, fail, ok, warn
from syncline.actions.secret_key import is_exposed, key_file
from syncline.config import Settings
from syncline.domain.sealing import Vault
from syncline.errors import SettingInvalid

HOME = "home-writable"
KEY = "key-file-private"
DISK = "disk-space"
SETTINGS = "settings"


def check_machine(settings: Settings, thresholds: Thresholds) -> list[Finding]:
    """Look at the home and the disk. Needs no database."""
    home = settings.home
    return [_check_home(home), _check_key(settings), _check_disk(home, thresholds)]


def _check_home(home: Path) -> Finding:
    place = _nearest(home)
    if not place.is_dir():
        return fail(
            HOME,
            f"SYNCLINE_HOME is {home}, and {place} is no folder.",
            f"export SYNCLINE_HOME=FOLDER, or: rm {shlex.quote(str(place))}",
        )
    if not os.access(place, os.W_OK | os.X_OK):
        return fail(
            HOME,
            f"SYNCLINE_HOME is {home}, which this user cannot write.",
            f"sudo chown -R {os.geteuid()} {shlex.quote(str(place))}, or: export SYNCLINE_HOME=FOLDER",
        )
    return ok(HOME, f"{home} can be written.")


def _check_key(settings: Settings) -> Finding:
    path = key_file(settings.home)
    if settings.secret_key is not None:
        try:
            Vault([each.strip() for each in settings.secret_key.get_secret_value().split(",")])
        except SettingInvalid as error:
            return fail(KEY, f"SYNCLINE_SECRET_KEY cannot be used: {error}", "syncline init")
        return ok(KEY, "The secret key comes from the environment.")
    try:
        exposed = is_exposed(path)
    except FileNotFoundError:
        return ok(KEY, "There is no key file, and no need of one yet.")
    except OSError as error:
        return fail(KEY, f"{path} cannot be looked at ({error.strerror}).", _private(path))
    if exposed:
        return fail(KEY, f"{path} opens every stored token, and others may read it.", _private(path))
    return ok(KEY, f"Only its owner can read {path}.")


def _check_disk(home: Path, thresholds: Thresholds) -> Finding:
    place = _nearest(home)
    usage = shutil.disk_usage(place)
    share = usage.free / usage.total if usage.total else 1.0
    free = f"{usage.free / (1 << 30):.1f} GiB ({share:.0%}) are free under {home}"
    if usage.free < thresholds.disk_free_bytes or share < thresholds.disk_free_share:
        return warn(
            DISK, f"The disk is nearly full: {free}.", f"du -xh {shlex.quote(str(place))} | sort -h | tail"
        )
    return ok(DISK, f"{free}.")


def _nearest(path: Path) -> Path:
    """Return the path itself, or the nearest of its parents that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _private(path: Path) -> str:
    return f"chmod 600 {shlex.quote(str(path))}"
