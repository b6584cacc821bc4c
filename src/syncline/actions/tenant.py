"""What holds for a whole tenant: its time zone, its currency, the country its phone numbers are read in."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

from syncline.actions.hub import Hub
from syncline.domain.phones import is_region
from syncline.errors import Invalid
from syncline.store import tenants
from syncline.store.tenants import TenantSettings


async def show_tenant(hub: Hub) -> TenantSettings:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await tenants.get_settings(conn, tenant_id=hub.tenant_id)


async def change_tenant(
    hub: Hub, *, time_zone: str | None = None, currency: str | None = None, region: str | None = None
) -> TenantSettings:
    """Change what is given and return all. Raises `Invalid` for what is no zone, currency or country.

    A new country holds for numbers read from now on; `syncline sync --full` reads all of them again.
    """
    given = {
        "time_zone": None if time_zone is None else _time_zone(time_zone),
        "currency": None if currency is None else _currency(currency),
        "default_region": None if region is None else _region(region),
    }
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        known = await tenants.get_settings(conn, tenant_id=hub.tenant_id)
        wanted = replace(known, **{name: value for name, value in given.items() if value is not None})
        if wanted != known:
            await tenants.change_settings(conn, wanted, tenant_id=hub.tenant_id)
    return wanted


def _time_zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ValueError, OSError, KeyError) as error:
        told = f"{name[:60]!r} is not a time zone; write it like 'Europe/Berlin'."
        raise Invalid(told, fields={"time_zone": told}) from error


def _currency(code: str) -> str:
    if len(code) != 3 or not code.isascii() or not code.isalpha():
        told = f"{code[:60]!r} is not a currency; write its three letters, such as EUR."
        raise Invalid(told, fields={"currency": told})
    return code.upper()


def _region(code: str) -> str:
    if not is_region(code.upper()):
        told = f"{code[:60]!r} is not a country; write its two letters, such as DE."
        raise Invalid(told, fields={"region": told})
    return code.upper()
