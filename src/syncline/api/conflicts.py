"""Conflicts and decisions over HTTP: listed, looked at from both sides, and decided."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import Field

from syncline.actions import conflicts, decisions
from syncline.actions.resolve import Outcome, resolve_all, resolve_one, resolve_record
from syncline.api.audited import audit
from syncline.api.calls import Call, needs
from syncline.api.shapes import After, Given, Limit, Name, Shape, Value, example, show
from syncline.errors import Invalid

router = APIRouter(prefix="/api/v1", tags=["conflicts"])

Side = Literal["ours", "theirs"]
Status = Literal["open", "resolved", "settled"]
_ID = "0198c1f2-6a00-7c3e-8f00-0000000000f1"
_RECORD = "0198c1f2-6a00-7c3e-8f00-0000000000a1"


class ConflictShape(Shape):
    """One field of one record, and what either side made of it."""

    id: UUID
    connection: str
    object: str
    remote_id: str
    record_type: str
    record_id: UUID
    label: str
    field: str
    base: Value = Field(description="What both last agreed on.")
    ours: Value
    theirs: Value
    ours_at: datetime | None
    theirs_at: datetime | None
    status: Status
    resolution: Literal["ours", "theirs", "custom"] | None
    value: Value = Field(description="What stood here after a person decided.")
    run_id: UUID | None
    found_at: datetime
    seen_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None


class ConflictsShape(Shape):
    conflicts: list[ConflictShape]
    after: str | None


_CONFLICT: dict[str, Any] = {
    "id": _ID,
    "connection": "main",
    "object": "contacts",
    "remote_id": "101",
    "record_type": "contact",
    "record_id": _RECORD,
    "label": "Ada Example",
    "field": "job_title",
    "base": "Analyst",
    "ours": "Director",
    "theirs": "Head of Data",
    "ours_at": "2026-03-01T08:00:00Z",
    "theirs_at": "2026-03-01T08:30:00Z",
    "status": "open",
    "resolution": None,
    "value": None,
    "run_id": None,
    "found_at": "2026-03-01T09:00:00Z",
    "seen_at": "2026-03-01T09:00:00Z",
    "resolved_at": None,
    "resolved_by": None,
}


@router.get(
    "/conflicts", summary="List conflicts", responses=example({"conflicts": [_CONFLICT], "after": None})
)
async def list_conflicts(
    call: Annotated[Call, needs("conflicts:resolve")],
    connection: Annotated[str | None, Query(max_length=200)] = None,
    record_type: Annotated[str | None, Query(max_length=50)] = None,
    record_id: UUID | None = None,
    field: Annotated[str | None, Query(max_length=200)] = None,
    status: Literal["open", "resolved", "settled", "all"] = "open",
    limit: Limit = 50,
    after: After = None,
) -> ConflictsShape:
    """Return conflicts, latest found first; open ones unless `status` says otherwise."""
    wanted = await conflicts.make_filter(
        call.hub,
        connection=connection,
        record_type=record_type,
        record_id=record_id,
        field=field,
        status=None if status == "all" else status,
    )
    return show(ConflictsShape, await conflicts.list_conflicts(call.hub, wanted, limit=limit, after=after))


class ConflictDetailsShape(Shape):
    """Everything about one conflict."""

    conflict: ConflictShape
    our_record: dict[str, Value] = Field(description="Ours as it was when the conflict was found.")
    their_record: dict[str, Value]
    rule: str = Field(description="What the policy says of this field.")
    together: list[str] = Field(description="Fields that are decided together with it.")
    value_now: Value = Field(description="What stands here now.")
    exists: bool


ConflictId = Annotated[UUID, Path(description="The conflict's id.", examples=[_ID])]


@router.get(
    "/conflicts/{conflict_id}",
    summary="Show a conflict",
    responses=example(
        {
            "conflict": _CONFLICT,
            "our_record": {"first_name": "Ada", "job_title": "Director"},
            "their_record": {"first_name": "Ada", "job_title": "Head of Data"},
            "rule": "review",
            "together": ["job_title"],
            "value_now": "Director",
            "exists": True,
        }
    ),
)
async def get(
    conflict_id: ConflictId, call: Annotated[Call, needs("conflicts:resolve")]
) -> ConflictDetailsShape:
    found = await conflicts.show_conflict(call.hub, conflict_id)
    return ConflictDetailsShape(
        conflict=show(ConflictShape, found.conflict),
        our_record=dict(found.our_record),
        their_record=dict(found.their_record),
        rule=found.rule,
        together=sorted(found.together),
        value_now=found.value_now,
        exists=found.exists,
    )


class OutcomeShape(Shape):
    """What became of one conflict."""

    conflict: ConflictShape
    resolution: Literal["ours", "theirs", "custom"] | None = Field(description="Null when it stays open.")
    value: Value
    queued: bool = Field(description="Whether the value is on its way to the CRM.")
    problem: str | None


class OutcomesShape(Shape):
    outcomes: list[OutcomeShape]


_OUTCOMES: dict[str, Any] = {
    "outcomes": [
        {
            "conflict": {**_CONFLICT, "status": "resolved", "resolution": "ours"},
            "resolution": "ours",
            "value": "Director",
            "queued": True,
            "problem": None,
        }
    ]
}


def _show(outcomes: list[Outcome]) -> OutcomesShape:
    return OutcomesShape(outcomes=[show(OutcomeShape, each) for each in outcomes])


class Decision(Given):
    """How one conflict is decided."""

    resolution: Literal["ours", "theirs", "custom"]
    value: str | None = Field(
        default=None, max_length=100_000, description="For `custom`, as a person types it; empty empties."
    )


@router.post(
    "/conflicts/{conflict_id}/resolve",
    summary="Decide a conflict",
    responses=example(_OUTCOMES),
    openapi_extra={"requestBody": {"content": {"application/json": {"example": {"resolution": "ours"}}}}},
)
async def resolve(
    conflict_id: ConflictId, decision: Decision, call: Annotated[Call, needs("conflicts:resolve")]
) -> OutcomesShape:
    """Decide one conflict, and those that are decided together with it.

    Nothing is decided over a value that has changed since: `problem` says so, and it stays open.
    """
    if decision.resolution == "custom" and decision.value is None:
        raise Invalid("A value of your own is missing.", fields={"value": "is needed for custom"})
    if decision.resolution != "custom" and decision.value is not None:
        raise Invalid("A value is for custom only.", fields={"value": "is for custom only"})
    outcomes = await resolve_one(call.hub, conflict_id, decision.resolution, by=call.by, value=decision.value)
    await audit(call, "conflict.resolved", str(conflict_id), resolution=decision.resolution)
    return _show(outcomes)


class RecordDecision(Given):
    """How the open conflicts of a record are decided: `fields` one by one, all others for `side`."""

    side: Side | None = None
    fields: dict[str, Side] = Field(default={})
    connection: Name | None = None


@router.post(
    "/conflicts/records/{record_id}/resolve",
    summary="Decide a record's conflicts",
    responses=example(_OUTCOMES),
    openapi_extra={
        "requestBody": {
            "content": {"application/json": {"example": {"side": "theirs", "fields": {"job_title": "ours"}}}}
        }
    },
)
async def resolve_of_record(
    record_id: Annotated[UUID, Path(description="The record's id.", examples=[_RECORD])],
    decision: RecordDecision,
    call: Annotated[Call, needs("conflicts:resolve")],
) -> OutcomesShape:
    """Decide field by field, in one transaction. Fields that belong together go to one side."""
    if decision.side is None and not decision.fields:
        raise Invalid("Name a side, or fields.", fields={"side": "is missing", "fields": "are missing"})
    connection = None if decision.connection is None else await call.hub.get_connection(decision.connection)
    outcomes = await resolve_record(
        call.hub,
        record_id,
        by=call.by,
        side=decision.side,
        fields=decision.fields,
        connection_id=None if connection is None else connection.id,
    )
    await audit(call, "conflicts.resolved", str(record_id), count=len(outcomes))
    return _show(outcomes)


class ManyDecision(Given):
    """Which conflicts are decided, all for one side. Say `all` to mean every open one."""

    side: Side
    connection: Name | None = None
    record_type: Name | None = None
    field: Name | None = None
    all: bool = False


@router.post(
    "/conflicts/resolve",
    summary="Decide many conflicts",
    responses=example(_OUTCOMES),
    openapi_extra={
        "requestBody": {
            "content": {"application/json": {"example": {"side": "theirs", "field": "job_title"}}}
        }
    },
)
async def resolve_many(
    decision: ManyDecision, call: Annotated[Call, needs("conflicts:resolve")]
) -> OutcomesShape:
    """Decide all open conflicts that are meant, each record by itself: cut off, what is done is done."""
    if not decision.all and not (decision.connection or decision.record_type or decision.field):
        raise Invalid("Name what is meant, or say all.", fields={"all": "name what is meant, or say all"})
    wanted = await conflicts.make_filter(
        call.hub,
        connection=decision.connection,
        record_type=decision.record_type,
        field=decision.field,
    )
    outcomes = await resolve_all(call.hub, wanted, decision.side, by=call.by)
    await audit(call, "conflicts.resolved", None, count=len(outcomes), side=decision.side)
    return _show(outcomes)


class DecisionShape(Shape):
    """A value that was overruled without asking."""

    id: UUID
    decided_at: datetime
    connection: str
    record_type: str
    record_id: UUID
    label: str
    field: str
    rule: str
    winner: Literal["ours", "theirs", "both"]
    value: Value
    losing: Value
    reason: str
    run_id: UUID | None


class DecisionsShape(Shape):
    decisions: list[DecisionShape]
    after: str | None


_DECISION: dict[str, Any] = {
    "id": "0198c1f2-6a00-7c3e-8f00-0000000000d1",
    "decided_at": "2026-03-01T09:00:00Z",
    "connection": "main",
    "record_type": "contact",
    "record_id": _RECORD,
    "label": "Ada Example",
    "field": "phone",
    "rule": "newest",
    "winner": "theirs",
    "value": "+15550199",
    "losing": "+15550100",
    "reason": "theirs is newer",
    "run_id": None,
}


@router.get(
    "/decisions",
    summary="List what was decided without asking",
    responses=example({"decisions": [_DECISION], "after": None}),
)
async def list_decisions(
    call: Annotated[Call, needs("conflicts:resolve")],
    record_id: UUID | None = None,
    connection: Annotated[str | None, Query(max_length=200)] = None,
    field: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 50,
    after: After = None,
) -> DecisionsShape:
    """Return the values that policies overruled, latest first; each can be put back."""
    page = await decisions.list_decisions(
        call.hub, record_id=record_id, connection=connection, field=field, limit=limit, after=after
    )
    return show(DecisionsShape, page)


class PutBackShape(Shape):
    decision: DecisionShape
    done: bool
    value: Value = Field(description="What stands here now.")
    problem: str | None


class PutBackListShape(Shape):
    outcomes: list[PutBackShape]


@router.post(
    "/decisions/{decision_id}/undo",
    summary="Put the losing value back",
    responses=example(
        {"outcomes": [{"decision": _DECISION, "done": True, "value": "+15550100", "problem": None}]}
    ),
)
async def undo_decision(
    decision_id: Annotated[UUID, Path(examples=["0198c1f2-6a00-7c3e-8f00-0000000000d1"])],
    call: Annotated[Call, needs("conflicts:resolve")],
) -> PutBackListShape:
    """Write the losing value back as an edit, if nobody has changed it since; it goes to every CRM."""
    undone = await decisions.undo_decision(call.hub, decision_id, by=call.by)
    await audit(call, "decision.undone", str(decision_id))
    return PutBackListShape(outcomes=[show(PutBackShape, each) for each in undone])
