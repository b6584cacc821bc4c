"""Four tables of a sales dashboard: the pipeline, the companies in it, what happened, how deals ended.

Of one person: owners' records that they do not see count for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn

# Sums over all open deals are made in memory: by the default they would be written to disk and read again. To
# start processes beside the session's own takes longer than they save.
TAKE_ROOM = "set local work_mem = '64MB'; set local max_parallel_workers_per_gather = 0"


async def take_room(conn: Conn) -> None:
    """Let the sums of this transaction be made in memory, and by its own process."""
    await conn.execute(TAKE_ROOM)


@dataclass(frozen=True, slots=True)
class StageTotal:
    stage: str | None
    count: int
    total_value: Decimal


LIST_PIPELINE = """
select d.stage, sum(d.count)::bigint as count, sum(d.total_value) as total_value
from (select c.stage, c.stage_id, count(*) as count, coalesce(sum(c.amount), 0) as total_value
      from crm.deals c
      where c.tenant_id = %(tenant_id)s and c.status = 'open' and c.archived_at is null
        and (%(owners)s::uuid[] is null or c.owner_id is null or c.owner_id = any(%(owners)s::uuid[]))
      group by c.stage, c.stage_id) d
left join crm.stages s on s.tenant_id = %(tenant_id)s and s.id = d.stage_id
group by d.stage
order by min(s.position) nulls last, d.stage
"""


async def list_pipeline(conn: Conn, *, tenant_id: UUID, owner_ids: Sequence[UUID] | None) -> list[StageTotal]:
    """Return open deals by stage, in the order of the stages."""
    async with conn.cursor(row_factory=class_row(StageTotal)) as cursor:
        await cursor.execute(LIST_PIPELINE, _of(tenant_id, owner_ids), prepare=False)
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class CompanyTotal:
    id: UUID
    name: str | None
    readiness_score: Decimal | None
    active_deals: int
    pipeline_value: Decimal


# Whoever sees every company needs to look at the first ones only.
LIST_COMPANIES = """
select c.id, c.name, c.readiness_score, d.active_deals, d.pipeline_value
from (select x.company_id, count(*) as active_deals, coalesce(sum(x.amount), 0) as pipeline_value
      from crm.deals x
      where x.tenant_id = %(tenant_id)s and x.status = 'open' and x.archived_at is null
        and x.company_id is not null
        and (%(owners)s::uuid[] is null or x.owner_id is null or x.owner_id = any(%(owners)s::uuid[]))
      group by x.company_id
      order by sum(x.amount) desc nulls last, x.company_id
      limit case when %(owners)s::uuid[] is null then %(limit)s::bigint end) d
join crm.companies c on c.tenant_id = %(tenant_id)s and c.id = d.company_id
where c.tenant_id = %(tenant_id)s
  and (%(owners)s::uuid[] is null or c.owner_id is null or c.owner_id = any(%(owners)s::uuid[]))
order by d.pipeline_value desc, c.id limit %(limit)s
"""


async def list_companies(
    conn: Conn, *, tenant_id: UUID, owner_ids: Sequence[UUID] | None, limit: int = 10
) -> list[CompanyTotal]:
    """Return the companies whose open deals are worth most."""
    async with conn.cursor(row_factory=class_row(CompanyTotal)) as cursor:
        await cursor.execute(LIST_COMPANIES, _of(tenant_id, owner_ids) | {"limit": limit}, prepare=False)
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class RecentActivity:
    id: UUID
    activity_type: str
    subject: str | None
    company_name: str | None
    contact_name: str | None
    occurred_at: datetime | None
    created_at: datetime


LIST_ACTIVITIES = """
select a.id, a.type as activity_type, a.subject, o.name as company_name,
  coalesce(p.full_name, p.email) as contact_name, a.occurred_at, a.created_at
from (select c.* from crm.activities c
      where c.tenant_id = %(tenant_id)s and c.archived_at is null and c.occurred_at is not null
        and (%(owners)s::uuid[] is null or c.owner_id is null or c.owner_id = any(%(owners)s::uuid[]))
      order by c.occurred_at desc, c.id desc limit %(limit)s) a
left join crm.companies o on o.tenant_id = %(tenant_id)s and o.id = a.company_id
  and (%(owners)s::uuid[] is null or o.owner_id is null or o.owner_id = any(%(owners)s::uuid[]))
left join crm.contacts p on p.tenant_id = %(tenant_id)s and p.id = a.contact_id
  and (%(owners)s::uuid[] is null or p.owner_id is null or p.owner_id = any(%(owners)s::uuid[]))
order by a.occurred_at desc, a.id desc
"""


async def list_activities(
    conn: Conn, *, tenant_id: UUID, owner_ids: Sequence[UUID] | None, limit: int = 20
) -> list[RecentActivity]:
    """Return the latest calls, e-mails, meetings and notes."""
    async with conn.cursor(row_factory=class_row(RecentActivity)) as cursor:
        await cursor.execute(LIST_ACTIVITIES, _of(tenant_id, owner_ids) | {"limit": limit}, prepare=False)
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class MonthWon:
    #: The first day of the month, in UTC.
    month: date
    won: int
    lost: int
    win_rate_pct: Decimal | None


# From the latest month that has some to the one before that has, and so on: older ones are not looked at.
LIST_WIN_RATE = """
with recursive months as (
  select 0::bigint as place, 'infinity'::timestamp as month
  union all
  select m.place + 1, date_trunc('month', l.at at time zone 'UTC')
  from months m
  cross join lateral (
    select max(x.closed_at) as at
    from (values ('won'), ('lost')) as s (status)
    cross join lateral (
      select c.closed_at from crm.deals c
      where c.tenant_id = %(tenant_id)s and c.status = s.status and c.archived_at is null
        and c.closed_at < m.month at time zone 'UTC'
        and (%(owners)s::uuid[] is null or c.owner_id is null or c.owner_id = any(%(owners)s::uuid[]))
      order by c.closed_at desc limit 1) x) l
  where m.place < %(limit)s and l.at is not null
)
select m.month::date as month, d.won, d.lost,
  round(d.won::numeric / (d.won + d.lost) * 100, 2) as win_rate_pct
from months m
cross join lateral (
  select count(*) filter (where c.status = 'won') as won, count(*) filter (where c.status = 'lost') as lost
  from crm.deals c
  where c.tenant_id = %(tenant_id)s and c.status in ('won', 'lost') and c.archived_at is null
    and c.closed_at >= m.month at time zone 'UTC'
    and c.closed_at < (m.month + interval '1 month') at time zone 'UTC'
    and (%(owners)s::uuid[] is null or c.owner_id is null or c.owner_id = any(%(owners)s::uuid[]))) d
where m.place > 0
order by m.month desc
"""


async def list_win_rate(
    conn: Conn, *, tenant_id: UUID, owner_ids: Sequence[UUID] | None, limit: int = 24
) -> list[MonthWon]:
    """Return how many of the deals that closed in a month were won, the latest month first."""
    async with conn.cursor(row_factory=class_row(MonthWon)) as cursor:
        await cursor.execute(LIST_WIN_RATE, _of(tenant_id, owner_ids) | {"limit": limit}, prepare=False)
        return await cursor.fetchall()


def _of(tenant_id: UUID, owner_ids: Sequence[UUID] | None) -> dict[str, object]:
    return {"tenant_id": tenant_id, "owners": None if owner_ids is None else list(owner_ids)}
