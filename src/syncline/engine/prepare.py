"""Makes remote records ready to be written: hashed, mapped, and freed of what is no longer needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from syncline.clock import from_ms, to_ms
from syncline.connectors.reads import Page
from syncline.connectors.records import RemoteRecord
from syncline.domain.mapping import MappedRecord, Mapper
from syncline.domain.values import write_moment
from syncline.store.parked import Parked
from syncline.store.payloads import KnownPayload


class Prepared(msgspec.Struct, gc=False):
    """A remote record on its way into the store. Holds the mapped values, not the properties."""

    remote_id: str
    payload: bytes
    payload_hash: bytes
    updated_ms: int | None
    requested_ms: int
    archived_ms: int | None
    merged_ids: tuple[str, ...]
    #: None for what is mirrored only: the whole object, or a record that is not to be synced.
    mapped: MappedRecord | None
    parked: Parked | None
    external_id: str | None = None
    #: Of one found by what it holds: the fields in which that is what was sent, however the CRM writes it.
    alike: frozenset[str] = frozenset()


def prepare_page(page: Page, mapper: Mapper | None) -> list[Prepared]:
    """Prepare a page's records, in order. `mapper` is None for objects that are mirrored only."""
    return [_prepare(record, page.requested_ms, mapper) for record in page.records]


def _prepare(record: RemoteRecord, requested_ms: int, mapper: Mapper | None) -> Prepared:
    mapped = None
    if mapper is not None and mapper.is_wanted(record.properties):
        mapped = mapper.map(record.properties)
        archived = None if record.archived_ms is None else write_moment(from_ms(record.archived_ms))
        mapped.values["archived_at"] = archived
        if mapped.digest is not None and (archived is not None or record.merged_ids):
            # Neither an archive nor a merge need change a mapped property; both mean something.
            more = f"{archived is not None} {record.merged_ids}".encode()
            mapped.digest = hashlib.blake2b(mapped.digest + more, digest_size=16).digest()
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
        record.external_id,
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


def is_outdated(record: Prepared, known: KnownPayload | None) -> bool:
    """Say whether a state is older than what is known, or of a record that has been merged into another."""
    if known is None:
        return False
    if known.archived_reason == "merged":
        # Old ids keep resolving after a merge; they are not records any more.
        return True
    if record.updated_ms is not None and known.remote_updated_at is not None:
        known_ms = to_ms(known.remote_updated_at)
        if record.updated_ms < known_ms:
            return True
        if record.updated_ms == known_ms and record.requested_ms < to_ms(known.requested_at):
            return True
    return False


def is_news(record: Prepared, known: KnownPayload | None) -> bool:
    """Say whether a record must be written; outdated and equal states are passed over."""
    if known is None:
        return True
    if is_outdated(record, known):
        return False
    if known.payload_hash != record.payload_hash:
        return True
    if (known.archived_at is None) != (record.archived_ms is None):
        return True
    # The same payload may mean something else by now: a reference that is known since, another mapping.
    digest = None if record.mapped is None else record.mapped.digest
    return digest is not None and digest != known.mapped_hash


def is_meaningful(record: Prepared, known: KnownPayload | None) -> bool:
    """Say whether any mapped property changed; calculated ones change daily and mean nothing here."""
    mapped = record.mapped
    if mapped is None:
        return False
    if known is None or mapped.digest is None or known.mapped_hash != mapped.digest:
        return True
    return (known.archived_at is None) != (record.archived_ms is None)
