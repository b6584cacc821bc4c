"""How things stand, over HTTP: syncs, quotas with their forecast, limits, webhooks that come in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from syncline.actions import limits, status, webhooks
from syncline.api.calls import Call, needs
from syncline.api.connections import ConnectionName
from syncline.api.shapes import Shape, example, show
from syncline.api.usage import USAGE, UsageShape

router = APIRouter(prefix="/api/v1", tags=["status"])


class LastRunShape(Shape):
    id: UUID
    mode: str
    status: str
    requested_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: int | None
    records_read: int
    records_created: int
    records_updated: int
    records_archived: int
    records_failed: int
    api_calls: int


class ObjectStatusShape(Shape):
    """How one object of a connection stands."""

    object: str
    state: Literal["never", "running", "fresh", "late", "failed", "partial", "off", "paused"]
    last_success_at: datetime | None
    run: LastRunShape | None
    count_here: int
    count_there: int | None
    parked: int
    next_at: datetime | None
    problem: str | None


class WritingStatusShape(Shape):
    objects: list[str] = Field(description="What may be written.")
    stopped: str | None
    pending: int
    held: int
    parked: int
    oldest_at: datetime | None
    open_conflicts: int


class ConnectionStatusShape(Shape):
    name: str
    platform: str
    status: str
    paused_reason: str | None
    objects: list[ObjectStatusShape]
    quota: list[UsageShape]
    writing: WritingStatusShape


class StatusShape(Shape):
    at: datetime
    tenant: str
    jobs_queued: int
    jobs_running: int
    living_workers: int
    connections: list[ConnectionStatusShape]


_STATUS: dict[str, Any] = {
    "at": "2026-03-01T09:02:00Z",
    "tenant": "default",
    "jobs_queued": 0,
    "jobs_running": 0,
    "living_workers": 1,
    "connections": [
        {
            "name": "main",
            "platform": "crm",
            "status": "active",
            "paused_reason": None,
            "objects": [
                {
                    "object": "contacts",
                    "state": "fresh",
                    "last_success_at": "2026-03-01T09:00:02Z",
                    "run": None,
                    "count_here": 29000,
                    "count_there": None,
                    "parked": 0,
                    "next_at": "2026-03-01T09:05:00Z",
                    "problem": None,
                }
            ],
            "quota": [USAGE],
            "writing": {
                "objects": ["contacts"],
                "stopped": None,
                "pending": 0,
                "held": 0,
                "parked": 0,
                "oldest_at": None,
                "open_conflicts": 0,
            },
        }
    ],
}


@router.get("/status", summary="Show how things stand", responses=example(_STATUS))
async def get_status(
    call: Annotated[Call, needs("syncs:read")],
    *,
    ask_source: Annotated[
        bool, Query(description="Ask each CRM for its counts, a call for each object.")
    ] = False,
) -> StatusShape:
    """Return when each object was last read, how much is here, and what is wrong."""
    found = await status.read_status(call.hub, ask_source=ask_source and call.caller.may("syncs:run"))
    return StatusShape(
        at=found.at,
        tenant=found.tenant,
        jobs_queued=found.queue.queued,
        jobs_running=found.queue.running,
        living_workers=found.living_workers,
        connections=[
            ConnectionStatusShape(
                name=each.connection.name,
                platform=each.connection.platform,
                status=each.connection.status,
                paused_reason=each.connection.paused_reason,
                objects=[show(ObjectStatusShape, one) for one in each.objects],
                quota=[show(UsageShape, one) for one in each.quota],
                writing=show(WritingStatusShape, each.writing),
            )
            for each in found.connections
        ],
    )


class QuotaShape(Shape):
    """The quota of a connection's account: what is used, and how long it lasts at this pace."""

    connection: str
    account_id: str | None
    buckets: list[UsageShape]


class QuotasShape(Shape):
    quota: list[QuotaShape]


@router.get(
    "/quota",
    summary="Show quotas and their forecast",
    responses=example({"quota": [{"connection": "main", "account_id": "1001", "buckets": [USAGE]}]}),
)
async def get_quota(call: Annotated[Call, needs("syncs:read")]) -> QuotasShape:
    """Return how far each account's quota is used, by everybody as far as the CRM tells."""
    found = await status.read_status(call.hub)
    return QuotasShape(
        quota=[
            QuotaShape(
                connection=each.connection.name,
                account_id=each.connection.account_id,
                buckets=[show(UsageShape, one) for one in each.quota],
            )
            for each in found.connections
        ]
    )


class LimitShape(Shape):
    """One limit of this tenant, and what of it is used."""

    limit: str
    what: str
    used: int
    most: int | None = Field(description="Null is no limit.")
    resets_at: datetime | None


class LimitsShape(Shape):
    limits: list[LimitShape]


@router.get(
    "/limits",
    summary="Show this tenant's limits",
    responses=example(
        {
            "limits": [
                {
                    "limit": "requests_per_minute",
                    "what": "Requests to the API in a minute, of the whole tenant.",
                    "used": 12,
                    "most": 60000,
                    "resets_at": "2026-03-01T09:03:00Z",
                }
            ]
        }
    ),
)
async def get_limits(call: Annotated[Call, needs("syncs:read")]) -> LimitsShape:
    """Return what this tenant may use and what it uses. A 429 names one of these."""
    found = await limits.read_use(call.hub, call.caller)
    return LimitsShape(limits=[show(LimitShape, each) for each in found])


class InboxShape(Shape):
    pending: int
    failed: int
    done_today: int
    events_today: int
    last_at: datetime | None
    oldest_at: datetime | None
    problem: str | None


class WebhookShape(Shape):
    """Where a CRM is to send its webhooks, and how those that came stand."""

    connection: str
    platform: str
    url: str
    secret: Literal["none", "own", "app"]
    paused: bool
    inbox: InboxShape | None


class WebhooksShape(Shape):
    at: datetime
    has_public_url: bool
    webhooks: list[WebhookShape]


@router.get(
    "/webhooks",
    summary="Show webhooks that come in",
    responses=example(
        {
            "at": "2026-03-01T09:02:00Z",
            "has_public_url": True,
            "webhooks": [
                {
                    "connection": "main",
                    "platform": "crm",
                    "url": "https://hub.example.com/api/v1/webhooks/crm/main",
                    "secret": "own",
                    "paused": False,
                    "inbox": None,
                }
            ],
        }
    ),
)
async def get_webhooks(call: Annotated[Call, needs("connections:read")]) -> WebhooksShape:
    return show(WebhooksShape, await webhooks.read_webhooks(call.hub))


class SubscribedShape(Shape):
    connection: str
    made: list[str] = Field(description="What the CRM was subscribed to just now.")


@router.post(
    "/connections/{name}/webhooks",
    summary="Let the CRM send webhooks",
    responses=example({"connection": "main", "made": ["contact.changed"]}),
)
async def subscribe(
    name: ConnectionName, call: Annotated[Call, needs("connections:write")]
) -> SubscribedShape:
    """Make a CRM tell of changes, and see to it that it goes on doing so. May be repeated."""
    return show(SubscribedShape, await webhooks.subscribe(call.hub, name))


class RemovedShape(Shape):
    removed: int


@router.delete(
    "/connections/{name}/webhooks",
    summary="Let the CRM send no more webhooks",
    responses=example({"removed": 3}),
)
async def unsubscribe(
    name: ConnectionName, call: Annotated[Call, needs("connections:write")]
) -> RemovedShape:
    return RemovedShape(removed=await webhooks.unsubscribe(call.hub, name))
