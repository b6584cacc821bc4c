"""Notifications over HTTP: the channels they go by, what was told lately, and telling it again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import Field

from syncline.actions import channels, notifications
from syncline.api.alerts import TOLD, ToldShape
from syncline.api.calls import Call, needs
from syncline.api.shapes import After, Given, Limit, Shape, example, show

router = APIRouter(prefix="/api/v1", tags=["alerts"])

Kind = Literal["slack", "webhook"]
PathKind = Annotated[Kind, Path(description="A chat, or a program of one's own.", examples=["slack"])]
PathName = Annotated[str, Path(max_length=60, description="The channel's name.", examples=["ops"])]


class ChannelShape(Shape):
    """A way that alerts go. Its address is stored sealed and never shown."""

    kind: Kind
    name: str
    host: str = Field(description="What may be shown of the address.")
    created_by: str
    created_at: datetime
    updated_at: datetime


class ChannelsShape(Shape):
    channels: list[ChannelShape]


_CHANNEL: dict[str, Any] = {
    "kind": "webhook",
    "name": "ops",
    "host": "hooks.example.com",
    "created_by": "ada@example.com",
    "created_at": "2026-03-01T09:00:00Z",
    "updated_at": "2026-03-01T09:00:00Z",
}


@router.get("/channels", summary="List channels", responses=example({"channels": [_CHANNEL]}))
async def list_channels(call: Annotated[Call, needs("connections:read")]) -> ChannelsShape:
    found = await channels.list_channels(call.hub, call.caller)
    return ChannelsShape(channels=[show(ChannelShape, each) for each in found])


class ChannelGiven(Given):
    """Where alerts may go. https; private networks and the machine itself only where allowed."""

    kind: Kind
    name: Annotated[str, Field(min_length=1, max_length=60)]
    url: Annotated[str, Field(min_length=8, max_length=2000)]


class NewChannelShape(Shape):
    channel: ChannelShape
    secret: str | None = Field(description="What a webhook's messages are signed with; not shown again.")


@router.post(
    "/channels",
    status_code=201,
    summary="Add a channel",
    responses=example({"channel": _CHANNEL, "secret": "whsec_…"}, 201, "Added."),
    openapi_extra={
        "requestBody": {
            "content": {
                "application/json": {
                    "example": {
                        "kind": "webhook",
                        "name": "ops",
                        "url": "https://hooks.example.com/alerts",
                    }
                }
            }
        }
    },
)
async def add_channel(
    given: ChannelGiven, response: Response, call: Annotated[Call, needs("settings:write")]
) -> NewChannelShape:
    """Add a Slack incoming webhook, or an address of one's own; alert rules then name it as `kind:name`."""
    response.headers["cache-control"] = "no-store"
    made = await channels.add_channel(call.hub, call.caller, given.kind, given.name, given.url)
    return NewChannelShape(channel=show(ChannelShape, made.channel), secret=made.secret)


@router.delete("/channels/{kind}/{name}", status_code=204, summary="Remove a channel")
async def remove_channel(
    kind: PathKind, name: PathName, call: Annotated[Call, needs("settings:write")]
) -> None:
    """Forget a channel that no alert rule names."""
    await channels.remove_channel(call.hub, call.caller, kind, name)


class TestedShape(Shape):
    arrived: bool
    reason: str | None


@router.post(
    "/channels/{kind}/{name}/test",
    summary="Send a test",
    responses=example({"arrived": True, "reason": None}),
)
async def send_test(
    kind: PathKind, name: PathName, call: Annotated[Call, needs("settings:write")]
) -> TestedShape:
    """Post a message that says nothing, now and once, and say whether it was taken."""
    return show(TestedShape, await channels.send_test(call.hub, call.caller, kind, name))


class NotificationsShape(Shape):
    notifications: list[ToldShape]
    after: str | None = Field(description="Where the next page begins; none at the end.")


@router.get(
    "/notifications",
    summary="List notifications",
    responses=example({"notifications": [TOLD], "after": None}),
)
async def list_notifications(
    call: Annotated[Call, needs("settings:write")],
    status: Literal["pending", "sent", "failed"] | None = None,
    limit: Limit = 50,
    after: After = None,
) -> NotificationsShape:
    """Return what people were told, by which way, and whether it arrived; the latest first."""
    page = await notifications.list_notifications(
        call.hub, call.caller, status=status, limit=limit, after=after
    )
    return show(NotificationsShape, page)


@router.post(
    "/notifications/{notification_id}/retry", status_code=204, summary="Send a notification after all"
)
async def retry(
    notification_id: Annotated[UUID, Path(examples=["0198c1f2-6a00-7c3e-8f00-0000000000c2"])],
    call: Annotated[Call, needs("settings:write")],
) -> None:
    """Have one that was given up sent after all, with all its attempts; `created_at` stays as it was."""
    await notifications.retry_notification(call.hub, call.caller, notification_id)
