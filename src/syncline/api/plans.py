"""Plans over HTTP: what a sync would change here and a push there, before anything is written."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from syncline.actions.plan import Plan, Watch, plan
from syncline.api.calls import Call, needs
from syncline.api.shapes import (
    Given,
    Name,
    Shape,
    Value,
    example,
    show,
    stream,
    wants_stream,
    while_connected,
    with_progress,
)
from syncline.api.telling import tell_error
from syncline.api.writing import WaitingCountShape

router = APIRouter(prefix="/api/v1/plans", tags=["plans"])


class ChangeShape(Shape):
    """A record that would be, or was, changed here."""

    record_type: str
    record_id: UUID
    action: str
    changes: dict[str, Value] = Field(description="Field → [old, new].")


class WriteShape(Shape):
    """A record that would be, or was, written at the CRM."""

    object: str
    record_type: str
    record_id: UUID
    remote_id: str | None
    action: str
    changes: dict[str, list[Value]]


class PullShape(Shape):
    """What reading an object would change here."""

    object: str
    state: Literal["changes", "everything"] = Field(
        description="`everything`: it was never read to its end, and would be read whole."
    )
    read: int | None
    api_calls: int
    changes: list[ChangeShape]
    mirrored: int
    unreadable: int


class EffortShape(Shape):
    read_calls: int
    write_calls: int
    seconds: float


class UnsendableShape(Shape):
    object: str
    record_type: str
    record_id: UUID
    reason: str


class StopShape(Shape):
    """What a brake would stop."""

    record_type: str
    object_name: str
    reason: str
    held: int


class PushPlanShape(Shape):
    """What a push would do."""

    stop: str | None
    writes: list[WriteShape]
    here: list[ChangeShape]
    parked: list[UnsendableShape]
    held: list[UnsendableShape]
    stops: list[StopShape]
    waiting: list[WaitingCountShape]
    effort: EffortShape


class PlanShape(Shape):
    connection: str
    made_at: datetime
    pulls: list[PullShape]
    push: PushPlanShape
    effort: EffortShape


class PlanOrder(Given):
    connection: Name
    objects: list[Name] = Field(default=[], max_length=100, description="None means all.")


_EFFORT = {"read_calls": 12, "write_calls": 0, "seconds": 3.1}
_PLAN: dict[str, Any] = {
    "connection": "main",
    "made_at": "2026-03-01T09:00:00Z",
    "pulls": [
        {
            "object": "contacts",
            "state": "changes",
            "read": 4,
            "api_calls": 3,
            "changes": [
                {
                    "record_type": "contact",
                    "record_id": "0198c1f2-6a00-7c3e-8f00-0000000000a1",
                    "action": "updated",
                    "changes": {"job_title": ["Analyst", "Director"]},
                }
            ],
            "mirrored": 0,
            "unreadable": 0,
        }
    ],
    "push": {
        "stop": None,
        "writes": [],
        "here": [],
        "parked": [],
        "held": [],
        "stops": [],
        "waiting": [],
        "effort": {"read_calls": 0, "write_calls": 0, "seconds": 0.0},
    },
    "effort": _EFFORT,
}


@router.post(
    "",
    summary="See what a sync and a push would do",
    responses=example(_PLAN),
    response_model=PlanShape,
    openapi_extra={
        "requestBody": {
            "content": {"application/json": {"example": {"connection": "main", "objects": ["contacts"]}}}
        }
    },
)
async def make(
    order: PlanOrder, request: Request, call: Annotated[Call, needs("syncs:run")]
) -> PlanShape | Response:
    """Run what a sync would run, and take it back. Reads at the CRM; writes nothing, here or there.

    With `Accept: text/event-stream` it tells of its progress. It ends when the client goes.
    """

    async def work(watch: Watch) -> Plan:
        return await plan(call.hub, order.connection, objects=order.objects, watch=watch)

    if wants_stream(request):
        return stream(with_progress(work, show_plan, tell_error))
    return show_plan(await while_connected(request, plan(call.hub, order.connection, objects=order.objects)))


def show_plan(made: Plan) -> PlanShape:
    return show(PlanShape, made)
