"""Rows of a file as they are imported: each is looked up once more, and nobody else makes it meanwhile.

Between planning and doing others make records, and the same file may have been planned twice. What was found
then, and was not when it was planned, is changed instead of made; what is gone since is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.actions.importing_rows import BY_LINE, IDENTITY
from syncline.actions.many import Wanted, change_rows, create_rows
from syncline.domain.callers import Caller
from syncline.domain.record_fields import RecordFields
from syncline.store import locked, recognising
from syncline.store.batch_rows import Outcome, Row
from syncline.store.batches import Batch
from syncline.store.db import Conn

_CHANGED = "It was there by then, and was changed."
_SAME = "It was there by then, and is the same."
_GONE = "It was there when this was planned, and is not any more."


async def import_rows(
    conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, batch: Batch, rows: Sequence[Row]
) -> list[Outcome]:
    """Make or change what rows mean now. To be called before anything is locked but the batch."""
    await locked.lock_identities(conn, fields.kind, tenant_id=hub.tenant_id, alone=True)
    known = await _recognise(conn, hub, fields, batch, rows)
    outcomes: list[Outcome] = []
    makes: list[tuple[Row, Mapping[str, Any]]] = []
    changes: list[tuple[Row, Mapping[str, Any]]] = []
    lines: dict[UUID, int] = {}
    for row in rows:
        ids = known.get(row.position, [] if row.record_id is None else [row.record_id])
        if row.action == "invalid":
            outcomes.append(Outcome(row.position, "failed", row.record_id))
        elif len(ids) > 1:
            reason = f"Several {fields.plural} have it by now; name one by its id."
            outcomes.append(Outcome(row.position, "failed", None, reasons={_way_of(row): reason}))
        elif not ids and row.action == "create":
            makes.append((row, _values_of(row)))
        elif not ids:
            outcomes.append(Outcome(row.position, "skipped", row.record_id, reasons={"": _GONE}))
        elif row.action == "none" and ids == [row.record_id]:
            outcomes.append(Outcome(row.position, "skipped", row.record_id))
        elif ids[0] in lines:
            reason = f"It means the same record as line {lines[ids[0]]}."
            outcomes.append(Outcome(row.position, "failed", ids[0], reasons={_way_of(row): reason}))
        else:
            lines[ids[0]] = row.position
            # What was shown is what is done; of a record that was not, everything the row says.
            values = _values_of(row) if ids == [row.record_id] else _given_of(row)
            changes.append((replace(row, record_id=ids[0]), values))
    outcomes += await create_rows(conn, hub, caller, fields, makes)
    return outcomes + await _change(conn, hub, caller, fields, rows, changes)


async def _change(
    conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, rows: Sequence[Row], changes: Wanted
) -> list[Outcome]:
    planned = {row.position: row for row in rows}
    outcomes: list[Outcome] = []
    for each in await change_rows(conn, hub, caller, fields, changes, action="change"):
        if planned[each.position].action != "create":
            outcomes.append(each)
        elif each.state == "done":
            outcomes.append(replace(each, action="change", reasons={"": _CHANGED}))
        elif each.state == "skipped":
            outcomes.append(replace(each, action="none", reasons={"": _SAME}))
        else:
            outcomes.append(replace(each, action="change"))
    return outcomes


async def _recognise(
    conn: Conn, hub: Hub, fields: RecordFields, batch: Batch, rows: Sequence[Row]
) -> dict[int, list[UUID]]:
    """Return line → the living records that it means now, of rows that name no id."""
    by = IDENTITY.get(fields.name)
    keys = {
        row.position: str(_given_of(row)[by])
        for row in rows
        if by is not None and _way_of(row) == by and _given_of(row).get(by)
    }
    found: dict[int, list[UUID]] = {}
    if by is not None and keys:
        listed = await recognising.list_known(
            conn, fields.kind, by, sorted(set(keys.values())), tenant_id=hub.tenant_id
        )
        found = {position: listed.get(key, []) for position, key in keys.items()}
    lines = [row.position for row in rows if _way_of(row) == BY_LINE]
    if lines:
        digest = str(batch.terms.get("digest"))
        made = await recognising.list_made_of(
            conn, fields.kind, digest, lines, tenant_id=hub.tenant_id, batch_id=batch.id
        )
        found |= {line: [made[line]] if line in made else [] for line in lines}
    return found


def _way_of(row: Row) -> str:
    return str((row.values or {}).get("by") or "")


def _values_of(row: Row) -> dict[str, Any]:
    return dict((row.values or {}).get("values") or {})


def _given_of(row: Row) -> dict[str, Any]:
    return dict((row.values or {}).get("given") or {}) or _values_of(row)
