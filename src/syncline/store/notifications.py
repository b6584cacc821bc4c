"""Notifications: what somebody is to be told, whether it was delivered, and what stood in the way.

Knows neither channels nor who has which role, and sends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.rows import class_row

from syncline.clock import new_id
from syncline.errors import NotFound
from syncline.store.db import Conn

Channel = Literal["email", "slack", "sms", "webhook"]
Status = Literal["pending", "sent", "failed"]


@dataclass(frozen=True, slots=True)
class Notification:
    """What somebody is to be told. Holds no values of records but their names."""

    channel: Channel
    template: str
    #: An address, a channel's name, or a role: then everybody who has it.
    recipient: str
    subject: str
    body: str
    record_type: str | None = None
    record_id: UUID | None = None
    alert_id: UUID | None = None
    #: What is told under the same key before is not told again; None tells it in any case.
    dedupe_key: str | None = None
    #: In a channel: the role whose members are called by their names.
    mention: str | None = None


INSERT_MANY = """
insert into crm.notifications (tenant_id, id, notification_type, template_name, recipient, subject, body,
  record_type, record_id, alert_id, dedupe_key, mention, created_at, not_before)
select %(tenant_id)s, s.id, s.channel, s.template, s.recipient, s.subject, s.body, s.record_type, s.record_id,
  s.alert_id, s.dedupe_key, s.mention, %(now)s, %(now)s
from unnest(%(ids)s::uuid[], %(channels)s::text[], %(templates)s::text[], %(recipients)s::text[],
            %(subjects)s::text[], %(bodies)s::text[], %(record_types)s::text[], %(record_ids)s::uuid[],
            %(alert_ids)s::uuid[], %(dedupe_keys)s::text[], %(mentions)s::text[])
  as s (id, channel, template, recipient, subject, body, record_type, record_id, alert_id, dedupe_key,
        mention)
on conflict do nothing
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
            "alert_ids": [each.alert_id for each in notifications],
            "dedupe_keys": [each.dedupe_key for each in notifications],
            "mentions": [each.mention for each in notifications],
        },
    )


LIST_TENANTS = "select tenant_id from crm.notified_tenants(%(at)s) as tenant_id"


