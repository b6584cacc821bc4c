"""Records that may be one: looked at side by side, merged as shown, or said not to be the same."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.duplicates import LISTED, dismiss_duplicate, list_duplicates, restore_duplicate
from syncline.actions.uniting import MergePlan, merge_duplicates, plan_merge
from syncline.errors import Stale
from syncline.web.page import Page, visits
from syncline.web.render import query

router = APIRouter(include_in_schema=False)

_PAGE = 50


@router.get("/duplicates")
async def show_duplicates(page: Page = visits("conflicts:resolve")) -> Response:
    asked = page.request.query_params
    kind = asked.get("kind", LISTED[0])
    found = await list_duplicates(page.hub, kind, limit=_PAGE, after=asked.get("after"))
    return page.render(
        "duplicates.html",
        found=found,
        kind=kind,
        kinds=LISTED,
        next="/duplicates" + query(kind=kind, after=found.after) if found.after else None,
        first="/duplicates" + query(kind=kind) if asked.get("after") else None,
        help="duplicates",
    )


@router.get("/duplicates/{one}/{other}")
async def show_pair(one: UUID, other: UUID, page: Page = visits("conflicts:resolve")) -> Response:
    survivor, choices = _choices(page)
    plan = await plan_merge(page.hub, one, other, survivor=survivor, choices=choices)
    return page.render("duplicate.html", plan=plan, versions=_versions(plan), help="duplicates")


def _choices(page: Page) -> tuple[UUID | None, dict[str, UUID]]:
    """Return who stays, and field → whose value stands, as the form says."""
    asked = page.request.query_params if page.request.method == "GET" else page.form.values
    survivor = _read(asked.get("survivor"))
    named = {
        name.partition(":")[2]: _read(value) for name, value in asked.items() if name.startswith("take:")
    }
    return survivor, {name: value for name, value in named.items() if name and value is not None}


def _read(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def _versions(plan: MergePlan) -> str:
    return f"{plan.versions[0]}/{plan.versions[1]}"


@router.post("/duplicates/{one}/{other}/merge")
async def merge(one: UUID, other: UUID, page: Page = visits("conflicts:resolve")) -> Response:
    """Merge as it was shown; where a record has changed since, it is shown again."""
    survivor, choices = _choices(page)
    plan = await plan_merge(page.hub, one, other, survivor=survivor, choices=choices)
    if page.form.text("versions") != _versions(plan):
        raise Stale("One of the records was changed since you looked. Look at both again.")
    merged = await merge_duplicates(page.hub, plan, in_crm=page.form.has("in_crm"), by=page.by)
    await page.audit("records.merged", str(plan.survivor), merged=str(plan.merged), kind=plan.record_type)
    problems = [each.reason for each in merged.there if each.reason]
    told = f" At the CRM: {' '.join(problems)}" if problems else ""
    return page.go("/duplicates" + query(kind=plan.record_type), f"The two are one now.{told}")


@router.post("/duplicates/{one}/{other}/dismiss")
async def dismiss(one: UUID, other: UUID, page: Page = visits("conflicts:resolve")) -> Response:
    await dismiss_duplicate(page.hub, one, other, by=page.by)
    await page.audit("duplicates.dismissed", str(one), other=str(other))
    return page.go("/duplicates", "They are not the same, and are not listed any more.")


@router.post("/duplicates/{one}/{other}/restore")
async def restore(one: UUID, other: UUID, page: Page = visits("conflicts:resolve")) -> Response:
    await restore_duplicate(page.hub, one, other)
    await page.audit("duplicates.restored", str(one), other=str(other))
    return page.go(f"/duplicates/{one}/{other}", "They may be the same again.")
