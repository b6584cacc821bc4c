"""The dashboard's figures, and the short addresses without a version: thin aliases of those with one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Query
from fastapi.responses import Response

from syncline.actions import record_pages, records
from syncline.actions.dashboard import Dashboard, read_dashboard
from syncline.actions.record_pages import Wanted
from syncline.actions.seeing import PAGE, get_fields
from syncline.api.calls import Call
from syncline.api.record_shapes import (
    PAGE_MODELS,
    RECORD_MODELS,
    answer,
    answer_record,
    describe_body,
    show_page,
)
from syncline.api.records import READS, WRITES, IfMatch, PageSize, PlaceInList, StageGiven, move_deal
from syncline.api.shapes import Shape
from syncline.domain.filters import make_filter
from syncline.domain.record_fields import RECORD_FIELDS

router = APIRouter()
_SHORT: list[Any] = ["short addresses"]
_Reference = Annotated[UUID | None, Query()]
_Key = Annotated[str | None, Query(max_length=200)]


class StageTotalOut(Shape):
    """Open deals in one stage."""

    stage: str | None
    count: int
    total_value: float


class CompanyTotalOut(Shape):
    """A company with its open deals."""

    id: UUID
    name: str | None
    readiness_score: float | None
    active_deals: int
    pipeline_value: float


class RecentActivityOut(Shape):
    """Something that happened lately."""

    id: UUID
    activity_type: str
    subject: str | None
    company_name: str | None
    contact_name: str | None
    occurred_at: datetime | None
    created_at: datetime


class MonthWonOut(Shape):
    """How deals ended in one month."""

    month: date
    won: int
    lost: int
    win_rate_pct: float | None


class DashboardOut(Shape):
    """Pipeline overview, top companies, recent activities, win rate."""

    pipeline: list[StageTotalOut]
    top_companies: list[CompanyTotalOut]
    recent_activities: list[RecentActivityOut]
    win_rate: list[MonthWonOut]


async def _read(call: Call) -> Dashboard:
    return await read_dashboard(call.hub, call.caller)


@router.get(
    "/api/v1/dashboard/stats",
    tags=["dashboard"],
    response_model=DashboardOut,
    summary="Figures of a dashboard",
)
async def stats(call: Call = READS) -> Response:
    """Open deals by stage, the ten companies worth most, the latest activities, the win rate by month."""
    return answer(await _read(call))


@router.get(
    "/api/dashboard/stats", tags=_SHORT, response_model=DashboardOut, summary="Figures of a dashboard"
)
async def short_stats(call: Call = READS) -> Response:
    """The same as /api/v1/dashboard/stats."""
    return answer(await _read(call))


async def _list(
    call: Call, record_type: str, wanted: Mapping[str, str | UUID | None], limit: int, after: str | None
) -> Response:
    fields = get_fields(record_type)
    filters = [
        make_filter(fields, name, "eq", [str(value)]) for name, value in wanted.items() if value is not None
    ]
    page = await record_pages.list_records(
        call.hub, call.caller, record_type, Wanted(tuple(filters)), limit=limit, after=after
    )
    return answer(show_page(page))


@router.get("/api/deals", tags=_SHORT, response_model=PAGE_MODELS["deal"], summary="List deals")
async def short_deals(
    stage: _Key = None,
    status: _Key = None,
    company_id: _Reference = None,
    contact_id: _Reference = None,
    limit: PageSize = PAGE,
    after: PlaceInList = None,
    call: Call = READS,
) -> Response:
    """As /api/v1/deals, filtered by what is named."""
    wanted = {"stage": stage, "status": status, "company_id": company_id, "contact_id": contact_id}
    return await _list(call, "deal", wanted, limit, after)


@router.get("/api/companies", tags=_SHORT, response_model=PAGE_MODELS["company"], summary="List companies")
async def short_companies(
    qualification_status: _Key = None,
    lifecycle_stage: _Key = None,
    limit: PageSize = PAGE,
    after: PlaceInList = None,
    call: Call = READS,
) -> Response:
    """As /api/v1/companies, filtered by what is named."""
    wanted = {"qualification_status": qualification_status, "lifecycle_stage": lifecycle_stage}
    return await _list(call, "company", wanted, limit, after)


@router.get("/api/contacts", tags=_SHORT, response_model=PAGE_MODELS["contact"], summary="List contacts")
async def short_contacts(
    company_id: _Reference = None,
    email: _Key = None,
    limit: PageSize = PAGE,
    after: PlaceInList = None,
    call: Call = READS,
) -> Response:
    """As /api/v1/contacts, filtered by what is named."""
    return await _list(call, "contact", {"company_id": company_id, "email": email}, limit, after)


@router.get("/api/activities", tags=_SHORT, response_model=PAGE_MODELS["activity"], summary="List activities")
async def short_activities(
    deal_id: _Reference = None,
    contact_id: _Reference = None,
    company_id: _Reference = None,
    limit: PageSize = PAGE,
    after: PlaceInList = None,
    call: Call = READS,
) -> Response:
    """As /api/v1/activities, filtered by what is named."""
    wanted = {"deal_id": deal_id, "contact_id": contact_id, "company_id": company_id}
    return await _list(call, "activity", wanted, limit, after)


@router.post(
    "/api/activities",
    tags=_SHORT,
    status_code=201,
    response_model=RECORD_MODELS["activity"],
    summary="Log an activity",
    openapi_extra=describe_body(RECORD_FIELDS["activity"], making=True),
)
async def short_log(given: Annotated[dict[str, Any], Body()], call: Call = WRITES) -> Response:
    """As POST /api/v1/activities."""
    made = await records.create_record(call.hub, call.caller, "activity", given)
    return answer_record(made, 201, location=True)


@router.post(
    "/api/deals/{record_id}/stage",
    tags=_SHORT,
    response_model=RECORD_MODELS["deal"],
    summary="Move a deal to a stage",
)
async def short_move(
    record_id: UUID, given: StageGiven, if_match: IfMatch = None, call: Call = WRITES
) -> Response:
    """As POST /api/v1/deals/{record_id}/stage."""
    return await move_deal(record_id, given, if_match, call)
