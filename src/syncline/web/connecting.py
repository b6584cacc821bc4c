"""Connecting a CRM, step by step: database, CRM, first sync, first chart; with a token or by consent."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.connect import (
    Connected,
    Wish,
    begin_consent,
    connect_code,
    connect_token,
    require_name,
    try_token,
)
from syncline.actions.health import read_health
from syncline.actions.probe import Found
from syncline.actions.runs import request_runs
from syncline.api.cookies import is_secure
from syncline.connectors.registry import PLATFORMS, get_platform
from syncline.errors import CallerMistake, Invalid, NotFound, SettingInvalid, SynclineError
from syncline.web.connections import address
from syncline.web.dashboard_first import make_first_chart
from syncline.web.forms import Form
from syncline.web.page import Page, visits

router = APIRouter(include_in_schema=False)

#: What a consent that has begun has to remember until it comes back; sealed.
_COOKIE = "consent"
_COOKIE_SECONDS = 900
_CALLBACK = "/connections/consent"


@router.get("/connections/new")
async def choose(page: Page = visits("connections:write")) -> Response:
    health = await read_health(page.hub)
    return page.render(
        "connecting.html",
        platforms=PLATFORMS,
        health=health,
        embedded=page.site.hub.is_embedded,
        help="index",
    )


@router.get("/connections/new/{platform}")
async def show_form(platform: str, page: Page = visits("connections:write")) -> Response:
    """Show what a CRM is connected with; for a name that there is, its token is renewed."""
    name = page.request.query_params.get("name", "")
    return _form_page(page, platform, Form({"name": name} if name else {}))


def _form_page(
    page: Page,
    platform: str,
    form: Form,
    *,
    found: Found | None = None,
    problem: str = "",
    status: int = 200,
) -> Response:
    known = get_platform(platform)
    return page.render(
        "connecting_form.html",
        status=status,
        platform=known.capabilities,
        offers_consent=known.oauth is not None,
        callback=_callback(page),
        form=form,
        found=found,
        problem=problem,
        help=f"connectors/{platform}",
    )


@router.post("/connections/new/{platform}/check")
async def try_out(platform: str, page: Page = visits("connections:write")) -> Response:
    """Try a token on everything it would be used for. Stores nothing, and writes nothing to the CRM."""
    found, problem = None, ""
    try:
        found = await try_token(page.hub, _wish(page, platform), _token(page))
    except SettingInvalid as error:
        problem = str(error)
    except SynclineError as error:
        problem = str(error)
    if page.is_part:
        return page.render("connecting_found.html", found=found, problem=problem)
    return _form_page(page, platform, page.form, found=found, problem=problem)


@router.post("/connections/new/{platform}")
async def connect(platform: str, page: Page = visits("connections:write")) -> Response:
    """Connect, and ask for the first sync."""
    form = page.form
    try:
        made = await connect_token(page.hub, _wish(page, platform), _token(page))
    except CallerMistake as error:
        form.blame(error)
    except SynclineError as error:
        form.errors["token"] = str(error)
    else:
        return await _welcome(page, made)
    return _form_page(page, platform, form, status=422)


async def _welcome(page: Page, made: Connected) -> Response:
    name = made.connection.name
    await page.audit("connection.renewed" if made.renewed else "connection.added", name)
    page.changed()
    await request_runs(page.hub, names=[name], by=page.caller.name)
    if made.renewed:
        return page.go(address(name), "The new token serves. A sync is asked for.")
    return page.go(address(name, "first"))


def _token(page: Page) -> str:
    token = page.form.secret("token").strip()
    if not token:
        raise Invalid("Give the token.", fields={"token": "Give the token."})
    return token


def _wish(page: Page, platform: str) -> Wish:
    form = page.form
    settings = {
        name: form.text(f"set:{name}")
        for name in get_platform(platform).capabilities.settings
        if form.text(f"set:{name}")
    }
    return Wish(
        platform,
        form.text("name") if form.has("name") else platform,
        form.optional("base_url"),
        tuple(form.several("object")),
        settings,
    )


@router.get("/connections/{name}/first")
async def first_sync(name: str, page: Page = visits("connections:read")) -> Response:
    return page.render("first_sync.html", **await _first(page, name), help="index")


@router.get("/parts/connections/{name}/first")
async def first_sync_part(name: str, page: Page = visits("connections:read")) -> Response:
    return page.render("first_sync_part.html", **await _first(page, name))


async def _first(page: Page, name: str) -> Mapping[str, Any]:
    health = await read_health(page.hub)
    each = next((each for each in health.connections if each.status.connection.name == name), None)
    if each is None:
        raise NotFound(f"There is no connection called {name}.")
    done = [one for one in each.objects if one.status.last_success_at is not None]
    failed = [one for one in each.objects if one.status.state == "failed"]
    is_over = len(done) + len(failed) >= len(each.objects)
    return {
        "each": each,
        "name": name,
        "health": health,
        "done": len(done),
        "is_over": is_over,
        "first_chart": await make_first_chart(page, name) if is_over else None,
        "records": sum(one.status.count_here for one in each.objects if not one.is_reading),
    }


def _callback(page: Page) -> str:
    base = page.site.hub.settings.public_url or str(page.request.base_url).rstrip("/")
    return base + _CALLBACK


@router.post("/connections/new/{platform}/consent")
async def begin(platform: str, page: Page = visits("connections:write")) -> Response:
    """Begin a consent: what has to be remembered goes along, sealed, in a cookie."""
    form, wish = page.form, _wish(page, platform)
    client_id, client_secret = form.text("client_id"), form.secret("client_secret").strip()
    try:
        if not client_id or not client_secret:
            missing = "client_secret" if client_id else "client_id"
            raise Invalid("Give both.", fields={missing: "The app at the CRM shows it."})
        require_name(wish.name)
        consent = begin_consent(wish, client_id, _callback(page))
    except CallerMistake as error:
        form.blame(error)
        return _form_page(page, platform, form, status=422)
    kept = {
        "tenant": str(page.hub.tenant_id),
        "platform": platform,
        "name": wish.name,
        "base_url": wish.base_url,
        "settings": dict(wish.settings),
        "state": consent.state,
        "client_id": client_id,
        "client_secret": client_secret,
    }
    # By a page of its own: a form of ours may not lead elsewhere.
    host = urlsplit(consent.url).netloc
    response = page.render(
        "consent.html", url=consent.url, host=host, platform=get_platform(platform).capabilities
    )
    response.set_cookie(
        _COOKIE,
        base64.urlsafe_b64encode(page.hub.vault().seal(json.dumps(kept).encode())).decode(),
        max_age=_COOKIE_SECONDS,
        path="/connections",
        httponly=True,
        samesite="lax",
        secure=is_secure(page.request),
    )
    return response


@router.get("/connections/consent")
async def come_back(page: Page = visits("connections:write")) -> Response:
    """Take the code that a consent gave."""
    asked, kept = page.request.query_params, _remember(page)
    if kept is None or not hmac.compare_digest(asked.get("state", ""), str(kept["state"])):
        raise Invalid("This consent was not begun here, or too long ago. Begin it again.")
    if "code" not in asked:
        return _forget(page.go(f"/connections/new/{kept['platform']}", "The CRM gave no consent.", "warn"))
    wish = Wish(str(kept["platform"]), str(kept["name"]), kept["base_url"], (), kept["settings"])
    try:
        made = await connect_code(
            page.hub,
            wish,
            client_id=str(kept["client_id"]),
            client_secret=str(kept["client_secret"]),
            redirect_uri=_callback(page),
            code=asked["code"],
        )
    except SynclineError as error:
        return _forget(page.go(f"/connections/new/{wish.platform}", str(error), "bad"))
    return _forget(await _welcome(page, made))


def _forget(response: Response) -> Response:
    """Take back what the browser kept of a consent, the sealed secret among it, however it ended."""
    response.delete_cookie(_COOKIE, path="/connections")
    return response


def _remember(page: Page) -> dict[str, Any] | None:
    try:
        sealed = base64.urlsafe_b64decode(page.request.cookies.get(_COOKIE, ""))
        kept = json.loads(page.hub.vault().open(sealed)) if sealed else None
    except (ValueError, SettingInvalid):
        return None
    return kept if kept is not None and kept["tenant"] == str(page.hub.tenant_id) else None
