"""Notifications that wait to be delivered. Knows neither channels nor who has which role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from syncline.clock import new_id
from syncline.store.db import Conn

Channel = Literal["email", "slack", "sms", "webhook"]


@dataclass(frozen=True, slots=True)
class Notification:
    """What somebody is to be told. Holds no values of records but their names."""

    channel: Channel
    template: str
    #: An address, a channel's name, a URL, or a role: then everybody who has it.
    recipient: str
    subject: str
    body: str
    record_type: str | None = None
    record_id: UUID | None = None


INSERT_MANY = """
insert into crm.notifications (tenant_id, id, notification_type, template_name, recipient, subject, body,
  record_type, record_id, created_at)
select %(tenant_id)s, s.id, s.channel, s.template, s.recipient, s.subject, s.body, s.record_type, s.record_id,
  %(now)s
from unnest(%(ids)s::uuid[], %(channels)s::text[], %(templates)s::text[], %(recipients)s::text[],
            %(subjects)s::text[], %(bodies)s::text[], %(record_types)s::text[], %(record_ids)s::uuid[])
  as s (id, channel, template, recipient, subject, body, record_type, record_id)
on conflict (tenant_id, id) do nothing
"""


async def insert_many(
    conn: Conn, notifications: Sequence[Notification], *, tenant_id: UUID, now: datetime
) -> None:
    """Write notifications down; they are delivered later."""
    await conn.execute(
        INSERT_MANY,
        {
            "tenant_id": tenant_id,
            "now": now,
            "ids": [new_id() for _ in notifications],
            "channels": [each.channel for each in notifications],
            "templates": [each.template for each in notifications],
            "recipients": [each.recipient for each in notifications],
            "subjects": [each.subject for each in notifications],
            "bodies": [each.body for each in notifications],
            "record_types": [each.record_type for each in notifications],
            "record_ids": [each.record_id for each in notifications],
        },
    )
