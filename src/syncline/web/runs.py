"""The history of runs, one run with its errors, cancelling it, and taking back what it did."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.cancel import cancel_run
from syncline.actions.runs import get_run, list_page
from syncline.actions.undo import plan_undo, undo
from syncline.errors import SynclineError
from syncline.store.run_list import ListedRun
from syncline.web.page import Page, visits
from syncline.web.render import query

router = APIRouter(include_in_schema=False)

_PAGE = 50
MODES = ("backfill", "incremental", "manual", "webhook", "push", "reconcile", "undo")
STATUSES = ("running", "success", "partial", "failed", "stopped", "cancelled", "pending")
#: Runs that changed something which can be put back.
_SHOWN = 200


@router.get("/runs")
async def show_runs(page: Page = visits("syncs:read")) -> Response:
    asked = page.request.query_params
    chosen = {name: asked.get(name) or None for name in ("connection", "object", "mode", "status")}
    found = await list_page(
        page.hub,
        connection=chosen["connection"],
        object_name=chosen["object"],
        mode=chosen["mode"] if chosen["mode"] in MODES else None,
        status=chosen["status"] if chosen["status"] in STATUSES else None,
        limit=_PAGE,
        after=asked.get("after"),
    )
    return page.render(
        "runs.html",
        found=found,
        chosen=chosen,
        connections=[each.name for each in await page.hub.list_connections()],
        modes=MODES,
        statuses=STATUSES,
        next="/runs" + query(**chosen, after=found.after) if found.after else None,
        first="/runs" + query(**chosen) if asked.get("after") else None,
        help="operations",
    )


@router.get("/runs/{run_id}")
async def show_run(run_id: UUID, page: Page = visits("syncs:read")) -> Response:
    return page.render("run.html", run=await _get(page, run_id), help="undo")


@router.get("/parts/runs/{run_id}")
async def show_run_part(run_id: UUID, page: Page = visits("syncs:read")) -> Response:
    return page.render("run_part.html", run=await _get(page, run_id))


async def _get(page: Page, run_id: UUID) -> ListedRun:
    """Return a run as the reader may see it: examples of records are for those who see every record."""
    run = await get_run(page.hub, run_id)
    return run if page.may("queue:manage") else run.without_records()


@router.post("/runs/{run_id}/cancel")
async def cancel(run_id: UUID, page: Page = visits("syncs:run")) -> Response:
    run = await cancel_run(page.hub, run_id, by=page.caller.name)
    await page.audit("run.cancelled", str(run_id))
    if run.completed_at is not None:
        return page.go(f"/runs/{run_id}", "The run has ended.")
    return page.go(
        f"/runs/{run_id}", "The run ends within some seconds, behind what it commits next.", "note"
    )


@router.get("/runs/{run_id}/undo")
async def preview_undo(run_id: UUID, page: Page = visits("runs:undo")) -> Response:
    """Say what taking the run back would do. Reads at the CRM, and writes nothing."""
    run = await get_run(page.hub, run_id)
    try:
        plan, problem = await plan_undo(page.hub, run_id), ""
    except SynclineError as error:
        plan, problem = None, str(error)
    return page.render("undo.html", run=run, plan=plan, problem=problem, most=_SHOWN, help="undo")


@router.post("/runs/{run_id}/undo")
async def do_undo(run_id: UUID, page: Page = visits("runs:undo")) -> Response:
    result = await undo(page.hub, run_id, by=page.caller.name, past_brake=page.form.has("past_brake"))
    await page.audit("run.undone", str(run_id), past_brake=page.form.has("past_brake"))
    done = f"{len(result.undone.taken):,} changes were taken back"
    left = f", {len(result.undone.left):,} stay as they are" if result.undone.left else ""
    own = result.undone.run_id
    return page.go(f"/runs/{own or run_id}", f"{done}{left}.")
