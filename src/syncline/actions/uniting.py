"""Two records looked at side by side, and made one: here, and at the CRMs that have both.

A merge is shown before it is made, and made as it was shown, or not at all. No CRM can take one back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args
from uuid import UUID

from syncline.actions.duplicates import Side, describe_side
from syncline.actions.editing import Editor
from syncline.actions.hub import Hub
from syncline.actions.push import unite_now
from syncline.clock import now
from syncline.connectors.registry import get_platform
from syncline.domain.identity import (
    REASONS,
    Lost,
    Strength,
    choose_survivor,
    compare,
    list_values,
    unite,
    weigh,
)
from syncline.domain.records import RECORD_TYPES, RecordType
from syncline.engine.unite import Wish, require_unitable, unite_records
from syncline.engine.unite_there import Outcome
from syncline.errors import Invalid, NotFound
from syncline.store import allowances, connections, duplicates, edits, finding, merge_requests
from syncline.store.absorbing import Cause
from syncline.store.db import Conn
from syncline.store.duplicates import Link
from syncline.store.keys import ConnectionKeys
from syncline.store.merge_requests import Following


@dataclass(frozen=True, slots=True)
class There:
    """What a merge means for one connection that has one of the records, or both."""

    connection: str
    connection_id: UUID
    object: str
    #: The remote records: of the one that stays, and of the one that goes.
    survivor_id: str | None
    merged_id: str | None
    #: Why it cannot be merged there; None where it can, or there is nothing to merge.
    problem: str | None = None

    @property
    def has_both(self) -> bool:
        return self.survivor_id is not None and self.merged_id is not None


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One field of two records. Holds personal data."""

    field: str
    one: Any
    other: Any
    #: What stands after a merge.
    result: Any


@dataclass(frozen=True, slots=True)
class MergePlan:
    """Two records side by side, and what a merge would make of them. Nothing has been changed."""

    record_type: str
    one: Side
    other: Side
    survivor: UUID
    merged: UUID
    strength: Strength | None
    reasons: list[str]
    #: Fields in which they differ.
    fields: list[FieldPlan]
    #: Values that would not stand any more.
    lost: list[Lost]
    there: list[There]
    #: True when a person said that they are not the same.
    is_dismissed: bool
    #: The records' versions, survivor first.
    versions: tuple[int, int]
    #: Fields of which the value of the one that goes was chosen.
    taken: list[str]


async def plan_merge(
    hub: Hub,
    one: UUID,
    other: UUID,
    *,
    survivor: UUID | None = None,
    choices: Mapping[str, UUID] | None = None,
) -> MergePlan:
    """Say what merging two records would do. `choices` is field → the record whose value is to stand.

    Without a `survivor` the older one stays. Raises `NotFound`, and `Invalid` for what cannot be merged.
    """
    if one == other:
        raise Invalid("That is one record.")
    if survivor not in (None, one, other):
        raise Invalid("The survivor is one of the two records.")
    tenant_id = hub.tenant_id
    async with hub.db.transaction(tenant_id=tenant_id) as conn:
        kind, rows = await _read_both(conn, hub, one, other)
        links = await duplicates.list_links(conn, kind.name, [one, other], tenant_id=tenant_id)
        names = await duplicates.list_labels(conn, kind.name, [one, other], tenant_id=tenant_id)
        dismissed = await duplicates.is_dismissed(conn, kind.name, one, other, tenant_id=tenant_id)
        if survivor is None:
            counts = {str(each): sum(link.record_id == each for link in links) for each in (one, other)}
            survivor = UUID(choose_survivor(rows[one], rows[other], links=counts)[0])
        merged = other if survivor == one else one
        there = await _list_there(conn, hub, survivor, merged, links)
    taken = _list_taken(choices or {}, survivor, merged)
    united = unite(kind.name, rows[survivor], rows[merged], taken=taken)
    reasons = compare(kind.name, rows[one], rows[other])
    words = REASONS.get(kind.name, {})
    return MergePlan(
        kind.name,
        describe_side(one, names.get(one, ""), links),
        describe_side(other, names.get(other, ""), links),
        survivor,
        merged,
        weigh(kind.name, reasons),
        [words[name][1] for name in reasons],
        _list_fields(rows[one], rows[other], rows[survivor], united.changes),
        list(united.lost),
        there,
        dismissed,
        (rows[survivor]["version"], rows[merged]["version"]),
        taken,
    )


