"""One record over HTTP: why it is not syncing, and bringing it up to date now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from syncline.actions import explain, resync
from syncline.api.calls import Call, needs
from syncline.api.shapes import Given, Shape, Value, Words, example, show

router = APIRouter(prefix="/api/v1", tags=["status"])


class ReasonShape(Shape):
    """Something that keeps a record from syncing, or is good to know."""

    code: str
    weight: Literal["blocks", "waits", "says"]
    connection: str | None
    text: str
    command: str | None


class FieldViewShape(Shape):
    """A field as both sides have it."""

    field: str
    property: str | None
    ours: Value
    theirs: Value
    base: Value
    state: str
    may_push: bool


class SideShape(Shape):
    """A record towards one connection."""

    connection: str
    platform: str
    object: str | None
    remote_id: str | None
    is_linked: bool
    linked_at: datetime | None
    others: list[str]
    fields: list[FieldViewShape]


class RecordViewShape(Shape):
    record_type: str
    record_id: UUID
    label: str
    exists: bool


class ExplanationShape(Shape):
    """Why a record is, or is not, in agreement with each CRM."""

    record: RecordViewShape | None
    conclusion: str
    command: str | None
    reasons: list[ReasonShape]
    sides: list[SideShape]


@router.get(
    "/explain",
    summary="Explain why a record is not syncing",
    responses=example(
        {
            "record": {
                "record_type": "contact",
                "record_id": "0198c1f2-6a00-7c3e-8f00-0000000000a1",
                "label": "Ada Example",
                "exists": True,
            },
            "conclusion": "It is in agreement with main.",
            "command": None,
            "reasons": [],
            "sides": [],
        }
    ),
)
async def get_explanation(
    call: Annotated[Call, needs("queue:manage")],
    record: Annotated[
        str,
        Query(min_length=1, max_length=300, description="Our id, an address, or [connection:][object:]id."),
    ],
    connection: Annotated[str | None, Query(max_length=200)] = None,
) -> ExplanationShape:
    """Return everything that stands in the way of a record, connection by connection. Asks no CRM."""
    return show(ExplanationShape, await explain.explain(call.hub, record, connection=connection))


class ResyncOrder(Given):
    record: str = Field(min_length=1, max_length=300)
    connection: str | None = Field(default=None, max_length=200)


class FieldResultShape(Shape):
    field: str
    what: Literal["taken", "sent", "waiting", "refused", "conflict", "kept"]
    ours: Value
    theirs: Value
    reason: str | None


class ResyncedShape(Shape):
    """What became of the record towards one connection."""

    connection: str
    object: str
    remote_id: str
    outcome: Literal["same", "changed", "new", "gone", "left_out", "failed"]
    fields: list[FieldResultShape]
    note: str | None
    run_id: UUID | None
    error: Words


class ResyncedListShape(Shape):
    resynced: list[ResyncedShape]


@router.post(
    "/resync",
    summary="Bring one record up to date",
    responses=example(
        {
            "resynced": [
                {
                    "connection": "main",
                    "object": "contacts",
                    "remote_id": "101",
                    "outcome": "same",
                    "fields": [],
                    "note": None,
                    "run_id": None,
                    "error": None,
                }
            ]
        }
    ),
    openapi_extra={
        "requestBody": {"content": {"application/json": {"example": {"record": "ada@example.com"}}}}
    },
)
async def resync_record(order: ResyncOrder, call: Annotated[Call, needs("syncs:run")]) -> ResyncedListShape:
    """Read a record from each CRM that has it, merge, send where it differs, and tell what happened."""
    found = await resync.resync(call.hub, order.record, connection=order.connection, by=call.caller.name)
    return ResyncedListShape(resynced=[show(ResyncedShape, each) for each in found])
