"""The audit log: who did what, from where. The application can add to it and read it, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn
from syncline.store.rows import to_json


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done."""

    id: UUID
    at: datetime
    actor: str
    user_id: UUID | None
    key_id: UUID | None
    source: str
    address: str | None
    action: str
    subject: str | None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


INSERT = """
insert into app.audit_log (tenant_id, id, at, actor, user_id, key_id, source, address, action, subject,
  details)
values (%(tenant_id)s, %(id)s, %(at)s, %(actor)s, %(user_id)s, %(key_id)s, %(source)s, %(address)s,
  %(action)s, %(subject)s, %(details)s::jsonb)
"""


async def insert(conn: Conn, entry: Entry, *, tenant_id: UUID) -> None:
    await conn.execute(
        INSERT,
        {
            "tenant_id": tenant_id,
            "id": entry.id,
            "at": entry.at,
            "actor": entry.actor,
            "user_id": entry.user_id,
            "key_id": entry.key_id,
            "source": entry.source,
            "address": entry.address,
            "action": entry.action,
            "subject": entry.subject,
            "details": to_json(entry.details),
        },
    )


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What is looked for; None for anything."""

    actor: str | None = None
    #: The action, or its first part: 'key' finds 'key.created'.
    action: str | None = None
    subject: str | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None


LIST = """
select id, at, actor, user_id, key_id, source, address, action, subject, details
from app.audit_log
where tenant_id = %(tenant_id)s
  and (%(actor)s::text is null or actor = %(actor)s)
  and (%(action)s::text is null or action = %(action)s or starts_with(action, %(action)s || '.'))
  and (%(subject)s::text is null or subject = %(subject)s)
  and (%(source)s::text is null or source = %(source)s)
  and (%(since)s::timestamptz is null or at >= %(since)s)
  and (%(until)s::timestamptz is null or at < %(until)s)
  and (%(after_at)s::timestamptz is null or (at, id) < (%(after_at)s, %(after_id)s::uuid))
order by at desc, id desc
limit %(limit)s
"""


async def list_page(
    conn: Conn, wanted: AuditFilter, *, tenant_id: UUID, after: tuple[datetime, UUID] | None, limit: int
) -> list[Entry]:
    """Return what was done, the latest first, behind the entry at `after`."""
    after_at, after_id = after or (None, None)
    async with conn.cursor(row_factory=class_row(Entry)) as cursor:
        await cursor.execute(
            LIST,
            {
                "tenant_id": tenant_id,
                "actor": wanted.actor,
                "action": wanted.action,
                "subject": wanted.subject,
                "source": wanted.source,
                "since": wanted.since,
                "until": wanted.until,
                "after_at": after_at,
                "after_id": after_id,
                "limit": limit,
            },
        )
        return await cursor.fetchall()
