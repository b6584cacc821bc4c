"""Deciding conflicts: one, those of a record, or many at once, each record in a transaction of its own.

Nothing is decided over a value that has changed since the conflict was found: it is said, and stays open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from syncline.actions.editing import Editor, write_fields
from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.domain.merge import GROUPS
from syncline.domain.policies import Side
from syncline.domain.records import RECORD_TYPES, RecordType
from syncline.domain.resolving import (
    Choice,
    Resolution,
    Settlement,
    is_as_found,
    list_together,
    read_value,
    settle,
    value_of,
)
from syncline.domain.verdicts import same
from syncline.errors import Invalid, NotFound
from syncline.store import conflicts, definitions, edits, waiting
from syncline.store.conflicts import Conflict, Filter, RecordKeys, Snapshots
from syncline.store.db import Conn
from syncline.store.keys import ObjectKeys

#: How many conflicts are looked up at once when many are decided.
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one conflict."""

    conflict: Conflict
    #: None when it stays open.
    resolution: Resolution | None
    #: What stands here now.
    value: Any
    #: True when the value here is on its way to the CRM.
    queued: bool = False
    #: Why it stays as it is, in a sentence without values.
    problem: str | None = None


#: (open conflicts of a record with one connection, both records) → field → choice.
_Choose = Callable[[Sequence[Conflict], Snapshots], Mapping[str, Choice]]


async def resolve_one(
    hub: Hub, conflict_id: UUID, resolution: Resolution, *, by: Editor, value: str | None = None
) -> list[Outcome]:
    """Decide one conflict, and those that are decided together with it.

    `value` is for `custom`, as a person types it; empty empties the field. A deal's place is given as
    `STAGE` or `PIPELINE/STAGE`. Raises `NotFound`, and `Invalid` for a value that the field cannot have.
    """
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        conflict = await conflicts.get(conn, conflict_id, tenant_id=hub.tenant_id)
        custom: Mapping[str, Any] = {}
        if resolution == "custom":
            custom = await _read_custom(conn, hub, conflict, value)

    def choose(found: Sequence[Conflict], snapshots: Snapshots) -> Mapping[str, Choice]:
        joint = _list_joint(conflict, snapshots)
        if resolution == "custom" and len(joint) > 1 and not custom.keys() & _leads(conflict.record_type):
            raise Invalid(
                f"{conflict.field} is decided together with {', '.join(sorted(joint - {conflict.field}))}. "
                "Choose --ours or --theirs, or give the stage a value."
            )
        return {each.field: Choice(resolution, custom) for each in found if each.field in joint}

    if conflict.status != "open":
        return [await _closed(hub, conflict)]
    outcomes = await _Case(hub, conflict, by).decide(choose)
    if not any(each.conflict.id == conflict.id for each in outcomes):
        outcomes.append(await _closed(hub, conflict))
    return outcomes


async def resolve_record(
    hub: Hub,
    record_id: UUID,
    *,
    by: Editor,
    side: Side | None = None,
    fields: Mapping[str, Side] | None = None,
    connection_id: UUID | None = None,
) -> list[Outcome]:
    """Decide the open conflicts of a record: `fields` one by one, and with `side` all others.

    Fields that are decided together cannot go to different sides. Raises `Invalid` for that and for a field
    that is not in dispute, and `NotFound` when nothing is.
    """
    chosen = fields or {}
    wanted = Filter(connection_id=connection_id, record_id=record_id)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await conflicts.list_conflicts(conn, wanted, tenant_id=hub.tenant_id, limit=_PAGE)
    if not found:
        raise NotFound("This record has no open conflict.")
    unknown = sorted(set(chosen) - {each.field for each in found})
    if unknown:
        known = ", ".join(sorted({each.field for each in found}))
        raise Invalid(f"{unknown[0]} of this record is not in dispute. In dispute are: {known}.")

    def choose(open_now: Sequence[Conflict], snapshots: Snapshots) -> Mapping[str, Choice]:
        sides: dict[str, Side] = {each.field: side for each in open_now if side is not None}
        for name, chosen_side in chosen.items():
            for joint in list_together(
                found[0].record_type, name, snapshots.our_record, snapshots.their_record
            ):
                if chosen.get(joint, chosen_side) != chosen_side:
                    raise Invalid(f"{name} and {joint} belong together: choose one side for both.")
                sides[joint] = chosen_side
        return {each.field: Choice(sides[each.field]) for each in open_now if each.field in sides}

    return [outcome for case in _cases(found) for outcome in await _Case(hub, case, by).decide(choose)]


