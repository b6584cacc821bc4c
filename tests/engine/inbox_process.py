"""A process that works off inboxes, so that it can be killed. Run by the tests.

Reads what to do from its standard input as JSON: database URL and key of the vault.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import structlog
from pydantic import SecretStr

from syncline.config import Settings
from syncline.domain.sealing import Vault
from syncline.engine.inbox import serve_inbox
from syncline.engine.remotes import Remotes
from syncline.store.db import Database
from tiny_webhooks import register


async def main() -> None:
    asked = json.load(sys.stdin)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    register()
    settings = Settings(database_url=SecretStr(asked["url"]), lease_seconds=1)
    async with (
        Database.open(asked["url"], application_name="another", max_size=6) as db,
        Remotes(db, Vault([asked["key"]])) as remotes,
    ):
        await serve_inbox(db, remotes, settings, stop=asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main())
