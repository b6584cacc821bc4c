"""Requests that came with an Idempotency-Key, and the answers they were given. Knows no HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Kept:
    """A request that was seen before."""

    request_hash: bytes
    state: str
    status: int | None
    content_type: str | None
    location: str | None
    body: bytes | None


FORGET_EXPIRED = """
delete from app.idempotency
where tenant_id = %(tenant_id)s and caller = %(caller)s and key = %(key)s and expires_at <= %(now)s
"""

CLAIM = """
insert into app.idempotency (tenant_id, caller, key, request_hash, state, created_at, expires_at)
values (%(tenant_id)s, %(caller)s, %(key)s, %(request_hash)s, 'running', %(now)s, %(expires_at)s)
on conflict (tenant_id, caller, key) do nothing
"""

FIND = """
select request_hash, state, status, content_type, location, body from app.idempotency
where tenant_id = %(tenant_id)s and caller = %(caller)s and key = %(key)s
"""


async def claim(
    conn: Conn,
    key: str,
    request_hash: bytes,
    *,
    tenant_id: UUID,
    caller: str,
    now: datetime,
    expires_at: datetime,
) -> Kept | None:
    """Take a key for a request that begins; what was kept under it when it is taken already.

    Of two at once one gets it: the other waits for that to commit. `expires_at` is when a request that
    never ends is given up.
    """
    keys = {"tenant_id": tenant_id, "caller": caller, "key": key, "now": now}
    async with conn.cursor(row_factory=class_row(Kept)) as cursor:
        await cursor.execute(FORGET_EXPIRED, keys)
        await cursor.execute(CLAIM, {**keys, "request_hash": request_hash, "expires_at": expires_at})
        if cursor.rowcount == 1:
            return None
        await cursor.execute(FIND, keys)
        # Released in this very moment: whoever asks again gets it.
        return await cursor.fetchone() or Kept(request_hash, "running", None, None, None, None)


KEEP = """
update app.idempotency set state = 'done', status = %(status)s, content_type = %(content_type)s,
  location = %(location)s, body = %(body)s, expires_at = %(expires_at)s
where tenant_id = %(tenant_id)s and caller = %(caller)s and key = %(key)s and request_hash = %(request_hash)s
  and state = 'running'
"""


async def keep(
    conn: Conn, key: str, answer: Kept, *, tenant_id: UUID, caller: str, expires_at: datetime
) -> None:
    """Keep the answer of a request until `expires_at`."""
    await conn.execute(
        KEEP,
        {
            "tenant_id": tenant_id,
            "caller": caller,
            "key": key,
            "request_hash": answer.request_hash,
            "status": answer.status,
            "content_type": answer.content_type,
            "location": answer.location,
            "body": answer.body,
            "expires_at": expires_at,
        },
    )


RELEASE = """
delete from app.idempotency
where tenant_id = %(tenant_id)s and caller = %(caller)s and key = %(key)s and request_hash = %(request_hash)s
  and state = 'running'
"""


async def release(conn: Conn, key: str, request_hash: bytes, *, tenant_id: UUID, caller: str) -> None:
    """Let a request be made again: this one has done nothing."""
    await conn.execute(
        RELEASE, {"tenant_id": tenant_id, "caller": caller, "key": key, "request_hash": request_hash}
    )
