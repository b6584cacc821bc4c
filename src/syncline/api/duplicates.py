"""Duplicates over HTTP: pairs that may be one record, looked at side by side, merged, or said to be two."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from syncline.actions import duplicates, uniting
from syncline.actions.uniting import MergePlan
from syncline.api.audited import audit
from syncline.api.calls import Call, needs
from syncline.api.shapes import After, Given, Limit, Shape, Value, example, show
from syncline.errors import Stale

router = APIRouter(prefix="/api/v1/duplicates", tags=["duplicates"])

_ONE = "0198c1f2-6a00-7c3e-8f00-0000000000a1"
_OTHER = "0198c1f2-6a00-7c3e-8f00-0000000000a2"


class SideShape(Shape):
    record_id: UUID
    label: str
    connections: list[str]


class CandidateShape(Shape):
    """Two records that may be one."""

    record_type: str
    one: SideShape
    other: SideShape
    strength: Literal["certain", "likely", "possible"]
    reasons: list[str]


class CandidatesShape(Shape):
    candidates: list[CandidateShape]
    after: str | None


_SIDES: dict[str, Any] = {
    "one": {"record_id": _ONE, "label": "Ada Example", "connections": ["main"]},
    "other": {"record_id": _OTHER, "label": "A. Example", "connections": ["second"]},
}
_CANDIDATE: dict[str, Any] = {
    "record_type": "contact",
    **_SIDES,
    "strength": "likely",
    "reasons": ["same phone"],
}


@router.get(
    "",
    summary="List records that may be one",
    responses=example({"candidates": [_CANDIDATE], "after": None}),
)
async def list_duplicates(
    call: Annotated[Call, needs("records:bulk")],
    record_type: Annotated[Literal["contact", "company"], Query(alias="type")] = "contact",
    limit: Limit = 50,
    after: After = None,
) -> CandidatesShape:
    """Return pairs of living records that may be one, the surest first."""
    return show(
        CandidatesShape, await duplicates.list_duplicates(call.hub, record_type, limit=limit, after=after)
    )


class MergeOrder(Given):
    """Two records, which of them stays, and whose value stands in which field."""

    one: UUID
    other: UUID
    survivor: UUID | None = Field(default=None, description="One of the two; else the older one stays.")
    choices: dict[str, UUID] = Field(default={}, description="Field → the record whose value is to stand.")


class FieldPlanShape(Shape):
    field: str
    one: Value
    other: Value
    result: Value


class LostShape(Shape):
    """A value that does not survive."""

    field: str
    kept: Value
    value: Value
    was_survivors: bool


class ThereShape(Shape):
    """What one CRM has of the two."""

    connection: str
    object: str
    survivor_id: str | None
    merged_id: str | None
    problem: str | None


class MergePlanShape(Shape):
    """What a merge would do."""

    record_type: str
    one: SideShape
    other: SideShape
    survivor: UUID
    merged: UUID
    strength: Literal["certain", "likely", "possible"] | None
    reasons: list[str]
    fields: list[FieldPlanShape]
    lost: list[LostShape]
    there: list[ThereShape]
    is_dismissed: bool
    versions: tuple[int, int] = Field(description="Send them back, and nothing else is merged than this.")


_PLAN: dict[str, Any] = {
    **_CANDIDATE,
    "survivor": _ONE,
    "merged": _OTHER,
    "fields": [{"field": "phone", "one": "+15550100", "other": None, "result": "+15550100"}],
    "lost": [],
    "there": [],
    "is_dismissed": False,
    "versions": [3, 1],
}
_ORDER: dict[str, Any] = {
    "requestBody": {
        "content": {"application/json": {"example": {"one": _ONE, "other": _OTHER, "choices": {}}}}
    }
}


async def _plan(call: Call, order: MergeOrder) -> MergePlan:
    return await uniting.plan_merge(
        call.hub, order.one, order.other, survivor=order.survivor, choices=order.choices
    )


@router.post("/preview", summary="See what a merge would do", responses=example(_PLAN), openapi_extra=_ORDER)
async def preview(order: MergeOrder, call: Annotated[Call, needs("records:bulk")]) -> MergePlanShape:
    """Show two records side by side, and what would become of them. Changes nothing."""
    return show(MergePlanShape, await _plan(call, order))


class Merge(MergeOrder):
    in_crm: bool = Field(
        default=False, description="Merge at each CRM that has both, too. No CRM takes that back."
    )
    versions: tuple[int, int] | None = Field(
        default=None, description="Of the preview; merged is nothing else than what it showed."
    )


class MergeOutcomeShape(Shape):
    """What became of it at one CRM."""

    state: str
    reason: str | None
    remote_id: str | None
    run_id: UUID | None


class MergedShape(Shape):
    record_type: str
    survivor: UUID
    merged: UUID
    lost: list[LostShape]
    there: list[MergeOutcomeShape]


@router.post(
    "/merge",
    summary="Merge two records",
    responses=example(
        {"record_type": "contact", "survivor": _ONE, "merged": _OTHER, "lost": [], "there": []}
    ),
    openapi_extra=_ORDER,
)
async def merge(order: Merge, call: Annotated[Call, needs("records:bulk")]) -> MergedShape:
    """Merge here and, with `in_crm`, at the CRMs. 412 when one was changed since the preview."""
    plan = await _plan(call, order)
    if order.versions is not None and tuple(order.versions) != tuple(plan.versions):
        raise Stale("One of the two was changed since you looked at them. Look again, then merge.")
    merged = await uniting.merge_duplicates(call.hub, plan, in_crm=order.in_crm, by=call.by)
    await audit(call, "records.merged", str(merged.survivor), merged=str(merged.merged), in_crm=order.in_crm)
    return show(MergedShape, merged)


class Pair(Given):
    one: UUID
    other: UUID


class ChangedShape(Shape):
    changed: bool = Field(description="False where it was so already.")


_PAIR: dict[str, Any] = {
    "requestBody": {"content": {"application/json": {"example": {"one": _ONE, "other": _OTHER}}}}
}


@router.post(
    "/dismiss",
    summary="Say that two records are not one",
    responses=example({"changed": True}),
    openapi_extra=_PAIR,
)
async def dismiss(pair: Pair, call: Annotated[Call, needs("records:bulk")]) -> ChangedShape:
    """Keep a pair off the list."""
    changed = await duplicates.dismiss_duplicate(call.hub, pair.one, pair.other, by=call.by)
    return ChangedShape(changed=changed)


@router.post(
    "/restore", summary="List a pair again", responses=example({"changed": True}), openapi_extra=_PAIR
)
async def restore(pair: Pair, call: Annotated[Call, needs("records:bulk")]) -> ChangedShape:
    return ChangedShape(changed=await duplicates.restore_duplicate(call.hub, pair.one, pair.other))
