"""Channels that notifications go by: chats and programs, with their sealed addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.errors import UniqueViolation
from psycopg.rows import class_row

from syncline.errors import AlreadyExists, NotFound
from syncline.store.db import Conn

Kind = Literal["slack", "webhook"]


@dataclass(frozen=True, slots=True)
class Channel:
    id: UUID
    kind: Kind
    name: str
    #: Sealed: whoever knows the address may write there.
    url: bytes = field(repr=False)
    #: What may be shown of the address.
    host: str
    #: Sealed; what a webhook is signed with.
    secret: bytes | None = field(repr=False)
    created_by: str
    created_at: datetime
    updated_at: datetime


_COLUMNS = "id, kind, name, url, host, secret, created_by, created_at, updated_at"

LIST_ALL = "select " + _COLUMNS + " from app.channels where tenant_id = %(tenant_id)s order by kind, name"


async def list_all(conn: Conn, *, tenant_id: UUID) -> list[Channel]:
    async with conn.cursor(row_factory=class_row(Channel)) as cursor:
        await cursor.execute(LIST_ALL, {"tenant_id": tenant_id})
        return await cursor.fetchall()


HOLD_ALL = """
select kind, name from app.channels where tenant_id = %(tenant_id)s order by kind, name for key share
"""


async def hold_all(conn: Conn, *, tenant_id: UUID) -> set[tuple[str, str]]:
    """Return the channels there are, (kind, name). None of them can be removed until the transaction ends."""
    cursor = await conn.execute(HOLD_ALL, {"tenant_id": tenant_id})
    return {(kind, name) for kind, name in await cursor.fetchall()}


FIND = (
    "select "
    + _COLUMNS
    + """ from app.channels
where tenant_id = %(tenant_id)s and kind = %(kind)s and name = %(name)s"""
)


async def find(conn: Conn, kind: str, name: str, *, tenant_id: UUID) -> Channel | None:
    async with conn.cursor(row_factory=class_row(Channel)) as cursor:
        await cursor.execute(FIND, {"tenant_id": tenant_id, "kind": kind, "name": name})
        return await cursor.fetchone()


async def get(conn: Conn, kind: str, name: str, *, tenant_id: UUID) -> Channel:
    """Raises `NotFound`."""
    return _require(await find(conn, kind, name, tenant_id=tenant_id), kind, name)


LOCK = FIND + " for update"


async def lock(conn: Conn, kind: str, name: str, *, tenant_id: UUID) -> Channel:
    """Return a channel that is to be removed, behind whoever holds it; until the end of the transaction
    nobody takes it for one that is there. Raises `NotFound`.
    """
    async with conn.cursor(row_factory=class_row(Channel)) as cursor:
        await cursor.execute(LOCK, {"tenant_id": tenant_id, "kind": kind, "name": name})
        return _require(await cursor.fetchone(), kind, name)


def _require(found: Channel | None, kind: str, name: str) -> Channel:
    if found is None:
        raise NotFound(f"There is no channel {kind}:{name}.")
    return found


INSERT = """
insert into app.channels (tenant_id, id, kind, name, url, host, secret, created_by, created_at, updated_at)
values (%(tenant_id)s, %(id)s, %(kind)s, %(name)s, %(url)s, %(host)s, %(secret)s, %(created_by)s,
  %(created_at)s, %(updated_at)s)
"""


async def insert(conn: Conn, channel: Channel, *, tenant_id: UUID) -> None:
    """Store a new channel. Raises `AlreadyExists` for a name that is taken."""
    try:
        await conn.execute(
            INSERT,
            {
                "tenant_id": tenant_id,
                "id": channel.id,
                "kind": channel.kind,
                "name": channel.name,
                "url": channel.url,
                "host": channel.host,
                "secret": channel.secret,
                "created_by": channel.created_by,
                "created_at": channel.created_at,
                "updated_at": channel.updated_at,
            },
        )
    except UniqueViolation as error:
        if error.diag.constraint_name == "channels_name_taken":
            raise AlreadyExists(f"There is a channel {channel.kind}:{channel.name} already.") from error
        raise


DELETE = "delete from app.channels where tenant_id = %(tenant_id)s and id = %(id)s"


async def delete(conn: Conn, channel_id: UUID, *, tenant_id: UUID) -> bool:
    return (await conn.execute(DELETE, {"tenant_id": tenant_id, "id": channel_id})).rowcount == 1
