"""Connections: the list, one with how it stands, and what a person does to it as a whole."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions import connections as changing
from syncline.actions.check import check_connections
from syncline.actions.connect import chosen_objects, require_name
from syncline.actions.disconnect import disconnect, plan_departure
from syncline.actions.health import read_health
from syncline.actions.webhooks import read_webhooks, set_secret
from syncline.connectors.registry import PLATFORMS, get_platform
from syncline.errors import CallerMistake, Invalid, NotFound
from syncline.web.forms import Form
from syncline.web.page import Page, visits

router = APIRouter(include_in_schema=False)


def address(name: str, part: str = "") -> str:
    """Return where a connection's page is; whatever a connection may be called stands in it safely."""
    return f"/connections/{quote(name, safe='')}" + (f"/{part}" if part else "")


@router.get("/connections")
async def show_connections(page: Page = visits("connections:read")) -> Response:
    return page.render(
        "connections.html", health=await read_health(page.hub), platforms=PLATFORMS, help="index"
    )


@router.get("/connections/{name}")
async def show_connection(name: str, page: Page = visits("connections:read")) -> Response:
    health = await read_health(page.hub)
    found = next((each for each in health.connections if each.status.connection.name == name), None)
    if found is None:
        raise NotFound(f"There is no connection called {name}.")
    platform = get_platform(found.status.connection.platform)
    return page.render(
        "connection.html",
        each=found,
        name=name,
        platform=platform.capabilities,
        objects=chosen_objects(found.status.connection, platform),
        help=f"connectors/{platform.capabilities.platform}",
    )


@router.post("/connections/{name}/check")
async def check(name: str, page: Page = visits("connections:read")) -> Response:
    """Ask the CRM who we are and what may be read."""
    [checked] = await check_connections(page.hub, [name])
    template = "check_part.html" if page.is_part else "check.html"
    return page.render(template, checked=checked, name=name, help="operations")


@router.post("/connections/{name}/pause")
async def pause(name: str, page: Page = visits("connections:write")) -> Response:
    await changing.pause(page.hub, name, by=page.caller.name)
    await page.audit("connection.paused", name)
    return page.go(address(name), f"{name} is paused. Nothing is read from it or sent to it.", "note")


@router.post("/connections/{name}/resume")
async def resume(name: str, page: Page = visits("connections:write")) -> Response:
    await changing.resume(page.hub, name)
    await page.audit("connection.resumed", name)
    return page.go(address(name), f"{name} is used again.")


@router.get("/connections/{name}/settings")
async def show_settings(name: str, page: Page = visits("connections:write")) -> Response:
    return await _settings_page(page, name, Form())


async def _settings_page(page: Page, name: str, form: Form, *, status: int = 200) -> Response:
    connection = await page.hub.get_connection(name)
    platform = get_platform(connection.platform)
    chosen = chosen_objects(connection, platform)
    known = [each.name for each in platform.capabilities.objects]
    return page.render(
        "connection_settings.html",
        status=status,
        form=form,
        name=name,
        connection=connection,
        platform=platform.capabilities,
        objects=[*known, *(each for each in chosen if each not in known)],
        chosen=chosen,
        departure=await plan_departure(page.hub, name),
        help="operations",
    )


@router.post("/connections/{name}/settings")
async def change_settings(name: str, page: Page = visits("connections:write")) -> Response:
    form = page.form
    settings = {
        key.partition(":")[2]: value.strip() for key, value in form.values.items() if key.startswith("set:")
    }
    objects = form.several("object")
    try:
        if not objects:
            raise Invalid("Choose at least one object.", fields={"object": "Choose at least one object."})
        new_name = form.text("name")
        require_name(new_name)
        await changing.change_settings(page.hub, name, settings=settings, objects=objects)
        if new_name != name:
            await changing.rename(page.hub, name, new_name)
    except CallerMistake as error:
        form.blame(error)
        return await _settings_page(page, name, form, status=422)
    await page.audit("connection.changed", name, fields=sorted([*settings, "objects"]))
    return page.go(address(new_name), "Saved.")


@router.post("/connections/{name}/remove")
async def remove(name: str, page: Page = visits("connections:write")) -> Response:
    """End a connection; its name has to be typed, since nothing brings it back."""
    form = page.form
    if form.text("confirm") != name:
        fault = f"Type {name} to say that you mean it."
        form.blame(Invalid(fault, fields={"confirm": fault}))
        return await _settings_page(page, name, form, status=422)
    data = form.has("remove_data")
    await disconnect(page.hub, name, remove_data=data)
    await page.audit("connection.removed", name, data=data)
    kept = "The records that only it had are gone with it." if data else "All records stay."
    return page.go("/connections", f"{name} is no longer connected. {kept}")


@router.get("/connections/{name}/webhooks")
async def show_webhooks(name: str, page: Page = visits("connections:read")) -> Response:
    return await _webhooks_page(page, name, Form())


async def _webhooks_page(page: Page, name: str, form: Form, *, status: int = 200) -> Response:
    await page.hub.get_connection(name)
    found = await read_webhooks(page.hub)
    webhook = next((each for each in found.webhooks if each.connection == name), None)
    refused = [each for each in found.refused if each.connection in {name, None}]
    return page.render(
        "connection_webhooks.html",
        status=status,
        form=form,
        name=name,
        webhook=webhook,
        refused=refused,
        state=found,
        help="webhooks",
    )


@router.post("/connections/{name}/webhooks")
async def change_secret(name: str, page: Page = visits("connections:write")) -> Response:
    try:
        await set_secret(page.hub, name, page.form.secret("secret").strip())
    except CallerMistake as error:
        page.form.errors["secret"] = str(error)
        return await _webhooks_page(page, name, page.form, status=422)
    await page.audit("webhooks.secret_set", name)
    return page.go(
        address(name, "webhooks"), "The secret is kept, sealed. Deliveries are checked with it from now on."
    )