async def _read_both(
    conn: Conn, hub: Hub, one: UUID, other: UUID
) -> tuple[RecordType, dict[UUID, dict[str, Any]]]:
    rows: dict[UUID, dict[str, Any]] = {}
    kinds: set[str] = set()
    for each in (one, other):
        found = await finding.find_record(conn, each, tenant_id=hub.tenant_id)
        row = None
        if found is not None:
            kinds.add(found.record_type)
            row = await edits.find_row(conn, RECORD_TYPES[found.record_type], each, tenant_id=hub.tenant_id)
        if row is None:
            raise NotFound(f"There is no record {each}.")
        rows[each] = row
    if len(kinds) > 1:
        raise Invalid(f"A {' and a '.join(sorted(kinds))} are not one thing.")
    [name] = kinds
    require_unitable(name, *rows.values())
    return RECORD_TYPES[name], rows


def _list_taken(choices: Mapping[str, UUID], survivor: UUID, merged: UUID) -> list[str]:
    if any(each not in (survivor, merged) for each in choices.values()):
        raise Invalid("A value comes from one of the two records.")
    return [name for name, chosen in choices.items() if chosen == merged]


def _list_fields(
    one: Mapping[str, Any], other: Mapping[str, Any], survivor: Mapping[str, Any], changes: Mapping[str, Any]
) -> list[FieldPlan]:
    mine, theirs, kept = list_values(one), list_values(other), list_values(survivor)
    found: list[FieldPlan] = []
    for name in sorted(mine.keys() | theirs.keys()):
        values = mine.get(name), theirs.get(name)
        if values[0] != values[1]:
            result = changes[name][1] if name in changes else kept.get(name)
            found.append(FieldPlan(name, *values, result))
    return found


async def _list_there(
    conn: Conn, hub: Hub, survivor: UUID, merged: UUID, links: Sequence[Link]
) -> list[There]:
    found: list[There] = []
    own = {(each.connection_id, each.object, each.record_id): each for each in links if each.is_primary}
    for place in sorted({(each.connection, each.connection_id, each.object) for each in links}):
        name, connection_id, object_name = place
        pair = [own.get((connection_id, object_name, each)) for each in (survivor, merged)]
        problem = None
        if None not in pair:
            platform = next(each.platform for each in links if each.connection_id == connection_id)
            capabilities = get_platform(platform).capabilities
            keys: ConnectionKeys = {"tenant_id": hub.tenant_id, "connection_id": connection_id}
            allowance = await allowances.find_allowance(conn, **keys, object_name=object_name)
            stop = await allowances.find_stop(conn, **keys)
            if object_name not in capabilities.mergeable:
                problem = f"{capabilities.label} cannot merge {object_name}."
            elif not allowance.merge:
                problem = (
                    f"It is not allowed: `syncline writing allow {name} --object {object_name} --merge` "
                    "allows it."
                )
            else:
                problem = stop
        ids = [None if each is None else each.remote_id for each in pair]
        if any(ids):
            found.append(There(name, connection_id, object_name, ids[0], ids[1], problem))
    return found


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did."""

    record_type: str
    survivor: UUID
    merged: UUID
    lost: list[Lost]
    #: What became of it at the CRMs that were to follow.
    there: list[Outcome]


async def merge_duplicates(hub: Hub, plan: MergePlan, *, in_crm: bool = False, by: Editor) -> Merged:
    """Merge two records as `plan` shows them, here and, with `in_crm`, at each CRM that has both.

    Raises `Busy` when one was changed since, and `Invalid` when a
    CRM that has both may not merge; then nothing is done.
    """
    both = [each for each in plan.there if each.has_both]
    barred = [f"{each.connection}: {each.problem}" for each in both if each.problem is not None]
    if in_crm and barred:
        raise Invalid("It cannot be merged at every CRM that has both. " + " ".join(barred))
    wish = Wish(
        plan.record_type,
        plan.survivor,
        plan.merged,
        plan.taken,
        [each.connection_id for each in both] if in_crm else [],
        plan.versions,
    )
    united = await unite_records(hub.db, wish, Cause(by.source, by.name), tenant_id=hub.tenant_id)
    names = [each.connection for each in both] if in_crm else []
    outcomes = await _carry_out(hub, names, plan.merged, by)
    return Merged(plan.record_type, plan.survivor, plan.merged, list(united.lost), outcomes)


async def merge_there(hub: Hub, merged: UUID, *, by: Editor) -> list[Outcome]:
    """Merge at the CRMs as well what was merged here only. Raises `NotFound` where there is nothing such."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await finding.find_record(conn, merged, tenant_id=hub.tenant_id)
        requests = (
            []
            if found is None
            else await merge_requests.list_of_merged(conn, found.record_type, merged, tenant_id=hub.tenant_id)
        )
        open_now = [each for each in requests if each.state != "done"]
        if not open_now:
            raise NotFound("No CRM has both of them, or each has merged them already.")
        for each in open_now:
            allowance = await allowances.find_allowance(
                conn, tenant_id=hub.tenant_id, connection_id=each.connection_id, object_name=each.object
            )
            if not allowance.merge:
                raise Invalid(
                    f"Merging {each.object} of {each.connection} is not allowed: `syncline writing allow "
                    f"{each.connection} --object {each.object} --merge` allows it."
                )
        await merge_requests.want(
            conn, [each.id for each in open_now], tenant_id=hub.tenant_id, by=by.name, now=now()
        )
    return await _carry_out(hub, sorted({each.connection for each in open_now}), merged, by)


