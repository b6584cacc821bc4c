"""The parts of the API by which syncs are run and looked after."""

from __future__ import annotations

from fastapi import APIRouter

from syncline.api import (
    alerts,
    conflicts,
    connections,
    drift,
    duplicates,
    events,
    explaining,
    fetch_hubspot_live,
    mappings,
    notifications,
    plans,
    queue,
    schedules,
    status,
    subscriptions,
    sync_metrics,
    syncs,
    writing,
)

OPERATIONS: tuple[APIRouter, ...] = (
    connections.router,
    schedules.router,
    mappings.router,
    writing.router,
    syncs.router,
    status.router,
    sync_metrics.router,
    explaining.router,
    queue.router,
    conflicts.router,
    drift.router,
    plans.router,
    duplicates.router,
    events.router,
    fetch_hubspot_live.router,
    subscriptions.router,
    alerts.router,
    notifications.router,
)
