"""Sync status: how current each object of each connection is, syncing it now, and how it has been doing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.health import ConnectionHealth, ObjectHealth, read_health
from syncline.actions.runs import list_page, request_runs
from syncline.errors import NotFound
from syncline.store.quota import Usage
from syncline.store.run_stats import RunPoint
from syncline.web import show
from syncline.web.page import Page, visits

router = APIRouter(include_in_schema=False)

#: A limit that nobody reaches is stated by servers that have none.
_NO_LIMIT = 100_000_000
_HISTORY = 25
_TONES = {"success": "ok", "partial": "warn", "cancelled": "calm"}


@router.get("/syncs")
async def show_syncs(page: Page = visits("syncs:read")) -> Response:
    return page.render("syncs.html", **await _gather(page), help="operations")


@router.get("/parts/syncs")
async def show_syncs_part(page: Page = visits("syncs:read")) -> Response:
    return page.render("syncs_part.html", **await _gather(page))


async def _gather(page: Page) -> dict[str, Any]:
    return {"health": await read_health(page.hub), "bars": bars_of, "gauges": list_gauges}


@router.post("/syncs/start")
async def start(page: Page = visits("syncs:run")) -> Response:
    """Ask for syncs: of everything, of a connection, or of one object of it."""
    form = page.form
    connection, object_name = form.optional("connection"), form.optional("object")
    asked = await request_runs(
        page.hub,
        names=[connection] if connection else [],
        objects=[object_name] if object_name else [],
        mode="backfill" if form.has("full") else "incremental",
        by=page.caller.name,
    )
    await page.audit("sync.asked", connection, object=object_name, runs=len(asked))
    page.changed()
    if page.is_part:
        return page.render("syncs_part.html", **await _gather(page))
    what = object_name or connection or "everything"
    return page.go(
        form.text("back") if form.text("back") in {"/", "/sales-pipeline"} else "/syncs",
        f"A sync of {what} is asked for; a worker begins it within a second.",
    )


@router.get("/syncs/{connection}/{object_name}")
async def show_object(connection: str, object_name: str, page: Page = visits("syncs:read")) -> Response:
    return page.render(
        "sync_object.html", **await _gather_object(page, connection, object_name), help="operations"
    )


@router.get("/parts/syncs/{connection}/{object_name}")
async def show_object_part(connection: str, object_name: str, page: Page = visits("syncs:read")) -> Response:
    return page.render("sync_object_part.html", **await _gather_object(page, connection, object_name))


async def _gather_object(page: Page, connection: str, object_name: str) -> dict[str, Any]:
    health = await read_health(page.hub)
    whole, one = _find(health.connections, connection, object_name)
    history = await list_page(page.hub, connection=connection, object_name=object_name, limit=_HISTORY)
    return {
        "health": health,
        "connection": whole,
        "one": one,
        "history": history.runs,
        "chart": _chart(one.points, page.place),
    }


def _find(
    connections: Sequence[ConnectionHealth], connection: str, object_name: str
) -> tuple[ConnectionHealth, ObjectHealth]:
    for each in connections:
        for one in each.objects:
            if each.status.connection.name == connection and one.status.object == object_name:
                return each, one
    raise NotFound(f"No connection called {connection} has an object {object_name}.")


def bars_of(points: Sequence[RunPoint]) -> list[tuple[float, str]]:
    """Return the last runs as heights (of the longest) and tones."""
    longest = max((each.duration_ms for each in points), default=0) or 1
    return [(each.duration_ms / longest, _TONES.get(each.status, "bad")) for each in points]


def _chart(points: Sequence[RunPoint], place: show.Place) -> dict[str, Any]:
    return {
        "labels": [f"{each.completed_at.astimezone(place.zone):%H:%M:%S}" for each in points],
        "unit": "s",
        "series": [
            {
                "name": "Duration",
                "kind": "bar",
                "values": [round(each.duration_ms / 1000, 2) for each in points],
                "tones": [_TONES.get(each.status, "bad") for each in points],
            }
        ],
    }


def list_gauges(quota: Sequence[Usage]) -> list[dict[str, Any]]:
    """Return how far each budget of an account is used: the burst, and the day with what it comes to."""
    gauges: list[dict[str, Any]] = []
    for each in quota:
        if each.bucket != each.budget and each.limit is None:
            continue
        burst = each.limit if each.limit and each.limit < _NO_LIMIT else None
        day = each.day_limit if each.day_limit and each.day_limit < _NO_LIMIT else None
        gauges.append(
            {
                "usage": each,
                "burst": burst,
                "day": day,
                "tone": "bad"
                if day and each.day_enough_until
                else "warn"
                if day and each.day_used > 0.8 * day
                else "",
                "seconds": each.window_ms / 1000,
            }
        )
    return gauges
