"""What may be written to a CRM, switched on object by object and field by field; brakes and schedules."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.brakes import set_brakes, show_brakes
from syncline.actions.connections import change_schedule, list_schedules
from syncline.actions.health import tell_rhythm
from syncline.actions.permissions import Wish
from syncline.actions.properties import apply_properties
from syncline.actions.writing import AllowPlan, allow, forbid, plan_allow, show_writing
from syncline.connectors.registry import get_platform
from syncline.engine.brakes import Limit
from syncline.errors import CallerMistake, Invalid, SettingInvalid, SynclineError
from syncline.web import show
from syncline.web.connections import address
from syncline.web.forms import Form
from syncline.web.page import Page, visits

router = APIRouter(include_in_schema=False)

_SCOPES = ("create", "archive", "associate", "merge")
_BRAKES = ("create", "change", "delete")
#: More records than a run ever has; a share is told by its own limit.
_MOST = 100_000_000


@router.get("/connections/{name}/writing")
async def show_page(name: str, page: Page = visits("connections:read")) -> Response:
    state = await show_writing(page.hub, name)
    platform = get_platform(state.connection.platform)
    allowed: dict[str, list[Any]] = {each: [] for each in platform.mapping}
    for each in state.permissions:
        allowed.setdefault(each.object, []).append(each)
    return page.render("connection_writing.html", name=name, state=state, allowed=allowed, help="two-way")


@router.get("/connections/{name}/writing/{object_name}")
async def show_object(name: str, object_name: str, page: Page = visits("connections:write")) -> Response:
    """Show each field of an object, whether it may be written, and what would follow."""
    plan, problem = None, ""
    try:
        plan = await plan_allow(page.hub, name, Wish(object_name))
    except SynclineError as error:
        problem = str(error)
    return await _object_page(page, name, object_name, Form(), plan, problem)


async def _object_page(
    page: Page,
    name: str,
    object_name: str,
    form: Form,
    plan: AllowPlan | None,
    problem: str,
    *,
    preview: AllowPlan | None = None,
    status: int = 200,
) -> Response:
    state = await show_writing(page.hub, name)
    known = {each.scope for each in state.permissions if each.object == object_name}
    return page.render(
        "writing_object.html",
        status=status,
        name=name,
        object_name=object_name,
        form=form,
        plan=plan,
        preview=preview,
        problem=problem,
        scopes=_SCOPES,
        known=known,
        help="two-way",
    )


def _wish(page: Page, object_name: str) -> Wish:
    form = page.form
    fields, scopes = tuple(form.several("field")), set(form.choices("scope", _SCOPES))
    if not fields and not scopes:
        raise Invalid("Choose at least one field, or what else may be done.")
    return Wish(
        object_name,
        fields,
        create="create" in scopes,
        archive="archive" in scopes,
        associate="associate" in scopes,
        merge="merge" in scopes,
    )


@router.post("/connections/{name}/writing/{object_name}/preview")
async def preview(name: str, object_name: str, page: Page = visits("connections:write")) -> Response:
    plan = await plan_allow(page.hub, name, Wish(object_name))
    try:
        previewed, problem = await plan_allow(page.hub, name, _wish(page, object_name)), ""
    except SynclineError as error:
        previewed, problem = None, str(error)
    return await _object_page(page, name, object_name, page.form, plan, problem, preview=previewed)


@router.post("/connections/{name}/writing/{object_name}/allow")
async def do_allow(name: str, object_name: str, page: Page = visits("connections:write")) -> Response:
    try:
        wish = _wish(page, object_name)
        if wish.create:
            # Without the property of our ids a record could be made twice.
            await apply_properties(page.hub, name, objects=[object_name])
        done = await allow(page.hub, name, wish, by=page.caller.name)
    except SynclineError as error:
        plan = await plan_allow(page.hub, name, Wish(object_name))
        return await _object_page(page, name, object_name, page.form, plan, str(error), status=422)
    await page.audit(
        "writing.allowed", name, object=object_name, fields=list(wish.fields), scopes=wish.scopes
    )
    told = (
        f"{show.plural(done.queued, 'record')} that differ wait to be sent."
        if done.queued
        else "Nothing differs now."
    )
    return page.go(address(name, "writing"), f"Writing of {object_name} is allowed. {told}")


@router.post("/connections/{name}/writing/{object_name}/forbid")
async def do_forbid(name: str, object_name: str, page: Page = visits("connections:write")) -> Response:
    """Take back one field, or everything of the object."""
    state = await show_writing(page.hub, name)
    known = [each.field for each in state.permissions if each.object == object_name and each.field]
    fields = tuple(page.form.choices("field", known))
    done = await forbid(page.hub, name, Wish(object_name, fields))
    await page.audit("writing.forbidden", name, object=object_name, fields=list(fields))
    what = show.listed(fields, 3) if fields else f"{object_name}"
    return page.go(
        address(name, "writing"),
        f"{what} is no longer written; {show.plural(done.dropped, 'change')} left the queue.",
    )


@router.get("/connections/{name}/brakes")
async def show_brakes_page(name: str, page: Page = visits("connections:read")) -> Response:
    return await _brakes_page(page, name, Form())


async def _brakes_page(page: Page, name: str, form: Form, *, status: int = 200) -> Response:
    return page.render(
        "connection_brakes.html",
        status=status,
        name=name,
        brakes=await show_brakes(page.hub, name),
        form=form,
        help="two-way",
    )


@router.post("/connections/{name}/brakes")
async def change_brakes(name: str, page: Page = visits("connections:write")) -> Response:
    form = page.form
    try:
        limits = {
            kind: Limit(_number(form, f"{kind}_count"), _number(form, f"{kind}_share") / 100)
            for kind in _BRAKES
        }
        flips = (_number(form, "flip_times"), _number(form, "flip_minutes"))
        await set_brakes(page.hub, name, limits, flips=flips)
    except (CallerMistake, SettingInvalid) as error:
        form.blame(error if isinstance(error, CallerMistake) else Invalid(str(error)))
        return await _brakes_page(page, name, form, status=422)
    await page.audit("brakes.changed", name)
    return page.go(address(name, "brakes"), "Saved. It holds from the next run on.")


def _number(form: Form, field: str) -> int:
    found = form.integer(field)
    if found is None or not 0 <= found <= _MOST:
        raise Invalid("Give a number.", fields={field: f"Give a number from 0 to {_MOST:,}."})
    return found


@router.get("/connections/{name}/schedules")
async def show_schedules(name: str, page: Page = visits("connections:read")) -> Response:
    return await _schedules_page(page, name, Form())


async def _schedules_page(page: Page, name: str, form: Form, *, status: int = 200) -> Response:
    found = await list_schedules(page.hub, name)
    return page.render(
        "connection_schedules.html",
        status=status,
        name=name,
        form=form,
        schedules=sorted(found, key=lambda each: (each.mode == "reconcile", each.object)),
        rhythm=tell_rhythm,
        help="operations",
    )


@router.post("/connections/{name}/schedules")
async def change_schedules(name: str, page: Page = visits("connections:write")) -> Response:
    """Set one schedule: the form of its row."""
    form = page.form
    object_name, mode = form.text("object"), form.text("mode")
    try:
        changed = await change_schedule(
            page.hub, name, object_name, mode, cron=form.optional("cron"), enabled=form.has("enabled")
        )
    except CallerMistake as error:
        form.errors[f"{object_name}/{mode}"] = form.errors["row"] = str(error)
        return await _schedules_page(page, name, form, status=422)
    await page.audit("schedule.changed", name, object=object_name, cron=changed.cron, enabled=changed.enabled)
    told = tell_rhythm(changed.cron) if changed.enabled else "no longer by schedule"
    return page.go(address(name, "schedules"), f"{object_name}: {mode} {told}.")
