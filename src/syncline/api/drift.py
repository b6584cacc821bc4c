"""Drift over HTTP: what reconcile found, how many records either side has, and reconciling now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from syncline.actions import reconcile, runs
from syncline.api.calls import Call, needs
from syncline.api.shapes import Given, Name, Shape, Value, example, show
from syncline.api.syncs import RUN, RunShape, RunsShape

router = APIRouter(prefix="/api/v1", tags=["drift"])

State = Literal["open", "healed", "kept"]


class DriftShape(Shape):
    """A field in which a CRM and we differ, although nothing is queued and nobody is asked."""

    connection: str
    object: str
    remote_id: str
    field: str = Field(description="Empty where the record as a whole is what differs.")
    record_type: str | None
    record_id: UUID | None
    state: State
    cause: str
    ours: Value
    theirs: Value
    base: Value
    found_at: datetime
    checked_at: datetime
    run_id: UUID


class SourceCountShape(Shape):
    """How many records an object has at the CRM and here, by the run that counted them."""

    connection: str
    object: str
    at_source: int | None
    listed: int | None
    mirrored: int
    records: int | None
    drifted: int
    open: int
    counted_at: datetime


class DriftReportShape(Shape):
    drift: list[DriftShape]
    counts: list[SourceCountShape]


_REPORT: dict[str, Any] = {
    "drift": [
        {
            "connection": "main",
            "object": "contacts",
            "remote_id": "101",
            "field": "phone",
            "record_type": "contact",
            "record_id": "0198c1f2-6a00-7c3e-8f00-0000000000a1",
            "state": "healed",
            "cause": "unread",
            "ours": "+15550100",
            "theirs": "+15550199",
            "base": "+15550100",
            "found_at": "2026-03-01T00:00:10Z",
            "checked_at": "2026-03-01T00:00:12Z",
            "run_id": "0198c1f2-6a00-7c3e-8f00-000000000001",
        }
    ],
    "counts": [
        {
            "connection": "main",
            "object": "contacts",
            "at_source": 29000,
            "listed": 29000,
            "mirrored": 29000,
            "records": 29000,
            "drifted": 1,
            "open": 0,
            "counted_at": "2026-03-01T00:00:12Z",
        }
    ],
}


@router.get("/drift", summary="List drift", responses=example(_REPORT))
async def list_drift(
    call: Annotated[Call, needs("queue:manage")],
    connection: Annotated[str | None, Query(max_length=200)] = None,
    object_name: Annotated[list[str], Query(alias="object", max_length=100)] = [],  # noqa: B006 - FastAPI copies it
    state: Annotated[list[State], Query(max_length=3)] = [],  # noqa: B006 - as above
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> DriftReportShape:
    """Return drift, the latest found first, and the counts of the latest reconcile of each object."""
    report = await reconcile.list_drift(
        call.hub, name=connection, objects=object_name, states=state, limit=limit
    )
    return show(DriftReportShape, report)


class ReconcileOrder(Given):
    connections: list[Name] = Field(default=[], max_length=100)
    objects: list[Name] = Field(default=[], max_length=100)


@router.post(
    "/reconcile",
    status_code=202,
    summary="Ask for a reconcile",
    responses=example({"runs": [{**RUN, "mode": "reconcile", "status": "pending"}], "after": None}, 202),
    openapi_extra={"requestBody": {"content": {"application/json": {"example": {"connections": ["main"]}}}}},
)
async def start(order: ReconcileOrder, call: Annotated[Call, needs("syncs:run")]) -> RunsShape:
    """Compare everything with what the CRMs have, and heal what is little; a worker does it.

    Watch the runs by their ids. An object that was never read to its end has nothing to compare.
    """
    asked = await runs.request_runs(
        call.hub, names=order.connections, objects=order.objects, mode="reconcile", by=call.caller.name
    )
    return RunsShape(runs=[show(RunShape, each) for each in asked])
