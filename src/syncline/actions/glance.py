"""What every page shows beside its own matter, for as long as it is about true."""

from __future__ import annotations

import time
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.store.glance import Glance, read_glance

_SECONDS = 3.0
_MOST = 1000


class Glances:
    """Remembers what was seen of each tenant for three seconds: pages come in quick succession."""

    def __init__(self) -> None:
        self._seen: dict[UUID, tuple[float, Glance]] = {}

    async def read(self, hub: Hub) -> Glance:
        """Return what is known of the hub's tenant."""
        at, known = self._seen.get(hub.tenant_id, (0.0, None))
        if known is not None and time.monotonic() - at < _SECONDS:
            return known
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            found = await read_glance(conn, tenant_id=hub.tenant_id)
        if len(self._seen) >= _MOST:
            self._seen.clear()
        self._seen[hub.tenant_id] = time.monotonic(), found
        return found

    def forget(self, tenant_id: UUID) -> None:
        """Look anew next time: something was changed just now."""
        self._seen.pop(tenant_id, None)
