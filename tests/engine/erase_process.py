"""A process that goes on with one erasure, so that it can be killed. Run by the tests.

Reads what to do from its standard input as JSON: database URLs, key of the vault, tenant, erasure. Writes a
line once it begins. Ends with 0 when nothing is left to do.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from uuid import UUID

import structlog

from syncline.domain.sealing import Vault
from syncline.engine.erase import Eraser
from syncline.engine.remotes import Remotes
from syncline.store.db import Database


async def main() -> None:
    asked = json.load(sys.stdin)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    async with (
        Database.open(asked["url"], application_name="another", max_size=4) as db,
        Remotes(db, Vault([asked["key"]])) as remotes,
    ):
        eraser = Eraser(db, remotes, asked["admin_url"])
        sys.stdout.write("begins\n")
        sys.stdout.flush()
        sys.exit(0 if await eraser.go_on(UUID(asked["tenant"]), UUID(asked["erasure"])) else 1)


if __name__ == "__main__":
    asyncio.run(main())
