"""The tenants of an installation: made, renamed, suspended, let go on. One tenant's settings: `tenant`."""

from __future__ import annotations

import re
from dataclasses import replace
from zoneinfo import ZoneInfo

from syncline import clock
from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.domain.callers import Caller
from syncline.domain.people import refuse
from syncline.domain.phones import is_region
from syncline.errors import Forbidden, Invalid
from syncline.store import memberships, tenants
from syncline.store.tenants import Tenant, TenantSettings

#: As the schema has it.
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LONGEST_LABEL = 200


async def list_tenants(hub: Hub, caller: Caller) -> list[Tenant]:
    """Return the tenants that a caller may know of: an operator all, others where they are at home."""
    async with hub.db.transaction(tenant_id=None) as conn:
        found = await tenants.list_tenants(conn)
        if caller.is_operator:
            return found
        known = {caller.tenant_id}
        if caller.user_id is not None:
            places = await memberships.list_of_user(conn, caller.user_id)
            known |= {each.tenant_id for each in places if each.is_open}
    return [each for each in found if each.tenant_id in known]


async def create_tenant(
    hub: Hub,
    caller: Caller,
    slug: str,
    label: str,
    *,
    time_zone: str = "UTC",
    currency: str = "USD",
    region: str = "US",
) -> Tenant:
    """Make a tenant; whoever makes it is its first admin, where that is a user.

    Raises `Forbidden`, `AlreadyExists`, and `Invalid` with the field.
    """
    _require_operator(caller)
    refuse(
        {
            "slug": _find_slug_fault(slug),
            "label": _find_label_fault(label),
            "time_zone": _find_zone_fault(time_zone),
            "currency": _find_currency_fault(currency),
            "default_region": None if is_region(region.upper()) else "Two letters of a country, such as DE.",
        }
    )
    settings = TenantSettings(time_zone, currency.upper(), region.upper())
    made, now = clock.new_id(), clock.now()
    async with hub.db.transaction(tenant_id=made) as conn:
        await tenants.add(conn, made, slug=slug, label=label.strip(), settings=settings, at=now)
        if caller.user_id is not None:
            await memberships.put(conn, caller.user_id, "admin", tenant_id=made, now=now)
        await note(conn, replace(caller, tenant_id=made), "tenant.created", slug)
    return Tenant(made, slug, label.strip(), "active", time_zone)


async def rename_tenant(hub: Hub, caller: Caller, slug: str, label: str) -> Tenant:
    """Give a tenant another label; its slug stays. An admin renames their own, an operator any."""
    refuse({"label": _find_label_fault(label)})
    tenant = await _reach(hub, caller, slug)
    async with hub.db.transaction(tenant_id=tenant.tenant_id) as conn:
        await tenants.rename(conn, label.strip(), tenant_id=tenant.tenant_id)
        await note(conn, replace(caller, tenant_id=tenant.tenant_id), "tenant.renamed", slug)
    return replace(tenant, label=label.strip())


async def suspend_tenant(hub: Hub, caller: Caller, slug: str) -> Tenant:
    """Let nobody into a tenant and sync nothing of it; its data stays. Idempotent.

    Sessions, keys and webhooks are refused from the next request on, and the worker takes up nothing new.
    Raises `Forbidden`, `NotFound`, and `Invalid` for the tenant that one is signed in to.
    """
    _require_operator(caller)
    if caller.user_id is not None and slug == hub.tenant.slug:
        fault = "You are signed in to this tenant. Switch to another one first."
        raise Invalid(fault, fields={"slug": fault})
    return await _set_status(hub, caller, slug, "suspended")


async def resume_tenant(hub: Hub, caller: Caller, slug: str) -> Tenant:
    """Let a suspended tenant go on. Idempotent. Raises `Forbidden` and `NotFound`."""
    _require_operator(caller)
    return await _set_status(hub, caller, slug, "active")


async def _set_status(hub: Hub, caller: Caller, slug: str, status: str) -> Tenant:
    async with hub.db.statement() as conn:
        tenant = await tenants.get_tenant(conn, slug)
    async with hub.db.transaction(tenant_id=tenant.tenant_id) as conn:
        if await tenants.set_status(conn, status, tenant_id=tenant.tenant_id):
            action = "tenant.resumed" if status == "active" else "tenant.suspended"
            await note(conn, replace(caller, tenant_id=tenant.tenant_id), action, slug)
    return replace(tenant, status=status)


async def _reach(hub: Hub, caller: Caller, slug: str) -> Tenant:
    """Return a tenant that a caller may change: their own as its admin, any as an operator."""
    if slug == hub.tenant.slug:
        caller.require("settings:write")
        return hub.tenant
    _require_operator(caller)
    async with hub.db.statement() as conn:
        return await tenants.get_tenant(conn, slug)


def _require_operator(caller: Caller) -> None:
    if not caller.is_operator:
        raise Forbidden("Only an operator of the installation may do this.")


def _find_slug_fault(slug: str) -> str | None:
    if _SLUG.fullmatch(slug):
        return None
    return "Up to 63 lower-case letters, digits, - and _, beginning with a letter or digit."


def _find_label_fault(label: str) -> str | None:
    if not label.strip():
        return "Give the tenant a name."
    if len(label.strip()) > _LONGEST_LABEL or not label.strip().isprintable():
        return f"A name has at most {_LONGEST_LABEL} characters, in one line."
    return None


def _find_zone_fault(name: str) -> str | None:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return "This is no time zone; write it like Europe/Berlin."
    return None


def _find_currency_fault(code: str) -> str | None:
    if len(code) == 3 and code.isascii() and code.isalpha():
        return None
    return "Three letters, such as EUR."
