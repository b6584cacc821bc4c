"""Records that may be one: listing them, and saying of two that they are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from syncline.actions.editing import Editor
from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.domain.identity import (
    REASONS,
    Strength,
    sort_reasons,
    weigh,
)
from syncline.errors import Invalid, NotFound
from syncline.store import duplicates, finding, merge_requests
from syncline.store.db import Conn
from syncline.store.duplicates import Group, Link
from syncline.store.merge_requests import Request

#: Kinds of record that are looked through for duplicates.
LISTED = tuple(REASONS)
_GROUPS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Side:
    """One of two records, as a list shows it."""

    record_id: UUID
    #: What people call it; empty where it has no name.
    label: str
    #: Connections that have it.
    connections: list[str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two records that may be one."""

    record_type: str
    one: Side
    other: Side
    strength: Strength
    #: In words, the strongest first.
    reasons: list[str]


@dataclass(frozen=True, slots=True)
class CandidatePage:
    candidates: list[Candidate]
    #: Where the next page begins; None after the last one.
    after: str | None
    #: Keys that too many records share to be compared two by two. On the first page only.
    groups: list[Group] = field(default_factory=list[Group])
    #: Merges made here that wait for a CRM or for a person. On the first page only.
    open_at_crms: list[Request] = field(default_factory=list[Request])


async def list_duplicates(
    hub: Hub, record_type: str = "contact", *, limit: int = 100, after: str | None = None
) -> CandidatePage:
    """Return a page of pairs of living records that may be one, the surest first.

    Those that a person said are not the same are left out. Raises `Invalid`.
    """
    if record_type not in LISTED:
        raise Invalid(f"Duplicates are looked for among {' and '.join(LISTED)} records.")
    place = _read_place(after)
    tenant_id = hub.tenant_id
    async with hub.db.transaction(tenant_id=tenant_id) as conn:
        pairs = await duplicates.list_pairs(
            conn, record_type, tenant_id=tenant_id, limit=limit + 1, after=place
        )
        page = pairs[:limit]
        ids = list({each for pair in page for each in (pair.first_id, pair.second_id)})
        names = await duplicates.list_labels(conn, record_type, ids, tenant_id=tenant_id)
        links = await duplicates.list_links(conn, record_type, ids, tenant_id=tenant_id)
        groups = waiting = None
        if after is None:
            groups = await duplicates.list_groups(conn, record_type, tenant_id=tenant_id, limit=_GROUPS_SHOWN)
            waiting = await merge_requests.list_open(conn, tenant_id=tenant_id, record_type=record_type)
    sides = {each: describe_side(each, names.get(each, ""), links) for each in ids}
    words = {name: said for name, (_, said) in REASONS[record_type].items()}
    candidates = [
        Candidate(
            record_type,
            sides[each.first_id],
            sides[each.second_id],
            weigh(record_type, each.reasons) or "possible",
            [words[name] for name in sort_reasons(record_type, each.reasons)],
        )
        for each in page
    ]
    following = None
    if len(pairs) > limit:
        following = f"{page[-1].rank}/{page[-1].first_id}/{page[-1].second_id}"
    return CandidatePage(candidates, following, groups or [], waiting or [])


def describe_side(record_id: UUID, label: str, links: Sequence[Link]) -> Side:
    names = {each.connection for each in links if each.record_id == record_id and each.is_primary}
    return Side(record_id, label, sorted(names))


def _read_place(text: str | None) -> tuple[int, UUID, UUID] | None:
    if text is None:
        return None
    rank, _, ids = text.partition("/")
    first, _, second = ids.partition("/")
    try:
        return int(rank), UUID(first), UUID(second)
    except ValueError:
        raise Invalid(
            "That is not a place in the list. Take the one that the page before ended with."
        ) from None


async def dismiss_duplicate(hub: Hub, one: UUID, other: UUID, *, by: Editor) -> bool:
    """Say that two records are not the same, so that they are not listed; False where it was said already."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        record_type = await _find_kind(conn, hub, one, other)
        return await duplicates.dismiss(
            conn, record_type, one, other, tenant_id=hub.tenant_id, by=by.name, now=now()
        )


async def restore_duplicate(hub: Hub, one: UUID, other: UUID) -> bool:
    """Take back that two records are not the same; False where nobody had said so."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        record_type = await _find_kind(conn, hub, one, other)
        return await duplicates.restore(conn, record_type, one, other, tenant_id=hub.tenant_id)


async def _find_kind(conn: Conn, hub: Hub, one: UUID, other: UUID) -> str:
    found = [await finding.find_record(conn, each, tenant_id=hub.tenant_id) for each in (one, other)]
    if found[0] is None or found[1] is None:
        raise NotFound(f"There is no record {one if found[0] is None else other}.")
    if one == other or found[0].record_type != found[1].record_type:
        raise Invalid("Give two records of one kind.")
    return found[0].record_type
