"""How long what is kept, over HTTP."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field

from syncline.actions.retention import run_retention, set_retention, show_retention
from syncline.api.calls import Call, needs
from syncline.api.shapes import Given, Shape, show
from syncline.domain.retention import Subject

router = APIRouter(prefix="/api/v1/retention", tags=["retention"])
_SETS: Call = needs("settings:write")

_EXAMPLE: dict[str, Any] = {
    "kept": [
        {
            "subject": "runs",
            "keep_days": 90,
            "is_default": True,
            "default_days": 90,
            "what": "runs that have ended",
        }
    ],
    "latest": None,
}


class KeptOut(Shape):
    subject: Subject
    keep_days: int | None = Field(description="Null is for ever.")
    is_default: bool
    default_days: int | None
    what: str


class NightOut(Shape):
    night: date
    started_at: datetime
    ended_at: datetime | None
    removed: dict[str, int]
    problem: str | None


class RetentionOut(Shape):
    """How long everything is kept, and what the last night removed."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    kept: list[KeptOut]
    latest: NightOut | None


class KeepIn(Given):
    """For how long; neither goes back to the default."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"keep_days": 30}]})

    keep_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    forever: bool = False


class TidyIn(Given):
    """Whether to count only."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"dry_run": True}]})

    dry_run: bool = True


class TidiedOut(Shape):
    """What would go, or has gone."""

    at: datetime
    removed: dict[str, int]
    dropped_months: list[str]
    problem: str | None


@router.get("")
async def read(call: Call = _SETS) -> RetentionOut:
    """Show how long everything is kept."""
    return show(RetentionOut, await show_retention(call.hub))


@router.put("/{subject}")
async def put(subject: Annotated[Subject, Path()], body: KeepIn, call: Call = _SETS) -> RetentionOut:
    """Keep something for so many days from now on."""
    is_default = body.keep_days is None and not body.forever
    days = None if body.forever else body.keep_days
    overview = await set_retention(call.hub, call.caller, subject, days, default=is_default)
    return show(RetentionOut, overview)


@router.post("/run")
async def tidy(body: TidyIn, call: Call = _SETS) -> TidiedOut:
    """Count what is older than it is kept, or throw it away now."""
    return show(TidiedOut, await run_retention(call.hub, call.caller, dry_run=body.dry_run))
