"""What has changed lately, as the change log has it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.store import changes
from syncline.store.changes import Change

#: What is older is not news; partitions of other months need not be looked into.
_LATEST = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Recent:
    """The latest changes after a moment, latest first, and how many there were in all."""

    changes: list[Change]
    count: int


async def read_recent(hub: Hub, after: datetime, *, limit: int = 15) -> Recent:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return Recent(
            await changes.list_recent(conn, tenant_id=hub.tenant_id, after=after, limit=limit),
            await changes.count_since(conn, tenant_id=hub.tenant_id, after=after),
        )


async def read_latest(hub: Hub, *, limit: int = 15) -> list[Change]:
    """Return the latest changes, latest first; none is counted."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await changes.list_recent(conn, tenant_id=hub.tenant_id, after=now() - _LATEST, limit=limit)
