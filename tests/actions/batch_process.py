"""A process that goes on with edits and imports that were left, so that it can be killed.

Reads what to do from its standard input as JSON: database URLs, home, rows at once. Says how far it is, chunk
by chunk, on its standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from syncline.actions import batches, batches_left
from syncline.actions.hub import open_hub
from syncline.config import Settings


async def main() -> None:
    asked = json.load(sys.stdin)
    settings = Settings(
        database_url=SecretStr(asked["app"]),
        admin_database_url=SecretStr(asked["admin"]),
        home=Path(asked["home"]),
    )
    batches.AT_ONCE = asked["at_once"]
    go_on = batches.go_on

    async def tell_and_go_on(*given: Any, **options: Any) -> Any:
        return await go_on(*given, **options, watch=lambda done, _: print(done, flush=True))

    batches_left.go_on = tell_and_go_on
    async with open_hub(settings, application_name="another") as hub:
        await batches_left.go_on_with_left(hub, seconds=0.0)


if __name__ == "__main__":
    asyncio.run(main())
