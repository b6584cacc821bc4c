"""Records that were set aside: which, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from syncline.actions.hub import Hub
from syncline.store import parked
from syncline.store.parked import Parked


@dataclass(frozen=True, slots=True)
class ParkedRecord:
    connection: str
    object: str
    #: `original` may hold personal data: it is what the CRM sent.
    record: Parked


async def list_parked(
    hub: Hub, *, names: Sequence[str] = (), objects: Sequence[str] = (), limit: int = 100
) -> list[ParkedRecord]:
    """Return parked records of the connections, up to `limit` of each object, latest seen first.

    Raises `NotFound` for an unknown connection.
    """
    found = await hub.list_connections(names)
    listed: list[ParkedRecord] = []
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        counts = await parked.list_counts(conn, tenant_id=hub.tenant_id)
        for connection in found:
            for each in sorted(counts, key=lambda count: count.object):
                if each.connection_id != connection.id or (objects and each.object not in objects):
                    continue
                records = await parked.list_parked(
                    conn,
                    tenant_id=hub.tenant_id,
                    connection_id=connection.id,
                    object_name=each.object,
                    limit=limit,
                )
                listed += [ParkedRecord(connection.name, each.object, record) for record in records]
    return listed
