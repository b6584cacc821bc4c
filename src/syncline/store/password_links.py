"""Links by which somebody sets a password, once, by the hash of their token."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from syncline.store.db import Conn

INSERT = """
insert into app.password_links (token_hash, user_id, created_at, expires_at)
values (%(token_hash)s, %(user_id)s, %(now)s, %(expires_at)s)
"""


async def insert(
    conn: Conn, token_hash: bytes, *, user_id: UUID, now: datetime, expires_at: datetime
) -> None:
    await conn.execute(
        INSERT, {"token_hash": token_hash, "user_id": user_id, "now": now, "expires_at": expires_at}
    )


FIND = """
select l.user_id, u.email from app.password_links l
join app.users u on u.id = l.user_id
where l.token_hash = %(token_hash)s and l.used_at is null and l.expires_at > %(now)s and u.is_active
"""


async def find(conn: Conn, token_hash: bytes, *, now: datetime) -> tuple[UUID, str] | None:
    """Return whose link it is, by id and address, while it holds."""
    row = await (await conn.execute(FIND, {"token_hash": token_hash, "now": now})).fetchone()
    return None if row is None else (row[0], str(row[1]))


USE = """
update app.password_links set used_at = %(now)s
where token_hash = %(token_hash)s and used_at is null and expires_at > %(now)s
"""


async def use(conn: Conn, token_hash: bytes, *, now: datetime) -> bool:
    """Use a link up; False when somebody was quicker."""
    done = await conn.execute(USE, {"token_hash": token_hash, "now": now})
    return done.rowcount == 1


DELETE_OPEN = """
delete from app.password_links where user_id = %(user_id)s and used_at is null
"""


async def delete_open(conn: Conn, user_id: UUID) -> None:
    """Make every link of somebody that is still open of no use."""
    await conn.execute(DELETE_OPEN, {"user_id": user_id})


PURGE = """
delete from app.password_links where expires_at < %(before)s
"""


async def purge(conn: Conn, *, before: datetime) -> None:
    """Forget links of long ago. For one at a time: see `attempts.lock_purge`."""
    await conn.execute(PURGE, {"before": before})
