"""Which records somebody may see: another's record is as absent as one that never was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.actions.referring import label_of
from syncline.domain.callers import Caller
from syncline.domain.record_fields import BY_PLURAL, RECORD_FIELDS, RecordFields
from syncline.domain.records import RECORD_TYPES
from syncline.errors import NotFound
from syncline.store import edits, names
from syncline.store.db import Conn

#: How many records a page has at most, and if nothing is said.
MAX_PAGE = 200
PAGE = 50


@dataclass(frozen=True, slots=True)
class Reference:
    """A record that another one refers to. Without a label it is one that may not be seen."""

    record_type: str
    id: UUID
    label: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """One record as people see it."""

    fields: RecordFields
    id: UUID
    label: str
    version: int
    #: Field → value as JSON has it; custom fields under `custom_fields`.
    values: Mapping[str, Any]
    #: Field → what it refers to.
    references: Mapping[str, Reference]
    #: The record this one was merged into; it is then no more than a signpost.
    merged_into: UUID | None = None


def get_fields(name: str) -> RecordFields:
    """Return a kind of record by its name or plural. Raises `NotFound`."""
    found = RECORD_FIELDS.get(name) or BY_PLURAL.get(name)
    if found is None:
        raise NotFound(f"There are no records called {name[:50]!r}. There are: {', '.join(BY_PLURAL)}.")
    return found


def owners_seen(caller: Caller) -> frozenset[UUID] | None:
    """Return the owners whose records are seen beside those of nobody; None for all."""
    return None if caller.sees_all else caller.owner_ids


def may_see(caller: Caller, fields: RecordFields, row: Mapping[str, Any]) -> bool:
    if caller.sees_all or not fields.owned:
        return True
    owner = row.get("owner_id")
    return owner is None or str(owner) in {str(each) for each in caller.owner_ids}


async def get_row(
    conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, record_id: UUID, *, lock: bool = False
) -> dict[str, Any]:
    """Return a record's columns as JSON has them, locked where asked for. Raises `NotFound`."""
    read = edits.lock_row if lock else edits.find_row
    row = await read(conn, fields.kind, record_id, tenant_id=hub.tenant_id)
    if row is None or not may_see(caller, fields, row):
        raise NotFound(f"There is no {fields.name} with that id.")
    return row


async def make_records(
    conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, rows: Sequence[Mapping[str, Any]]
) -> list[Record]:
    """Return rows as records, with what they refer to by name."""
    labels = await list_labels(conn, hub, caller, _list_references(fields, rows))
    return [_make_record(fields, row, labels) for row in rows]


def _make_record(
    fields: RecordFields, row: Mapping[str, Any], labels: Mapping[tuple[str, UUID], str]
) -> Record:
    values = {name: row[name] for name in fields.fields if name in row}
    values["custom_fields"] = row.get("custom_fields") or {}
    references: dict[str, Reference] = {}
    for name, kind in _REFERRING.items():
        if name in fields.fields and row.get(name):
            target = UUID(row[name])
            references[name] = Reference(kind, target, labels.get((kind, target)))
    merged = row.get("merged_into")
    return Record(
        fields,
        UUID(str(row["id"])),
        label_of(dict(row)),
        int(row["version"]),
        values,
        references,
        UUID(merged) if merged else None,
    )


_REFERRING: Mapping[str, str] = {
    "owner_id": "owner",
    "company_id": "company",
    "contact_id": "contact",
    "deal_id": "deal",
    "pipeline_id": "pipeline",
    "stage_id": "stage",
}


def _list_references(fields: RecordFields, rows: Sequence[Mapping[str, Any]]) -> set[tuple[str, UUID]]:
    return {
        (kind, UUID(row[name]))
        for row in rows
        for name, kind in _REFERRING.items()
        if name in fields.fields and row.get(name)
    }


async def list_labels(
    conn: Conn, hub: Hub, caller: Caller, wanted: Iterable[tuple[str, UUID]]
) -> dict[tuple[str, UUID], str]:
    """Return (kind, id) → what people call it, of those that the caller may see."""
    by_kind: dict[str, list[UUID]] = {}
    for kind, record_id in wanted:
        by_kind.setdefault("stage" if kind == "pipeline" else kind, []).append(record_id)
    owner_ids = owners_seen(caller)
    seen = None if owner_ids is None else sorted(owner_ids)
    found: dict[tuple[str, UUID], str] = {}
    for kind, ids in by_kind.items():
        if kind == "stage":
            labels = await names.list_stage_labels(conn, ids, tenant_id=hub.tenant_id)
            found |= {(each, record_id): label for record_id, label in labels.items() for each in _PLACES}
        else:
            labels = await names.list_labels(
                conn, RECORD_TYPES[kind], ids, tenant_id=hub.tenant_id, owner_ids=seen
            )
            found |= {(kind, record_id): label for record_id, label in labels.items()}
    return found


_PLACES = ("pipeline", "stage")
