"""Tenants: who there is, and their settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from uuid import UUID

from psycopg.rows import class_row

from syncline.errors import NotFound
from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Tenant:
    tenant_id: UUID
    slug: str
    label: str
    status: str
    time_zone: str


LIST_TENANTS = "select tenant_id, slug, label, status, time_zone from app.list_tenants()"


async def list_tenants(conn: Conn) -> list[Tenant]:
    """Return all tenants, by slug. Needs no tenant to be set."""
    async with conn.cursor(row_factory=class_row(Tenant)) as cursor:
        await cursor.execute(LIST_TENANTS)
        return await cursor.fetchall()


async def get_tenant(conn: Conn, slug: str) -> Tenant:
    """Return the tenant called `slug`. Raises `NotFound`, naming those there are."""
    tenants = await list_tenants(conn)
    for tenant in tenants:
        if tenant.slug == slug:
            return tenant
    names = ", ".join(tenant.slug for tenant in tenants)
    raise NotFound(f"There is no tenant {slug!r}. There are: {names}.")


@dataclass(frozen=True, slots=True)
class TenantSettings:
    time_zone: str
    currency: str
    default_region: str


GET_SETTINGS = """
select time_zone, currency, default_region from app.tenants where tenant_id = %(tenant_id)s
"""


async def get_settings(conn: Conn, *, tenant_id: UUID) -> TenantSettings:
    async with conn.cursor(row_factory=class_row(TenantSettings)) as cursor:
        await cursor.execute(GET_SETTINGS, {"tenant_id": tenant_id})
        row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such tenant.")
    return row


CHANGE_SETTINGS = """
update app.tenants
set time_zone = %(time_zone)s, currency = %(currency)s, default_region = %(default_region)s
where tenant_id = %(tenant_id)s
"""


async def change_settings(conn: Conn, settings: TenantSettings, *, tenant_id: UUID) -> None:
    await conn.execute(CHANGE_SETTINGS, {"tenant_id": tenant_id, **asdict(settings)})
