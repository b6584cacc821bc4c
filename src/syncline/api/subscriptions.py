"""Webhooks that go out, over HTTP: subscriptions, and how their deliveries went."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import AwareDatetime, Field

from syncline.actions import subscriptions
from syncline.actions.subscriptions import Change, NewSubscription
from syncline.api.calls import Call, needs
from syncline.api.shapes import After, Given, Limit, Shape, example, show

router = APIRouter(prefix="/api/v1/subscriptions", tags=["webhooks out"])

_ID = "0198c1f2-6a00-7c3e-8f00-0000000000b1"
SubscriptionId = Annotated[UUID, Path(description="The subscription's id.", examples=[_ID])]
State = Literal["pending", "delivered", "dead"]
EventName = Literal[
    "record.created",
    "record.updated",
    "record.archived",
    "record.restored",
    "record.merged",
    "record.deleted",
    "record.erased",
    "run.ended",
    "conflict.opened",
]
RecordType = Literal["company", "contact", "deal", "activity", "task", "owner"]


class SubscriptionShape(Shape):
    """An address that is told of what happens. Its secret is shown only when it is made."""

    id: UUID
    name: str
    url: str
    events: list[str] = Field(description="None in it means all.")
    record_types: list[str] = Field(description="None in it means all.")
    status: Literal["active", "paused"]
    created_by: str
    created_at: datetime
    updated_at: datetime


class SubscriptionsShape(Shape):
    subscriptions: list[SubscriptionShape]


class SecretShape(Shape):
    """A subscription with its secret: keep it, it is not shown again."""

    subscription: SubscriptionShape
    secret: str


_SUBSCRIPTION: dict[str, Any] = {
    "id": _ID,
    "name": "warehouse",
    "url": "https://hooks.example.com/syncline",
    "events": ["record.created", "record.updated"],
    "record_types": ["deal"],
    "status": "active",
    "created_by": "ada@example.com",
    "created_at": "2026-03-01T09:00:00Z",
    "updated_at": "2026-03-01T09:00:00Z",
}
_SECRET: dict[str, Any] = {"subscription": _SUBSCRIPTION, "secret": "whsec_…"}


@router.get("", summary="List subscriptions", responses=example({"subscriptions": [_SUBSCRIPTION]}))
async def list_all(call: Annotated[Call, needs("connections:read")]) -> SubscriptionsShape:
    found = await subscriptions.list_subscriptions(call.hub)
    return SubscriptionsShape(subscriptions=[show(SubscriptionShape, each) for each in found])


class SubscriptionGiven(Given):
    """Who is to be told of what. https; private networks and the machine itself only where allowed."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    url: Annotated[str, Field(min_length=8, max_length=2000)]
    events: list[EventName] = Field(default=[], max_length=20, description="None in it means all.")
    record_types: list[RecordType] = Field(default=[], max_length=10, description="None in it means all.")


@router.post(
    "",
    status_code=201,
    summary="Add a subscription",
    responses=example(_SECRET, 201, "Added; the secret is shown this once."),
    openapi_extra={
        "requestBody": {
            "content": {
                "application/json": {
                    "example": {
                        "name": "warehouse",
                        "url": "https://hooks.example.com/syncline",
                        "events": ["record.created", "record.updated"],
                        "record_types": ["deal"],
                    }
                }
            }
        }
    },
)
async def add(
    given: SubscriptionGiven, response: Response, call: Annotated[Call, needs("settings:write")]
) -> SecretShape:
    """Tell an address of what happens from now on, signed with a secret that is shown once."""
    made = await subscriptions.add_subscription(
        call.hub, call.caller, given.name, given.url, events=given.events, record_types=given.record_types
    )
    return _show_secret(made, response)


def _show_secret(made: NewSubscription, response: Response) -> SecretShape:
    response.headers["cache-control"] = "no-store"
    return SecretShape(subscription=show(SubscriptionShape, made.subscription), secret=made.secret)


@router.get("/{subscription_id}", summary="Show a subscription", responses=example(_SUBSCRIPTION))
async def get(
    subscription_id: SubscriptionId, call: Annotated[Call, needs("connections:read")]
) -> SubscriptionShape:
    return show(SubscriptionShape, await subscriptions.get_subscription(call.hub, subscription_id))


class SubscriptionChange(Given):
    """What is not named stays."""

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    url: Annotated[str, Field(min_length=8, max_length=2000)] | None = None
    events: list[EventName] | None = Field(default=None, max_length=20)
    record_types: list[RecordType] | None = Field(default=None, max_length=10)
    status: Literal["active", "paused"] | None = None


@router.patch(
    "/{subscription_id}",
    summary="Change, pause or resume a subscription",
    responses=example({**_SUBSCRIPTION, "status": "paused"}),
    openapi_extra={"requestBody": {"content": {"application/json": {"example": {"status": "paused"}}}}},
)
async def change(
    subscription_id: SubscriptionId,
    changes: SubscriptionChange,
    call: Annotated[Call, needs("settings:write")],
) -> SubscriptionShape:
    """Change what is named. What waits for a subscription that is paused is forgotten."""
    wanted = Change(changes.name, changes.url, changes.events, changes.record_types, changes.status)
    changed = await subscriptions.change_subscription(call.hub, call.caller, subscription_id, wanted)
    return show(SubscriptionShape, changed)


