"""A process that finds its token expired. Run by the tests of calls.

Arguments: database URL, tenant, connection, a folder where each exchange leaves a file.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from uuid import UUID

from test_calls import Credentials

from syncline.connectors.transport import Token
from syncline.engine.calls import StoredToken
from syncline.store.db import Database


async def main() -> None:
    url, tenant, connection, folder = sys.argv[1:]
    tenant_id, connection_id = UUID(tenant), UUID(connection)

    async def exchange(old: Token) -> Token:
        (Path(folder) / str(os.getpid())).touch()
        await asyncio.sleep(0.5)
        made = len(list(Path(folder).iterdir()))
        return Token(f"fresh {made} after {old.access_token}")

    async with Database.open(url, min_size=1, max_size=2) as db:
        tokens = StoredToken(
            db,
            Credentials(tenant_id, connection_id),
            exchange,
            tenant_id=tenant_id,
            connection_id=connection_id,
        )
        fresh = await tokens.refresh(Token("first"))
        assert fresh is not None
        print(fresh.access_token)


if __name__ == "__main__":
    asyncio.run(main())
