"""The tenants of an installation, over the API."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from syncline.actions import tenants
from syncline.api.calls import Call, needs
from syncline.api.session import TenantOut
from syncline.api.shapes import Given, Shape

router = APIRouter(prefix="/api/v1/tenants", tags=["tenants"])
_READS: Call = needs("records:read")
_SETS: Call = needs("settings:write")


class TenantsOut(Shape):
    """Tenants, by slug."""

    items: list[TenantOut]


@router.get("")
async def list_tenants(call: Call = _READS) -> TenantsOut:
    """List the tenants one is in; an operator of the installation sees all."""
    found = await tenants.list_tenants(call.hub, call.caller)
    return TenantsOut(items=[TenantOut.of(each) for each in found])


class TenantIn(Given):
    """A tenant to be made."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"slug": "acme", "label": "Acme", "time_zone": "Europe/Berlin"}]}
    )

    slug: str = Field(description="What commands and addresses call it. It stays.")
    label: str
    time_zone: str = "UTC"
    currency: str = "USD"
    default_region: str = Field(default="US", description="Country of phone numbers without a country code.")


@router.post("", status_code=201)
async def create_tenant(body: TenantIn, call: Call = _SETS) -> TenantOut:
    """Make a tenant; whoever makes it is its first admin. For operators of the installation."""
    made = await tenants.create_tenant(
        call.hub,
        call.caller,
        body.slug,
        body.label,
        time_zone=body.time_zone,
        currency=body.currency,
        region=body.default_region,
    )
    return TenantOut.of(made)


class TenantLabel(Given):
    """A tenant's new name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"label": "Acme Group"}]})

    label: str


@router.patch("/{slug}")
async def rename_tenant(slug: str, body: TenantLabel, call: Call = _SETS) -> TenantOut:
    """Give a tenant another name: an admin their own, an operator any."""
    return TenantOut.of(await tenants.rename_tenant(call.hub, call.caller, slug, body.label))


@router.post("/{slug}/suspend")
async def suspend_tenant(slug: str, call: Call = _SETS) -> TenantOut:
    """Let nobody into a tenant and sync nothing of it. For operators of the installation."""
    return TenantOut.of(await tenants.suspend_tenant(call.hub, call.caller, slug))


@router.post("/{slug}/resume")
async def resume_tenant(slug: str, call: Call = _SETS) -> TenantOut:
    """Let a suspended tenant go on. For operators of the installation."""
    return TenantOut.of(await tenants.resume_tenant(call.hub, call.caller, slug))
