"""The inbox: deliveries as CRMs sent them, until they are worked off; and the fact of those refused.

Knows rows and their states; what a body says, and who may knock, is the engine's matter. Times that decide
when something is due are the database's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row, scalar_row
from psycopg.types.array import ListBinaryDumper

from syncline.store.db import Conn

FIND_RECEIVERS = """
select tenant_id, connection_id
from sync.find_receivers(%(platform)s, %(account)s, %(called)s, %(slug)s)
"""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A connection that a delivery may be for."""

    tenant_id: UUID
    connection_id: UUID


async def find_receivers(
    conn: Conn, platform: str, *, account: str | None, called: str | None, slug: str | None
) -> list[Receiver]:
    """Return the connections called so (by name or id, of the tenant `slug`), else those of an account.

    Over all tenants, so that there may be several; needs no tenant to be set. At most fifty.
    """
    async with conn.cursor(row_factory=class_row(Receiver)) as cursor:
        await cursor.execute(
            FIND_RECEIVERS, {"platform": platform, "account": account, "called": called, "slug": slug}
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A genuine delivery that is to be kept. `events` is how many its body holds."""

    id: UUID
    connection_id: UUID
    received_at: datetime
    body: str
    events: int


INSERT = """
insert into sync.inbox (tenant_id, id, connection_id, received_at, body, events, not_before)
select %(tenant_id)s, s.id, s.connection_id, s.received_at, s.body, s.events,
  now() + make_interval(secs => %(wait_seconds)s)
from unnest(%(ids)s::uuid[], %(connection_ids)s::uuid[], %(received_ats)s::timestamptz[], %(bodies)s::text[],
            %(events)s::int[]) as s (id, connection_id, received_at, body, events)
where exists (select from sync.connections c
              where c.tenant_id = %(tenant_id)s and c.id = s.connection_id)
on conflict (tenant_id, id) do nothing
returning id
"""


async def insert(
    conn: Conn, deliveries: Sequence[NewDelivery], *, tenant_id: UUID, wait_seconds: float
) -> set[UUID]:
    """Keep deliveries, due in `wait_seconds`; return which. Those of a connection that is no more are not."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        # As text every quote of every body would be escaped one by one: half the time of taking it in.
        cursor.adapters.register_dumper(list, ListBinaryDumper)
        await cursor.execute(
            INSERT,
            {
                "tenant_id": tenant_id,
                "wait_seconds": wait_seconds,
                "ids": [each.id for each in deliveries],
                "connection_ids": [each.connection_id for each in deliveries],
                "received_ats": [each.received_at for each in deliveries],
                "bodies": [each.body for each in deliveries],
                "events": [each.events for each in deliveries],
            },
        )
        return set(await cursor.fetchall())


LIST_WAITING = "select tenant_id, connection_id, due_in_seconds from sync.waiting_inboxes()"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A connection with deliveries; the first is due in so many seconds, below 0 when it is already."""

    tenant_id: UUID
    connection_id: UUID
    due_in_seconds: float


async def list_waiting(conn: Conn) -> list[Waiting]:
    """Return connections with deliveries to be worked off, over all tenants, the longest due first."""
    async with conn.cursor(row_factory=class_row(Waiting)) as cursor:
        await cursor.execute(LIST_WAITING)
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that waits. `attempts` is how often it was begun with and failed."""

    id: UUID
    received_at: datetime
    body: str
    attempts: int
    is_due: bool


# What is due within `ahead_seconds` comes along, since it would follow at once. The bound on bytes is one of
# memory; the first row passes whatever its size.
LIST_DUE = """
select id, received_at, body, attempts, is_due
from (
  select i.id, i.received_at, i.body, i.attempts, i.not_before, i.not_before <= now() as is_due,
    sum(octet_length(i.body)) over (order by i.not_before, i.id) - octet_length(i.body) as bytes_before
  from (select * from sync.inbox
        where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and state = 'pending'
          and not_before <= now() + make_interval(secs => %(ahead_seconds)s)
        order by not_before, id limit %(limit)s) i
) f
where f.bytes_before < %(max_bytes)s
order by f.not_before, f.id
"""


async def list_due(
    conn: Conn,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    ahead_seconds: float,
    limit: int,
    max_bytes: int,
) -> list[Delivery]:
    """Return what is to be worked off next, the longest due first; nothing is claimed by it.

    Whoever works it off holds the connection's lease.
    """
    async with conn.cursor(row_factory=class_row(Delivery)) as cursor:
        await cursor.execute(
            LIST_DUE,
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "ahead_seconds": ahead_seconds,
                "limit": limit,
                "max_bytes": max_bytes,
            },
        )
        return await cursor.fetchall()


