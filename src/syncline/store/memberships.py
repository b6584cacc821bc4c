"""Memberships: who works for a tenant, in which role, and whose records are theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.domain.callers import Role
from syncline.errors import NotFound
from syncline.store.db import Conn
from syncline.store.tenants import Tenant


@dataclass(frozen=True, slots=True)
class Membership:
    """Somebody's place in one tenant, as signing in sees it."""

    tenant_id: UUID
    slug: str
    label: str
    tenant_status: str
    time_zone: str
    role: Role
    is_active: bool
    owner_ids: Sequence[UUID]

    @property
    def is_open(self) -> bool:
        """True when it can be worked in: neither the membership nor the tenant is switched off."""
        return self.is_active and self.tenant_status == "active"

    @property
    def tenant(self) -> Tenant:
        return Tenant(self.tenant_id, self.slug, self.label, self.tenant_status, self.time_zone)


LIST_OF_USER = """
select tenant_id, slug, label, tenant_status, time_zone, role, is_active, owner_ids
from app.memberships_of(%(user_id)s)
"""


async def list_of_user(conn: Conn, user_id: UUID) -> list[Membership]:
    """Return where somebody is at home, by the tenants' labels. Needs no tenant to be set."""
    async with conn.cursor(row_factory=class_row(Membership)) as cursor:
        await cursor.execute(LIST_OF_USER, {"user_id": user_id})
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as their tenant knows them: what is theirs everywhere, and what holds here."""

    id: UUID
    email: str
    full_name: str
    phone: str | None
    slack_user_id: str | None
    role: Role
    #: False when they are switched off here, or everywhere.
    is_active: bool
    #: The owner they were tied to by hand; those with the same address are theirs besides.
    owner_id: UUID | None
    max_active_leads: int
    notify_email: bool
    notify_slack: bool
    notify_sms: bool
    has_password: bool
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None


LIST = """
select u.id, u.email, u.full_name, u.phone, u.slack_user_id, m.role, m.is_active and u.is_active as is_active,
  m.owner_id, m.max_active_leads, m.notify_email, m.notify_slack, m.notify_sms,
  u.password_hash is not null as has_password, m.created_at,
  greatest(m.updated_at, u.updated_at) as updated_at, u.last_login_at
from app.memberships m
join app.users u on u.id = m.user_id
where m.tenant_id = %(tenant_id)s
order by lower(u.full_name), u.id
"""


async def list_people(conn: Conn, *, tenant_id: UUID) -> list[Person]:
    """Return everybody of a tenant, by name."""
    async with conn.cursor(row_factory=class_row(Person)) as cursor:
        await cursor.execute(LIST, {"tenant_id": tenant_id})
        return await cursor.fetchall()


GET = """
select u.id, u.email, u.full_name, u.phone, u.slack_user_id, m.role, m.is_active and u.is_active as is_active,
  m.owner_id, m.max_active_leads, m.notify_email, m.notify_slack, m.notify_sms,
  u.password_hash is not null as has_password, m.created_at,
  greatest(m.updated_at, u.updated_at) as updated_at, u.last_login_at
from app.memberships m
join app.users u on u.id = m.user_id
where m.tenant_id = %(tenant_id)s and m.user_id = %(user_id)s
"""


async def find_person(conn: Conn, user_id: UUID, *, tenant_id: UUID) -> Person | None:
    async with conn.cursor(row_factory=class_row(Person)) as cursor:
        await cursor.execute(GET, {"tenant_id": tenant_id, "user_id": user_id})
        return await cursor.fetchone()


async def get_person(conn: Conn, user_id: UUID, *, tenant_id: UUID) -> Person:
    """Return somebody of a tenant. Raises `NotFound`, also for people of other tenants."""
    found = await find_person(conn, user_id, tenant_id=tenant_id)
    if found is None:
        raise NotFound("There is no such person in this tenant.")
    return found


LOCK = """
select role, is_active from app.memberships where tenant_id = %(tenant_id)s
order by user_id for update
"""


async def lock_all(conn: Conn, *, tenant_id: UUID) -> None:
    """Let nobody else change who works for the tenant until the transaction ends: an admin must remain."""
    await conn.execute(LOCK, {"tenant_id": tenant_id})


PUT = """
insert into app.memberships (tenant_id, user_id, role, owner_id, created_at, updated_at)
values (%(tenant_id)s, %(user_id)s, %(role)s, %(owner_id)s, %(now)s, %(now)s)
on conflict (tenant_id, user_id) do update
  set role = excluded.role, is_active = true, updated_at = excluded.updated_at
