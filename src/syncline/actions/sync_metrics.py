"""The nine figures of how a tenant's syncs fare, for whoever may see the syncs."""

from __future__ import annotations

from syncline import clock
from syncline.actions.hub import Hub
from syncline.domain.callers import Caller
from syncline.store import sync_metrics
from syncline.store.sync_metrics import SyncMetrics


async def read_sync_metrics(hub: Hub, caller: Caller) -> SyncMetrics:
    """Return the figures as they are now. Raises `Forbidden`."""
    caller.require("syncs:read")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await sync_metrics.read(conn, tenant_id=hub.tenant_id, now=clock.now())