async def list_tenants(conn: Conn, at: datetime) -> list[UUID]:
    """Return the tenants that have something to be delivered. Needs no tenant to be set."""
    cursor = await conn.execute(LIST_TENANTS, {"at": at})
    return [row[0] for row in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Due:
    """A notification that is to be delivered now."""

    id: UUID
    channel: Channel
    template: str | None
    recipient: str = field(repr=False)
    subject: str
    body: str
    alert_id: UUID | None
    mention: str | None
    #: How often it was tried.
    retry_count: int
    error_message: str | None
    #: When it was first to be told; also of one that is told again later.
    created_at: datetime
    #: From when on it was to be tried this time.
    not_before: datetime
    #: Whom their role stood for; None for an address, a channel, or a role.
    user_id: UUID | None = None


# That it is over is told behind that it began, also where the latter has to be tried again.
CLAIM_DUE = """
with due as materialized (
  select n.tenant_id, n.id from crm.notifications n
  where n.tenant_id = %(tenant_id)s and n.status = 'pending' and n.not_before <= %(now)s
    and (n.claimed_until is null or n.claimed_until <= %(now)s)
    and (n.alert_id is null or not exists (
      select from crm.notifications e
      where e.tenant_id = %(tenant_id)s and e.alert_id = n.alert_id and e.status = 'pending'
        and e.notification_type = n.notification_type and e.recipient = n.recipient
        and (e.created_at, e.id) < (n.created_at, n.id)))
  order by n.not_before
  limit %(limit)s
  for update of n skip locked)
update crm.notifications u set claimed_until = %(until)s
from due
where u.tenant_id = %(tenant_id)s and due.tenant_id = u.tenant_id and u.id = due.id
returning u.id, u.notification_type as channel, u.template_name as template, u.recipient,
  coalesce(u.subject, '') as subject, coalesce(u.body, '') as body, u.alert_id, u.mention, u.retry_count,
  u.error_message, u.created_at, u.not_before, u.user_id
"""


async def claim_due(conn: Conn, *, tenant_id: UUID, now: datetime, until: datetime, limit: int) -> list[Due]:
    """Take notifications that are due; nobody else takes them before `until`."""
    async with conn.cursor(row_factory=class_row(Due)) as cursor:
        await cursor.execute(CLAIM_DUE, {"tenant_id": tenant_id, "now": now, "until": until, "limit": limit})
        found = await cursor.fetchall()
    return sorted(found, key=lambda each: (each.created_at, each.id))


TAKE_APART = """
with whole as (
  delete from crm.notifications
  where tenant_id = %(tenant_id)s and id = %(id)s and status = 'pending'
  returning notification_type, template_name, subject, body, record_type, record_id, alert_id, dedupe_key,
    created_at)
insert into crm.notifications (tenant_id, id, user_id, notification_type, template_name, recipient, subject,
  body, record_type, record_id, alert_id, dedupe_key, created_at, not_before)
select %(tenant_id)s, gen_random_uuid(), p.user_id, w.notification_type, w.template_name, p.address,
  w.subject, w.body, w.record_type, w.record_id, w.alert_id,
  regexp_replace(coalesce(w.dedupe_key, %(id)s::text), ':role:[a-z]+$', '') || ':email:'
    || left(encode(sha256(convert_to(lower(p.address), 'UTF8')), 'hex'), 16),
  w.created_at, %(now)s
from whole w
cross join unnest(%(user_ids)s::uuid[], %(addresses)s::text[]) as p (user_id, address)
on conflict do nothing
"""


async def take_apart(
    conn: Conn,
    notification_id: UUID,
    members: Sequence[tuple[UUID, str]],
    *,
    tenant_id: UUID,
    now: datetime,
) -> None:
    """Put one notification for each member, (user, address), in place of the one for their role.

    Somebody who is told of the same by another way of the same kind is not told twice.
    """
    await conn.execute(
        TAKE_APART,
        {
            "tenant_id": tenant_id,
            "id": notification_id,
            "user_ids": [user_id for user_id, _ in members],
            "addresses": [address for _, address in members],
            "now": now,
        },
    )


END_TRY = """
update crm.notifications set status = %(status)s, claimed_until = null,
  sent_at = case when %(status)s::text = 'sent' then %(now)s::timestamptz end,
  error_message = %(reason)s, retry_count = retry_count + %(tries)s,
  not_before = coalesce(%(not_before)s::timestamptz, not_before)
where tenant_id = %(tenant_id)s and id = %(id)s and status = 'pending'
"""


@dataclass(frozen=True, slots=True)
class Tried:
    """How an attempt went, and what follows."""

    status: Status
    #: Why it was not delivered, without addresses and secrets.
    reason: str | None = None
    #: When it is tried again.
    not_before: datetime | None = None
    #: False where it could not even be tried.
    counts: bool = True


async def end_try(conn: Conn, notification_id: UUID, tried: Tried, *, tenant_id: UUID, now: datetime) -> None:
    await conn.execute(
        END_TRY,
        {
            "tenant_id": tenant_id,
            "id": notification_id,
            "status": tried.status,
            "reason": tried.reason,
            "tries": 1 if tried.counts and tried.status != "sent" else 0,
            "not_before": tried.not_before,
            "now": now,
        },
    )


@dataclass(frozen=True, slots=True)
class Told:
    """A notification as people look at it."""

    id: UUID
    channel: Channel
    template: str | None
    #: None where whoever looks may not see it.
    recipient: str | None
    subject: str | None
    status: Status
    alert_id: UUID | None
    sent_at: datetime | None
    not_before: datetime
    error_message: str | None
    retry_count: int
    created_at: datetime


_TOLD = """id, notification_type as channel, template_name as template, recipient, subject, status, alert_id,
  sent_at, not_before, error_message, retry_count, created_at"""

LIST_PAGE = (
    "select "
    + _TOLD
    + """ from crm.notifications
where tenant_id = %(tenant_id)s
  and (%(status)s::text is null or status = %(status)s)
  and (%(before)s::timestamptz is null or (created_at, id) < (%(before)s, %(before_id)s::uuid))
order by created_at desc, id desc
limit %(limit)s"""
)


async def list_page(
    conn: Conn,
    *,
    tenant_id: UUID,
    status: Status | None,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
) -> list[Told]:
    """Return notifications, the latest first."""
    moment, row_id = before or (None, None)
    async with conn.cursor(row_factory=class_row(Told)) as cursor:
        await cursor.execute(
            LIST_PAGE,
            {
                "tenant_id": tenant_id,
                "status": status,
                "before": moment,
                "before_id": row_id,
                "limit": limit,
            },
            prepare=False,
        )
        return await cursor.fetchall()


LIST_OF_ALERT = (
    "select "
    + _TOLD
    + """ from crm.notifications
where tenant_id = %(tenant_id)s and alert_id = %(alert_id)s
order by created_at, id"""
)


async def list_of_alert(conn: Conn, alert_id: UUID, *, tenant_id: UUID) -> list[Told]:
    """Return who was told of an alert, the earliest first."""
    async with conn.cursor(row_factory=class_row(Told)) as cursor:
        await cursor.execute(LIST_OF_ALERT, {"tenant_id": tenant_id, "alert_id": alert_id})
        return await cursor.fetchall()


# The time at which it was written stays: what is told of is no newer, and stays before what came of it.
RETRY = """
update crm.notifications set status = 'pending', not_before = %(now)s,
  claimed_until = null, retry_count = 0, error_message = null
where tenant_id = %(tenant_id)s and id = %(id)s and status = 'failed'
"""


async def retry(conn: Conn, notification_id: UUID, *, tenant_id: UUID, now: datetime) -> None:
    """Have one that was given up delivered after all, with all its attempts.

    Raises `NotFound` where there is no such one.
    """
    cursor = await conn.execute(RETRY, {"tenant_id": tenant_id, "id": notification_id, "now": now})
    if cursor.rowcount != 1:
        raise NotFound("There is no such notification that was given up.")
