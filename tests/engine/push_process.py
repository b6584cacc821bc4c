"""A process that pushes what waits for a connection, so that it can be killed. Run by the tests.

Reads what to do from its standard input as JSON: database URL, key of the vault, tenant, connection, records
per batch. Waits for the lease of one that was killed before, and for what is put off. Ends with 0 once
nothing waits any more.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from dataclasses import replace
from uuid import UUID

import structlog
from pydantic import SecretStr

from syncline.clock import now
from syncline.config import Settings
from syncline.domain.sealing import Vault
from syncline.engine.push import drain
from syncline.engine.remotes import Remotes
from syncline.errors import Busy, LeaseLost
from syncline.store import connections, queue
from syncline.store.db import Database


async def main() -> None:
    asked = json.load(sys.stdin)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    settings = Settings(database_url=SecretStr(asked["url"]), lease_seconds=1)
    tenant_id = UUID(asked["tenant"])
    async with (
        Database.open(asked["url"], application_name="another", max_size=10) as db,
        Remotes(db, Vault([asked["key"]])) as remotes,
    ):
        async with db.transaction(tenant_id=tenant_id) as conn:
            connection = await connections.get(conn, UUID(asked["connection"]), tenant_id=tenant_id)
        remote = remotes.open(connection, lane="push")
        connector = remote.connector
        connector.capabilities = replace(connector.capabilities, write_batch=asked["batch"])
        while True:
            try:
                await drain(db, remote, settings)
            except (Busy, LeaseLost):
                await asyncio.sleep(0.05)
                continue
            async with db.transaction(tenant_id=tenant_id) as conn:
                if not await queue.count_due(conn, **remote.keys):
                    return
                # Put off: due later than now.
                if not await queue.list_due(conn, **remote.keys, now=now(), limit=1):
                    await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main())
