"""Batches on their way: begun, gone on with, watched, cancelled, taken back; a chunk of rows at a time.

A chunk locks its batch, does its rows and writes down how far it got, in one transaction: ended at any
moment a batch goes on where it was, whoever goes on with it, and two who do so take turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.actions.importing_again import import_rows
from syncline.actions.many import change_rows, restore_rows
from syncline.actions.seeing import get_fields
from syncline.clock import new_id, now
from syncline.domain.callers import Caller
from syncline.domain.record_fields import RecordFields
from syncline.errors import Invalid, NotFound
from syncline.store import barred, batch_rows, batches, edits, making
from syncline.store.batch_rows import Outcome, Row
from syncline.store.batches import Batch
from syncline.store.db import Conn

#: Rows done in one transaction.
AT_ONCE = 200
#: (rows looked at, rows in all).
Watch = Callable[[int, int], None]


def unwatched(done: int, total: int) -> None:
    """Watch nothing."""
    del done, total


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch with what can be said of it."""

    batch: Batch
    #: The batch that took it back; None where none did.
    undone_by: UUID | None
    #: Rows that were not done, or cannot be; the first of them.
    problems: list[Row]


async def read_batch(hub: Hub, caller: Caller, batch_id: UUID, *, problems: int = 50) -> BatchView:
    """Return how far a batch is. Raises `NotFound`."""
    caller.require("records:bulk")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        batch = await batches.get(conn, batch_id, tenant_id=hub.tenant_id)
        undo = await batches.find_undo(conn, batch_id, tenant_id=hub.tenant_id)
        look = partial(batch_rows.list_rows, conn, batch_id, tenant_id=hub.tenant_id, limit=problems)
        rows = await look(action="invalid")
        if batch.state != "planned":
            rows += [*await look(state="failed"), *await look(state="skipped")]
    found = sorted({row.position: row for row in rows}.values(), key=lambda row: row.position)
    return BatchView(batch, None if undo is None else undo.id, found[:problems])


@dataclass(frozen=True, slots=True)
class RowsPage:
    """Rows of a batch in their order, and after which position the next page begins; None at the end."""

    batch: Batch
    rows: list[Row]
    next: int | None


async def list_rows(
    hub: Hub, caller: Caller, batch_id: UUID, *, after: int = 0, limit: int = 200
) -> RowsPage:
    """Return what is planned for the rows of a batch after a position, and what became of them.

    Raises `NotFound`.
    """
    caller.require("records:bulk")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        batch = await batches.get(conn, batch_id, tenant_id=hub.tenant_id)
        rows = await batch_rows.list_rows(
            conn, batch_id, tenant_id=hub.tenant_id, limit=limit + 1, after=after
        )
    return RowsPage(batch, rows[:limit], rows[limit - 1].position if len(rows) > limit else None)


async def list_batches(hub: Hub, caller: Caller, *, limit: int = 50) -> list[Batch]:
    """Return the latest batches that were begun."""
    caller.require("records:bulk")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await batches.list_latest(conn, tenant_id=hub.tenant_id, limit=limit)


async def begin_batch(hub: Hub, caller: Caller, batch_id: UUID) -> Batch:
    """Let a planned batch begin, or one that was given up go on; `go_on` does it. Begun twice, it began once.

    Raises `NotFound`, and `Invalid` for one that has ended otherwise, is taken back, or has nothing to do.
    """
    caller.require("records:bulk")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        batch = await batches.get(conn, batch_id, tenant_id=hub.tenant_id, lock=True)
        if batch.state not in ("planned", "running") and not batch.was_given_up:
            raise Invalid(f"It has ended: {batch.state}. Plan it again.")
        if (
            batch.was_given_up
            and await batches.find_undo(conn, batch_id, tenant_id=hub.tenant_id) is not None
        ):
            raise Invalid("It has been taken back. Plan it again.")
        if batch.rows == 0:
            raise Invalid("There is nothing to be done.")
        if batch.kind == "import" and not batch.terms.get("mapping"):
            raise Invalid("Say first which column is which field.")
        await batches.begin(conn, batch_id, caller, tenant_id=hub.tenant_id, now=now())
        if batch.state != "running":
            await note(conn, caller, f"batch.{batch.kind}", str(batch_id), {"rows": batch.rows})
        return await batches.get(conn, batch_id, tenant_id=hub.tenant_id)


