"""Taking a connection away, with the data that came by it or without. Changes nothing at the CRM."""

from __future__ import annotations

from dataclasses import dataclass

from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.store import connections, removal
from syncline.store.connections import Connection

_ACTOR = "syncline"


@dataclass(frozen=True, slots=True)
class Departure:
    """What a connection's end would take along, or has taken."""

    connection: Connection
    #: Payloads as the CRM gave them, by raw table. They go in either case.
    payloads: dict[str, int]
    #: Records that this connection is linked to, by type.
    linked: dict[str, int]
    #: Records that no other connection is linked to, by type. They go only with `remove`.
    only_here: dict[str, int]


async def plan_departure(hub: Hub, name: str) -> Departure:
    """Count what would go. Changes nothing. Raises `NotFound`."""
    connection = await hub.get_connection(name)
    keys = {"tenant_id": hub.tenant_id, "connection_id": connection.id}
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return Departure(
            connection,
            await removal.count_payloads(conn, connection.platform, **keys),
            await connections.count_linked(conn, connection.id, tenant_id=hub.tenant_id),
            await removal.collect(conn, **keys),
        )


async def disconnect(hub: Hub, name: str, *, remove_data: bool) -> Departure:
    """End a connection in one transaction and return what went.

    Its payloads, links, schedules, runs and credentials go. With `remove_data` the records go too that no
    other connection is linked to; without, all records stay as they are, and its pipelines with them.
    A run that is under way ends by itself and writes nothing more.
    """
    connection = await hub.get_connection(name)
    keys = {"tenant_id": hub.tenant_id, "connection_id": connection.id}
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await removal.lock_out(conn, **keys)
        departure = Departure(
            connection,
            await removal.count_payloads(conn, connection.platform, **keys),
            await connections.count_linked(conn, connection.id, tenant_id=hub.tenant_id),
            await removal.collect(conn, **keys),
        )
        if remove_data:
            await removal.release_references(conn, **keys)
            await removal.delete_collected(conn, **keys, actor=_ACTOR, now=now())
        else:
            await removal.detach_pipelines(conn, **keys)
        await connections.delete(conn, connection.id, tenant_id=hub.tenant_id)
    return departure
