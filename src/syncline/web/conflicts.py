"""Conflicts: both versions and what they agreed on before, decided field by field, many at once, by keys."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.conflicts import list_conflicts, make_filter, show_conflict
from syncline.actions.resolve import Outcome, resolve_all, resolve_one
from syncline.domain.policies import Side
from syncline.domain.records import RECORD_TYPES
from syncline.domain.resolving import Resolution
from syncline.errors import CallerMistake, Invalid
from syncline.store.conflicts import Conflict, Status
from syncline.web.page import Page, visits
from syncline.web.render import query

router = APIRouter(include_in_schema=False)

_PAGE = 25
_CHOICES = ("ours", "theirs", "base", "custom")
_STATUSES: dict[str, Status] = {"open": "open", "resolved": "resolved", "settled": "settled"}


def _chosen(page: Page) -> dict[str, str | None]:
    asked = page.request.query_params if page.request.method == "GET" else page.form.values
    return {name: asked.get(name) or None for name in ("connection", "record_type", "field", "status")}


@router.get("/conflicts")
async def show_conflicts(page: Page = visits("conflicts:resolve")) -> Response:
    return page.render("conflicts.html", **await _gather(page, {}), help="merge", done=0)


async def _gather(page: Page, problems: dict[str, str]) -> dict[str, Any]:
    chosen = _chosen(page)
    status = _STATUSES.get(chosen["status"] or "", "open")
    wanted = await make_filter(
        page.hub,
        connection=chosen["connection"],
        record_type=chosen["record_type"],
        field=chosen["field"],
        status=status,
    )
    after = page.request.query_params.get("after")
    found = await list_conflicts(page.hub, wanted, limit=_PAGE, after=after)
    kept = {**chosen, "status": None if status == "open" else status}
    return {
        "found": found,
        "records": _by_record(found.conflicts),
        "problems": problems,
        "state": status,
        "chosen": chosen,
        "kept": kept,
        "statuses": [("open", "Open"), ("resolved", "Decided"), ("settled", "Settled by themselves")],
        "connections": [each.name for each in await page.hub.list_connections()],
        "kinds": list(RECORD_TYPES),
        "total": page.glance.open_conflicts,
        "next": "/conflicts" + query(**kept, after=found.after) if found.after else None,
        "first": "/conflicts" + query(**kept) if after else None,
    }


def _by_record(found: Sequence[Conflict]) -> list[list[Conflict]]:
    """Gather what is about one record at one CRM, in the order of the first of each."""
    groups: dict[tuple[UUID, UUID], list[Conflict]] = {}
    for each in found:
        groups.setdefault((each.record_id, each.connection_id), []).append(each)
    return list(groups.values())


@router.get("/conflicts/{conflict_id}")
async def show_one(conflict_id: UUID, page: Page = visits("conflicts:resolve")) -> Response:
    return page.render("conflict.html", details=await show_conflict(page.hub, conflict_id), help="merge")


@router.post("/conflicts")
async def decide(page: Page = visits("conflicts:resolve")) -> Response:
    """Decide each conflict that was given a choice; what cannot be decided so is shown with its reason."""
    done, problems = 0, dict[str, str]()
    for name, choice in page.form.values.items():
        kind, _, text = name.partition(":")
        if kind != "choice" or not choice:
            continue
        if choice not in _CHOICES:
            problems[text] = "Choose one of the sides that are shown."
            continue
        try:
            outcomes = await resolve_one(
                page.hub,
                UUID(text),
                cast("Resolution", choice),
                by=page.by,
                value=page.form.text(f"value:{text}") if choice == "custom" else None,
            )
        except CallerMistake as error:
            problems[text] = str(error)
        except ValueError:
            continue
        else:
            done += _count(outcomes, problems)
        await asyncio.sleep(0)
    if done:
        await page.audit("conflicts.resolved", count=done)
    page.changed()
    if problems:
        context = await _gather(page, problems)
        return page.render("conflicts.html", status=422, **context, help="merge", done=done)
    if not done:
        return page.go("/conflicts", "Choose a side for at least one conflict, then save.", "warn")
    return page.go("/conflicts" + query(**_chosen(page)), f"{done} decided.")


@router.post("/conflicts/all")
async def decide_all(page: Page = visits("conflicts:resolve")) -> Response:
    """Decide every open conflict of the filter for one side."""
    side = page.form.text("side")
    if side not in {"ours", "theirs"}:
        raise Invalid("Choose a side.", fields={"side": "Choose a side."})
    chosen = _chosen(page)
    wanted = await make_filter(
        page.hub, connection=chosen["connection"], record_type=chosen["record_type"], field=chosen["field"]
    )
    problems: dict[str, str] = {}
    done = _count(await resolve_all(page.hub, wanted, cast("Side", side), by=page.by), problems)
    await page.audit("conflicts.resolved", count=done, side=side)
    left = f"; {len(problems)} stay open, since something changed meanwhile" if problems else ""
    return page.go("/conflicts" + query(**chosen), f"{done} decided{left}.")


def _count(outcomes: list[Outcome], problems: dict[str, str]) -> int:
    """Return how many were decided, and take down why others were not."""
    for each in outcomes:
        if each.problem is not None:
            problems[str(each.conflict.id)] = each.problem
    return sum(each.resolution is not None for each in outcomes)