async def resolve_all(hub: Hub, wanted: Filter, side: Side, *, by: Editor) -> list[Outcome]:
    """Decide all open conflicts that a filter means for one side, record by record, the latest first.

    Each record commits by itself: interrupted, what is done is done. With fields of a deal's place go all
    that belong to it.
    """

    def choose(found: Sequence[Conflict], snapshots: Snapshots) -> Mapping[str, Choice]:
        meant = {each.field for each in found if wanted.field in (None, each.field)}
        joint = {
            name
            for field in meant
            for name in list_together(
                found[0].record_type, field, snapshots.our_record, snapshots.their_record
            )
        }
        return {each.field: Choice(side) for each in found if each.field in joint}

    outcomes: list[Outcome] = []
    before = None
    while True:
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            page = await conflicts.list_conflicts(
                conn, wanted, tenant_id=hub.tenant_id, limit=_PAGE, before=before
            )
        if not page:
            return outcomes
        seen = {outcome.conflict.id for outcome in outcomes}
        for case in _cases(each for each in page if each.id not in seen):
            outcomes += await _Case(hub, case, by).decide(choose)
        before = page[-1].found_at, page[-1].id


def _cases(found: Iterable[Conflict]) -> list[Conflict]:
    """Pick one conflict for each record and connection."""
    return list({(each.connection_id, each.record_id): each for each in found}.values())


class _Case:
    """The open conflicts of one record with one connection, in one transaction."""

    def __init__(self, hub: Hub, example: Conflict, by: Editor) -> None:
        self._hub = hub
        self._example = example
        self._by = by
        self._kind: RecordType = RECORD_TYPES[example.record_type]

    async def decide(self, choose: _Choose) -> list[Outcome]:
        """Lock record, link and conflicts, in this order, and do what follows from the choice."""
        hub, example = self._hub, self._example
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            row = await edits.lock_row(conn, self._kind, example.record_id, tenant_id=hub.tenant_id)
            link = await edits.lock_link(conn, example.remote_id, keys=self._link_keys())
            found = await conflicts.lock_open(conn, **self._record_keys())
            if not found:
                return []
            if row is None:
                return [_refuse(each, "The record is gone.") for each in found]
            if link is None or link.record_id != example.record_id:
                reason = f"{example.connection} is not linked to the record any more."
                return [_refuse(each, reason, value_of(row, each.field)) for each in found]
            snapshots = await conflicts.get_snapshots(conn, found[0].id, tenant_id=hub.tenant_id)
            choices = dict(choose(found, snapshots))
            refused = self._refuse_changed(found, choices, row, snapshots)
            for outcome in refused:
                choices.pop(outcome.conflict.field, None)
            chosen = [each for each in found if each.field in choices]
            if not chosen:
                return refused
            settled = settle(
                self._kind.name, (each.disputed for each in chosen), choices, snapshots.their_record
            )
            return [*await self._carry_out(conn, row, chosen, choices, settled), *refused]

    def _link_keys(self) -> ObjectKeys:
        example = self._example
        return {
            "tenant_id": self._hub.tenant_id,
            "connection_id": example.connection_id,
            "object_name": example.object,
        }

    def _record_keys(self) -> RecordKeys:
        example = self._example
        return {
            "tenant_id": self._hub.tenant_id,
            "connection_id": example.connection_id,
            "record_type": example.record_type,
            "record_id": example.record_id,
        }

    def _refuse_changed(
        self,
        found: Sequence[Conflict],
        choices: Mapping[str, Choice],
        row: Mapping[str, Any],
        snapshots: Snapshots,
    ) -> list[Outcome]:
        """Leave open what somebody has edited since, and what is decided together with it."""
        changed = {each.field for each in found if not is_as_found(row, each.disputed)}
        stale = {
            name
            for field in changed
            for name in list_together(self._kind.name, field, snapshots.our_record, snapshots.their_record)
        }
        reason = "The value here has changed since the conflict was found; look at it again."
        return [
            _refuse(each, reason, value_of(row, each.field))
            for each in found
            if each.field in choices and each.field in stale
        ]

    async def _carry_out(
        self,
        conn: Conn,
        row: dict[str, Any],
        chosen: Sequence[Conflict],
        choices: Mapping[str, Choice],
        settled: Settlement,
    ) -> list[Outcome]:
        example, at = self._example, now()
        # What came from a connection goes to all others; what a person gave goes to all.
        row = await self._write(conn, row, settled.taken, example.connection_id)
        row = await self._write(conn, row, settled.given, None)
        await edits.agree(conn, example.remote_id, settled.base, keys=self._link_keys())
        queued = False
        if settled.push:
            queued = await waiting.enqueue(conn, settled.push, **self._record_keys(), now=at)
        outcomes: list[Outcome] = []
        for each in chosen:
            resolution, value = choices[each.field].resolution, value_of(row, each.field)
            await conflicts.resolve(
                conn,
                each.id,
                resolution,
                value,
                tenant_id=self._hub.tenant_id,
                by=self._by.name,
                now=at,
            )
            outcomes.append(Outcome(each, resolution, value, queued and each.field in settled.push))
        return outcomes

    async def _write(
        self, conn: Conn, row: dict[str, Any], values: Mapping[str, Any], origin: UUID | None
    ) -> dict[str, Any]:
        moved = {name: value for name, value in values.items() if not same(value_of(row, name), value)}
        if not moved:
            return row
        return await write_fields(
            conn, self._hub, self._kind, self._example.record_id, row, moved, by=self._by, origin=origin
        )


