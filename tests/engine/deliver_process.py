"""A process that delivers notifications until it is killed. Run by the tests of delivering.

Arguments: database URL, key, home.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pydantic import SecretStr

from syncline.config import Settings
from syncline.domain.sealing import Vault
from syncline.engine.deliver import serve_notifications
from syncline.store.db import Database


async def main() -> None:
    url, key, home = sys.argv[1:]
    settings = Settings(database_url=SecretStr(url), home=Path(home), webhooks_to_private_addresses=True)
    async with Database.open(url, application_name="deliver") as db:
        await serve_notifications(db, Vault([key]), settings, asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main())
