"""Makes remote records ready to be written: hashed, mapped, and freed of what is no longer needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from syncline.clock import from_ms
from syncline.connectors.base import Page, RemoteRecord
from syncline.domain.mapping import MappedRecord, Mapper
from syncline.domain.values import write_moment
from syncline.store.parked import Parked


class Prepared(msgspec.Struct, gc=False):
    """A remote record on its way into the store. Holds the mapped values, not the properties."""

    remote_id: str
    payload: bytes
    payload_hash: bytes
    updated_ms: int | None
    requested_ms: int
    archived_ms: int | None
    merged_ids: tuple[str, ...]
    mapped: MappedRecord | None
    parked: Parked | None


def prepare_page(page: Page, mapper: Mapper | None) -> list[Prepared]:
    """Prepare a page's records, in order. `mapper` is None for objects that are mirrored only."""
    return [_prepare(record, page.requested_ms, mapper) for record in page.records]


def _prepare(record: RemoteRecord, requested_ms: int, mapper: Mapper | None) -> Prepared:
    mapped = None
    if mapper is not None:
        mapped = mapper.map(record.properties)
        archived = None if record.archived_ms is None else write_moment(from_ms(record.archived_ms))
        mapped.values["archived_at"] = archived
        if archived is not None and mapped.digest is not None:
            # An archive moves neither the modified time nor a mapped property.
            mapped.digest = hashlib.blake2b(mapped.digest + b"archived", digest_size=16).digest()
    return Prepared(
        record.remote_id,
        record.payload,
        hashlib.blake2b(record.payload, digest_size=16).digest(),
        record.updated_ms,
        requested_ms,
        record.archived_ms,
        record.merged_ids,
        mapped,
        _find_fault(record, mapped),
    )


def _find_fault(record: RemoteRecord, mapped: MappedRecord | None) -> Parked | None:
    problems = mapped.problems if mapped is not None else {}
    if record.defect is not None:
        reason, original = record.defect
        return Parked(record.remote_id, "payload", reason, problems, original)
    if problems:
        fields = ", ".join(sorted(problems))
        return Parked(record.remote_id, "value", f"These fields could not be read: {fields}.", problems)
    return None


def list_unreadable(page: Page) -> list[Parked]:
    """Return the page's records that cannot be stored at all, as rows to park."""
    parked: list[Parked] = []
    for remote_id, reason, original in page.unreadable:
        digest = hashlib.blake2b(original.encode("utf-8", "replace"), digest_size=8).hexdigest()
        parked.append(Parked(remote_id or f"unknown:{digest}", "payload", reason, {}, original))
    return parked


def latest_of(records: Iterable[Prepared]) -> dict[str, Prepared]:
    """Keep the newest state of each record, where a batch holds one twice."""
    latest: dict[str, Prepared] = {}
    for record in records:
        seen = latest.get(record.remote_id)
        if seen is None or (record.updated_ms or 0, record.requested_ms) >= (
            seen.updated_ms or 0,
            seen.requested_ms,
        ):
            latest[record.remote_id] = record
    return latest