END = """
update sync.inbox set state = 'done', body = null, last_error = null, ended_at = %(now)s
where tenant_id = %(tenant_id)s and id = any(%(ids)s::uuid[]) and state = 'pending'
"""


async def end(conn: Conn, ids: Sequence[UUID], *, tenant_id: UUID, now: datetime) -> None:
    """Take deliveries that were worked off as done, and forget what they said."""
    await conn.execute(END, {"tenant_id": tenant_id, "ids": list(ids), "now": now})


# An attempt that cost nothing but time, such as a quota that is used up, is not counted.
DEFER = """
update sync.inbox
set attempts = attempts + %(counted)s, last_error = %(reason)s,
  not_before = now() + make_interval(secs => %(seconds)s)
where tenant_id = %(tenant_id)s and id = any(%(ids)s::uuid[]) and state = 'pending'
"""


async def defer(
    conn: Conn, ids: Sequence[UUID], *, tenant_id: UUID, seconds: float, reason: str, counts: bool
) -> None:
    """Try deliveries again in so many seconds. `counts` tells whether it was an attempt of theirs."""
    await conn.execute(
        DEFER,
        {
            "tenant_id": tenant_id,
            "ids": list(ids),
            "seconds": seconds,
            "reason": reason,
            "counted": int(counts),
        },
    )


FAIL = """
update sync.inbox set state = 'failed', attempts = attempts + 1, last_error = %(reason)s, ended_at = %(now)s
where tenant_id = %(tenant_id)s and id = any(%(ids)s::uuid[]) and state = 'pending'
"""


async def fail(conn: Conn, ids: Sequence[UUID], *, tenant_id: UUID, reason: str, now: datetime) -> None:
    """Give deliveries up. Their bodies stay, for whoever looks into it, until they are pruned."""
    await conn.execute(FAIL, {"tenant_id": tenant_id, "ids": list(ids), "reason": reason, "now": now})


PRUNE = """
delete from sync.inbox
where tenant_id = %(tenant_id)s and id in (
  select i.id from sync.inbox i
  where i.tenant_id = %(tenant_id)s and (i.state = 'done' and i.ended_at < %(done_before)s
                                         or i.state = 'failed' and i.ended_at < %(failed_before)s)
  limit %(limit)s)
"""


async def prune(
    conn: Conn, *, tenant_id: UUID, done_before: datetime, failed_before: datetime, limit: int
) -> int:
    """Forget up to `limit` deliveries that ended before; returns how many."""
    values = {"done_before": done_before, "failed_before": failed_before, "limit": limit}
    cursor = await conn.execute(PRUNE, {"tenant_id": tenant_id, **values})
    return cursor.rowcount


COUNT = """
select connection_id,
  count(*) filter (where state = 'pending') as pending,
  count(*) filter (where state = 'failed') as failed,
  count(*) filter (where state = 'done' and ended_at > now() - interval '1 day') as done_today,
  coalesce(sum(events) filter (where received_at > now() - interval '1 day'), 0)::bigint as events_today,
  max(received_at) as last_at,
  min(received_at) filter (where state = 'pending') as oldest_at,
  (array_agg(last_error order by ended_at desc) filter (where state = 'failed'))[1] as problem
from sync.inbox where tenant_id = %(tenant_id)s
group by connection_id
"""


