"""Who is told of what happens: addresses, what they want to hear of, and their sealed secrets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from psycopg.errors import UniqueViolation
from psycopg.rows import class_row

from syncline.errors import AlreadyExists, NotFound
from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Subscription:
    id: UUID
    name: str
    url: str
    secret: bytes = field(repr=False)
    #: None in it means all.
    events: list[str]
    record_types: list[str]
    status: str
    #: When it was made, or resumed.
    told_since: datetime
    created_by: str
    created_at: datetime
    updated_at: datetime


_COLUMNS = (
    "id, name, url, secret, events, record_types, status, told_since, created_by, created_at, updated_at"
)
_TAKEN = "subscriptions_name_taken"

INSERT = """
insert into sync.subscriptions (tenant_id, id, name, url, secret, events, record_types, told_since,
  created_by, created_at, updated_at)
values (%(tenant_id)s, %(id)s, %(name)s, %(url)s, %(secret)s, %(events)s, %(record_types)s, %(now)s,
  %(created_by)s, %(now)s, %(now)s)
"""


async def insert(
    conn: Conn,
    subscription_id: UUID,
    *,
    tenant_id: UUID,
    name: str,
    url: str,
    secret: bytes,
    events: Sequence[str],
    record_types: Sequence[str],
    created_by: str,
    now: datetime,
) -> None:
    """Store a new subscription. Raises `AlreadyExists` for a name that is taken."""
    try:
        await conn.execute(
            INSERT,
            {
                "tenant_id": tenant_id,
                "id": subscription_id,
                "name": name,
                "url": url,
                "secret": secret,
                "events": list(events),
                "record_types": list(record_types),
                "created_by": created_by,
                "now": now,
            },
        )
    except UniqueViolation as error:
        if error.diag.constraint_name == _TAKEN:
            raise AlreadyExists(f"There is a subscription called {name!r} already.") from error
        raise


LIST_ALL = "select " + _COLUMNS + " from sync.subscriptions where tenant_id = %(tenant_id)s order by name"


async def list_all(conn: Conn, *, tenant_id: UUID) -> list[Subscription]:
    async with conn.cursor(row_factory=class_row(Subscription)) as cursor:
        await cursor.execute(LIST_ALL, {"tenant_id": tenant_id})
        return await cursor.fetchall()


GET = "select " + _COLUMNS + " from sync.subscriptions where tenant_id = %(tenant_id)s and id = %(id)s"


async def get(conn: Conn, subscription_id: UUID, *, tenant_id: UUID) -> Subscription:
    async with conn.cursor(row_factory=class_row(Subscription)) as cursor:
        await cursor.execute(GET, {"tenant_id": tenant_id, "id": subscription_id})
        found = await cursor.fetchone()
    if found is None:
        raise NotFound("There is no such subscription.")
    return found


CHANGE = """
update sync.subscriptions set name = %(name)s, url = %(url)s, secret = %(secret)s, events = %(events)s,
  record_types = %(record_types)s, status = %(status)s, told_since = %(told_since)s, updated_at = %(now)s
where tenant_id = %(tenant_id)s and id = %(id)s
"""


async def change(conn: Conn, changed: Subscription, *, tenant_id: UUID, now: datetime) -> None:
    """Store a subscription as it is to be. Raises `AlreadyExists` for a name that is taken."""
    try:
        await conn.execute(
            CHANGE,
            {
                "tenant_id": tenant_id,
                "id": changed.id,
                "name": changed.name,
                "url": changed.url,
                "secret": changed.secret,
                "events": changed.events,
                "record_types": changed.record_types,
                "status": changed.status,
                "told_since": changed.told_since,
                "now": now,
            },
        )
    except UniqueViolation as error:
        if error.diag.constraint_name == _TAKEN:
            raise AlreadyExists(f"There is a subscription called {changed.name!r} already.") from error
        raise


DELETE = "delete from sync.subscriptions where tenant_id = %(tenant_id)s and id = %(id)s"


async def delete(conn: Conn, subscription_id: UUID, *, tenant_id: UUID) -> bool:
    """Remove a subscription with its deliveries; False when there is none."""
    cursor = await conn.execute(DELETE, {"tenant_id": tenant_id, "id": subscription_id})
    return cursor.rowcount == 1