async def go_on(
    hub: Hub,
    caller: Caller,
    batch_id: UUID,
    *,
    watch: Watch = unwatched,
    stop: asyncio.Event | None = None,
    chunks: int | None = None,
) -> Batch:
    """Do what a batch that was begun has left, and return it as it ended, or as it is at `stop`.

    With `chunks` it does so many at most. Several at once take turns.
    """
    caller.require("records:bulk")
    left = chunks
    while True:
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            # Before anything is locked: an erasure waits for this with locks that this would wait for.
            await barred.pass_gate(conn, tenant_id=hub.tenant_id)
            batch = await batches.get(conn, batch_id, tenant_id=hub.tenant_id, lock=True)
            if batch.state != "running" or (stop is not None and stop.is_set()) or left == 0:
                return batch
            left = None if left is None else left - 1
            await _do_chunk(conn, hub, caller, batch)
            batch = await batches.get(conn, batch_id, tenant_id=hub.tenant_id)
        watch(batch.done, batch.rows)


async def apply_batch(hub: Hub, caller: Caller, batch_id: UUID, *, watch: Watch = unwatched) -> Batch:
    """Begin a batch and do it to its end."""
    await begin_batch(hub, caller, batch_id)
    return await go_on(hub, caller, batch_id, watch=watch)


async def _do_chunk(conn: Conn, hub: Hub, caller: Caller, batch: Batch) -> None:
    rows = await batch_rows.list_rows(conn, batch.id, tenant_id=hub.tenant_id, limit=AT_ONCE, state="waiting")
    if not rows:
        # What an edit finds done already is no failure; what cannot be put back is one.
        is_partial = batch.failed or (batch.kind == "undo" and batch.skipped)
        state = "partial" if is_partial else "success"
        await batches.end(conn, batch.id, state, tenant_id=hub.tenant_id, now=now())
        return
    fields = get_fields(batch.record_type)
    await edits.set_author(conn, source=caller.source, actor=caller.name)
    await making.set_run(conn, batch.id)
    outcomes = await _DO[batch.kind](conn, hub, caller, fields, batch, rows)
    await batch_rows.settle(conn, batch.id, outcomes, tenant_id=hub.tenant_id)


async def _edit(
    conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, batch: Batch, rows: Sequence[Row]
) -> list[Outcome]:
    action, values = str(batch.terms["action"]), dict[str, Any](batch.terms.get("values") or {})
    return await change_rows(conn, hub, caller, fields, [(row, values) for row in rows], action=action)


async def _undo(
    conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, batch: Batch, rows: Sequence[Row]
) -> list[Outcome]:
    del caller
    return await restore_rows(conn, hub, fields, rows, UUID(batch.terms["undoes"]))


_Do = Callable[[Conn, Hub, Caller, RecordFields, Batch, Sequence[Row]], Awaitable[list[Outcome]]]
_DO: Mapping[str, _Do] = {"edit": _edit, "import": import_rows, "undo": _undo}


async def cancel_batch(hub: Hub, caller: Caller, batch_id: UUID) -> Batch:
    """Let a batch end where it is; what it did stays, and can be taken back. Ended already, it stays so."""
    caller.require("records:bulk")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await batches.get(conn, batch_id, tenant_id=hub.tenant_id, lock=True)
        await batches.end(conn, batch_id, "cancelled", tenant_id=hub.tenant_id, now=now())
        return await batches.get(conn, batch_id, tenant_id=hub.tenant_id)


async def plan_undo_of(hub: Hub, caller: Caller, batch_id: UUID) -> Batch:
    """Plan taking a batch back: what stands as it left it becomes what it was, what it made is archived.

    Apply it as any batch. Raises `NotFound`, and `Invalid` for one that runs, did nothing, or is taken back.
    """
    caller.require("records:bulk")
    caller.require("runs:undo")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        batch = await batches.get(conn, batch_id, tenant_id=hub.tenant_id)
        if batch.state in ("planned", "running"):
            raise Invalid("It has not ended yet. Wait for it, or cancel it.")
        if await batches.find_undo(conn, batch_id, tenant_id=hub.tenant_id) is not None:
            raise Invalid("It has been taken back already.")
        undo_id = new_id()
        await batches.insert(
            conn,
            undo_id,
            "undo",
            batch.record_type,
            {"undoes": str(batch_id)},
            tenant_id=hub.tenant_id,
            source=caller.source,
            planned_by=caller.name,
            now=now(),
        )
        await batch_rows.put_changed(conn, undo_id, batch_id, tenant_id=hub.tenant_id)
        await batches.count_rows(conn, undo_id, tenant_id=hub.tenant_id)
        planned = await batches.get(conn, undo_id, tenant_id=hub.tenant_id)
        if planned.rows == 0:
            raise NotFound("It changed nothing.")
    return planned
