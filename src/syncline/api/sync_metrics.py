"""How the syncs fare, over HTTP, in nine figures."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from syncline.actions.sync_metrics import read_sync_metrics
from syncline.api.calls import Call, needs
from syncline.api.shapes import Shape, example, show

router = APIRouter(prefix="/api/v1", tags=["status"])


class SyncMetricsShape(Shape):
    """Null where nothing happened that could be measured."""

    avg_sync_latency_ms: float | None = Field(
        description="Of the last hour: from when a run that follows changes was asked for to its end."
    )
    sync_success_rate: float | None = Field(description="Of the last hour's runs, from 0 to 1.")
    webhook_processing_time_ms: float | None = Field(
        description="Of the last hour: from a delivery's arrival to its end."
    )
    contacts_synced_24h: int | None
    deals_synced_24h: int | None
    activities_synced_24h: int | None
    sync_failures_24h: int | None
    conflict_count_24h: int | None
    api_rate_limit_hits: int | None = Field(
        description="Calls that CRMs refused for their rate within the last hour."
    )


@router.get(
    "/sync-metrics",
    summary="Figures of how the syncs fare",
    responses=example(
        {
            "avg_sync_latency_ms": 1840.5,
            "sync_success_rate": 0.98,
            "webhook_processing_time_ms": 410.2,
            "contacts_synced_24h": 1280,
            "deals_synced_24h": 96,
            "activities_synced_24h": 411,
            "sync_failures_24h": 2,
            "conflict_count_24h": 0,
            "api_rate_limit_hits": 0,
        }
    ),
)
async def get_sync_metrics(call: Annotated[Call, needs("syncs:read")]) -> SyncMetricsShape:
    return show(SyncMetricsShape, await read_sync_metrics(call.hub, call.caller))
