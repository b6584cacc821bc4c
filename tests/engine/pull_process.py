"""A process that pulls or reconciles one object of a connection, so that it can be killed. Run by the tests.

Reads what to do from its standard input as JSON: database URL, key of the vault, tenant, connection, object,
chunk_rows, mode. Waits for the lease of one that was killed before. Prints the run's status and ends with 0.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from uuid import UUID

import structlog
from pydantic import SecretStr

from syncline.config import Settings
from syncline.domain.sealing import Vault
from syncline.engine.pull import Order, pull
from syncline.engine.reconcile import reconcile
from syncline.engine.remotes import Remotes
from syncline.errors import Busy
from syncline.store import connections
from syncline.store.db import Database


async def main() -> None:
    asked = json.load(sys.stdin)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    settings = Settings(database_url=SecretStr(asked["url"]), lease_seconds=1, chunk_rows=asked["chunk_rows"])
    tenant_id = UUID(asked["tenant"])
    async with (
        Database.open(asked["url"], application_name="another", max_size=6) as db,
        Remotes(db, Vault([asked["key"]])) as remotes,
    ):
        async with db.transaction(tenant_id=tenant_id) as conn:
            connection = await connections.get(conn, UUID(asked["connection"]), tenant_id=tenant_id)
        while True:
            try:
                bring = reconcile if asked["mode"] == "reconcile" else pull
                run = await bring(db, remotes.open(connection), Order(asked["object"]), settings)
                break
            except Busy:
                await asyncio.sleep(0.1)
    print(run.status, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