"""


async def put(
    conn: Conn, user_id: UUID, role: Role, *, tenant_id: UUID, now: datetime, owner_id: UUID | None = None
) -> None:
    """Take somebody in, or back in, with a role. An owner known already stays."""
    await conn.execute(
        PUT, {"tenant_id": tenant_id, "user_id": user_id, "role": role, "owner_id": owner_id, "now": now}
    )


@dataclass(frozen=True, slots=True)
class Terms:
    """What a tenant settles about somebody."""

    role: Role
    is_active: bool
    owner_id: UUID | None
    max_active_leads: int
    notify_email: bool
    notify_slack: bool
    notify_sms: bool


SET_TERMS = """
update app.memberships
set role = %(role)s, is_active = %(is_active)s, owner_id = %(owner_id)s,
  max_active_leads = %(max_active_leads)s, notify_email = %(notify_email)s,
  notify_slack = %(notify_slack)s, notify_sms = %(notify_sms)s,
  updated_at = %(now)s
where tenant_id = %(tenant_id)s and user_id = %(user_id)s
"""


async def set_terms(conn: Conn, user_id: UUID, terms: Terms, *, tenant_id: UUID, now: datetime) -> None:
    await conn.execute(
        SET_TERMS,
        {
            "tenant_id": tenant_id,
            "user_id": user_id,
            "role": terms.role,
            "is_active": terms.is_active,
            "owner_id": terms.owner_id,
            "max_active_leads": terms.max_active_leads,
            "notify_email": terms.notify_email,
            "notify_slack": terms.notify_slack,
            "notify_sms": terms.notify_sms,
            "now": now,
        },
    )


SET_NOTICES = """
update app.memberships
set notify_email = coalesce(%(notify_email)s::boolean, notify_email),
  notify_slack = coalesce(%(notify_slack)s::boolean, notify_slack),
  notify_sms = coalesce(%(notify_sms)s::boolean, notify_sms), updated_at = %(now)s
where tenant_id = %(tenant_id)s and user_id = %(user_id)s
"""


async def set_notices(
    conn: Conn, user_id: UUID, notices: Mapping[str, bool], *, tenant_id: UUID, now: datetime
) -> None:
    """Set what somebody is told and nothing else: their role may be changing at this moment."""
    given = {name: notices.get(name) for name in ("notify_email", "notify_slack", "notify_sms")}
    await conn.execute(SET_NOTICES, {"tenant_id": tenant_id, "user_id": user_id, "now": now, **given})


COUNT_ADMINS = """
select count(*) from app.memberships m join app.users u on u.id = m.user_id
where m.tenant_id = %(tenant_id)s and m.role = 'admin' and m.is_active and u.is_active
  and m.user_id <> %(without)s
"""


async def count_admins(conn: Conn, *, without: UUID, tenant_id: UUID) -> int:
    """Return how many admins can sign in, one of them left aside."""
    row = await (await conn.execute(COUNT_ADMINS, {"tenant_id": tenant_id, "without": without})).fetchone()
    return 0 if row is None else int(row[0])


OWNER_BY_EMAIL = """
select id from crm.owners
where tenant_id = %(tenant_id)s and email_norm = %(email)s and archived_at is null and merged_into is null
order by id limit 1
"""


async def find_owner(conn: Conn, email: str, *, tenant_id: UUID) -> UUID | None:
    """Return the owner with an address, as `normal_email` has it."""
    row = await (await conn.execute(OWNER_BY_EMAIL, {"tenant_id": tenant_id, "email": email})).fetchone()
    return None if row is None else row[0]


OWNER_EXISTS = """
select from crm.owners where tenant_id = %(tenant_id)s and id = %(owner_id)s
"""


async def has_owner(conn: Conn, owner_id: UUID, *, tenant_id: UUID) -> bool:
    cursor = await conn.execute(OWNER_EXISTS, {"tenant_id": tenant_id, "owner_id": owner_id})
    return await cursor.fetchone() is not None
