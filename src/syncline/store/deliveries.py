"""Deliveries to subscribers: which are due, what they say, how they went, and sending them again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from syncline.store.db import Conn

State = Literal["pending", "delivered", "dead"]


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be sent now, with all that it takes."""

    id: UUID
    subscription_id: UUID
    url: str
    secret: bytes = field(repr=False)
    event: str
    event_id: UUID
    happened_at: datetime
    record_type: str | None
    record_id: UUID | None
    body: dict[str, Any] | None = field(repr=False)
    attempts: int
    #: When it was first to be sent.
    created_at: datetime
    #: Of a change of a record; None where the change log has it no more.
    action: str | None
    changes: dict[str, Any] | None = field(repr=False)
    source: str | None
    actor: str | None
    run_id: UUID | None


# Of one record only the first that is not ended goes: the next waits for it. Two that are about no record
# do not wait for each other.
CLAIM = """
with due as materialized (
  select d.tenant_id, d.id from sync.deliveries d
  join sync.subscriptions s on s.tenant_id = %(tenant_id)s and s.id = d.subscription_id
    and s.status = 'active'
  where d.tenant_id = %(tenant_id)s and d.state = 'pending' and d.not_before <= %(now)s
    and (d.claimed_until is null or d.claimed_until <= %(now)s)
    and (d.record_id is null or not exists (
      select from sync.deliveries e
      where e.tenant_id = %(tenant_id)s and e.subscription_id = d.subscription_id
        and e.record_id = d.record_id and e.state = 'pending'
        and (e.happened_at, e.id) < (d.happened_at, d.id)))
  order by d.not_before
  limit %(limit)s
  for update of d skip locked),
claimed as (
  update sync.deliveries u set claimed_until = %(until)s
  from due
  where u.tenant_id = %(tenant_id)s and due.tenant_id = u.tenant_id and u.id = due.id
  returning u.id, u.subscription_id, u.event, u.event_id, u.happened_at, u.record_type, u.record_id, u.body,
    u.attempts, u.created_at)
select c.id, c.subscription_id, s.url, s.secret, c.event, c.event_id, c.happened_at, c.record_type,
  c.record_id, c.body, c.attempts, c.created_at, l.action, l.changes, l.source, l.actor, l.run_id
from claimed c
join sync.subscriptions s on s.tenant_id = %(tenant_id)s and s.id = c.subscription_id
left join crm.change_log l on c.body is null and l.tenant_id = %(tenant_id)s
  and l.changed_at = c.happened_at and l.id = c.event_id
order by c.happened_at, c.id
"""


async def claim_due(
    conn: Conn, *, tenant_id: UUID, now: datetime, until: datetime, limit: int = 20
) -> list[Due]:
    """Take deliveries that are due, oldest first; nobody else takes them before `until`."""
    async with conn.cursor(row_factory=class_row(Due)) as cursor:
        await cursor.execute(CLAIM, {"tenant_id": tenant_id, "now": now, "until": until, "limit": limit})
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt, and what follows from it."""

    at: datetime
    status: int | None
    ms: int
    error: str | None
    state: State
    #: When it is tried again; of one that has ended, when it did.
    next_at: datetime

    def as_json(self) -> dict[str, Any]:
        return {"at": self.at.isoformat(), "status": self.status, "ms": self.ms, "error": self.error}


# The latest twenty attempts are kept.
END_TRY = """
update sync.deliveries set attempts = attempts + 1, claimed_until = null, state = %(state)s,
  not_before = case when %(state)s::text = 'pending' then %(next_at)s else not_before end,
  ended_at = case when %(state)s::text = 'pending' then null else %(next_at)s end,
  reason = %(reason)s,
  tries = (case when jsonb_array_length(tries) >= 20 then tries - 0 else tries end) || %(made)s::jsonb
