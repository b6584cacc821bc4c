"""The same change to many records: shown first, with what it costs at the CRMs and what brakes say to it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.actions.record_pages import Wanted, find_listing
from syncline.actions.records import complete, require_references
from syncline.actions.referring import label_of
from syncline.actions.seeing import get_fields, get_row
from syncline.clock import new_id, now
from syncline.connectors.registry import get_platform
from syncline.domain.callers import Caller
from syncline.domain.record_fields import RecordFields
from syncline.domain.record_values import read_values
from syncline.domain.resolving import value_of
from syncline.domain.undoing import stands
from syncline.engine.brakes import read_limits
from syncline.errors import Forbidden, Invalid
from syncline.store import allowances, batch_rows, batches, queue, record_lists
from syncline.store.batch_rows import Sending
from syncline.store.batches import Batch
from syncline.store.connections import Connection
from syncline.store.db import Conn
from syncline.store.record_lists import Listing

#: How many records one edit may be about.
MAX_RECORDS = 100_000
#: Of so many it is shown what would change.
SAMPLES = 20
Doing = Literal["change", "archive", "restore"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records are meant: those named, or all of a list."""

    ids: Sequence[UUID] | None = None
    wanted: Wanted = field(default_factory=Wanted)


@dataclass(frozen=True, slots=True)
class Sample:
    """What would change of one record."""

    record_id: UUID
    label: str
    #: Field → (what stands there now, what will).
    changes: dict[str, tuple[Any, Any]]
    #: Why nothing would be done to it.
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What follows at one connection."""

    connection: str
    object: str
    records: int
    calls: int
    #: Why a brake would hold it, in a sentence; None where none would.
    brake: str | None
    #: Why nothing is sent there now; it waits then.
    stop: str | None


@dataclass(frozen=True, slots=True)
class BulkPlan:
    """What would be done. Nothing is, until the batch is applied."""

    batch: Batch
    samples: list[Sample]
    costs: list[Cost]


async def plan_bulk(
    hub: Hub,
    caller: Caller,
    record_type: str,
    selection: Selection,
    *,
    doing: Doing = "change",
    values: Mapping[str, Any] | None = None,
) -> BulkPlan:
    """Plan the same change of many records, or archiving or restoring them; apply it with `batches`.

    The records are those that are meant now, whatever changes until it is applied. Raises `Invalid`.
    """
    caller.require("records:bulk")
    fields = get_fields(record_type)
    if not fields.writable:
        raise Forbidden(f"{fields.plural.capitalize()} are the CRMs' to make and change.")
    read = read_values(fields, values or {}) if doing == "change" else {}
    if doing == "change" and not read:
        raise Invalid("Say what is to change.", fields={"values": "At least one field."})
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await require_references(conn, hub, caller, fields, read)
        ids = await _select(conn, hub, caller, fields, selection, doing)
        await batches.forget_unused(conn, tenant_id=hub.tenant_id, now=now())
        batch_id = new_id()
        await batches.insert(
            conn,
            batch_id,
            "edit",
            fields.name,
            {"action": doing, "values": read},
            tenant_id=hub.tenant_id,
            source=caller.source,
            planned_by=caller.name,
            now=now(),
        )
        await batch_rows.put_records(conn, batch_id, ids, "change", tenant_id=hub.tenant_id)
        await batches.count_rows(conn, batch_id, tenant_id=hub.tenant_id)
        batch = await batches.get(conn, batch_id, tenant_id=hub.tenant_id)
        samples = await _show(conn, hub, caller, fields, ids[:SAMPLES], read, doing)
        sending = await batch_rows.count_sending(
            conn, batch_id, fields.name, _names(read, doing), tenant_id=hub.tenant_id
        )
    return BulkPlan(batch, samples, await _price(hub, fields.name, sending, doing))


async def _select(
    conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, selection: Selection, doing: Doing
) -> list[UUID]:
    wanted = selection.wanted
    if doing == "restore":
        wanted = Wanted(wanted.filters, wanted.sort, wanted.search, "only")
    listing, is_cut = await find_listing(conn, hub, caller, fields, wanted)
    if selection.ids is not None:
        listing = Listing(fields, archived="any", owner_ids=listing.owner_ids, ids=list(selection.ids))
    if is_cut:
        raise Invalid("The search matches too many records; filter instead.", fields={"search": "Too many."})
    rows = await record_lists.list_ids(conn, listing, limit=MAX_RECORDS + 1, tenant_id=hub.tenant_id)
    if len(rows) > MAX_RECORDS:
        raise Invalid(
            f"That is more than {MAX_RECORDS:,} records. Filter for fewer, and go on with the rest."
        )
    if not rows:
        raise Invalid("No record is meant by that.")
    return rows


def _names(values: Mapping[str, Any], doing: Doing) -> list[str]:
    """Return what the change log will name, of which connections may be told."""
    if doing != "change":
        return ["archived_at"]
    follow = ["pipeline_id", "stage_id", "status", "closed_at"] if "stage" in values else []
    return [*values, *follow]


async def _show(
    conn: Conn,
    hub: Hub,
    caller: Caller,
    fields: RecordFields,
    ids: Sequence[UUID],
    values: Mapping[str, Any],
    doing: Doing,
) -> list[Sample]:
    samples: list[Sample] = []
    for record_id in ids:
        row = await get_row(conn, hub, caller, fields, record_id)
        label = label_of(row)
        new: Mapping[str, Any] = {"archived_at": None if doing == "restore" else "now"}
        try:
            if doing == "change":
                new = await complete(conn, hub, caller, fields, row, values, checked=True)
        except Invalid as error:
            samples.append(Sample(record_id, label, {}, str(error)))
            continue
        if doing == "archive" and row.get("archived_at"):
            new = {}
        changes = {
            name: (value_of(row, name), value)
            for name, value in new.items()
            if not stands(value_of(row, name), value)
        }
        samples.append(Sample(record_id, label, changes))
    return samples


async def _price(hub: Hub, record_type: str, sending: Sequence[Sending], doing: Doing) -> list[Cost]:
    costs: list[Cost] = []
    known = {each.id: each for each in await hub.list_connections()}
    for each in sending:
        connection = known[each.connection_id]
        capabilities = get_platform(connection.platform).capabilities
        # Each record is read again before it is written.
        calls = math.ceil(each.count / capabilities.read_batch) + math.ceil(
            each.count / capabilities.write_batch
        )
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            brake = await _find_brake(conn, connection, record_type, each.count, doing)
            stop = await allowances.find_stop(conn, tenant_id=hub.tenant_id, connection_id=connection.id)
        costs.append(Cost(each.connection, each.object, each.count, calls, brake, stop))
    return costs


async def _find_brake(
    conn: Conn, connection: Connection, record_type: str, count: int, doing: Doing
) -> str | None:
    limit = read_limits(connection.settings)["delete" if doing == "archive" else "change"]
    there = await queue.count_linked(
        conn, tenant_id=connection.tenant_id, connection_id=connection.id, record_type=record_type
    )
    if count <= limit.count or count <= limit.share * there:
        return None
    return (
        f"This is {count:,} of {there:,} {record_type} records at {connection.name}, more than "
        f"{limit.share:.0%} and {limit.count:,}: it will be held there until somebody lets it go on."
    )
