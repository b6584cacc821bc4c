"""A process that applies a connection's mapping to one object's records, so that it can be killed.

Reads what to do from its standard input as JSON: database URL, tenant, connection, object, chunk_rows.
"""

from __future__ import annotations

import asyncio
import json
import sys
from uuid import UUID

from pydantic import SecretStr

from syncline.config import Settings
from syncline.connectors.registry import get_platform
from syncline.engine.remap import RemapOrder, remap
from syncline.store import connections
from syncline.store.db import Database


async def main() -> None:
    asked = json.load(sys.stdin)
    settings = Settings(database_url=SecretStr(asked["url"]), lease_seconds=1)
    settings = settings.model_copy(update={"chunk_rows": asked["chunk_rows"]})
    tenant_id = UUID(asked["tenant"])
    async with Database.open(asked["url"], application_name="another", max_size=4) as db:
        async with db.transaction(tenant_id=tenant_id) as conn:
            connection = await connections.get(conn, UUID(asked["connection"]), tenant_id=tenant_id)
        await remap(db, connection, get_platform(connection.platform), asked["object"], RemapOrder(settings))


if __name__ == "__main__":
    asyncio.run(main())
