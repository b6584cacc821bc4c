"""Every CRM's version of a record beside ours, and why it is not syncing, to whoever may see the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from syncline.actions.explain import Explanation, explain
from syncline.actions.hub import Hub
from syncline.actions.reasons import Side
from syncline.actions.seeing import get_fields, get_row
from syncline.domain.callers import Caller
from syncline.store import health, payloads, traces


@dataclass(frozen=True, slots=True)
class RemoteVersion:
    """A record as one CRM has it."""

    side: Side
    #: The payload as it was read last; None where it was not asked for, or nothing was read.
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Versions:
    explanation: Explanation
    remotes: list[RemoteVersion]


async def read_versions(
    hub: Hub, caller: Caller, record_type: str, record_id: UUID, *, raw: bool = False
) -> Versions:
    """Return what each connection has of a record, and what stands in the way of its syncing.

    `raw` brings the payloads as well. Asks no CRM. Raises `NotFound`.
    """
    caller.require("records:read")
    fields = get_fields(record_type)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await get_row(conn, hub, caller, fields, record_id)
    found = await explain(hub, str(record_id))
    remotes = [RemoteVersion(side, await _read_raw(hub, side) if raw else None) for side in found.sides]
    return Versions(found, remotes)


async def _read_raw(hub: Hub, side: Side) -> Any:
    if side.object is None or side.remote_id is None:
        return None
    connection = await hub.get_connection(side.connection)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        if not await health.has_table(conn, "raw", f"{connection.platform}_{side.object}"):
            return None
        table = payloads.table_of(connection.platform, side.object)
        last = await traces.find_last_read(
            conn, table, side.remote_id, tenant_id=hub.tenant_id, connection_id=connection.id
        )
    return None if last is None else msgspec.json.decode(last.raw.encode())
