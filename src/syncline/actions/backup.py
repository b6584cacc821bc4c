"""Keeping a copy of everything in one file, and bringing it back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from syncline.config import Settings
from syncline.store import backup as store
from syncline.store.backup import Restored
from syncline.store.location import locate_database

__all__ = ["Restored", "back_up", "restore"]


async def back_up(settings: Settings, file: Path) -> Mapping[str, int]:
    """Write everything to `file` and return the rows of each table. See `store.backup.backup`.

    The secret key is not in it: without the key the credentials inside cannot be read.
    """
    async with locate_database(settings) as location:
        return await store.backup(await location.admin_url(), file, postgres_bin=settings.postgres_bin)


async def restore(settings: Settings, file: Path, *, replace: bool) -> Restored:
    """Bring `file` back. `replace` lets it take the place of what the embedded database holds.

    Raises `AlreadyExists` for a database that has data, `Invalid` for a file that is no backup.
    """
    async with locate_database(settings) as location:
        if location.embedded is not None:
            return await store.restore_embedded(
                location.embedded, file, replace=replace, postgres_bin=settings.postgres_bin
            )
        return await store.restore(await location.admin_url(), file, postgres_bin=settings.postgres_bin)
