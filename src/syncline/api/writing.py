"""What may be written to CRMs, over HTTP: shown first, then allowed; and the switch that stops all of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from syncline.actions import writing
from syncline.actions.permissions import Wish
from syncline.api.audited import audit
from syncline.api.calls import Call, needs
from syncline.api.connections import ConnectionName
from syncline.api.shapes import Given, Name, Shape, example, show

router = APIRouter(prefix="/api/v1", tags=["writing"])


class PermissionShape(Shape):
    """Something that may be written."""

    object: str
    record_type: str
    scope: str = Field(description="`field`, `create`, `archive`, `associate` or `merge`.")
    field: str = Field(description="Empty for all fields that are mapped.")
    allowed_at: datetime
    allowed_by: str


class WaitingCountShape(Shape):
    """How much waits for a connection, by state."""

    connection: str
    state: Literal["pending", "parked", "held"]
    count: int
    oldest_at: datetime


class WritingShape(Shape):
    """What may be written to a connection, and whether it is."""

    connection: str
    writes_enabled: bool
    stop: str | None = Field(description="Why nothing is sent now, in a sentence.")
    all_stopped_at: datetime | None = Field(description="Since when all writing of the tenant is stopped.")
    all_stopped_by: str | None
    permissions: list[PermissionShape]
    waiting: list[WaitingCountShape]


WAITING: dict[str, Any] = {
    "connection": "main",
    "state": "pending",
    "count": 3,
    "oldest_at": "2026-03-01T09:00:00Z",
}
_STATE: dict[str, Any] = {
    "connection": "main",
    "writes_enabled": True,
    "stop": None,
    "all_stopped_at": None,
    "all_stopped_by": None,
    "permissions": [
        {
            "object": "contacts",
            "record_type": "contact",
            "scope": "field",
            "field": "phone",
            "allowed_at": "2026-03-01T08:30:00Z",
            "allowed_by": "ada@example.com",
        }
    ],
    "waiting": [WAITING],
}


async def _show(call: Call, name: str) -> WritingShape:
    state = await writing.show_writing(call.hub, name)
    return WritingShape(
        connection=state.connection.name,
        writes_enabled=state.connection.writes_enabled,
        stop=state.stop,
        all_stopped_at=state.stopped.stopped_at,
        all_stopped_by=state.stopped.stopped_by,
        permissions=[show(PermissionShape, each) for each in state.permissions],
        waiting=[show(WaitingCountShape, each) for each in state.waiting],
    )


@router.get("/connections/{name}/writing", summary="Show what may be written", responses=example(_STATE))
async def get_writing(name: ConnectionName, call: Annotated[Call, needs("connections:read")]) -> WritingShape:
    return await _show(call, name)


class WishGiven(Given):
    """What is to be allowed of an object, or no longer."""

    object: Name
    fields: list[Name] = Field(default=[], max_length=500, description="Ours, by name; none means all.")
    create: bool = False
    archive: bool = False
    associate: bool = False
    merge: bool = False
    starts: bool = Field(default=True, description="Let sending begin with it.")

    def wish(self) -> Wish:
        return Wish(
            self.object,
            tuple(self.fields),
            create=self.create,
            archive=self.archive,
            associate=self.associate,
            merge=self.merge,
            starts=self.starts,
        )


_WISH: dict[str, Any] = {
    "requestBody": {"content": {"application/json": {"example": {"object": "contacts", "fields": ["phone"]}}}}
}


class FieldShape(Shape):
    """What a wish means for one field."""

    field: str
    property: str | None
    state: Literal["new", "allowed", "refused"]
    reason: str
    was_named: bool


class AllowShape(Shape):
    """What follows from a wish."""

    connection: str
    object: str
    record_type: str
    fields: list[FieldShape]
    scopes: list[str]
    problem: str | None = Field(description="Why it cannot be allowed as it is.")
    create_problem: str | None
    differing: int = Field(description="Records that differ and would be queued.")
    missing: int = Field(description="Records that the CRM does not have, and that would be queued.")
    starts: bool
    stop: str | None


class AllowedShape(Shape):
    plan: AllowShape
    queued: int = Field(description="Records that were queued, since they differ or are missing there.")


_ALLOW: dict[str, Any] = {
    "connection": "main",
    "object": "contacts",
    "record_type": "contact",
    "fields": [{"field": "phone", "property": "phone", "state": "new", "reason": "", "was_named": True}],
    "scopes": ["field"],
    "problem": None,
    "create_problem": None,
    "differing": 12,
    "missing": 0,
    "starts": True,
    "stop": None,
}


@router.post(
    "/connections/{name}/writing/preview",
    summary="See what allowing would do",
    responses=example(_ALLOW),
    openapi_extra=_WISH,
)
async def preview(
    name: ConnectionName, wish: WishGiven, call: Annotated[Call, needs("connections:write")]
) -> AllowShape:
    """Say what would follow from a wish. Changes nothing."""
    return show(AllowShape, await writing.plan_allow(call.hub, name, wish.wish()))


@router.post(
    "/connections/{name}/writing/allow",
    summary="Allow writing",
    responses=example({"plan": _ALLOW, "queued": 12}),
    openapi_extra=_WISH,
)
async def allow(
    name: ConnectionName, wish: WishGiven, call: Annotated[Call, needs("connections:write")]
) -> AllowedShape:
    """Allow what is wished, and queue the records that differ in it or are missing. May be repeated."""
    allowed = await writing.allow(call.hub, name, wish.wish(), by=call.caller.name)
    await audit(call, "writing.allowed", name, object=wish.object, fields=wish.fields)
    return show(AllowedShape, allowed)


class ForbiddenShape(Shape):
    connection: str
    object: str
    removed: int = Field(description="Permissions that were taken back.")
    dropped: int = Field(description="Records that left the queue.")


@router.post(
    "/connections/{name}/writing/forbid",
    summary="Take permissions back",
    responses=example({"connection": "main", "object": "contacts", "removed": 1, "dropped": 3}),
    openapi_extra=_WISH,
)
async def forbid(
    name: ConnectionName, wish: WishGiven, call: Annotated[Call, needs("connections:write")]
) -> ForbiddenShape:
    """Take back what is wished, or everything of the object where nothing is named."""
    forbidden = await writing.forbid(call.hub, name, wish.wish())
    await audit(call, "writing.forbidden", name, object=wish.object, fields=wish.fields)
    return show(ForbiddenShape, forbidden)


@router.post(
    "/connections/{name}/writing/stop", summary="Stop writing to a connection", responses=example(_STATE)
)
async def stop(name: ConnectionName, call: Annotated[Call, needs("queue:manage")]) -> WritingShape:
    """Stop sending. What changes meanwhile is queued; a call that is under way ends, no other begins."""
    await writing.stop_writing(call.hub, name, by=call.caller.name)
    await audit(call, "writing.stopped", name)
    return await _show(call, name)


@router.post(
    "/connections/{name}/writing/resume", summary="Resume writing to a connection", responses=example(_STATE)
)
async def resume(name: ConnectionName, call: Annotated[Call, needs("connections:write")]) -> WritingShape:
    await writing.resume_writing(call.hub, name)
    await audit(call, "writing.resumed", name)
    return await _show(call, name)


class SwitchedShape(Shape):
    changed: bool = Field(description="False where it was so already.")


@router.post("/writing/stop", summary="Stop all writing", responses=example({"changed": True}))
async def stop_all(call: Annotated[Call, needs("queue:manage")]) -> SwitchedShape:
    """The kill switch: nothing more is sent to any CRM of the tenant until writing is resumed."""
    changed = await writing.stop_writing(call.hub, None, by=call.caller.name)
    await audit(call, "writing.stopped")
    return SwitchedShape(changed=changed)


@router.post("/writing/resume", summary="Resume all writing", responses=example({"changed": True}))
async def resume_all(call: Annotated[Call, needs("connections:write")]) -> SwitchedShape:
    changed = await writing.resume_writing(call.hub, None)
    await audit(call, "writing.resumed")
    return SwitchedShape(changed=changed)
