"""Edits of many records, and batches on their way: planned, applied, watched, cancelled, taken back."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import structlog
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from syncline.actions import batches, bulk
from syncline.actions.bulk import BulkPlan, Selection
from syncline.actions.record_pages import Wanted
from syncline.api.calls import Call, needs
from syncline.api.record_shapes import answer
from syncline.api.shapes import Given, Shape, Value, wants_stream, with_progress
from syncline.api.shapes import stream as stream_of
from syncline.domain.filters import MAX_FILTERS, Archived, Filter, make_filter
from syncline.domain.record_fields import RecordFields
from syncline.engine.work import frames_of
from syncline.errors import RetryLater, SynclineError
from syncline.store.batches import Batch

router = APIRouter(prefix="/api/v1", tags=["bulk"])
MANY: Any = needs("records:bulk")
_log = structlog.get_logger(__name__)


class FilterGiven(Given):
    """One condition of a list."""

    field: Annotated[str, Field(max_length=120, examples=["lifecycle_stage"])]
    op: Annotated[str, Field(max_length=20, examples=["eq"])] = "eq"
    values: list[str | float | bool] = Field(default_factory=list, max_length=100, examples=[["lead"]])


class SelectionGiven(Given):
    """Which records: those named by id, or all of a list."""

    ids: Annotated[list[UUID] | None, Field(max_length=10_000)] = None
    filters: list[FilterGiven] = Field(default_factory=list, max_length=MAX_FILTERS)
    search: Annotated[str | None, Field(max_length=200)] = None
    archived: Archived = "no"


class BulkGiven(Given):
    """What is to be done to which records."""

    select: SelectionGiven
    action: Literal["change", "archive", "restore"] = "change"
    values: dict[str, Any] = Field(default_factory=dict, examples=[{"lifecycle_stage": "customer"}])


class BatchOut(Shape):
    """A batch, and how far it is. Its id is the run in the change log."""

    id: UUID
    kind: Literal["edit", "import", "undo"]
    record_type: str
    state: Literal["planned", "running", "success", "partial", "cancelled"]
    rows: int
    done: int
    created: int
    changed: int
    skipped: int
    failed: int
    planned_by: str
    planned_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    failure: str | None = Field(
        description="Why it ended before each row was looked at, where nobody ended it. If it is `partial`, "
        "it was given up after several tries, and goes on when it is applied again."
    )


class SampleOut(Shape):
    """What would change of one record: field → [now, then]."""

    record_id: UUID
    label: str
    changes: dict[str, list[Value]]
    problem: str | None


class CostOut(Shape):
    """What follows at one connection."""

    connection: str
    object: str
    records: int
    calls: int
    brake: str | None = Field(description="Why a brake would hold it.")
    stop: str | None = Field(description="Why nothing is sent there now; it waits then.")


class BulkPlanOut(Shape):
    """What would be done. Nothing is, until the batch is applied."""

    batch: BatchOut
    samples: list[SampleOut]
    costs: list[CostOut]


class ProblemRowOut(Shape):
    """A row that was not done, or cannot be. Of a file its position is the line."""

    position: int
    record_id: UUID | None
    state: str
    reasons: dict[str, str] | None = Field(description="Field → why; '' for the row as a whole.")


class RowOut(ProblemRowOut):
    """A row of a batch. Of a file its position is the line."""

    action: Literal["create", "change", "none", "invalid", "restore"] = Field(
        description="What is planned for it; once it is done, what was done."
    )


class RowsOut(Shape):
    """Rows in their order."""

    items: list[RowOut]
    next: int | None = Field(description="What to give as `after` for the next page; null at the end.")


class BatchViewOut(BatchOut):
    """A batch with its problems, and the batch that took it back."""

    undone_by: UUID | None
    problems: list[ProblemRowOut]


class BatchesOut(Shape):
    """The latest batches that were begun."""

    items: list[BatchOut]


def show_batch(batch: Batch) -> dict[str, Any]:
    """Return a batch as the API tells it."""
    return {name: getattr(batch, name) for name in BatchOut.model_fields}


def read_filters(fields: RecordFields, given: list[FilterGiven]) -> tuple[Filter, ...]:
    """Read conditions. Raises `Invalid`."""
    return tuple(make_filter(fields, each.field, each.op, each.values) for each in given)


def show_plan(plan: BulkPlan) -> dict[str, Any]:
    """Return a plan as the API tells it."""
    return {"batch": show_batch(plan.batch), "samples": plan.samples, "costs": plan.costs}


async def plan_edit(call: Call, fields: RecordFields, given: BulkGiven) -> Response:
    """Plan an edit of many records of a kind."""
    wanted = Wanted(
        read_filters(fields, given.select.filters),
        search=given.select.search,
        archived=given.select.archived,
    )
    plan = await bulk.plan_bulk(
        call.hub,
        call.caller,
        fields.name,
        Selection(given.select.ids, wanted),
        doing=given.action,
        values=given.values,
    )
    return answer(show_plan(plan), 201, {"location": f"/api/v1/batches/{plan.batch.id}"})


@router.get("/batches", response_model=BatchesOut, summary="List edits of many records and imports")
async def list_batches(limit: Annotated[int, Query(ge=1, le=200)] = 50, call: Call = MANY) -> Response:
    """Those that were begun, the latest first."""
    found = await batches.list_batches(call.hub, call.caller, limit=limit)
    return answer({"items": [show_batch(each) for each in found]})


@router.get("/batches/{batch_id}", response_model=BatchViewOut, summary="Read how far a batch is")
async def read_batch(batch_id: UUID, call: Call = MANY) -> Response:
    """With the rows that were not done, and why."""
    view = await batches.read_batch(call.hub, call.caller, batch_id)
    problems = [{name: getattr(row, name) for name in ProblemRowOut.model_fields} for row in view.problems]
    return answer({**show_batch(view.batch), "undone_by": view.undone_by, "problems": problems})


@router.get("/batches/{batch_id}/rows", response_model=RowsOut, summary="List the rows of a batch")
async def list_batch_rows(
    batch_id: UUID,
    after: Annotated[int, Query(ge=0, le=1_000_000, description="Rows after this position.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    call: Call = MANY,
) -> Response:
    """What is planned for each, and what became of it: made, changed, found to be so, or left, and why."""
    page = await batches.list_rows(call.hub, call.caller, batch_id, after=after, limit=limit)
    rows = [{name: getattr(row, name) for name in RowOut.model_fields} for row in page.rows]
    return answer({"items": rows, "next": page.next})


@router.post(
    "/batches/{batch_id}/apply",
    status_code=202,
    response_model=BatchOut,
    summary="Do what was planned, or go on with it",
    responses={
        200: {
            "description": "With `Accept: text/event-stream`: its progress.",
            "content": {"text/event-stream": {}},
        }
    },
)
async def apply_batch(batch_id: UUID, request: Request, call: Call = MANY) -> Response:
    """Goes on by itself; read the batch to watch it, or ask for an event stream.

    A batch that was left where it was is gone on with.
    """
    batch = await batches.begin_batch(call.hub, call.caller, batch_id)
    if wants_stream(request):
        return stream_of(
            with_progress(
                lambda report: batches.go_on(
                    call.hub, call.caller, batch_id, watch=lambda done, total: report("rows", done, total)
                ),
                show_batch,
                lambda error: {"detail": str(error) if isinstance(error, SynclineError) else "It failed."},
            )
        )
    go_on_by_itself(request, call, batch_id)
    return answer(show_batch(batch), 202, {"location": f"/api/v1/batches/{batch_id}"})


def go_on_by_itself(request: Request, call: Call, batch_id: UUID) -> None:
    """Go on with a batch after the answer; if this process ends meanwhile, a worker does."""
    state = request.app.state
    if not hasattr(state, "batches"):
        state.batches = set[asyncio.Task[None]]()
    # Nobody else keeps the task alive.
    doing: set[asyncio.Task[None]] = state.batches
    task = asyncio.create_task(_go_on(call, batch_id))
    doing.add(task)
    task.add_done_callback(doing.discard)


async def _go_on(call: Call, batch_id: UUID) -> None:
    try:
        await batches.go_on(call.hub, call.caller, batch_id)
    except RetryLater as error:
        _log.warning("batch_left", batch=str(batch_id), error=type(error).__name__)
    except Exception as error:  # noqa: BLE001 - nobody awaits this
        # Without its words: a database names the values that it refuses.
        _log.error("batch_failed", batch=str(batch_id), error=type(error).__name__, frames=frames_of(error))


@router.post("/batches/{batch_id}/cancel", response_model=BatchOut, summary="End a batch where it is")
async def cancel_batch(batch_id: UUID, call: Call = MANY) -> Response:
    """What it did stays, and can be taken back."""
    return answer(show_batch(await batches.cancel_batch(call.hub, call.caller, batch_id)))


@router.post(
    "/batches/{batch_id}/undo", status_code=201, response_model=BatchOut, summary="Plan taking a batch back"
)
async def undo_batch(batch_id: UUID, call: Call = MANY) -> Response:
    """Returns a batch that is planned; apply it. What somebody changed since is left alone."""
    planned = await batches.plan_undo_of(call.hub, call.caller, batch_id)
    return answer(show_batch(planned), 201, {"location": f"/api/v1/batches/{planned.id}"})
