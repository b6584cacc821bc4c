"""Runs over HTTP: asked for, listed, watched as they go, cancelled; and taking back what one did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field

from syncline.actions import runs
from syncline.actions.cancel import cancel_run
from syncline.actions.plan import Watch, unwatched
from syncline.actions.undo import UndoResult, plan_undo, undo
from syncline.api.audited import audit
from syncline.api.calls import PROVE_EVERY_SECONDS, Call, needs, prove_again
from syncline.api.shapes import (
    COMMENT,
    SILENCE_SECONDS,
    After,
    Given,
    Limit,
    Name,
    Shape,
    Value,
    event,
    example,
    show,
    stream,
    wants_stream,
    while_connected,
    with_progress,
)
from syncline.api.telling import tell_error
from syncline.domain.undoing import Spared
from syncline.engine.push import Drained
from syncline.engine.putting_back import Left, Taken
from syncline.errors import RetryLater, SynclineError
from syncline.store.run_list import ListedRun

router = APIRouter(prefix="/api/v1/syncs", tags=["syncs"])

#: How often a run that is watched is looked at.
_LOOK_SECONDS = 0.3

Mode = Literal["backfill", "incremental", "webhook", "manual", "reconcile", "push", "undo"]
Status = Literal["pending", "running", "success", "partial", "failed", "stopped", "cancelled"]
_ID = "0198c1f2-6a00-7c3e-8f00-000000000001"
RUN: dict[str, Any] = {
    "id": _ID,
    "connection": "main",
    "object": "contacts",
    "mode": "incremental",
    "status": "success",
    "requested_by": "key:reporting",
    "requested_at": "2026-03-01T09:00:00Z",
    "started_at": "2026-03-01T09:00:00.4Z",
    "completed_at": "2026-03-01T09:00:02.7Z",
    "duration_ms": 2300,
    "records_expected": 45,
    "records_read": 45,
    "records_created": 3,
    "records_updated": 40,
    "records_unchanged": 2,
    "records_archived": 0,
    "records_failed": 0,
    "api_calls": 4,
    "error_details": None,
    "cancel_requested_at": None,
    "cancel_requested_by": None,
}


class RunShape(Shape):
    """One execution of a mode for one connection and object."""

    id: UUID
    connection: str
    object: str
    mode: str
    status: Status
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: int | None
    records_expected: int | None
    records_read: int
    records_created: int
    records_updated: int
    records_unchanged: int
    records_archived: int
    records_failed: int
    api_calls: int
    error_details: dict[str, Any] | None = Field(
        description="The error in words, and examples of parked records."
    )
    cancel_requested_at: datetime | None
    cancel_requested_by: str | None


class RunsShape(Shape):
    runs: list[RunShape]
    after: str | None = Field(default=None, description="Where the next page begins; null at the end.")


class SyncOrder(Given):
    """What is to be synced; nothing named means everything."""

    connections: list[Name] = Field(default=[], max_length=100, description="Names of connections.")
    objects: list[Name] = Field(default=[], max_length=100, description="By the CRM's own words.")
    full: bool = Field(default=False, description="Read everything again, not only what changed.")


_ORDER = {"example": {"connections": ["main"], "objects": ["contacts", "deals"], "full": False}}


@router.post(
    "",
    status_code=202,
    summary="Ask for a sync",
    responses=example({"runs": [{**RUN, "status": "pending"}], "after": None}, 202, "Asked for."),
    openapi_extra={"requestBody": {"content": {"application/json": _ORDER}}},
)
async def start(order: SyncOrder, call: Annotated[Call, needs("syncs:run")]) -> RunsShape:
    """Ask for runs and return them; a worker begins them within about a second. Watch them by their ids.

    A run that waits already is returned, not asked for again.
    """
    asked = await runs.request_runs(
        call.hub,
        names=order.connections,
        objects=order.objects,
        mode="backfill" if order.full else "incremental",
        by=call.caller.name,
    )
    return RunsShape(runs=[show(RunShape, each) for each in asked])


@router.get("", summary="List runs", responses=example({"runs": [RUN], "after": None}))
async def list_runs(
    call: Annotated[Call, needs("syncs:read")],
    connection: Annotated[str | None, Query(max_length=200)] = None,
    object_name: Annotated[str | None, Query(alias="object", max_length=200)] = None,
    mode: Mode | None = None,
    status: Status | None = None,
    limit: Limit = 50,
    after: After = None,
) -> RunsShape:
    """Return runs, those asked for last first."""
    page = await runs.list_page(
        call.hub,
        connection=connection,
        object_name=object_name,
        mode=mode,
        status=status,
        limit=limit,
        after=after,
    )
    return show(RunsShape, replace(page, runs=[_as_told(call, each) for each in page.runs]))


RunId = Annotated[UUID, Path(description="The run's id.", examples=[_ID])]


@router.get("/{run_id}", summary="Show a run", responses=example(RUN))
async def get_run(run_id: RunId, call: Annotated[Call, needs("syncs:read")]) -> RunShape:
    return show(RunShape, _as_told(call, await runs.get_run(call.hub, run_id)))


def _as_told(call: Call, run: ListedRun) -> ListedRun:
    """Return a run as the caller may see it: examples of records are for those who see every record."""
    return run if call.caller.may("queue:manage") else run.without_records()


@router.post("/{run_id}/cancel", summary="Cancel a run", responses=example({**RUN, "status": "cancelled"}))
async def cancel(run_id: RunId, call: Annotated[Call, needs("syncs:run")]) -> RunShape:
    """End a run, in whichever process it is: behind what it commits next. What it committed stays."""
    await cancel_run(call.hub, run_id, by=call.caller.name)
    await audit(call, "run.cancelled", str(run_id))
    return show(RunShape, await runs.get_run(call.hub, run_id))


_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream of events (SSE).",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'event: progress\ndata: {"status":"running","records_read":2000}\n\n',
            }
        },
    }
}


@router.get("/{run_id}/events", summary="Watch a run", responses=_STREAM, response_class=Response)
async def watch(run_id: RunId, request: Request, call: Annotated[Call, needs("syncs:read")]) -> Response:
    """Send the run whenever it moves (`progress`), and at its end (`ended`); then the stream ends.

    Whoever may not see it any more, by a key that was revoked or a session that ended, is told so (`error`).
    """
    run = _as_told(call, await runs.get_run(call.hub, run_id))
    return stream(_watch(request, call, run))


async def _watch(request: Request, call: Call, run: ListedRun) -> AsyncIterator[bytes]:
    told: dict[str, Any] | None = None
    silent_since = proven_at = time.monotonic()
    while run.completed_at is None:
        shown = show(RunShape, run).model_dump(mode="json")
        if shown != told:
            told, silent_since = shown, time.monotonic()
            yield event("progress", told)
        elif time.monotonic() - silent_since > SILENCE_SECONDS:
            silent_since = time.monotonic()
            yield COMMENT
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            if time.monotonic() - proven_at > PROVE_EVERY_SECONDS:
                await prove_again(request, call, "syncs:read")
                proven_at = time.monotonic()
            run = _as_told(call, await runs.get_run(call.hub, run.id))
        except RetryLater:
            continue
        except SynclineError as error:  # whoever listens may not, or the run is gone with its connection
            yield event("error", tell_error(error))
            return
    yield event("ended", show(RunShape, run).model_dump(mode="json"))


class TakenShape(Shape):
    """A change that is taken back."""

    side: Literal["here", "there"]
    record_type: str
    record_id: UUID
    action: str
    changes: dict[str, list[Value]] = Field(description="Field → what it was, and what it becomes.")
    remote_id: str | None


class LeftShape(Shape):
    """What stays, and why."""

    record_type: str
    record_id: UUID
    field: str
    why: Literal["edited", "lost", "forbidden", "unknown"]
    reason: str
    value: Value


class HeldShape(Shape):
    """What a brake holds."""

    record_type: str
    reason: str | None
    count: int


class SentShape(Shape):
    """What went to a CRM."""

    run_ids: list[UUID]
    created: int
    updated: int
    archived: int
    parked: int
    stops: list[str] = Field(description="What brakes stopped, in sentences.")


class UndoShape(Shape):
    """What taking a run back would do, or did."""

    run_id: UUID = Field(description="The run that is taken back.")
    undo_run_id: UUID | None = Field(description="The run that did it; null where it was only looked at.")
    connection: str
    taken: list[TakenShape]
    left: list[LeftShape]
    stop: str | None = Field(description="Why nothing is sent to the CRM; what is to be sent waits.")
    sent: SentShape
    held: list[HeldShape]


class UndoOrder(Given):
    past_brake: bool = Field(default=False, description="Let what is sent go beyond the brakes, this once.")


_UNDO: dict[str, Any] = {
    "run_id": _ID,
    "undo_run_id": None,
    "connection": "main",
    "taken": [
        {
            "side": "here",
            "record_type": "contact",
            "record_id": "0198c1f2-6a00-7c3e-8f00-0000000000a1",
            "action": "updated",
            "changes": {"phone": ["+15550100", "+15550199"]},
            "remote_id": None,
        }
    ],
    "left": [],
    "stop": None,
    "sent": {"run_ids": [], "created": 0, "updated": 0, "archived": 0, "parked": 0, "stops": []},
    "held": [],
}


@router.post("/{run_id}/undo/preview", summary="See what an undo would do", responses=example(_UNDO))
async def preview_undo(
    run_id: RunId, request: Request, call: Annotated[Call, needs("runs:undo")]
) -> UndoShape:
    """Say what taking a run back would do, and what would stay. Writes nothing, here or there.

    It ends when the client goes.
    """
    return _show_undo(await while_connected(request, plan_undo(call.hub, run_id)))


@router.post(
    "/{run_id}/undo", summary="Take back what a run did", responses=example(_UNDO), response_model=UndoShape
)
async def run_undo(
    run_id: RunId, request: Request, call: Annotated[Call, needs("runs:undo")], order: UndoOrder | None = None
) -> UndoShape | Response:
    """Restore what the run changed, here and at the CRM, and leave alone what a person has edited since.

    With `Accept: text/event-stream` it tells of its progress. Cut off, it can be sent again, and goes on.
    """
    past_brake = order is not None and order.past_brake

    async def work(watch: Watch) -> UndoResult:
        done = await undo(call.hub, run_id, by=call.caller.name, past_brake=past_brake, watch=watch)
        await audit(call, "run.undone", str(run_id), past_brake=past_brake)
        return done

    if wants_stream(request):
        return stream(with_progress(work, _show_undo, tell_error))
    return _show_undo(await work(unwatched))


def _show_undo(result: UndoResult) -> UndoShape:
    return UndoShape(
        run_id=result.run.id,
        undo_run_id=result.undone.run_id,
        connection=result.connection,
        taken=[show(TakenShape, each) for each in _taken(result)],
        left=[_show_left(each, each.what) for each in result.undone.left],
        stop=result.stop,
        sent=show_sent(result.sent),
        held=[show(HeldShape, each) for each in result.held],
    )


def _taken(result: UndoResult) -> list[Taken]:
    return result.undone.taken


def _show_left(each: Left, what: Spared) -> LeftShape:
    return LeftShape(
        record_type=each.record_type,
        record_id=each.record_id,
        field=what.field,
        why=what.why,
        reason=what.reason,
        value=what.value,
    )


def show_sent(drained: Drained) -> SentShape:
    return show(SentShape, drained)
