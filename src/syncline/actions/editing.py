"""A record edited on a person's behalf, with what follows from the edit. Knows no conflict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.domain.records import RecordType
from syncline.domain.resolving import to_columns
from syncline.errors import NotFound
from syncline.store import edits, tenants
from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Editor:
    """Who edits, and by which door they came; both stand in the change log."""

    name: str
    source: str = "cli"


async def write_fields(
    conn: Conn,
    hub: Hub,
    kind: RecordType,
    record_id: UUID,
    row: dict[str, Any],
    values: Mapping[str, Any],
    *,
    by: Editor,
    origin: UUID | None = None,
) -> dict[str, Any]:
    """Write fields of a locked record as an edit of `by`, with what follows from them; returns the row then.

    The row triggers log it and queue it for every connection but `origin`. Raises `Invalid` for a value
    that the field cannot have; the transaction is then of no more use.
    """
    settings = await tenants.get_settings(conn, tenant_id=hub.tenant_id)
    columns, derived = to_columns(kind, row, values, settings.default_region)
    await edits.set_author(conn, source=by.source, actor=by.name, connection_id=origin)
    await edits.write_columns(conn, kind, record_id, {**columns, **derived}, tenant_id=hub.tenant_id)
    after = await edits.lock_row(conn, kind, record_id, tenant_id=hub.tenant_id)
    if after is None:
        raise NotFound("The record is gone.")
    lost = {name: value for name, value in derived.items() if after.get(name) != value}
    if lost:
        # A trigger clears a number that seems to have outlived its text: the same number, written anew.
        await edits.write_columns(conn, kind, record_id, lost, tenant_id=hub.tenant_id)
        after.update(lost)
    return after
