"""The queue as a person governs it: what waits, what was refused and why, and letting it go on or go."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.domain.records import RECORD_TYPES
from syncline.errors import Invalid
from syncline.store import allowances, waiting
from syncline.store.waiting import Filter, State, Waiting, WaitingCount


@dataclass(frozen=True, slots=True)
class QueueState:
    """What waits, in counts and the oldest of it."""

    counts: list[WaitingCount]
    waiting: list[Waiting]
    #: Connection → why nothing is sent to it now.
    stops: dict[str, str]


async def make_filter(
    hub: Hub,
    *,
    connection: str | None = None,
    record_type: str | None = None,
    record_id: UUID | None = None,
    state: State | None = None,
    reason: str | None = None,
) -> Filter:
    """Turn names into a filter. Raises `NotFound` for a connection, `Invalid` for a kind of record."""
    if record_type is not None and record_type not in RECORD_TYPES:
        raise Invalid(f"There is no kind of record {record_type!r}. There are: {', '.join(RECORD_TYPES)}.")
    connection_id = None if connection is None else (await hub.get_connection(connection)).id
    return Filter(connection_id, record_type, record_id, state, reason)


async def list_queue(hub: Hub, wanted: Filter, *, limit: int = 100) -> QueueState:
    """Return what waits, the oldest first."""
    connections = await hub.list_connections()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        counts = await waiting.list_counts(conn, wanted, tenant_id=hub.tenant_id)
        rows = await waiting.list_waiting(conn, wanted, tenant_id=hub.tenant_id, limit=limit)
        stops: dict[str, str] = {}
        for each in connections:
            if any(count.connection == each.name for count in counts):
                stop = await allowances.find_stop(conn, tenant_id=hub.tenant_id, connection_id=each.id)
                if stop is not None:
                    stops[each.name] = stop
    return QueueState(counts, rows, stops)


async def count_queue(hub: Hub, wanted: Filter) -> int:
    """Return how many rows a filter means."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return sum(each.count for each in await waiting.list_counts(conn, wanted, tenant_id=hub.tenant_id))


async def retry_queue(hub: Hub, wanted: Filter) -> int:
    """Let what was refused, is held or waits for its next try be tried at once; returns how many."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await waiting.release(conn, wanted, tenant_id=hub.tenant_id, now=now())


async def drop_queue(hub: Hub, wanted: Filter) -> int:
    """Take rows out of the queue; returns how many.

    The values here stay. Where they differ from the CRM's they are queued again by the next merge of their
    record, which is when either side changes.
    """
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await waiting.drop(conn, wanted, tenant_id=hub.tenant_id)
