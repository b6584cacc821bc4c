"""Connections: one account on a platform, of one tenant, with its sealed credentials."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from syncline.errors import AlreadyExists, NotFound, RetryLater
from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Connection:
    tenant_id: UUID
    id: UUID
    platform: str
    name: str
    base_url: str
    account_id: str | None
    account_name: str | None
    account_url: str | None
    status: str
    paused_reason: str | None
    credentials: bytes | None = field(repr=False)
    settings: dict[str, Any]
    #: Whether what `sync.writing` allows is sent now.
    writes_enabled: bool
    #: The mapping as a person wrote it; None follows the platform's default.
    mapping: dict[str, Any] | None
    mapping_version: int
    #: Object → label as a mapping names it → the property it means in this account.
    property_names: dict[str, dict[str, str]]
    created_at: datetime


_COLUMNS = """tenant_id, id, platform, name, base_url, account_id, account_name, account_url, status,
  paused_reason, credentials, settings, writes_enabled, mapping, mapping_version, property_names,
  created_at"""

INSERT = """
insert into sync.connections (tenant_id, id, platform, name, base_url, account_id, account_name, account_url,
  credentials, settings, created_at, updated_at)
values (%(tenant_id)s, %(id)s, %(platform)s, %(name)s, %(base_url)s, %(account_id)s, %(account_name)s,
  %(account_url)s, %(credentials)s, %(settings)s, %(now)s, %(now)s)
"""


async def insert(
    conn: Conn,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    platform: str,
    name: str,
    base_url: str,
    account_id: str,
    account_name: str,
    account_url: str | None,
    credentials: bytes,
    settings: dict[str, Any],
    now: datetime,
) -> None:
    """Store a new connection. Raises `AlreadyExists` when the tenant has one of that name."""
    try:
        await conn.execute(
            INSERT,
            {
                "tenant_id": tenant_id,
                "id": connection_id,
                "platform": platform,
                "name": name,
                "base_url": base_url,
                "account_id": account_id,
                "account_name": account_name,
                "account_url": account_url,
                "credentials": credentials,
                "settings": Jsonb(settings),
                "now": now,
            },
        )
    except UniqueViolation as error:
        if error.diag.constraint_name == "connections_name_taken":
            raise AlreadyExists(f"There is a connection called {name!r} already.") from error
        raise


LIST_ALL = "select " + _COLUMNS + " from sync.connections where tenant_id = %(tenant_id)s order by name"


async def list_all(conn: Conn, *, tenant_id: UUID) -> list[Connection]:
    async with conn.cursor(row_factory=class_row(Connection)) as cursor:
        await cursor.execute(LIST_ALL, {"tenant_id": tenant_id})
        return await cursor.fetchall()


FIND = "select " + _COLUMNS + " from sync.connections where tenant_id = %(tenant_id)s and name = %(name)s"


async def find(conn: Conn, name: str, *, tenant_id: UUID) -> Connection | None:
    async with conn.cursor(row_factory=class_row(Connection)) as cursor:
        await cursor.execute(FIND, {"tenant_id": tenant_id, "name": name})
        return await cursor.fetchone()


GET = "select " + _COLUMNS + " from sync.connections where tenant_id = %(tenant_id)s and id = %(id)s"


async def get(conn: Conn, connection_id: UUID, *, tenant_id: UUID) -> Connection:
    async with conn.cursor(row_factory=class_row(Connection)) as cursor:
        await cursor.execute(GET, {"tenant_id": tenant_id, "id": connection_id})
        row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such connection.")
    return row


SET_CREDENTIALS = """
update sync.connections set credentials = %(credentials)s, updated_at = %(now)s
where tenant_id = %(tenant_id)s and id = %(id)s
"""


async def set_credentials(
    conn: Conn, connection_id: UUID, credentials: bytes, *, tenant_id: UUID, now: datetime
) -> None:
    await conn.execute(
        SET_CREDENTIALS,
        {"tenant_id": tenant_id, "id": connection_id, "credentials": credentials, "now": now},
    )


RENAME = """
update sync.connections set name = %(name)s, updated_at = %(now)s
where tenant_id = %(tenant_id)s and id = %(id)s
"""


async def rename(conn: Conn, connection_id: UUID, name: str, *, tenant_id: UUID, now: datetime) -> None:
    """Give a connection another name. Raises `AlreadyExists` when the tenant has one of that name."""
    try:
        await conn.execute(RENAME, {"tenant_id": tenant_id, "id": connection_id, "name": name, "now": now})
    except UniqueViolation as error:
        if error.diag.constraint_name == "connections_name_taken":
            raise AlreadyExists(f"There is a connection called {name!r} already.") from error
        raise


PAUSE = """
update sync.connections set status = 'paused', paused_reason = %(reason)s, updated_at = %(now)s
where tenant_id = %(tenant_id)s and id = %(id)s and status = 'active'
"""


async def pause(conn: Conn, connection_id: UUID, reason: str, *, tenant_id: UUID, now: datetime) -> bool:
    """Stop using a connection; False when it is paused already, with its first reason kept."""
    cursor = await conn.execute(
        PAUSE, {"tenant_id": tenant_id, "id": connection_id, "reason": reason, "now": now}
    )
    return cursor.rowcount == 1


RESUME = """
update sync.connections set status = 'active', paused_reason = null, updated_at = %(now)s,
  resumed_at = %(now)s
