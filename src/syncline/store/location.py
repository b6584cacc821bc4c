"""Where the database is, by the settings: the one that was named, or the embedded one, held while in use."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from syncline.config import Settings
from syncline.errors import SettingInvalid
from syncline.store.embedded import EmbeddedServer


@dataclass(frozen=True, slots=True)
class Location:
    """The URLs of one database. Its methods are what `Database.open` takes, and cost nothing to ask often."""

    _settings: Settings
    #: None for a server of the user's own.
    embedded: EmbeddedServer | None

    async def app_url(self) -> str:
        """Return the application's URL."""
        if self.embedded is not None:
            return (await self.embedded.urls()).app
        return _named(self._settings.database_url, "SYNCLINE_DATABASE_URL", "the application")

    async def admin_url(self) -> str:
        """Return the URL of `syncline_owner` or a member of it. Raises `SettingInvalid` where none is set."""
        if self.embedded is not None:
            return (await self.embedded.urls()).admin
        return _named(self._settings.admin_database_url, "SYNCLINE_ADMIN_DATABASE_URL", "this command")

    async def reader_url(self) -> str:
        """Return the read-only role's URL. Raises `SettingInvalid` where none is set."""
        if self.embedded is not None:
            return (await self.embedded.urls()).reader
        return _named(self._settings.reader_database_url, "SYNCLINE_READER_DATABASE_URL", "reading")


@asynccontextmanager
async def locate_database(settings: Settings) -> AsyncGenerator[Location]:
    """Tell where the database is, and keep the embedded server up for the length of the block.

    Raises `HomeUnusable` or `SettingInvalid` when the embedded server cannot be started. A server of the
    user's own is not connected to here.
    """
    if settings.database_url is not None:
        yield Location(settings, None)
        return
    for name in ("admin_database_url", "reader_database_url"):
        if getattr(settings, name) is not None:
            raise SettingInvalid(
                f"SYNCLINE_{name.upper()} is set without SYNCLINE_DATABASE_URL. Set both, or neither "
                "to use the embedded Postgres."
            )
    embedded = EmbeddedServer(
        settings.home, postgres_bin=settings.postgres_bin, idle_seconds=settings.postgres_idle_seconds
    )
    try:
        await embedded.start()
        yield Location(settings, embedded)
    finally:
        embedded.close()


def _named(url: SecretStr | None, variable: str, purpose: str) -> str:
    if url is None:
        raise SettingInvalid(f"{variable} is not set, and {purpose} needs it. Set it to a postgresql:// URL.")
    return url.get_secret_value()
