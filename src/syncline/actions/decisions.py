"""Values that were overruled without asking, and putting them back as a person's edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from syncline.actions.editing import Editor, write_fields
from syncline.actions.hub import Hub
from syncline.actions.paging import cut, read_place
from syncline.domain.merge import GROUPS
from syncline.domain.records import RECORD_TYPES
from syncline.domain.resolving import Disputed, is_as_found, value_of
from syncline.domain.verdicts import same
from syncline.errors import Invalid
from syncline.store import decisions, edits
from syncline.store.decisions import Decision


@dataclass(frozen=True, slots=True)
class DecisionPage:
    decisions: list[Decision]
    #: Where the next page begins; None after the last one.
    after: str | None


async def list_decisions(
    hub: Hub,
    *,
    record_id: UUID | None = None,
    connection: str | None = None,
    field: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> DecisionPage:
    """Return a page of decisions, latest first. Raises `NotFound` for an unknown connection."""
    place = read_place(after)
    connection_id = None if connection is None else (await hub.get_connection(connection)).id
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await decisions.list_decisions(
            conn,
            tenant_id=hub.tenant_id,
            record_id=record_id,
            connection_id=connection_id,
            field=field,
            limit=limit + 1,
            before=place,
        )
    return DecisionPage(*cut(found, limit, lambda each: (each.decided_at, each.id)))


@dataclass(frozen=True, slots=True)
class Undone:
    """What became of putting a value back."""

    decision: Decision
    done: bool
    #: What stands here now.
    value: Any
    #: Why it was not done, in a sentence without values.
    problem: str | None = None


async def undo_decision(hub: Hub, decision_id: UUID, *, by: Editor) -> list[Undone]:
    """Write the losing value back, if nobody has changed it since; it goes to every CRM as any edit does.

    What was decided together, such as a deal's stage and status, is put back together.
    Raises `NotFound`, and `Invalid` where both values went into the one that stands.
    """
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        decision = await decisions.get(conn, decision_id, tenant_id=hub.tenant_id)
        if decision.winner == "both":
            raise Invalid(
                "Neither value lost: both went into the one that stands. Edit it to what it should be."
            )
        kind = RECORD_TYPES[decision.record_type]
        row = await edits.lock_row(conn, kind, decision.record_id, tenant_id=hub.tenant_id)
        if row is None:
            return [Undone(decision, done=False, value=None, problem="The record is gone.")]
        joint = _together(decision, await decisions.list_made_with(conn, decision, tenant_id=hub.tenant_id))
        if all(same(value_of(row, each.field), each.losing) for each in joint):
            reason = "The value that lost stands here already."
            return _tell(joint, row, reason)
        if not all(_stands(row, each) for each in joint):
            return _tell(joint, row, "The value here has changed since; edit it to what it should be.")
        values = {each.field: each.losing for each in joint}
        row = await write_fields(conn, hub, kind, decision.record_id, row, values, by=by)
    return [Undone(each, done=True, value=value_of(row, each.field)) for each in joint]


def _tell(joint: Sequence[Decision], row: Mapping[str, Any], problem: str) -> list[Undone]:
    return [Undone(each, done=False, value=value_of(row, each.field), problem=problem) for each in joint]


def _stands(row: Mapping[str, Any], decision: Decision) -> bool:
    return is_as_found(row, Disputed(decision.field, decision.value, None, ()))


def _together(decision: Decision, of_merge: Sequence[Decision]) -> list[Decision]:
    """Pick those of a merge's decisions that belong to this one."""
    group = GROUPS.get(decision.record_type)
    names = (*group.leads, *group.bound, *group.loose) if group is not None else ()
    strict = (*group.leads, *group.bound) if group is not None else ()
    if decision.field not in strict:
        return [decision]
    return [
        each
        for each in of_merge
        if each.id == decision.id
        or (each.field in names and each.winner == decision.winner and each.field != decision.field)
    ]
