"""The queue over HTTP: what waits, what was refused and why, letting it go on or go; and sending it now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from syncline.actions import parked, queue
from syncline.actions.plan import Watch, unwatched
from syncline.actions.push import Pushed, push
from syncline.api.audited import audit
from syncline.api.calls import Call, needs
from syncline.api.connections import ConnectionName
from syncline.api.plans import ChangeShape, WriteShape
from syncline.api.shapes import (
    Given,
    Limit,
    Name,
    Shape,
    example,
    show,
    stream,
    wants_stream,
    with_progress,
)
from syncline.api.syncs import HeldShape, SentShape
from syncline.api.telling import tell_error
from syncline.api.writing import WAITING, WaitingCountShape
from syncline.engine.leave import WritingStopped
from syncline.errors import Invalid
from syncline.store.waiting import Filter

router = APIRouter(prefix="/api/v1", tags=["queue"])

State = Literal["pending", "parked", "held"]


class WaitingShape(Shape):
    """A record with values that are to go to a CRM."""

    connection: str
    record_type: str
    record_id: UUID
    label: str
    remote_id: str | None
    state: State
    what: str = Field(description="`changed`, or `deleted`: the record is no more.")
    fields: list[str]
    queued_at: datetime
    not_before: datetime
    attempts: int
    reason: str | None = Field(description="The CRM's words, or why a person is asked.")


class QueueShape(Shape):
    counts: list[WaitingCountShape]
    waiting: list[WaitingShape]
    stops: dict[str, str] = Field(description="Connection → why nothing is sent to it now.")


_RECORD = "0198c1f2-6a00-7c3e-8f00-0000000000a1"
_QUEUE: dict[str, Any] = {
    "counts": [WAITING],
    "waiting": [
        {
            "connection": "main",
            "record_type": "contact",
            "record_id": _RECORD,
            "label": "Ada Example",
            "remote_id": "101",
            "state": "pending",
            "what": "changed",
            "fields": ["phone"],
            "queued_at": "2026-03-01T09:00:00Z",
            "not_before": "2026-03-01T09:00:00Z",
            "attempts": 0,
            "reason": None,
        }
    ],
    "stops": {},
}


@router.get("/queue", summary="List what waits to be sent", responses=example(_QUEUE))
async def list_queue(
    call: Annotated[Call, needs("queue:manage")],
    connection: Annotated[str | None, Query(max_length=200)] = None,
    record_type: Annotated[str | None, Query(max_length=50)] = None,
    record_id: UUID | None = None,
    state: State | None = None,
    reason: Annotated[str | None, Query(max_length=200, description="Of the CRM's words.")] = None,
    limit: Limit = 100,
) -> QueueShape:
    """Return what waits, the oldest first, and how much of each state there is."""
    wanted = await queue.make_filter(
        call.hub,
        connection=connection,
        record_type=record_type,
        record_id=record_id,
        state=state,
        reason=reason,
    )
    return show(QueueShape, await queue.list_queue(call.hub, wanted, limit=limit))


class QueueFilter(Given):
    """Which rows are meant. Say `all` to mean every row."""

    connection: Name | None = None
    record_type: Name | None = None
    record_id: UUID | None = None
    state: State | None = None
    reason: Name | None = None
    all: bool = False


_FILTER: dict[str, Any] = {
    "requestBody": {"content": {"application/json": {"example": {"connection": "main", "state": "parked"}}}}
}


async def _read_filter(call: Call, given: QueueFilter) -> Filter:
    named = given.model_fields_set - {"all"}
    if not given.all and not any(getattr(given, each) is not None for each in named):
        raise Invalid("Name what is meant, or say all.", fields={"all": "name what is meant, or say all"})
    return await queue.make_filter(
        call.hub,
        connection=given.connection,
        record_type=given.record_type,
        record_id=given.record_id,
        state=given.state,
        reason=given.reason,
    )


class CountShape(Shape):
    count: int


@router.post(
    "/queue/retry", summary="Try again at once", responses=example({"count": 3}), openapi_extra=_FILTER
)
async def retry(given: QueueFilter, call: Annotated[Call, needs("queue:manage")]) -> CountShape:
    """Let what was refused, is held or waits for its next try be tried at once; returns how many."""
    count = await queue.retry_queue(call.hub, await _read_filter(call, given))
    await audit(call, "queue.retried", given.connection, count=count)
    return CountShape(count=count)


@router.post(
    "/queue/drop", summary="Take out of the queue", responses=example({"count": 3}), openapi_extra=_FILTER
)
async def drop(given: QueueFilter, call: Annotated[Call, needs("queue:manage")]) -> CountShape:
    """Take rows out of the queue; the values stay here, and are not sent. Returns how many."""
    count = await queue.drop_queue(call.hub, await _read_filter(call, given))
    await audit(call, "queue.dropped", given.connection, count=count)
    return CountShape(count=count)


class ParkedShape(Shape):
    """A record of a CRM that was set aside, and why."""

    connection: str
    object: str
    remote_id: str
    kind: str = Field(description="`payload` or `value`.")
    reason: str
    problems: dict[str, str]


class ParkedListShape(Shape):
    parked: list[ParkedShape]


_PARKED: dict[str, Any] = {
    "parked": [
        {
            "connection": "main",
            "object": "deals",
            "remote_id": "501",
            "kind": "value",
            "reason": "amount is no number",
            "problems": {"amount": "is no number"},
        }
    ]
}


@router.get("/parked", summary="List records that were set aside", responses=example(_PARKED))
async def list_parked(
    call: Annotated[Call, needs("queue:manage")],
    connection: Annotated[list[str], Query(max_length=100)] = [],  # noqa: B006 - FastAPI copies it
    object_name: Annotated[list[str], Query(alias="object", max_length=100)] = [],  # noqa: B006 - as above
    limit: Limit = 100,
) -> ParkedListShape:
    """Return up to `limit` parked records of each object, latest seen first."""
    found = await parked.list_parked(call.hub, names=connection, objects=object_name, limit=limit)
    return ParkedListShape(
        parked=[
            ParkedShape(
                connection=each.connection,
                object=each.object,
                remote_id=each.record.remote_id,
                kind=each.record.kind,
                reason=each.record.reason,
                problems=each.record.problems,
            )
            for each in found
        ]
    )


class PushOrder(Given):
    past_brake: list[Name] = Field(
        default=[], max_length=20, description="Kinds of records whose brakes do not count, this once."
    )


class UnsentShape(Shape):
    """A record that was set aside."""

    record_type: str
    record_id: UUID
    state: str
    reason: str | None


class PushedShape(Shape):
    """What a push did."""

    connection: str
    drained: SentShape
    writes: list[WriteShape]
    here: list[ChangeShape] = Field(description="What merging changed here.")
    parked: list[UnsentShape]
    held: list[HeldShape]
    api_calls: int


_PUSHED: dict[str, Any] = {
    "connection": "main",
    "drained": {"run_ids": [], "created": 0, "updated": 1, "archived": 0, "parked": 0, "stops": []},
    "writes": [
        {
            "object": "contacts",
            "record_type": "contact",
            "record_id": _RECORD,
            "remote_id": "101",
            "action": "updated",
            "changes": {"phone": ["+15550100", "+15550199"]},
        }
    ],
    "here": [],
    "parked": [],
    "held": [],
    "api_calls": 2,
}


@router.post(
    "/connections/{name}/push",
    summary="Send what waits, now",
    responses=example(_PUSHED),
    response_model=PushedShape,
)
async def push_now(
    name: ConnectionName,
    request: Request,
    call: Annotated[Call, needs("queue:manage")],
    order: PushOrder | None = None,
) -> PushedShape | Response:
    """Send what is due to a connection, and tell what became of it.

    With `Accept: text/event-stream` it tells of its progress.
    """
    past_brake = [] if order is None else order.past_brake

    async def work(watch: Watch) -> Pushed:
        try:
            done = await push(call.hub, name, by=call.caller.name, past_brake=past_brake, watch=watch)
        except WritingStopped as error:
            raise Invalid(str(error)) from error
        await audit(call, "queue.pushed", name, past_brake=past_brake)
        return done

    if wants_stream(request):
        return stream(with_progress(work, _show_pushed, tell_error))
    return _show_pushed(await work(unwatched))


def _show_pushed(pushed: Pushed) -> PushedShape:
    return show(PushedShape, pushed)
