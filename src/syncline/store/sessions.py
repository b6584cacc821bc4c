"""Sessions of people who signed in, by the hash of what their browser holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class StoredSession:
    user_id: UUID
    current_tenant_id: UUID
    seen_at: datetime
    email: str
    full_name: str
    is_operator: bool


FIND = """
select s.user_id, s.current_tenant_id, s.seen_at, u.email, u.full_name, u.is_operator
from app.sessions s
join app.users u on u.id = s.user_id
where s.token_hash = %(token_hash)s and s.seen_at > %(seen_since)s and s.created_at > %(created_since)s
  and u.is_active
"""


async def find(
    conn: Conn, token_hash: bytes, *, seen_since: datetime, created_since: datetime
) -> StoredSession | None:
    """Return a session that has not ended, of somebody who is still active."""
    async with conn.cursor(row_factory=class_row(StoredSession)) as cursor:
        await cursor.execute(
            FIND, {"token_hash": token_hash, "seen_since": seen_since, "created_since": created_since}
        )
        return await cursor.fetchone()


INSERT = """
insert into app.sessions (token_hash, user_id, current_tenant_id, created_at, seen_at, address, user_agent)
values (%(token_hash)s, %(user_id)s, %(current_tenant)s, %(now)s, %(now)s, %(address)s, %(user_agent)s)
"""


async def insert(
    conn: Conn,
    token_hash: bytes,
    *,
    user_id: UUID,
    current_tenant: UUID,
    address: str | None,
    user_agent: str | None,
    now: datetime,
) -> None:
    await conn.execute(
        INSERT,
        {
            "token_hash": token_hash,
            "user_id": user_id,
            "current_tenant": current_tenant,
            "address": address,
            "user_agent": user_agent,
            "now": now,
        },
    )


TOUCH = """
update app.sessions set seen_at = %(now)s, address = %(address)s
where token_hash = %(token_hash)s and seen_at < %(now)s
"""


async def touch(conn: Conn, token_hash: bytes, *, address: str | None, now: datetime) -> None:
    """Say that it was used now, so that it lives on."""
    await conn.execute(TOUCH, {"token_hash": token_hash, "address": address, "now": now})


SWITCH = """
update app.sessions set current_tenant_id = %(current_tenant)s where token_hash = %(token_hash)s
"""


async def switch(conn: Conn, token_hash: bytes, *, current_tenant: UUID) -> None:
    await conn.execute(SWITCH, {"token_hash": token_hash, "current_tenant": current_tenant})


DELETE = """
delete from app.sessions where token_hash = %(token_hash)s
"""


async def delete(conn: Conn, token_hash: bytes) -> None:
    await conn.execute(DELETE, {"token_hash": token_hash})


DELETE_OF_USER = """
delete from app.sessions where user_id = %(user_id)s and token_hash <> %(but)s
"""


async def delete_of_user(conn: Conn, user_id: UUID, *, but: bytes = b"") -> None:
    """End every session of somebody, or every one but the one with this hash."""
    await conn.execute(DELETE_OF_USER, {"user_id": user_id, "but": but})


DELETE_IN_TENANT = """
delete from app.sessions where user_id = %(user_id)s and current_tenant_id = %(current_tenant)s
"""


async def delete_in_tenant(conn: Conn, user_id: UUID, *, current_tenant: UUID) -> None:
    """End somebody's sessions that look at a tenant."""
    await conn.execute(DELETE_IN_TENANT, {"user_id": user_id, "current_tenant": current_tenant})


PURGE = """
delete from app.sessions where seen_at <= %(seen_since)s or created_at <= %(created_since)s
"""


async def purge(conn: Conn, *, seen_since: datetime, created_since: datetime) -> None:
    """Forget sessions that ended by age. For one at a time: see `attempts.lock_purge`."""
    await conn.execute(PURGE, {"seen_since": seen_since, "created_since": created_since})
