"""What a mapping would do to the records that are here: stored payloads mapped by it, nothing written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from syncline.connectors.base import Platform
from syncline.domain.mapping import MappedRecord
from syncline.domain.mapping_file import ConnectionMapping
from syncline.domain.merge import Merged
from syncline.domain.remapping import UNSEEN, compare_mappings, patched
from syncline.engine.recall import RecallTerms, is_stale, load_terms, mapping_before
from syncline.store import payloads, planner, remapping
from syncline.store.connections import Connection
from syncline.store.db import Database
from syncline.store.keys import ConnectionKeys
from syncline.store.locked import ExistingRecord
from syncline.store.remapping import StoredPayload

#: Payloads held at once.
_ROWS = 1000


@dataclass(slots=True)
class Effect:
    """What a mapping does to one field, in numbers of records."""

    changed: int = 0
    #: Of the changed: had a value and would have none.
    emptied: int = 0
    #: The CRM's value cannot be read by the converter.
    unreadable: int = 0
    #: Edited here since, and left as they are.
    kept: int = 0
    #: Ours, to be written to the CRM.
    pushed: int = 0


class Effects:
    """What a mapping does to one object's records."""

    def __init__(self) -> None:
        self.records = 0
        #: Records with any other value than before.
        self.changed = 0
        #: Records that were written to the CRM and not read since: theirs follows with their next reading.
        self.later = 0
        self.conflicts = 0
        self.fields: dict[str, Effect] = {}

    def add(
        self, existing: ExistingRecord, patch: Mapping[str, Any], mapped: MappedRecord, merged: Merged
    ) -> None:
        self.changed += bool(merged.write or merged.derived)
        self.conflicts += bool(merged.conflicts)
        for name, value in merged.write.items():
            self._of(name).changed += 1
            self._of(name).emptied += value is None and existing.row.get(name) is not None
        for name in mapped.problems:
            self._of(name).unreadable += 1
        for name, pair in patch.items():
            self._of(name).kept += pair is not None and pair[-1] is not UNSEEN
        for name in merged.push:
            self._of(name).pushed += 1

    def _of(self, name: str) -> Effect:
        return self.fields.setdefault(name, Effect())


async def preview(
    db: Database,
    connection: Connection,
    platform: Platform,
    mapping: ConnectionMapping,
    on_progress: Callable[[str, int], None] = lambda _, __: None,
) -> dict[str, Effects]:
    """Map every stored payload by another mapping and return what it would do, by object. Writes nothing.

    Objects that it changes nothing of are left out.
    """
    found: dict[str, Effects] = {}
    keys: ConnectionKeys = {"tenant_id": connection.tenant_id, "connection_id": connection.id}
    before = mapping_before(connection, platform).objects
    for name in mapping.objects:
        if compare_mappings(before[name], mapping.objects[name]).is_nothing:
            continue
        effects = found[name] = Effects()
        table, after = payloads.table_of(connection.platform, name), ""
        while True:
            async with db.transaction(tenant_id=connection.tenant_id) as conn:
                await planner.prefer_indexes(conn)
                terms = await load_terms(conn, connection, platform, mapping, before[name])
                rows = await remapping.list_stored(
                    conn, table, **keys, object_name=name, after=after, limit=_ROWS
                )
                linked = await remapping.list_linked(
                    conn,
                    terms.change.kind,
                    **keys,
                    object_name=name,
                    remote_ids=[row.remote_id for row in rows],
                )
            for row in rows:
                if row.remote_id in linked:
                    _foresee(terms, effects, row, linked[row.remote_id])
            on_progress(name, effects.records)
            if len(rows) < _ROWS:
                break
            after = rows[-1].remote_id
            await asyncio.sleep(0)
    return found


def _foresee(terms: RecallTerms, effects: Effects, row: StoredPayload, existing: ExistingRecord) -> None:
    effects.records += 1
    prepared = terms.recall(row)
    if prepared is None or prepared.mapped is None:
        return
    if is_stale(row):
        effects.later += 1
        return
    patch = terms.rebase(existing, prepared)
    merged = terms.merge(existing, patched(existing.base, patch), prepared)
    effects.add(existing, patch, prepared.mapped, merged)
