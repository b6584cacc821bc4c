"""When a connection is read, and how much one run may write to it, over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from syncline.actions import brakes, connections
from syncline.api.audited import audit
from syncline.api.calls import Call, needs
from syncline.api.connections import ConnectionName
from syncline.api.shapes import Given, Name, Shape, example, show
from syncline.engine.brakes import Limit
from syncline.errors import Invalid, SettingInvalid

router = APIRouter(prefix="/api/v1", tags=["connections"])


class ScheduleShape(Shape):
    """When one object is read or reconciled."""

    object: str
    mode: str
    cron: str = Field(description="Five fields, in the tenant's time zone.")
    enabled: bool
    next_at: datetime
    last_enqueued_at: datetime | None
    problem: str | None = Field(description="Why it was switched off, when that was not a person's doing.")


class SchedulesShape(Shape):
    schedules: list[ScheduleShape]


_SCHEDULE: dict[str, Any] = {
    "object": "contacts",
    "mode": "incremental",
    "cron": "*/5 * * * *",
    "enabled": True,
    "next_at": "2026-03-01T09:05:00Z",
    "last_enqueued_at": "2026-03-01T09:00:00Z",
    "problem": None,
}


@router.get(
    "/connections/{name}/schedules", summary="List schedules", responses=example({"schedules": [_SCHEDULE]})
)
async def list_schedules(
    name: ConnectionName, call: Annotated[Call, needs("connections:read")]
) -> SchedulesShape:
    found = await connections.list_schedules(call.hub, name)
    return SchedulesShape(schedules=[show(ScheduleShape, each) for each in found])


class ScheduleChange(Given):
    object: Name
    mode: Literal["incremental", "backfill", "reconcile"] = "incremental"
    cron: str | None = Field(default=None, min_length=9, max_length=100)
    enabled: bool | None = None


@router.patch(
    "/connections/{name}/schedules",
    summary="Change a schedule",
    responses=example(_SCHEDULE),
    openapi_extra={
        "requestBody": {
            "content": {"application/json": {"example": {"object": "contacts", "cron": "*/10 * * * *"}}}
        }
    },
)
async def change_schedule(
    name: ConnectionName, change: ScheduleChange, call: Annotated[Call, needs("connections:write")]
) -> ScheduleShape:
    changed = await connections.change_schedule(
        call.hub, name, change.object, change.mode, cron=change.cron, enabled=change.enabled
    )
    await audit(call, "schedule.changed", name, object=change.object, cron=changed.cron)
    return show(ScheduleShape, changed)


class LimitShape(Shape):
    """A run that would do more than both is stopped, and a person asked."""

    count: int
    share: float = Field(description="Of the CRM's records of that kind, 0 to 1.")


class BrakesShape(Shape):
    """How much one run may write before a person is asked."""

    limits: dict[str, LimitShape] = Field(description="`create`, `change`, `delete`.")
    flip_times: int = Field(description="A field that each side wrote so often is held …")
    flip_minutes: int = Field(description="… within so many minutes.")


_BRAKES = {
    "limits": {"change": {"count": 500, "share": 0.2}, "delete": {"count": 25, "share": 0.02}},
    "flip_times": 3,
    "flip_minutes": 60,
}


@router.get("/connections/{name}/brakes", summary="Show the brakes", responses=example(_BRAKES))
async def get_brakes(name: ConnectionName, call: Annotated[Call, needs("connections:read")]) -> BrakesShape:
    return show(BrakesShape, await brakes.show_brakes(call.hub, name))


class LimitGiven(Given):
    count: int = Field(ge=0, le=1_000_000_000)
    share: float = Field(ge=0, le=1)


class BrakesChange(Given):
    """What is not named stays."""

    create: LimitGiven | None = None
    change: LimitGiven | None = None
    delete: LimitGiven | None = None
    flip_times: int | None = Field(default=None, ge=2, le=1000)
    flip_minutes: int | None = Field(default=None, ge=1, le=10_080)


@router.patch(
    "/connections/{name}/brakes",
    summary="Set the brakes",
    responses=example(_BRAKES),
    openapi_extra={
        "requestBody": {
            "content": {"application/json": {"example": {"change": {"count": 500, "share": 0.2}}}}
        }
    },
)
async def set_brakes(
    name: ConnectionName, change: BrakesChange, call: Annotated[Call, needs("connections:write")]
) -> BrakesShape:
    """Set what is named; it holds from the next run on."""
    limits = {
        kind: Limit(given.count, given.share)
        for kind in ("create", "change", "delete")
        if (given := getattr(change, kind)) is not None
    }
    before = await brakes.show_brakes(call.hub, name)
    flips = None
    if change.flip_times is not None or change.flip_minutes is not None:
        flips = (change.flip_times or before.flip_times, change.flip_minutes or before.flip_minutes)
    try:
        held = await brakes.set_brakes(call.hub, name, limits, flips=flips)
    except SettingInvalid as error:
        raise Invalid(str(error)) from error
    await audit(call, "brakes.changed", name)
    return show(BrakesShape, held)
