"""What waits or was set aside: changes on their way to CRMs, records that could not be read, and drift."""

from __future__ import annotations

from typing import cast, get_args

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.parked import list_parked
from syncline.actions.queue import count_queue, drop_queue, list_queue, make_filter, retry_queue
from syncline.actions.reconcile import list_drift
from syncline.actions.runs import request_runs
from syncline.actions.writing import resume_writing, stop_writing
from syncline.domain.records import RECORD_TYPES
from syncline.store.drift import State as DriftState
from syncline.store.waiting import Filter, State
from syncline.web import show
from syncline.web.page import Page, visits
from syncline.web.render import query

router = APIRouter(include_in_schema=False)

_SHOWN = 200


@router.get("/queue")
async def show_queue(page: Page = visits("queue:manage")) -> Response:
    return await _queue(page, "queue.html")


@router.get("/parts/queue")
async def show_queue_part(page: Page = visits("queue:manage")) -> Response:
    return await _queue(page, "queue_part.html")


async def _queue(page: Page, template: str) -> Response:
    chosen = _chosen(page)
    found = await list_queue(page.hub, await _wanted(page), limit=_SHOWN)
    return page.render(
        template,
        found=found,
        chosen=chosen,
        connections=[each.name for each in await page.hub.list_connections()],
        kinds=list(RECORD_TYPES),
        states=get_args(State),
        most=_SHOWN,
        total=sum(each.count for each in found.counts),
        here="/queue" + query(**chosen),
        help="two-way",
    )


def _chosen(page: Page) -> dict[str, str | None]:
    asked = page.request.query_params if page.request.method == "GET" else page.form.values
    return {name: asked.get(name) or None for name in ("connection", "record_type", "state")}


async def _wanted(page: Page) -> Filter:
    chosen = _chosen(page)
    state = cast("State", chosen["state"]) if chosen["state"] in get_args(State) else None
    record_id = page.form.id("record_id")
    return await make_filter(
        page.hub,
        connection=chosen["connection"],
        record_type=chosen["record_type"],
        record_id=record_id,
        state=state,
    )


@router.post("/queue/retry")
async def retry(page: Page = visits("queue:manage")) -> Response:
    count = await retry_queue(page.hub, await _wanted(page))
    await page.audit("queue.retried", page.form.optional("connection"), count=count)
    return page.go(
        "/queue" + query(**_chosen(page)), f"{show.plural(count, 'change')} will be tried at once."
    )


@router.post("/queue/drop")
async def drop(page: Page = visits("queue:manage")) -> Response:
    wanted = await _wanted(page)
    count = await count_queue(page.hub, wanted)
    await drop_queue(page.hub, wanted)
    await page.audit("queue.dropped", page.form.optional("connection"), count=count)
    return page.go("/queue", f"{show.plural(count, 'change')} taken out of the queue; the values here stay.")


@router.post("/queue/stop")
async def stop(page: Page = visits("queue:manage")) -> Response:
    """Stop all writing, or that to one connection."""
    name = page.form.optional("connection")
    await stop_writing(page.hub, name, by=page.caller.name)
    await page.audit("writing.stopped", name)
    return page.go(_back(name), "Nothing is sent now. Edits wait in the queue.", "note")


@router.post("/queue/resume")
async def resume(page: Page = visits("connections:write")) -> Response:
    name = page.form.optional("connection")
    await resume_writing(page.hub, name)
    await page.audit("writing.resumed", name)
    return page.go(_back(name), "What waits is sent now.")


def _back(connection: str | None) -> str:
    return "/queue" if connection is None else f"/connections/{connection}/writing"


@router.get("/parked")
async def show_parked(page: Page = visits("queue:manage")) -> Response:
    asked = page.request.query_params
    connection, object_name = asked.get("connection") or None, asked.get("object") or None
    found = await list_parked(
        page.hub,
        names=[connection] if connection else [],
        objects=[object_name] if object_name else [],
        limit=_SHOWN,
    )
    return page.render(
        "parked.html",
        found=found,
        connection=connection,
        object_name=object_name,
        connections=[each.name for each in await page.hub.list_connections()],
        help="concepts",
    )


@router.get("/drift")
async def show_drift(page: Page = visits("queue:manage")) -> Response:
    asked = page.request.query_params
    chosen = asked.get("state") or "open"
    states: list[DriftState] = [cast("DriftState", chosen)] if chosen in get_args(DriftState) else []
    report = await list_drift(page.hub, name=asked.get("connection") or None, states=states, limit=_SHOWN)
    return page.render(
        "drift.html",
        report=report,
        chosen=chosen,
        connection=asked.get("connection") or "",
        connections=[each.name for each in await page.hub.list_connections()],
        most=_SHOWN,
        help="reconcile",
    )


@router.post("/drift/compare")
async def compare(page: Page = visits("syncs:run")) -> Response:
    """Ask for everything to be compared with the CRMs."""
    asked = await request_runs(page.hub, mode="reconcile", by=page.caller.name)
    await page.audit("sync.asked", mode="reconcile", runs=len(asked))
    return page.go(
        "/runs?mode=reconcile", "Everything is being compared with the CRMs; what differs a little is mended."
    )
