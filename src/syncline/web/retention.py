"""How long what is kept: shown, set, and tidied on demand."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.retention import Tidied, run_retention, set_retention, show_retention
from syncline.domain.retention import read_days, read_subject
from syncline.errors import CallerMistake, Invalid
from syncline.web import show
from syncline.web.forms import Form
from syncline.web.page import Page, visits

router = APIRouter(prefix="/settings/retention", include_in_schema=False)


@router.get("")
async def show_settings(page: Page = visits("settings:write")) -> Response:
    return await _page(page, Form())


async def _page(page: Page, form: Form, *, counted: Tidied | None = None, status: int = 200) -> Response:
    overview = await show_retention(page.hub)
    return page.render(
        "retention.html",
        status=status,
        form=form,
        wrong=form.text("subject") if form.errors else "",
        overview=overview,
        removed=dict(overview.latest.removed) if overview.latest is not None else {},
        counted=counted,
        would=dict(counted.removed) if counted is not None else {},
        help="operations",
    )


@router.post("")
async def change(page: Page = visits("settings:write")) -> Response:
    """Keep one thing for so many days, for good, or as it is by default."""
    form = page.form
    try:
        subject = read_subject(form.text("subject"))
        is_default = form.has("default")
        days = None if is_default else _days(form)
        await set_retention(page.hub, page.caller, subject, days, default=is_default)
    except CallerMistake as error:
        form.blame(error)
        return await _page(page, form, status=422)
    return page.go("/settings/retention", "Saved. It holds from the next night on.")


def _days(form: Form) -> int | None:
    text = form.text("keep_days")
    if not text:
        told = "Give a number of days, or forever."
        raise Invalid(told, fields={"keep_days": told})
    return read_days(text)


@router.post("/count")
async def count(page: Page = visits("settings:write")) -> Response:
    """Show what would go now. Changes nothing."""
    counted = await run_retention(page.hub, page.caller, dry_run=True)
    return await _page(page, Form(), counted=counted)


@router.post("/tidy")
async def tidy(page: Page = visits("settings:write")) -> Response:
    """Take away now what is older than it is kept."""
    done = await run_retention(page.hub, page.caller, dry_run=False)
    gone = sum(done.removed.values())
    told = f"{show.plural(gone, 'row', place=page.place)} went."
    if done.problem:
        return page.go("/settings/retention", f"{told} {done.problem}", "warn")
    return page.go("/settings/retention", told)
