"""Webhooks that go out: who is told of what, how the deliveries went, and sending some of them again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.subscriptions import (
    EVENTS,
    RECORD_TYPES,
    Change,
    Delivery,
    NewSubscription,
    Subscription,
    add_subscription,
    change_subscription,
    get_subscription,
    list_deliveries,
    list_subscriptions,
    remove_subscription,
    renew_secret,
    replay,
    send_test,
)
from syncline.clock import now
from syncline.errors import AlreadyExists, CallerMistake, Invalid
from syncline.store.deliveries import State
from syncline.web import show
from syncline.web.forms import Form
from syncline.web.page import Page, visits
from syncline.web.render import query

router = APIRouter(prefix="/settings/webhooks", include_in_schema=False)

_PAGE = 50
_STATES: tuple[State, ...] = get_args(State)
_ENDED: tuple[State, ...] = ("delivered", "dead")
#: What each event is for people.
_EVENTS: Mapping[str, str] = {
    "record.created": "A record was made",
    "record.updated": "A record was changed",
    "record.archived": "A record was archived",
    "record.restored": "A record was restored",
    "record.merged": "A record was merged into another",
    "record.deleted": "A record was deleted",
    "record.erased": "A person was erased",
    "run.ended": "A sync ended",
    "conflict.opened": "A conflict needs somebody",
}


@router.get("")
async def show_all(page: Page = visits("settings:write")) -> Response:
    return await _list_page(page, Form())


async def _list_page(page: Page, form: Form, *, status: int = 200) -> Response:
    return page.render(
        "outgoing.html",
        status=status,
        form=form,
        subscriptions=await list_subscriptions(page.hub),
        **_choices(),
    )


def _choices() -> dict[str, Any]:
    return {
        "events": [(name, _EVENTS.get(name, name)) for name in EVENTS],
        "record_types": [(name, show.words(name)) for name in RECORD_TYPES],
        "help": "api",
    }


@router.post("")
async def add(page: Page = visits("settings:write")) -> Response:
    """Add one and show its secret, this once. No redirect: the secret may stand nowhere else."""
    form = page.form
    try:
        made = await add_subscription(
            page.hub,
            page.caller,
            form.text("name"),
            form.text("url"),
            events=form.several("events"),
            record_types=form.several("record_types"),
        )
    except CallerMistake as error:
        _blame(form, error)
        return await _list_page(page, form, status=422)
    page.changed()
    return await _show(page, made.subscription, made=made, is_new=True)


def _blame(form: Form, error: CallerMistake) -> None:
    form.blame(error)
    if isinstance(error, AlreadyExists):
        form.errors["name"] = form.errors.pop("")


@router.get("/{subscription_id}")
async def show_one(subscription_id: UUID, page: Page = visits("settings:write")) -> Response:
    return await _show(page, await get_subscription(page.hub, subscription_id))


async def _show(
    page: Page,
    subscription: Subscription,
    *,
    form: Form | None = None,
    again: Form | None = None,
    made: NewSubscription | None = None,
    is_new: bool = False,
    status: int = 200,
) -> Response:
    return page.render(
        "outgoing_one.html",
        status=status,
        form=form or Form(),
        again=again or Form(),
        secret="" if made is None else made.secret,
        is_new=is_new,
        **await _gather(page, subscription),
        **_choices(),
    )


async def _gather(page: Page, subscription: Subscription) -> dict[str, Any]:
    asked = page.request.query_params
    state: State | None = next((each for each in _STATES if each == asked.get("state")), None)
    found = await list_deliveries(
        page.hub, subscription.id, state=state, limit=_PAGE, after=asked.get("after") or None
    )
    here = f"/settings/webhooks/{subscription.id}"
    return {
        "each": subscription,
        "here": here,
        "state": state,
        "states": _STATES,
        "ended": _ENDED,
        "deliveries": [(one, _latest(one)) for one in found.deliveries],
        "next": here + query(state=state, after=found.after) if found.after else None,
        "first": here + query(state=state) if asked.get("after") else None,
    }


def _latest(delivery: Delivery) -> Mapping[str, Any]:
    """Return the last attempt, as it is stored; nothing of one that was not tried yet."""
    return delivery.tries[-1] if delivery.tries else {"status": None, "ms": None, "error": None}


@router.get("/{subscription_id}/deliveries")
async def show_deliveries(subscription_id: UUID, page: Page = visits("settings:write")) -> Response:
    """Show the deliveries alone, for a page that is open."""
    subscription = await get_subscription(page.hub, subscription_id)
    return page.render("outgoing_deliveries.html", **await _gather(page, subscription))


@router.post("/{subscription_id}")
async def change(subscription_id: UUID, page: Page = visits("settings:write")) -> Response:
    form = page.form
    wanted = Change(
        name=form.text("name"),
        url=form.text("url"),
        events=form.several("events"),
        record_types=form.several("record_types"),
    )
    before = await get_subscription(page.hub, subscription_id)
    try:
        await change_subscription(page.hub, page.caller, subscription_id, wanted)
    except CallerMistake as error:
        _blame(form, error)
        return await _show(page, before, form=form, status=422)
    return page.go(f"/settings/webhooks/{subscription_id}", "Saved.")


@router.post("/{subscription_id}/pause")
async def pause(subscription_id: UUID, page: Page = visits("settings:write")) -> Response:
    await change_subscription(page.hub, page.caller, subscription_id, Change(status="paused"))
    return page.go(f"/settings/webhooks/{subscription_id}", "It is told nothing until you resume it.")


@router.post("/{subscription_id}/resume")
async def resume(subscription_id: UUID, page: Page = visits("settings:write")) -> Response:
    await change_subscription(page.hub, page.caller, subscription_id, Change(status="active"))
    return page.go(f"/settings/webhooks/{subscription_id}", "It is told of what happens from now on.")


@router.post("/{subscription_id}/secret")
async def make_secret(subscription_id: UUID, page: Page = visits("settings:write")) -> Response:
    """Sign with another secret, and show it this once."""
    made = await renew_secret(page.hub, page.caller, subscription_id)
    return await _show(page, made.subscription, made=made)


@router.post("/{subscription_id}/remove")
async def remove(subscription_id: UUID, page: Page = visits("settings:write")) -> Response:
    gone = await get_subscription(page.hub, subscription_id)
    await remove_subscription(page.hub, page.caller, subscription_id)
    return page.go("/settings/webhooks", f"{gone.name} is told nothing more.")


@router.post("/{subscription_id}/test")
async def try_out(subscription_id: UUID, page: Page = visits("settings:write")) -> Response:
    await send_test(page.hub, subscription_id)
    return page.go(
        f"/settings/webhooks/{subscription_id}", "A test is on its way. Below you see how it goes."
    )


@router.post("/{subscription_id}/replay")
async def replay_many(subscription_id: UUID, page: Page = visits("settings:write")) -> Response:
    """Send again what has ended: of a state, or since a moment, or all of it."""
    form = page.form
    subscription = await get_subscription(page.hub, subscription_id)
    try:
        count = await replay(
            page.hub,
            page.caller,
            subscription_id,
            state=_state(form),
            since=_moment(page, form.text("since")),
        )
    except CallerMistake as error:
        form.blame(error)
        return await _show(page, subscription, again=form, status=422)
    told = f"{show.plural(count, 'delivery', 'deliveries')} will be sent again."
    return page.go(f"/settings/webhooks/{subscription_id}", told if count else "Nothing had ended since.")


def _state(form: Form) -> State | None:
    text = form.text("which")
    if not text:
        return None
    for each in _ENDED:
        if each == text:
            return each
    raise Invalid("Choose one of those named.", fields={"which": "is none of those named"})


def _moment(page: Page, text: str) -> datetime | None:
    """Return a moment as an input holds it, in the tenant's zone. Raises `Invalid`."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=page.place.zone)
        is_past = moment <= now()
    except (ValueError, OverflowError):
        told = "is no date and time, such as 2026-03-01T09:00"
        raise Invalid("That is no date and time.", fields={"since": told}) from None
    if not is_past:
        raise Invalid("That is in the future.", fields={"since": "is in the future"})
    return moment


@router.post("/{subscription_id}/deliveries/{delivery_id}/replay")
async def replay_one(
    subscription_id: UUID, delivery_id: UUID, page: Page = visits("settings:write")
) -> Response:
    await replay(page.hub, page.caller, subscription_id, delivery_id=delivery_id)
    return page.go(f"/settings/webhooks/{subscription_id}", "It will be sent again at once.")
