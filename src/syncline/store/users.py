"""Users: people who sign in. They belong to no tenant; what they may in one is in memberships."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from psycopg import errors
from psycopg.rows import class_row

from syncline.errors import AlreadyExists, NotFound
from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class User:
    id: UUID
    email: str
    full_name: str
    phone: str | None
    slack_user_id: str | None
    is_active: bool
    is_operator: bool
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None
    has_password: bool


@dataclass(frozen=True, slots=True)
class Credentials:
    """What signing in compares. Never leaves the process."""

    id: UUID
    email: str
    password_hash: str | None = field(repr=False)
    is_active: bool


FIND_CREDENTIALS = """
select id, email, password_hash, is_active from app.users where email_norm = %(email)s
"""


async def find_credentials(conn: Conn, email: str) -> Credentials | None:
    """Return what to compare a password with; `email` as `normal_email` has it."""
    async with conn.cursor(row_factory=class_row(Credentials)) as cursor:
        await cursor.execute(FIND_CREDENTIALS, {"email": email})
        return await cursor.fetchone()


FIND_BY_EMAIL = """
select id, email, full_name, phone, slack_user_id, is_active, is_operator, created_at, updated_at,
  last_login_at, password_hash is not null as has_password
from app.users where email_norm = %(email)s
"""


async def find_by_email(conn: Conn, email: str) -> User | None:
    """Return a user; `email` as `normal_email` has it."""
    async with conn.cursor(row_factory=class_row(User)) as cursor:
        await cursor.execute(FIND_BY_EMAIL, {"email": email})
        return await cursor.fetchone()


GET = """
select id, email, full_name, phone, slack_user_id, is_active, is_operator, created_at, updated_at,
  last_login_at, password_hash is not null as has_password
from app.users where id = %(id)s
"""


async def get(conn: Conn, user_id: UUID) -> User:
    """Return a user. Raises `NotFound`."""
    async with conn.cursor(row_factory=class_row(User)) as cursor:
        await cursor.execute(GET, {"id": user_id})
        found = await cursor.fetchone()
    if found is None:
        raise NotFound("There is no such person.")
    return found


INSERT = """
insert into app.users (id, email, full_name, is_operator, created_at, updated_at)
values (%(id)s, %(email)s, %(full_name)s, %(is_operator)s, %(now)s, %(now)s)
"""


async def insert(
    conn: Conn, user_id: UUID, *, email: str, full_name: str, is_operator: bool, now: datetime
) -> None:
    """Write a new user down. Raises `AlreadyExists`; the transaction is then of no more use."""
    try:
        await conn.execute(
            INSERT,
            {
                "id": user_id,
                "email": email,
                "full_name": full_name,
                "is_operator": is_operator,
                "now": now,
            },
        )
    except errors.UniqueViolation:
        raise AlreadyExists("Somebody with this address is known already.") from None


SET_PROFILE = """
update app.users
set full_name = %(full_name)s, phone = %(phone)s, slack_user_id = %(slack_user_id)s, updated_at = %(now)s
where id = %(id)s
"""


async def set_profile(
    conn: Conn,
    user_id: UUID,
    *,
    full_name: str,
    phone: str | None,
    slack_user_id: str | None,
    now: datetime,
) -> None:
    await conn.execute(
        SET_PROFILE,
        {"id": user_id, "full_name": full_name, "phone": phone, "slack_user_id": slack_user_id, "now": now},
    )


WRITE_HASH = """
update app.users
set password_hash = %(password_hash)s, password_changed_at = %(now)s, updated_at = %(now)s
where id = %(id)s
"""


async def set_password(conn: Conn, user_id: UUID, password_hash: str, *, now: datetime) -> None:
    await conn.execute(WRITE_HASH, {"id": user_id, "password_hash": password_hash, "now": now})


REHASH = """
update app.users set password_hash = %(password_hash)s
where id = %(id)s and password_hash = %(before)s
"""


async def rehash(conn: Conn, user_id: UUID, password_hash: str, *, before: str) -> None:
    """Keep the same password by a stronger hash, unless it was changed meanwhile."""
    await conn.execute(REHASH, {"id": user_id, "password_hash": password_hash, "before": before})


SET_OPERATOR = """
update app.users set is_operator = %(is_operator)s, updated_at = %(now)s where id = %(id)s
"""


async def set_operator(conn: Conn, user_id: UUID, *, is_operator: bool, now: datetime) -> None:
    await conn.execute(SET_OPERATOR, {"id": user_id, "is_operator": is_operator, "now": now})


SET_SIGNED_IN = """
update app.users set last_login_at = %(now)s where id = %(id)s
"""


async def set_signed_in(conn: Conn, user_id: UUID, *, now: datetime) -> None:
    await conn.execute(SET_SIGNED_IN, {"id": user_id, "now": now})


SET_ACTIVE = """
update app.users set is_active = %(is_active)s, updated_at = %(now)s where id = %(id)s
"""


async def set_active(conn: Conn, user_id: UUID, *, is_active: bool, now: datetime) -> None:
    await conn.execute(SET_ACTIVE, {"id": user_id, "is_active": is_active, "now": now})
