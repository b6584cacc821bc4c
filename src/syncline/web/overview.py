"""The first page: how current everything is, how much there is, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.changes import read_latest
from syncline.actions.health import Health, read_health, read_traffic
from syncline.store.run_stats import Traffic
from syncline.web import show
from syncline.web.page import Page, visits

router = APIRouter(include_in_schema=False)

_CHANGES = 8


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do, with where to do it."""

    tone: str
    icon: str
    title: str
    detail: str
    url: str
    action: str


@router.get("/")
async def overview(page: Page = visits("syncs:read")) -> Response:
    return page.render("overview.html", **await _gather(page), help="index")


@router.get("/parts/overview")
async def overview_part(page: Page = visits("syncs:read")) -> Response:
    return page.render("overview_part.html", **await _gather(page))


async def _gather(page: Page) -> dict[str, Any]:
    health = await read_health(page.hub)
    traffic = await read_traffic(page.hub, health.status.at)
    return {
        "health": health,
        "steps": list_steps(page, health),
        "traffic": traffic,
        "chart": chart_of(traffic, page.place),
        "totals": _totals(health),
        "recent": await read_latest(page.hub, limit=_CHANGES)
        if health.connections and page.caller.sees_all
        else [],
    }


def _totals(health: Health) -> list[tuple[str, int, int | None]]:
    """Return object, count here and at the CRMs (None where one was never counted), the largest first."""
    here: dict[str, int] = {}
    there: dict[str, int | None] = {}
    for each in health.connections:
        for one in each.objects:
            if one.is_reading:
                continue
            name = one.status.object
            here[name] = here.get(name, 0) + one.status.count_here
            before = there.get(name, 0)
            there[name] = None if before is None or one.count_there is None else before + one.count_there
    ranked = sorted(here.items(), key=lambda item: -item[1])
    return [(name, count, there[name]) for name, count in ranked if count or there[name]][:5]


def chart_of(traffic: Sequence[Traffic], place: show.Place) -> dict[str, Any]:
    """Return the traffic of a day as charts.js draws it."""
    return {
        "labels": [f"{each.hour.astimezone(place.zone):%H:%M}" for each in traffic],
        "whole": True,
        "series": [
            {"name": "Came in", "kind": "bar", "stack": "all", "values": [each.came for each in traffic]},
            {
                "name": "Sent",
                "kind": "bar",
                "stack": "all",
                "tone": "ok",
                "values": [each.sent for each in traffic],
            },
        ],
    }


def list_steps(page: Page, health: Health) -> list[Step]:
    """Return what deserves a person, the most urgent first."""
    steps = [*_alerting(page), *_broken(health), *_waiting(page)]
    if page.may("connections:write") and health.connections and not steps:
        reads_only = [each for each in health.connections if not each.status.writing.objects]
        for each in reads_only[:1]:
            name = each.status.connection.name
            steps.append(
                Step(
                    "note",
                    "edit",
                    f"{name} is only read",
                    "Nothing is written to it. Switch writing on, field by field, when edits are to go back.",
                    f"/connections/{name}/writing",
                    "Look at writing",
                )
            )
    return steps


def _alerting(page: Page) -> list[Step]:
    count = page.glance.open_alerts
    if not count or not page.may("connections:read"):
        return []
    title = f"{show.plural(count, 'alert', place=page.place)} {'is' if count == 1 else 'are'} open"
    detail = "Something that the alert rules watch is beyond its limit."
    return [Step("bad", "bell", title, detail, "/alerts", "Look")]


def _broken(health: Health) -> list[Step]:
    steps: list[Step] = []
    if health.connections and not health.status.living_workers:
        steps.append(
            Step(
                "bad",
                "server",
                "No worker runs",
                "Schedules are not kept and nothing is sent. Start one: syncline serve, or syncline worker.",
                "/help/operations",
                "How",
            )
        )
    if health.stopped.stopped_at is not None:
        steps.append(
            Step(
                "warn", "player-pause", "All writing is stopped", "Edits wait in the queue.", "/queue", "Look"
            )
        )
    for each in health.connections:
        connection = each.status.connection
        if connection.status == "paused":
            steps.append(
                Step(
                    "bad",
                    "plug",
                    f"{connection.name} is paused",
                    connection.paused_reason or "It cannot be used.",
                    f"/connections/{connection.name}",
                    "Mend it",
                )
            )
            continue
        failed = [one.status.object for one in each.objects if one.status.state == "failed"]
        late = [one.status.object for one in each.objects if one.status.state == "late"]
        if failed:
            steps.append(
                Step(
                    "bad",
                    "circle-x-filled",
                    f"{show.listed(failed, 3)} of {connection.name} failed",
                    "The last sync did not come to its end. It is tried again by its schedule.",
                    "/syncs",
                    "See why",
                )
            )
        elif late:
            steps.append(
                Step(
                    "warn",
                    "clock",
                    f"{show.listed(late, 3)} of {connection.name} are late",
                    "They were not read when their schedule said.",
                    "/syncs",
                    "Look",
                )
            )
    return steps


def _waiting(page: Page) -> list[Step]:
    glance, place = page.glance, page.place
    steps: list[Step] = []
    if glance.open_conflicts and page.may("conflicts:resolve"):
        count = show.plural(glance.open_conflicts, "conflict", place=place)
        steps.append(
            Step(
                "warn",
                "git-compare",
                f"{count} to decide",
                "Both sides changed the same field. Until it is decided, neither is overwritten.",
                "/conflicts",
                "Decide",
            )
        )
    if glance.stuck and page.may("queue:manage"):
        count = show.plural(glance.stuck, "change", place=place)
        steps.append(
            Step(
                "warn",
                "send",
                f"{count} did not get through",
                "The CRM refused them, or a brake holds them.",
                "/queue",
                "Look",
            )
        )
    if glance.parked and page.may("queue:manage"):
        count = show.plural(glance.parked, "record", place=place)
        steps.append(
            Step(
                "note",
                "archive",
                f"{count} set aside",
                "They could not be read whole; all others were.",
                "/parked",
                "See why",
            )
        )
    if glance.drift and page.may("queue:manage"):
        count = show.plural(glance.drift, "value", place=place)
        verb = "differs" if glance.drift == 1 else "differ"
        steps.append(
            Step(
                "note",
                "arrows-left-right",
                f"{count} {verb} from a CRM",
                "Found when everything was compared, and not mended by itself.",
                "/drift",
                "Look",
            )
        )
    return steps