async def find_survivor(hub: Hub, one: UUID, other: UUID) -> tuple[UUID, UUID] | None:
    """Return (survivor, merged) where one of two records has been merged into the other; else None."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        for survivor, merged in ((one, other), (other, one)):
            found = await finding.find_record(conn, merged, tenant_id=hub.tenant_id)
            if found is None:
                continue
            kind = RECORD_TYPES[found.record_type]
            row = await edits.find_row(conn, kind, merged, tenant_id=hub.tenant_id)
            if row is not None and row.get("merged_into") == str(survivor):
                return survivor, merged
    return None


async def _carry_out(hub: Hub, names: Sequence[str], merged: UUID, by: Editor) -> list[Outcome]:
    """Merge at CRMs, each as soon as no other process writes to it. A worker tries again what fails."""
    outcomes: list[Outcome] = []
    if not names:
        return outcomes
    async with hub.remotes() as remotes:
        for connection in await hub.list_connections(names):
            remote = remotes.open(connection, lane="person")
            found = await unite_now(hub, remote, by=by.name)
            outcomes += [each for each in found if each.request.merged_record == merged]
    return outcomes


@dataclass(frozen=True, slots=True)
class FollowSetting:
    """What a connection does about merges made in other CRMs."""

    connection: str
    following: Following


async def show_following(hub: Hub, name: str) -> FollowSetting:
    """Return what a connection does about merges in other CRMs. Raises `NotFound`."""
    found = (await hub.get_connection(name)).settings.get(merge_requests.SETTING)
    known: dict[Any, Following] = {each: each for each in get_args(Following)}
    return FollowSetting(name, known.get(found, "here"))


async def set_following(hub: Hub, name: str, following: str) -> FollowSetting:
    """Set what a connection does about merges in other CRMs from now on. Raises `NotFound`, `Invalid`."""
    if following not in get_args(Following):
        raise Invalid(f"There is no {following!r}. There are: {', '.join(get_args(Following))}.")
    connection = await hub.get_connection(name)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await connections.put_settings(
            conn,
            connection.id,
            {merge_requests.SETTING: following},
            tenant_id=hub.tenant_id,
            now=now(),
        )
    return await show_following(hub, name)
