"""Settings of a tenant: its place, its people and invitations, its API keys and limits, and what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.api_keys import list_keys, make_key, revoke_key
from syncline.actions.audit import list_audit
from syncline.actions.limits import read_use
from syncline.actions.tenant import change_tenant, show_tenant
from syncline.actions.tenants import rename_tenant
from syncline.clock import now
from syncline.domain.callers import LEAST_ROLE, PERMISSIONS, ROLES
from syncline.errors import CallerMistake
from syncline.store.audit import AuditFilter
from syncline.web.forms import Form
from syncline.web.page import Page, visits
from syncline.web.render import query

router = APIRouter(include_in_schema=False)

_PAGE = 100


@router.get("/settings")
async def show_settings(page: Page = visits("settings:write")) -> Response:
    return await _tenant_page(page, Form())


async def _tenant_page(page: Page, form: Form, *, status: int = 200) -> Response:
    return page.render(
        "settings.html",
        status=status,
        form=form,
        tenant=await show_tenant(page.hub),
        zones=[(each, each) for each in sorted(available_timezones())],
        help="configuration",
    )


@router.post("/settings")
async def change_settings(page: Page = visits("settings:write")) -> Response:
    form = page.form
    try:
        await change_tenant(
            page.hub,
            time_zone=form.text("time_zone"),
            currency=form.text("currency"),
            region=form.text("region"),
        )
        if form.text("label") != page.hub.tenant.label:
            await rename_tenant(page.hub, page.caller, page.hub.tenant.slug, form.text("label"))
    except CallerMistake as error:
        form.blame(error, default_region="region")
        return await _tenant_page(page, form, status=422)
    await page.audit("tenant.settings_changed", page.hub.tenant.slug)
    return page.go("/settings", "Saved.")


@router.get("/settings/keys")
async def show_keys(page: Page = visits("settings:write")) -> Response:
    return await _keys_page(page, Form())


async def _keys_page(page: Page, form: Form, *, secret: str = "", status: int = 200) -> Response:
    return page.render(
        "settings_keys.html",
        status=status,
        form=form,
        keys=await list_keys(page.hub, page.caller),
        secret=secret,
        roles=[(each, each.capitalize()) for each in ROLES],
        scopes=[(each, LEAST_ROLE[each]) for each in PERMISSIONS],
        help="api",
    )


@router.post("/settings/keys")
async def add_key(page: Page = visits("settings:write")) -> Response:
    """Make a key and show it, this once. No redirect: the secret may stand nowhere else."""
    form = page.form
    try:
        made = await make_key(
            page.hub,
            page.caller,
            form.text("name"),
            form.several("scope") or None,
            form.text("role", "rep"),
            _until(form.text("expires")),
        )
    except CallerMistake as error:
        form.blame(error, expires_at="expires", scopes="scope")
        return await _keys_page(page, form, status=422)
    return await _keys_page(page, Form(), secret=made.token)


def _until(text: str) -> datetime | None:
    """Return the end of a day in UTC; None for no day."""
    try:
        return datetime.combine(date.fromisoformat(text) + timedelta(days=1), time(), UTC) if text else None
    except ValueError:
        return now()  # in the past: the action says what is wrong


@router.post("/settings/keys/{key_id}/revoke")
async def end_key(key_id: UUID, page: Page = visits("settings:write")) -> Response:
    await revoke_key(page.hub, page.caller, key_id)
    return page.go("/settings/keys", "The key is of no more use.")


@router.get("/settings/limits")
async def show_limits(page: Page = visits("settings:write")) -> Response:
    return page.render(
        "settings_limits.html",
        uses=await read_use(page.hub, page.caller),
        help="operations",
    )


@router.get("/audit")
async def show_audit(page: Page = visits("audit:read")) -> Response:
    asked = page.request.query_params
    known = {each.name for each in fields(AuditFilter)}
    chosen: Mapping[str, Any] = {
        name: asked.get(name) or None for name in ("actor", "action", "subject") if name in known
    }
    found = await list_audit(
        page.hub, page.caller, AuditFilter(**chosen), after=asked.get("after"), limit=_PAGE
    )
    return page.render(
        "audit.html",
        found=found,
        chosen=chosen,
        next="/audit" + query(**chosen, after=found.next) if found.next else None,
        first="/audit" + query(**chosen) if asked.get("after") else None,
        help="operations",
    )