def _refuse(conflict: Conflict, reason: str, value: Any = None) -> Outcome:
    return Outcome(conflict, None, value, problem=reason)


async def _closed(hub: Hub, conflict: Conflict) -> Outcome:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        kind = RECORD_TYPES[conflict.record_type]
        row = await edits.find_row(conn, kind, conflict.record_id, tenant_id=hub.tenant_id)
        known = await conflicts.get(conn, conflict.id, tenant_id=hub.tenant_id)
    how = "both sides came to agree" if known.status == "settled" else f"{known.resolved_by} decided it"
    value = None if row is None else value_of(row, conflict.field)
    return _refuse(known, f"This conflict is no longer open: {how}.", value)


def _list_joint(conflict: Conflict, snapshots: Snapshots) -> set[str]:
    return list_together(conflict.record_type, conflict.field, snapshots.our_record, snapshots.their_record)


def _leads(record_type: str) -> set[str]:
    group = GROUPS.get(record_type)
    return set(group.leads) if group is not None else set()


async def _read_custom(conn: Conn, hub: Hub, conflict: Conflict, text: str | None) -> dict[str, Any]:
    kind, name = RECORD_TYPES[conflict.record_type], conflict.field
    group = GROUPS.get(kind.name)
    if group is not None and name in (*group.leads, *group.bound):
        return await _read_place(conn, hub, conflict, text)
    if name == "owner_id" and text is not None and "@" in text:
        owner = await edits.find_owner(conn, text, tenant_id=hub.tenant_id)
        if owner is None:
            raise Invalid("There is no owner with that address, or more than one.")
        return {name: str(owner)}
    return {name: read_value(kind, name, text)}


async def _read_place(conn: Conn, hub: Hub, conflict: Conflict, text: str | None) -> dict[str, Any]:
    """Find a stage of the connection by `STAGE` or `PIPELINE/STAGE`, and what a deal becomes in it."""
    pipeline, _, stage = (text or "").strip().rpartition("/")
    known = await definitions.list_stages(conn, tenant_id=hub.tenant_id, connection_id=conflict.connection_id)
    found = [each for each in known if each.stage == stage and pipeline in ("", each.pipeline)]
    if len(found) != 1:
        listed = ", ".join(sorted(f"{each.pipeline}/{each.stage}" for each in known))
        raise Invalid(f"Give one stage of {conflict.connection}: {listed or 'it lists none'}.")
    [place] = found
    return {
        "pipeline": place.pipeline,
        "stage": place.stage,
        "pipeline_id": str(place.pipeline_id),
        "stage_id": str(place.stage_id),
        "status": "won" if place.is_won else "lost" if place.is_closed else "open",
    }