where tenant_id = %(tenant_id)s and id = %(id)s and state = 'pending'
"""


async def end_try(conn: Conn, delivery_id: UUID, made: Try, *, tenant_id: UUID) -> None:
    """Write down how an attempt went, and what follows."""
    await conn.execute(
        END_TRY,
        {
            "tenant_id": tenant_id,
            "id": delivery_id,
            "state": made.state,
            "next_at": made.next_at,
            "reason": made.error,
            "made": Jsonb([made.as_json()]),
        },
    )


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as people look at it. Holds no values of records."""

    id: UUID
    subscription_id: UUID
    subscription: str
    event: str
    event_id: UUID
    happened_at: datetime
    record_type: str | None
    record_id: UUID | None
    state: State
    attempts: int
    not_before: datetime
    tries: list[dict[str, Any]]
    reason: str | None
    created_at: datetime
    ended_at: datetime | None


LIST_DELIVERIES = """
select d.id, d.subscription_id, s.name as subscription, d.event, d.event_id, d.happened_at, d.record_type,
  d.record_id, d.state, d.attempts, d.not_before, d.tries, d.reason, d.created_at, d.ended_at
from sync.deliveries d
join sync.subscriptions s on s.tenant_id = %(tenant_id)s and s.id = d.subscription_id
where d.tenant_id = %(tenant_id)s and d.subscription_id = %(subscription_id)s
  and (%(state)s::text is null or d.state = %(state)s)
  and (%(before)s::timestamptz is null or (d.created_at, d.id) < (%(before)s, %(before_id)s::uuid))
order by d.created_at desc, d.id desc
limit %(limit)s
"""


async def list_deliveries(
    conn: Conn,
    subscription_id: UUID,
    *,
    tenant_id: UUID,
    state: State | None,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
) -> list[Delivery]:
    """Return a subscription's deliveries, the latest first."""
    moment, row_id = before or (None, None)
    async with conn.cursor(row_factory=class_row(Delivery)) as cursor:
        await cursor.execute(
            LIST_DELIVERIES,
            {
                "tenant_id": tenant_id,
                "subscription_id": subscription_id,
                "state": state,
                "before": moment,
                "before_id": row_id,
                "limit": limit,
            },
            prepare=False,
        )
        return await cursor.fetchall()


INSERT_TEST = """
insert into sync.deliveries (tenant_id, id, subscription_id, event, event_id, happened_at, body, not_before,
  created_at)
values (%(tenant_id)s, %(id)s, %(subscription_id)s, 'test', %(id)s, %(now)s, '{}', %(now)s, %(now)s)
"""


async def insert_test(
    conn: Conn, delivery_id: UUID, subscription_id: UUID, *, tenant_id: UUID, now: datetime
) -> None:
    """Have an event that says nothing sent to a subscriber."""
    values = {"tenant_id": tenant_id, "id": delivery_id, "subscription_id": subscription_id, "now": now}
    await conn.execute(INSERT_TEST, values)


REPLAY = """
update sync.deliveries set state = 'pending', not_before = %(now)s, created_at = %(now)s,
  claimed_until = null, ended_at = null, reason = null, attempts = 0
where tenant_id = %(tenant_id)s and subscription_id = %(subscription_id)s and state <> 'pending'
  and (%(id)s::uuid is null or id = %(id)s) and (%(state)s::text is null or state = %(state)s)
  and (%(since)s::timestamptz is null or happened_at >= %(since)s)
"""


async def replay(
    conn: Conn,
    subscription_id: UUID,
    *,
    tenant_id: UUID,
    now: datetime,
    delivery_id: UUID | None = None,
    state: State | None = None,
    since: datetime | None = None,
) -> int:
    """Have deliveries that ended sent again, in the order in which things happened; returns how many."""
    cursor = await conn.execute(
        REPLAY,
        {
            "tenant_id": tenant_id,
            "subscription_id": subscription_id,
            "now": now,
            "id": delivery_id,
            "state": state,
            "since": since,
        },
    )
    return cursor.rowcount


DROP_PENDING = """
delete from sync.deliveries
where tenant_id = %(tenant_id)s and subscription_id = %(subscription_id)s and state = 'pending'
"""


async def drop_pending(conn: Conn, subscription_id: UUID, *, tenant_id: UUID) -> int:
    """Forget what waits for a subscriber that is not to be told any more."""
    cursor = await conn.execute(DROP_PENDING, {"tenant_id": tenant_id, "subscription_id": subscription_id})
    return cursor.rowcount
