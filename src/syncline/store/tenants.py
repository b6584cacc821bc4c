"""Tenants: who there is, and their settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.errors import AlreadyExists, NotFound
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


LOCK_NAMES = "select pg_catalog.pg_advisory_xact_lock(7263019, 0)"
ADD = """
select app.add_tenant(%(added)s, %(slug)s, %(label)s, %(time_zone)s, %(currency)s, %(default_region)s, %(at)s)
"""


async def add(
    conn: Conn, added: UUID, *, slug: str, label: str, settings: TenantSettings, at: datetime
) -> None:
    """Make a tenant. Raises `AlreadyExists`; the transaction is then of no more use.

    Needs no tenant to be set. Two made at once with one name are told apart by the lock, which the
    transaction keeps: a unique index would have to begin with the tenant.
    """
    await conn.execute(LOCK_NAMES)
    if any(each.slug == slug for each in await list_tenants(conn)):
        raise AlreadyExists(f"There is a tenant called {slug!r} already. Choose another name.")
    await conn.execute(ADD, {"added": added, "slug": slug, "label": label, "at": at, **asdict(settings)})


IS_ACTIVE = """
select status = 'active' from app.tenants where tenant_id = %(tenant_id)s
"""


async def is_active(conn: Conn, *, tenant_id: UUID) -> bool:
    """Tell whether anything is to be done for a tenant: it is there, and not suspended."""
    row = await (await conn.execute(IS_ACTIVE, {"tenant_id": tenant_id})).fetchone()
    return row == (True,)


RENAME = """
update app.tenants set label = %(label)s where tenant_id = %(tenant_id)s
"""


async def rename(conn: Conn, label: str, *, tenant_id: UUID) -> None:
    await conn.execute(RENAME, {"tenant_id": tenant_id, "label": label})


SET_STATUS = """
update app.tenants set status = %(status)s where tenant_id = %(tenant_id)s and status <> %(status)s
"""


async def set_status(conn: Conn, status: str, *, tenant_id: UUID) -> bool:
    """Suspend a tenant or let it go on; False when it is so already."""
    done = await conn.execute(SET_STATUS, {"tenant_id": tenant_id, "status": status})
    return done.rowcount == 1
