"""The installation's key, which seals CRM credentials: where it lies, and making one."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from syncline.config import Settings
from syncline.domain.sealing import new_key
from syncline.errors import HomeUnusable, SettingInvalid

_FILE = "secret.key"


def key_file(home: Path) -> Path:
    """Name the file that holds the key where the settings give none."""
    return home / _FILE


def find_keys(settings: Settings) -> list[str]:
    """Return the keys, the sealing one first; none when there is neither a setting nor a file.

    Several stand separated by commas while the key is being changed: the first seals, each opens.
    """
    if settings.secret_key is not None:
        text = settings.secret_key.get_secret_value()
    else:
        text = _read(key_file(settings.home))
    return [key.strip() for key in text.split(",") if key.strip()]


def require_keys(settings: Settings, *, embedded: bool) -> list[str]:
    """Return the keys. With the embedded database the first is made when there is none.

    Raises `SettingInvalid` with another database: its credentials must be readable on every machine that
    uses it, so that a key made here in passing would do harm.
    """
    keys = find_keys(settings)
    if keys:
        return keys
    if not embedded:
        raise SettingInvalid(
            "SYNCLINE_SECRET_KEY is not set, and without it no credentials can be stored or read. "
            "`syncline init` prints a new one; set it, or SYNCLINE_SECRET_KEY_FILE, on every machine."
        )
    return [make_key_file(settings.home)]


def make_key_file(home: Path) -> str:
    """Make a key that only its owner can read, and return it; the one that another program just made wins."""
    path, key = key_file(home), new_key()
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        home.mkdir(parents=True, exist_ok=True)
        with open(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:  # noqa: PTH123 - Path.open cannot set the mode at creation
            file.write(key + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(unfinished)
        unfinished.unlink()
        _sync_folder(home)
    except OSError as exc:
        raise HomeUnusable(
            f"{path} cannot be written ({exc.strerror}). Set SYNCLINE_HOME to a folder of your own or "
            "correct its permissions."
        ) from exc
    return _read(path)


def replace_key_file(home: Path, keys: Sequence[str]) -> None:
    """Write other keys into the file, the sealing one first, whole or not at all; it outlives a power cut.

    Whoever may not be the only one has read the file under `sealed.lock_keys`.
    """
    path = key_file(home)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        unfinished.unlink(missing_ok=True)
        with open(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:  # noqa: PTH123 - as above
            file.write(",".join(keys) + "\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        _sync_folder(home)
    except OSError as exc:
        raise HomeUnusable(f"{path} cannot be written ({exc.strerror}). Correct its permissions.") from exc


def _sync_folder(folder: Path) -> None:
    """Have the folder's entries written to the disk: a file that is there and not in its folder is lost."""
    if os.name == "nt":  # folders cannot be opened there, and need not be
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def is_exposed(path: Path) -> bool:
    """Tell whether others than its owner may read or change the file."""
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise SettingInvalid(
            f"The key file {path} cannot be read ({reason}). Correct its permissions, or set "
            "SYNCLINE_SECRET_KEY."
        ) from exc
