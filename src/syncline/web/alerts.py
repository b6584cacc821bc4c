"""Alerts as pages: what is open and was, rules and what they would do now, channels, what was delivered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.alert_rules import (
    WouldFire,
    check_rules,
    reset_rules,
    set_rules,
    show_rules,
)
from syncline.actions.alerts import acknowledge, get_alert, list_alerts, list_open
from syncline.actions.channels import add_channel, list_channels, remove_channel, send_test
from syncline.actions.notifications import Status, list_notifications, retry_notification
from syncline.domain.alerts import METRICS, label_of, tell_value
from syncline.errors import CallerMistake, Invalid
from syncline.web.forms import Form
from syncline.web.page import Page, visits
from syncline.web.render import query

router = APIRouter(include_in_schema=False)

_PAGE = 50
_HELP = "alerts"


@router.get("/alerts")
async def show_alerts(page: Page = visits("connections:read")) -> Response:
    after = page.request.query_params.get("after")
    ended = await list_alerts(page.hub, page.caller, state="closed", limit=_PAGE, after=after)
    return page.render(
        "alerts.html",
        opened=[] if after else await list_open(page.hub, page.caller),
        ended=ended.alerts,
        label_of=label_of,
        tell=tell_value,
        next="/alerts" + query(after=ended.after) if ended.after else None,
        first="/alerts" if after else None,
        help=_HELP,
    )


@router.get("/alerts/rules")
async def show_alert_rules(page: Page = visits("connections:read")) -> Response:
    shown = await show_rules(page.hub, page.caller)
    found, faults = await _try(page, shown.document)
    return await _rules_page(page, shown.document, found=found, faults=faults)


async def _try(page: Page, text: str) -> tuple[Sequence[WouldFire], dict[str, str]]:
    """Return what rules would do now, or what is wrong with them by rule and field."""
    try:
        return await check_rules(page.hub, page.caller, text), {}
    except Invalid as error:
        return [], dict(error.fields) or {"": str(error)}


async def _rules_page(
    page: Page, text: str, *, found: Sequence[WouldFire], faults: dict[str, str], checked: bool = False
) -> Response:
    return page.render(
        "alert_rules.html",
        status=422 if faults and page.request.method == "POST" else 200,
        shown=await show_rules(page.hub, page.caller),
        text=text,
        found=found,
        faults=faults,
        metrics=METRICS.values(),
        tell=tell_value,
        checked=checked,
        help=_HELP,
    )


@router.post("/alerts/rules")
async def change_alert_rules(page: Page = visits("settings:write")) -> Response:
    wanted = page.form.text("do", "check")
    # Browsers send line ends of their own.
    text = page.form.secret("text").replace("\r\n", "\n")
    if wanted == "reset":
        await reset_rules(page.hub, page.caller)
        return page.go("/alerts/rules", "The shipped rules hold again.")
    if wanted == "save":
        try:
            await set_rules(page.hub, page.caller, text)
        except Invalid as error:
            return await _rules_page(page, text, found=[], faults=dict(error.fields) or {"": str(error)})
        return page.go("/alerts/rules", "Saved. These rules hold from the next look on.")
    found, faults = await _try(page, text)
    return await _rules_page(page, text, found=found, faults=faults, checked=True)


@router.get("/alerts/channels")
async def show_channels(page: Page = visits("connections:read")) -> Response:
    return await _channels_page(page, Form())


async def _channels_page(
    page: Page, form: Form, *, secret: str | None = None, added: str = "", status: int = 200
) -> Response:
    return page.render(
        "alert_channels.html",
        status=status,
        form=form,
        channels=await list_channels(page.hub, page.caller),
        kinds=[("slack", "Slack, or a chat that takes the same"), ("webhook", "A program of your own")],
        secret=secret,
        added=added,
        help=_HELP,
    )


@router.post("/alerts/channels")
async def add_alert_channel(page: Page = visits("settings:write")) -> Response:
    """Add a channel; a webhook's secret is shown this once, so there is no redirect."""
    form = page.form
    kind, name = form.text("kind"), form.text("name")
    try:
        made = await add_channel(page.hub, page.caller, kind, name, form.text("url"))
    except CallerMistake as error:
        form.blame(error)
        # An address is a secret: it is typed again rather than sent back.
        form.values = {key: value for key, value in form.values.items() if key != "url"}
        return await _channels_page(page, form, status=422)
    if made.secret is None:
        return page.go("/alerts/channels", f"{kind}:{name} is added.")
    return await _channels_page(page, Form(), secret=made.secret, added=f"{kind}:{name}")


@router.post("/alerts/channels/{kind}/{name}/test")
async def try_alert_channel(kind: str, name: str, page: Page = visits("settings:write")) -> Response:
    tested = await send_test(page.hub, page.caller, kind, name)
    if tested.arrived:
        return page.go("/alerts/channels", f"The test for {kind}:{name} arrived.")
    return page.go("/alerts/channels", f"The test for {kind}:{name} did not arrive. {tested.reason}", "bad")


@router.post("/alerts/channels/{kind}/{name}/remove")
async def remove_alert_channel(kind: str, name: str, page: Page = visits("settings:write")) -> Response:
    try:
        await remove_channel(page.hub, page.caller, kind, name)
    except Invalid as error:
        return page.go("/alerts/channels", str(error), "bad")
    return page.go("/alerts/channels", f"{kind}:{name} is removed.")


@router.get("/alerts/{alert_id}")
async def show_alert(alert_id: UUID, page: Page = visits("connections:read")) -> Response:
    found = await get_alert(page.hub, page.caller, alert_id)
    return page.render(
        "alert.html", found=found, alert=found.alert, label_of=label_of, tell=tell_value, help=_HELP
    )


@router.post("/alerts/{alert_id}/acknowledge")
async def acknowledge_alert(alert_id: UUID, page: Page = visits("syncs:run")) -> Response:
    try:
        found = await acknowledge(page.hub, page.caller, alert_id)
    except Invalid as error:
        return page.go(f"/alerts/{alert_id}", str(error), "note")
    return page.go(f"/alerts/{alert_id}", f"{found.acknowledged_by} looks after it.")


@router.get("/settings/notifications")
async def show_notifications(page: Page = visits("settings:write")) -> Response:
    asked = page.request.query_params
    status = cast("Status", asked["status"]) if asked.get("status") in get_args(Status) else None
    found = await list_notifications(
        page.hub, page.caller, status=status, limit=_PAGE, after=asked.get("after")
    )
    return page.render(
        "settings_notifications.html",
        found=found.notifications,
        chosen=status,
        states=get_args(Status),
        can_mail=page.hub.settings.smtp_url is not None,
        next="/settings/notifications" + query(status=status, after=found.after) if found.after else None,
        first="/settings/notifications" + query(status=status) if asked.get("after") else None,
        help=_HELP,
    )


@router.post("/settings/notifications/{notification_id}/retry")
async def retry(notification_id: UUID, page: Page = visits("settings:write")) -> Response:
    await retry_notification(page.hub, page.caller, notification_id)
    return page.go("/settings/notifications", "It is sent after all, within moments.")
