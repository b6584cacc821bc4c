"""Whether this installation can do its work now, for whoever decides to send it traffic."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from syncline.actions.hub import Hub
from syncline.actions.status import is_alive
from syncline.errors import SchemaOutdated, SynclineError
from syncline.store import health, workers
from syncline.store.db import require_current_schema

#: A probe waits a few seconds only.
_PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Unready:
    """One reason why work cannot be done. `code` stays the same; `detail` is a sentence."""

    code: str
    detail: str


async def list_unready(hub: Hub) -> list[Unready]:
    """Return what stands in the way: database, schema, workers. Empty when all is well."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await _look(hub)
    except TimeoutError:
        return [Unready("database", "Postgres does not answer in time.")]
    except SchemaOutdated as error:
        return [Unready("schema", str(error))]
    except SynclineError as error:
        return [Unready("database", str(error))]


async def _look(hub: Hub) -> list[Unready]:
    async with hub.db.statement() as conn:
        await require_current_schema(conn)
        at = await health.read_clock(conn)
        found = await workers.list_workers(conn)
    if any(is_alive(each, at) for each in found):
        return []
    return [Unready("worker", "No worker has given a sign of life lately. Run `syncline worker`.")]
