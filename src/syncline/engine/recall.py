"""Stored payloads read again by another mapping, and what the merge makes of them. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from syncline.clock import to_ms
from syncline.connectors.base import Platform
from syncline.connectors.reads import Page
from syncline.domain.changes import Copy, copy_row
from syncline.domain.mapping import MappedRecord, Mapper, ObjectMap
from syncline.domain.mapping_file import ConnectionMapping, load_mapping
from syncline.domain.merge import Access, Merged, merge
from syncline.domain.policies import Policy
from syncline.domain.remapping import Remapping, compare_mappings, rebase
from syncline.engine.lookups import load_lookups
from syncline.engine.prepare import Prepared, prepare_page
from syncline.engine.terms import find_access
from syncline.errors import Invalid, RecordUnreadable
from syncline.store import allowances, definitions
from syncline.store.connections import Connection
from syncline.store.db import Conn
from syncline.store.keys import ConnectionKeys
from syncline.store.locked import ExistingRecord
from syncline.store.remapping import StoredPayload


def mapping_before(connection: Connection, platform: Platform) -> ConnectionMapping:
    """Return what holds for a connection; the default where its document cannot be followed any more.

    Mapping anew what is mapped so already changes nothing: too early a beginning costs time only.
    """
    try:
        return _load(connection, connection.mapping, platform)
    except Invalid:
        return _load(connection, None, platform)


def _load(connection: Connection, document: object, platform: Platform) -> ConnectionMapping:
    return load_mapping(
        document, platform.mapping, version=connection.mapping_version, names=connection.property_names
    )


@dataclass(frozen=True, slots=True)
class RecallTerms:
    """One object's change of mapping, made ready for its records."""

    platform: Platform
    object_name: str
    change: Remapping
    mapper: Mapper
    policy: Policy
    access: Access
    source: str

    def recall(self, row: StoredPayload) -> Prepared | None:
        """Read a stored payload as if it had been read now; None for one that no longer can be."""
        try:
            record = self.platform.recall(self.object_name, row.raw.encode())
        except RecordUnreadable:
            return None
        record = msgspec.structs.replace(
            record,
            remote_id=row.remote_id,
            updated_ms=None if row.remote_updated_at is None else to_ms(row.remote_updated_at),
            archived_ms=None if row.archived_at is None else to_ms(row.archived_at),
        )
        [prepared] = prepare_page(Page([record], to_ms(row.requested_at)), self.mapper)
        prepared.payload_hash = row.payload_hash
        if row.mapped_hash is None and prepared.mapped is not None:
            prepared.mapped.digest = None  # it is to be read again, whatever it means
        return prepared

    def rebase(self, existing: ExistingRecord, prepared: Prepared | None) -> dict[str, list[Any] | None]:
        mapped = None if prepared is None else prepared.mapped
        return rebase(self.change, existing.row, existing.base, mapped or MappedRecord({}, {}, {}, None))

    def merge(self, existing: ExistingRecord, base: dict[str, list[Any]], prepared: Prepared) -> Merged:
        """Merge as a chunk does; see `chunk.Chunk`."""
        mapped = prepared.mapped or MappedRecord({}, {}, {}, None)
        return merge(
            self.change.kind,
            self.policy,
            base,
            copy_row(existing.row),
            Copy(mapped.values, mapped.theirs, prepared.updated_ms, source=self.source),
            sent=existing.sent,
            access=self.access,
        )


async def load_terms(
    conn: Conn,
    connection: Connection,
    platform: Platform,
    mapping: ConnectionMapping,
    before: ObjectMap,
) -> RecallTerms:
    name, after = before.object, mapping.objects[before.object]
    """Make one object's change of mapping ready, on the terms that hold now."""
    keys: ConnectionKeys = {"tenant_id": connection.tenant_id, "connection_id": connection.id}
    lookups = await load_lookups(
        conn, **keys, currency=connection.settings.get("currency"), places=after.stages
    )
    allowance = await allowances.find_allowance(conn, **keys, object_name=name)
    settable: Iterable[str] = ()
    if not allowance.is_nothing:
        settable = await definitions.list_settable(conn, **keys, object_name=name)
    access = find_access(after, allowance, frozenset(settable))
    kind = compare_mappings(before, after).kind
    # When a record was archived is no matter of mappings.
    content = [each for each in (*kind.fields, *kind.custom) if each != "archived_at"]
    return RecallTerms(
        platform,
        name,
        compare_mappings(before, after),
        Mapper(after, lookups),
        mapping.policy,
        Access(
            pull=frozenset(each for each in content if each in access.pull),
            push=frozenset(each for each in content if each in access.push),
        ),
        connection.name,
    )


def is_stale(row: StoredPayload) -> bool:
    """Whether the record was written to the CRM after this was read of it."""
    return not row.payload_hash