where tenant_id = %(tenant_id)s and id = %(id)s
"""


async def resume(conn: Conn, connection_id: UUID, *, tenant_id: UUID, now: datetime) -> None:
    await conn.execute(RESUME, {"tenant_id": tenant_id, "id": connection_id, "now": now})


DELETE = "delete from sync.connections where tenant_id = %(tenant_id)s and id = %(id)s"


async def delete(conn: Conn, connection_id: UUID, *, tenant_id: UUID) -> None:
    """Remove a connection with its links, cursors, runs and raw payloads; records of ours stay."""
    await conn.execute(DELETE, {"tenant_id": tenant_id, "id": connection_id})


COUNT_LINKED = """
select record_type, count(*) from sync.links
where tenant_id = %(tenant_id)s and connection_id = %(id)s and is_primary
group by record_type order by record_type
"""


async def count_linked(conn: Conn, connection_id: UUID, *, tenant_id: UUID) -> dict[str, int]:
    """Return how many records of each type the connection is linked to."""
    cursor = await conn.execute(COUNT_LINKED, {"tenant_id": tenant_id, "id": connection_id})
    return {str(row[0]): int(row[1]) for row in await cursor.fetchall()}


CHANGE_PLACE = """
update sync.connections set base_url = %(base_url)s, settings = settings || %(settings)s, updated_at = %(now)s
where tenant_id = %(tenant_id)s and id = %(id)s
"""


async def change_place(
    conn: Conn,
    connection_id: UUID,
    base_url: str,
    settings: dict[str, Any],
    *,
    tenant_id: UUID,
    now: datetime,
) -> None:
    """Set where the CRM is reached, and the settings that are named; others stay."""
    await conn.execute(
        CHANGE_PLACE,
        {
            "tenant_id": tenant_id,
            "id": connection_id,
            "base_url": base_url,
            "settings": Jsonb(settings),
            "now": now,
        },
    )


SET_PROPERTY_NAMES = """
update sync.connections set property_names = property_names || %(names)s, updated_at = %(now)s
where tenant_id = %(tenant_id)s and id = %(id)s
"""


async def set_property_names(
    conn: Conn,
    connection_id: UUID,
    object_name: str,
    names: dict[str, str],
    *,
    tenant_id: UUID,
    now: datetime,
) -> None:
    """Store which properties of one object the labels in mappings mean."""
    values = {"tenant_id": tenant_id, "id": connection_id, "names": Jsonb({object_name: names}), "now": now}
    await conn.execute(SET_PROPERTY_NAMES, values)


LOCK_MAPPING = """
select c.mapping_version from sync.connections c
where c.tenant_id = %(tenant_id)s and c.id = %(id)s for update
"""

SET_MAPPING = """
update sync.connections
set mapping = %(mapping)s, mapping_version = %(version)s, updated_at = %(now)s
where tenant_id = %(tenant_id)s and id = %(id)s
"""


async def set_mapping(
    conn: Conn,
    connection_id: UUID,
    mapping: dict[str, Any] | None,
    *,
    tenant_id: UUID,
    version: int,
    now: datetime,
) -> bool:
    """Store a mapping as the one after `version`; False when that is not the one that holds.

    Waits for transactions that write by the one before; later ones wait for its own to end.
    """
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(LOCK_MAPPING, {"tenant_id": tenant_id, "id": connection_id})
        if await cursor.fetchone() != version:
            return False
        await cursor.execute(
            SET_MAPPING,
            {
                "tenant_id": tenant_id,
                "id": connection_id,
                "mapping": None if mapping is None else Jsonb(mapping),
                "version": version + 1,
                "now": now,
            },
        )
    return True


PUT_SETTINGS = """
update sync.connections set settings = settings || %(settings)s, updated_at = %(now)s
where tenant_id = %(tenant_id)s and id = %(id)s
"""


async def put_settings(
    conn: Conn, connection_id: UUID, settings: dict[str, Any], *, tenant_id: UUID, now: datetime
) -> None:
    """Set the settings that are named; others stay."""
    await conn.execute(
        PUT_SETTINGS,
        {"tenant_id": tenant_id, "id": connection_id, "settings": Jsonb(settings), "now": now},
    )


# Conflicts with nothing but LOCK_MAPPING: every foreign key to a connection locks its row so.
REQUIRE_MAPPING = """
select from sync.connections c
where c.tenant_id = %(tenant_id)s and c.id = %(id)s and c.mapping_version = %(version)s for key share
"""


async def require_mapping(conn: Conn, connection_id: UUID, version: int, *, tenant_id: UUID) -> None:
    """Raise `RetryLater` unless this mapping still holds; it then does until the transaction ends.

    Call it in every transaction that writes by a mapping.
    """
    cursor = await conn.execute(
        REQUIRE_MAPPING, {"tenant_id": tenant_id, "id": connection_id, "version": version}
    )
    if cursor.rowcount != 1:
        raise RetryLater(
            "The mapping was changed meanwhile; the next run goes on by the new one.", after_seconds=0
        )
