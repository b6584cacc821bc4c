"""Leases: the right to be the only one who does something for a connection, for a while.

A lease is proven by its fence, a number that grows with every taking. Times are the database's.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import scalar_row

from syncline.errors import LeaseLost, NotFound
from syncline.store.db import Conn

#: Held while a token is being exchanged for a new one.
TOKEN = "token"  # noqa: S105 - the name of a purpose

# SKIP LOCKED: whoever is writing under the lease has its row locked, and is not to be waited for.
TAKE = """
with free as materialized (
  select tenant_id, connection_id, purpose from sync.leases
  where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and purpose = %(purpose)s
    and (expires_at <= now() or holder is null or holder = %(holder)s)
  for update skip locked)
update sync.leases l
set holder = %(holder)s, fence = l.fence + 1, expires_at = now() + make_interval(secs => %(seconds)s)
from free
where l.tenant_id = %(tenant_id)s and free.tenant_id = l.tenant_id
  and l.connection_id = free.connection_id and l.purpose = free.purpose
returning l.fence
"""

TAKE_FIRST = """
insert into sync.leases (tenant_id, connection_id, purpose, holder, fence, expires_at)
values (%(tenant_id)s, %(connection_id)s, %(purpose)s, %(holder)s, 1,
  now() + make_interval(secs => %(seconds)s))
on conflict on constraint leases_pkey do nothing
returning fence
"""


async def take(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, purpose: str, holder: str, seconds: float
) -> int | None:
    """Take a lease that is free, expired or the holder's own, and return its fence; None when it is not.

    Never waits for another holder. Taking one's own again fences out one's earlier self. Raises `NotFound`
    for a connection that has been removed.
    """
    parameters = {
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "purpose": purpose,
        "holder": holder,
        "seconds": seconds,
    }
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(TAKE, parameters)
        fence = await cursor.fetchone()
        if fence is None:
            try:
                await cursor.execute(TAKE_FIRST, parameters)
            except ForeignKeyViolation as error:
                raise NotFound("This connection has been removed.") from error
            fence = await cursor.fetchone()
    return fence


EXTEND = """
update sync.leases set expires_at = now() + make_interval(secs => %(seconds)s)
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and purpose = %(purpose)s
  and fence = %(fence)s and holder is not null
"""


async def extend(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, purpose: str, fence: int, seconds: float
) -> bool:
    """Keep a lease for `seconds` from now; False when another has taken it. An expired one revives."""
    cursor = await conn.execute(
        EXTEND,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "purpose": purpose,
            "fence": fence,
            "seconds": seconds,
        },
    )
    return cursor.rowcount == 1


RELEASE = """
update sync.leases set holder = null, expires_at = now()
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and purpose = %(purpose)s
  and fence = %(fence)s
"""


async def release(conn: Conn, *, tenant_id: UUID, connection_id: UUID, purpose: str, fence: int) -> None:
    """Give a lease back. Does nothing when another has taken it since."""
    await conn.execute(
        RELEASE,
        {"tenant_id": tenant_id, "connection_id": connection_id, "purpose": purpose, "fence": fence},
    )


# KEY SHARE keeps TAKE's FOR UPDATE away, but not the holder's own EXTEND: behind SHARE locks of writers that
# overlap without end that would wait for ever, and a healthy run would lose its lease.
REQUIRE = """
select from sync.leases
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and purpose = %(purpose)s
  and fence = %(fence)s and holder is not null
for key share
"""


async def require(conn: Conn, *, tenant_id: UUID, connection_id: UUID, purpose: str, fence: int) -> None:
    """Raise `LeaseLost` unless the fence still holds; until the transaction ends nobody can take the lease.

    Call it in every transaction that writes under a lease. A lease that has expired and that nobody has
    taken is still good: nobody else has written.
    """
    cursor = await conn.execute(
        REQUIRE,
        {"tenant_id": tenant_id, "connection_id": connection_id, "purpose": purpose, "fence": fence},
    )
    if cursor.rowcount != 1:
        raise LeaseLost


FIND_HOLDER = """
select holder, expires_at from sync.leases
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and purpose = %(purpose)s
  and holder is not null and expires_at > now()
"""


async def find_holder(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, purpose: str
) -> tuple[str, datetime] | None:
    """Return who holds a lease and until when, for messages and status; None when it is free."""
    cursor = await conn.execute(
        FIND_HOLDER, {"tenant_id": tenant_id, "connection_id": connection_id, "purpose": purpose}
    )
    row = await cursor.fetchone()
    return None if row is None else (row[0], row[1])