@router.delete("/{subscription_id}", status_code=204, summary="Remove a subscription")
async def remove(subscription_id: SubscriptionId, call: Annotated[Call, needs("settings:write")]) -> None:
    """Tell the address nothing more, and forget its deliveries."""
    await subscriptions.remove_subscription(call.hub, call.caller, subscription_id)


@router.post("/{subscription_id}/secret", summary="Renew the secret", responses=example(_SECRET))
async def renew_secret(
    subscription_id: SubscriptionId, response: Response, call: Annotated[Call, needs("settings:write")]
) -> SecretShape:
    """Sign with another secret from now on; it is shown this once."""
    return _show_secret(await subscriptions.renew_secret(call.hub, call.caller, subscription_id), response)


class MadeShape(Shape):
    delivery_id: UUID


@router.post(
    "/{subscription_id}/test",
    status_code=202,
    summary="Send a test",
    responses=example({"delivery_id": "0198c1f2-6a00-7c3e-8f00-0000000000b2"}, 202, "On its way."),
)
async def send_test(
    subscription_id: SubscriptionId, call: Annotated[Call, needs("settings:write")]
) -> MadeShape:
    """Send an event that says nothing. Its delivery tells how it went."""
    return MadeShape(delivery_id=await subscriptions.send_test(call.hub, subscription_id))


class TryShape(Shape):
    """One attempt."""

    at: datetime
    status: int | None
    ms: int
    error: str | None


class DeliveryShape(Shape):
    """One event for one subscriber, and how sending it went."""

    id: UUID
    event: str
    event_id: UUID
    happened_at: datetime
    record_type: str | None
    record_id: UUID | None
    state: State
    attempts: int
    not_before: datetime = Field(description="When it is tried next, while it is pending.")
    tries: list[TryShape] = Field(description="The latest twenty attempts.")
    reason: str | None
    created_at: datetime
    ended_at: datetime | None


class DeliveriesShape(Shape):
    deliveries: list[DeliveryShape]
    after: str | None


_DELIVERY: dict[str, Any] = {
    "id": "0198c1f2-6a00-7c3e-8f00-0000000000b2",
    "event": "record.updated",
    "event_id": "0198c1f2-6a00-7c3e-8f00-0000000000e1",
    "happened_at": "2026-03-01T09:00:00Z",
    "record_type": "deal",
    "record_id": "0198c1f2-6a00-7c3e-8f00-0000000000a9",
    "state": "delivered",
    "attempts": 1,
    "not_before": "2026-03-01T09:00:00Z",
    "tries": [{"at": "2026-03-01T09:00:01Z", "status": 200, "ms": 84, "error": None}],
    "reason": None,
    "created_at": "2026-03-01T09:00:00Z",
    "ended_at": "2026-03-01T09:00:01Z",
}


@router.get(
    "/{subscription_id}/deliveries",
    summary="List deliveries",
    responses=example({"deliveries": [_DELIVERY], "after": None}),
)
async def list_deliveries(
    subscription_id: SubscriptionId,
    call: Annotated[Call, needs("connections:read")],
    state: State | None = None,
    limit: Limit = 50,
    after: After = None,
) -> DeliveriesShape:
    """Return deliveries with their attempts, the latest first. What ended a week ago is forgotten."""
    page = await subscriptions.list_deliveries(
        call.hub, subscription_id, state=state, limit=limit, after=after
    )
    return show(DeliveriesShape, page)


class ReplayShape(Shape):
    count: int


class ReplayOrder(Given):
    """Which deliveries are sent again; nothing named means all that have ended."""

    state: Literal["delivered", "dead"] | None = None
    since: AwareDatetime | None = Field(default=None, description="What happened since then.")


@router.post(
    "/{subscription_id}/deliveries/replay",
    summary="Send many again",
    responses=example({"count": 12}),
    openapi_extra={"requestBody": {"content": {"application/json": {"example": {"state": "dead"}}}}},
)
async def replay(
    subscription_id: SubscriptionId, order: ReplayOrder, call: Annotated[Call, needs("settings:write")]
) -> ReplayShape:
    count = await subscriptions.replay(
        call.hub, call.caller, subscription_id, state=order.state, since=order.since
    )
    return ReplayShape(count=count)


@router.post(
    "/{subscription_id}/deliveries/{delivery_id}/replay",
    summary="Send one again",
    responses=example({"count": 1}),
)
async def replay_one(
    subscription_id: SubscriptionId, delivery_id: UUID, call: Annotated[Call, needs("settings:write")]
) -> ReplayShape:
    count = await subscriptions.replay(call.hub, call.caller, subscription_id, delivery_id=delivery_id)
    return ReplayShape(count=count)
