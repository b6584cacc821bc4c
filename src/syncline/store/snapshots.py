"""The pipeline as each day began, in UTC: taken at that time, or worked out later from what deals were."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from psycopg.rows import scalar_row

from syncline.store.db import Conn

#: 'snapshot': taken as the day began; 'late': taken that day, of the state then; 'history': worked out later.
Source = Literal["snapshot", "late", "history"]

LOCK = "select pg_catalog.pg_advisory_xact_lock(7263021, hashtext(%(tenant_id)s::text))"
FIND_LAST = "select max(snapshot_on) from crm.pipeline_days where tenant_id = %(tenant_id)s"


async def lock_last_day(conn: Conn, *, tenant_id: UUID) -> date | None:
    """Return the last day that is known, and let nobody else add one before the transaction ends."""
    await conn.execute(LOCK, {"tenant_id": tenant_id})
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(FIND_LAST, {"tenant_id": tenant_id})
        return await cursor.fetchone()


ADD_DAY = """
insert into crm.pipeline_days (tenant_id, snapshot_on, source, taken_at)
values (%(tenant_id)s, %(day)s, %(source)s, %(now)s)
"""

# Probabilities that a deal lacks are those of its stage.
TAKE = """
insert into crm.pipeline_history (tenant_id, snapshot_on, id, pipeline_id, stage, owner_id, currency,
  close_month, deal_count, valued_count, total_value, weighted_value, committed_value, upside_value,
  early_value)
select %(tenant_id)s, %(day)s, gen_random_uuid(), d.pipeline_id, d.stage, d.owner_id, k.currency,
  date_trunc('month', d.expected_close_date::timestamp)::date, count(*), count(d.amount),
  coalesce(sum(d.amount), 0), coalesce(sum(d.amount * k.chance / 100), 0),
  coalesce(sum(d.amount) filter (where k.chance >= 90), 0),
  coalesce(sum(d.amount) filter (where k.chance >= 50 and k.chance < 90), 0),
  coalesce(sum(d.amount) filter (where k.chance < 50), 0)
from crm.deals d
join app.tenants t on t.tenant_id = %(tenant_id)s
left join crm.stages s on s.tenant_id = %(tenant_id)s and s.id = d.stage_id
cross join lateral (
  select case when d.currency <> '' then upper(d.currency) else t.currency end as currency,
    coalesce(d.probability, s.probability) as chance) k
where d.tenant_id = %(tenant_id)s and d.status = 'open' and d.archived_at is null and d.merged_into is null
group by 4, 5, 6, 7, 8
on conflict on constraint pipeline_history_pkey do nothing
"""

# As `deals_by_stage` asks for a moment that is past: the stage a deal was in decides whether it was open, and
# where stages do not say so, its close time. A deal that was archived since is left out.
WORK_OUT = """
with anywhere as materialized (
  select distinct on (s.key) s.key, s.id, s.is_closed, s.probability
  from crm.stages s
  where s.tenant_id = %(tenant_id)s
  order by s.key, s.archived_at desc nulls first, s.id
), held as (
  select d.id, d.pipeline_id, h.value as stage,
    case when d.currency <> '' then upper(d.currency) else t.currency end as currency,
    case when h.value = d.stage then coalesce(d.probability, s.probability, w.probability)
         else coalesce(s.probability, w.probability) end as chance
  from crm.field_history h
  join crm.deals d on d.tenant_id = %(tenant_id)s and d.id = h.record_id
  join app.tenants t on t.tenant_id = %(tenant_id)s
  left join crm.stages s on s.tenant_id = %(tenant_id)s and s.pipeline_id = d.pipeline_id and s.key = h.value
  left join anywhere w on s.id is null and w.key = h.value
  left join crm.stages n on n.tenant_id = %(tenant_id)s and n.id = d.stage_id
  where h.tenant_id = %(tenant_id)s and h.record_type = 'deal' and h.field = 'stage' and h.value is not null
    and h.valid_from <= %(at)s
    and case when h.valid_to is null then 'infinity'::timestamptz else h.valid_to end > %(at)s
    and not coalesce(s.is_closed, w.is_closed, false)
    and (d.status = 'open' or coalesce(n.is_closed, false) or d.closed_at > %(at)s)
    and d.archived_at is null and d.merged_into is null
), worth as (
  select h.*,
    case when a.value ~ '^-?[0-9]+([.][0-9]+)?$' then a.value::numeric end as amount,
    case when o.value ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then o.value::uuid end as owner_id,
    case when c.value ~ '^[0-9]{4}-(0[1-9]|1[0-2])-' then (left(c.value, 7) || '-01')::date end as close_month
  from held h
  left join crm.field_history a on a.tenant_id = %(tenant_id)s and a.record_type = 'deal'
    and a.record_id = h.id and a.field = 'amount'
    and a.valid_from <= %(at)s and coalesce(a.valid_to, 'infinity') > %(at)s
  left join crm.field_history o on o.tenant_id = %(tenant_id)s and o.record_type = 'deal'
    and o.record_id = h.id and o.field = 'owner_id'
    and o.valid_from <= %(at)s and coalesce(o.valid_to, 'infinity') > %(at)s
  left join crm.field_history c on c.tenant_id = %(tenant_id)s and c.record_type = 'deal'
    and c.record_id = h.id and c.field = 'close_date'
    and c.valid_from <= %(at)s and coalesce(c.valid_to, 'infinity') > %(at)s
)
insert into crm.pipeline_history (tenant_id, snapshot_on, id, pipeline_id, stage, owner_id, currency,
  close_month, deal_count, valued_count, total_value, weighted_value, committed_value, upside_value,
  early_value)
select %(tenant_id)s, %(day)s, gen_random_uuid(), w.pipeline_id, w.stage, w.owner_id, w.currency,
  w.close_month, count(*), count(w.amount),
  coalesce(sum(w.amount), 0), coalesce(sum(w.amount * w.chance / 100), 0),
  coalesce(sum(w.amount) filter (where w.chance >= 90), 0),
  coalesce(sum(w.amount) filter (where w.chance >= 50 and w.chance < 90), 0),
  coalesce(sum(w.amount) filter (where w.chance < 50), 0)
from worth w
group by 4, 5, 6, 7, 8
on conflict on constraint pipeline_history_pkey do nothing
"""


async def add_day(
    conn: Conn, day: date, source: Source, *, tenant_id: UUID, began_at: datetime, now: datetime
) -> None:
    """Write down the pipeline of a day that began at `began_at` and that is not known yet."""
    keys = {"tenant_id": tenant_id, "day": day}
    await conn.execute(ADD_DAY, keys | {"source": source, "now": now})
    if source == "history":
        await conn.execute(WORK_OUT, keys | {"at": began_at}, prepare=False)
    else:
        await conn.execute(TAKE, keys, prepare=False)