@dataclass(frozen=True, slots=True)
class InboxCount:
    """How one connection's inbox stands. `today` is the last 24 hours."""

    connection_id: UUID
    pending: int
    failed: int
    done_today: int
    events_today: int
    #: When the last delivery came, and since when the oldest of those that wait does.
    last_at: datetime | None
    oldest_at: datetime | None
    #: Why the latest of those given up was.
    problem: str | None


async def list_counts(conn: Conn, *, tenant_id: UUID) -> list[InboxCount]:
    async with conn.cursor(row_factory=class_row(InboxCount)) as cursor:
        await cursor.execute(COUNT, {"tenant_id": tenant_id})
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Deliveries that were refused: where they seemed to belong, why, and from which network they came."""

    platform: str
    #: None where they led to no connection, or to several.
    connection_id: UUID | None
    reason: str
    network: str
    first_at: datetime
    last_at: datetime
    count: int


INSERT_REFUSALS = """
insert into sync.refused_webhooks (id, platform, connection_id, reason, network, first_at, last_at, count)
select s.id, s.platform, s.connection_id, s.reason, s.network, s.first_at, s.last_at, s.count
from unnest(%(ids)s::uuid[], %(platforms)s::text[], %(connection_ids)s::uuid[], %(reasons)s::text[],
            %(networks)s::text[], %(first_ats)s::timestamptz[], %(last_ats)s::timestamptz[],
            %(counts)s::bigint[])
  as s (id, platform, connection_id, reason, network, first_at, last_at, count)
on conflict (id) do nothing
"""


async def note_refusals(conn: Conn, refusals: Sequence[tuple[UUID, Refusal]]) -> None:
    """Write down what was refused, each under an id that grows with time. Belongs to no tenant."""
    found = [refusal for _, refusal in refusals]
    await conn.execute(
        INSERT_REFUSALS,
        {
            "ids": [each for each, _ in refusals],
            "platforms": [each.platform for each in found],
            "connection_ids": [each.connection_id for each in found],
            "reasons": [each.reason for each in found],
            "networks": [each.network for each in found],
            "first_ats": [each.first_at for each in found],
            "last_ats": [each.last_at for each in found],
            "counts": [each.count for each in found],
        },
    )


PRUNE_REFUSALS = """
delete from sync.refused_webhooks
where last_at < %(before)s
   or id <= (select id from sync.refused_webhooks order by id desc offset %(keep)s limit 1)
"""


async def prune_refusals(conn: Conn, *, before: datetime, keep: int) -> None:
    """Forget what is older than `before`, and all but the `keep` latest rows."""
    await conn.execute(PRUNE_REFUSALS, {"before": before, "keep": keep})


# Of connections of the tenant, and those that led to none: whose they are nobody knows.
LIST_REFUSALS = """
select r.platform, r.connection_id, r.reason, r.network, min(r.first_at) as first_at,
  max(r.last_at) as last_at, sum(r.count)::bigint as count
from sync.refused_webhooks r
left join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = r.connection_id
where r.last_at >= %(since)s and (r.connection_id is null or c.id is not null)
group by r.platform, r.connection_id, r.reason, r.network
order by max(r.last_at) desc
limit %(limit)s
"""


async def list_refusals(conn: Conn, *, tenant_id: UUID, since: datetime, limit: int = 50) -> list[Refusal]:
    """Return what was refused of the tenant's connections and of none, the latest first."""
    async with conn.cursor(row_factory=class_row(Refusal)) as cursor:
        await cursor.execute(LIST_REFUSALS, {"tenant_id": tenant_id, "since": since, "limit": limit})
        return await cursor.fetchall()
