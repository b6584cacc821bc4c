"""API keys of a tenant: their hashes, what they are good for, and when they were used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import errors
from psycopg.rows import class_row

from syncline.domain.callers import Role
from syncline.errors import AlreadyExists
from syncline.store.db import Conn
from syncline.store.tenants import Tenant


@dataclass(frozen=True, slots=True)
class KeyInUse:
    """A key that was presented and is good, with its tenant and whoever made it."""

    id: UUID
    name: str
    role: Role
    scopes: Sequence[str] | None
    last_used_at: datetime | None
    user_id: UUID | None
    #: The maker's role now; None where no user made it, or they are switched off or gone.
    maker_role: Role | None
    owner_ids: Sequence[UUID]
    tenant_id: UUID
    slug: str
    label: str
    status: str
    time_zone: str

    @property
    def tenant(self) -> Tenant:
        return Tenant(self.tenant_id, self.slug, self.label, self.status, self.time_zone)


FIND = """
select k.id, k.name, k.role, k.scopes, k.last_used_at, k.user_id,
  case when m.is_active and u.is_active then m.role end as maker_role,
  array(select o.id from crm.owners o
        where o.tenant_id = %(tenant_id)s and (o.id = m.owner_id or o.email_norm = u.email_norm)
        order by o.id) as owner_ids,
  t.tenant_id, t.slug, t.label, t.status, t.time_zone
from app.api_keys k
join app.tenants t on t.tenant_id = k.tenant_id
left join app.memberships m on m.tenant_id = k.tenant_id and m.user_id = k.user_id
left join app.users u on u.id = m.user_id
where k.tenant_id = %(tenant_id)s and t.tenant_id = %(tenant_id)s
  and (k.secret_hash = %(secret_hash)s::bytea or k.id = %(id)s::uuid)
  and k.revoked_at is null and (k.expires_at is null or k.expires_at > %(now)s)
"""


async def find_in_use(conn: Conn, secret_hash: bytes, *, tenant_id: UUID, now: datetime) -> KeyInUse | None:
    """Return the key with this hash, unless it has expired or was revoked."""
    async with conn.cursor(row_factory=class_row(KeyInUse)) as cursor:
        given = {"tenant_id": tenant_id, "secret_hash": secret_hash, "id": None, "now": now}
        await cursor.execute(FIND, given)
        return await cursor.fetchone()


async def find_usable(conn: Conn, key_id: UUID, *, tenant_id: UUID, now: datetime) -> KeyInUse | None:
    """Return a key by its id, unless it has expired or was revoked."""
    async with conn.cursor(row_factory=class_row(KeyInUse)) as cursor:
        await cursor.execute(FIND, {"tenant_id": tenant_id, "secret_hash": None, "id": key_id, "now": now})
        return await cursor.fetchone()


TOUCH = """
update app.api_keys set last_used_at = %(now)s, last_address = %(address)s
where tenant_id = %(tenant_id)s and id = %(id)s
  and (last_used_at is null or last_used_at < %(unless_since)s)
"""


async def touch(
    conn: Conn, key_id: UUID, *, tenant_id: UUID, address: str | None, now: datetime, unless_since: datetime
) -> None:
    """Write down that a key is used, unless somebody just did."""
    await conn.execute(
        TOUCH,
        {
            "tenant_id": tenant_id,
            "id": key_id,
            "address": address,
            "now": now,
            "unless_since": unless_since,
        },
    )


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as lists show it; the key itself is known to nobody here."""

    id: UUID
    name: str
    prefix: str
    role: Role
    scopes: list[str] | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    last_address: str | None


LIST = """
select id, name, prefix, role, scopes, created_by, created_at, expires_at, revoked_at, last_used_at,
  last_address
from app.api_keys
where tenant_id = %(tenant_id)s
order by created_at desc, id desc
"""


async def list_all(conn: Conn, *, tenant_id: UUID) -> list[ApiKey]:
    """Return all keys, the newest first, also those that are of no more use."""
    async with conn.cursor(row_factory=class_row(ApiKey)) as cursor:
        await cursor.execute(LIST, {"tenant_id": tenant_id})
        return await cursor.fetchall()


INSERT = """
insert into app.api_keys (tenant_id, id, name, prefix, secret_hash, role, scopes, user_id, created_by,
  created_at, expires_at)
values (%(tenant_id)s, %(id)s, %(name)s, %(prefix)s, %(secret_hash)s, %(role)s, %(scopes)s, %(user_id)s,
  %(created_by)s, %(created_at)s, %(expires_at)s)
"""


async def insert(
    conn: Conn, key: ApiKey, secret_hash: bytes, *, user_id: UUID | None, tenant_id: UUID
) -> None:
    """Write a new key down. Raises `AlreadyExists`; the transaction is then of no more use."""
    try:
        await conn.execute(
            INSERT,
            {
                "tenant_id": tenant_id,
                "id": key.id,
                "name": key.name,
                "prefix": key.prefix,
                "secret_hash": secret_hash,
                "role": key.role,
                "scopes": key.scopes,
                "user_id": user_id,
                "created_by": key.created_by,
                "created_at": key.created_at,
                "expires_at": key.expires_at,
            },
        )
    except errors.UniqueViolation:
        raise AlreadyExists(
            f"There is a key called {key.name!r} already. Choose another name, or revoke that one first."
        ) from None


REVOKE = """
update app.api_keys set revoked_at = %(now)s
where tenant_id = %(tenant_id)s and id = %(id)s and revoked_at is null
returning name
"""


async def revoke(conn: Conn, key_id: UUID, *, tenant_id: UUID, now: datetime) -> str | None:
    """End a key and return its name; None when there is none that could be ended."""
    cursor = await conn.execute(REVOKE, {"tenant_id": tenant_id, "id": key_id, "now": now})
    row = await cursor.fetchone()
    return None if row is None else str(row[0])
