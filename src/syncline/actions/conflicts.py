"""Conflicts as a person looks at them: which there are, and everything about one. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.actions.paging import cut, read_place
from syncline.connectors.registry import get_platform
from syncline.domain.policies import Rule
from syncline.domain.records import RECORD_TYPES
from syncline.domain.resolving import list_together, value_of
from syncline.engine.remotes import read_mapping
from syncline.errors import Invalid
from syncline.store import conflicts, connections, edits
from syncline.store.conflicts import Conflict, Filter, Status


@dataclass(frozen=True, slots=True)
class ConflictPage:
    conflicts: list[Conflict]
    #: Where the next page begins; None after the last one.
    after: str | None


async def make_filter(
    hub: Hub,
    *,
    connection: str | None = None,
    record_type: str | None = None,
    record_id: UUID | None = None,
    field: str | None = None,
    status: Status | None = "open",
) -> Filter:
    """Turn names into a filter. Raises `NotFound` for a connection, `Invalid` for a kind of record."""
    if record_type is not None and record_type not in RECORD_TYPES:
        known = ", ".join(RECORD_TYPES)
        raise Invalid(f"There is no kind of record {record_type!r}. There are: {known}.")
    connection_id = None if connection is None else (await hub.get_connection(connection)).id
    return Filter(connection_id, record_type, record_id, field, status)


async def list_conflicts(
    hub: Hub, wanted: Filter | None = None, *, limit: int = 100, after: str | None = None
) -> ConflictPage:
    """Return a page of conflicts, latest found first; open ones unless the filter says otherwise."""
    place = read_place(after)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await conflicts.list_conflicts(
            conn, wanted or Filter(), tenant_id=hub.tenant_id, limit=limit + 1, before=place
        )
    return ConflictPage(*cut(found, limit, lambda each: (each.found_at, each.id)))


async def count_open(hub: Hub, wanted: Filter | None = None) -> int:
    """Return how many conflicts wait for a person, of those that a filter means."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        counts = await conflicts.count_open(conn, wanted or Filter(), tenant_id=hub.tenant_id)
    return sum(each.count for each in counts)


@dataclass(frozen=True, slots=True)
class ConflictDetails:
    """One conflict with all that a person needs to decide it. Holds personal data."""

    conflict: Conflict
    #: Both records as they stood when it was last met, by field of ours.
    our_record: Mapping[str, Any]
    their_record: Mapping[str, Any]
    #: What the connection's policy says of this field now.
    rule: Rule
    #: Fields that are decided together with this one.
    together: list[str]
    #: What stands here now; other than `conflict.ours` where somebody has edited since.
    value_now: Any
    #: False when the record is gone.
    exists: bool


async def show_conflict(hub: Hub, conflict_id: UUID) -> ConflictDetails:
    """Return everything about one conflict. Raises `NotFound`, `SettingInvalid` for an unreadable mapping."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        conflict = await conflicts.get(conn, conflict_id, tenant_id=hub.tenant_id)
        snapshots = await conflicts.get_snapshots(conn, conflict_id, tenant_id=hub.tenant_id)
        kind = RECORD_TYPES[conflict.record_type]
        row = await edits.find_row(conn, kind, conflict.record_id, tenant_id=hub.tenant_id)
        others = await conflicts.list_conflicts(
            conn,
            Filter(conflict.connection_id, conflict.record_type, conflict.record_id),
            tenant_id=hub.tenant_id,
        )
        connection = await connections.get(conn, conflict.connection_id, tenant_id=hub.tenant_id)
    policy = read_mapping(connection, get_platform(connection.platform)).policy
    joint = list_together(conflict.record_type, conflict.field, snapshots.our_record, snapshots.their_record)
    return ConflictDetails(
        conflict,
        snapshots.our_record,
        snapshots.their_record,
        policy.rule_for(conflict.record_type, conflict.field),
        sorted({each.field for each in others if each.field in joint} - {conflict.field}),
        None if row is None else value_of(row, conflict.field),
        row is not None,
    )
