"""What numbers need besides reports: a tenant's settings for them, where history begins, what is undated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """Which values count as what, in lower case."""

    qualified: Sequence[str] = ("yes",)
    unqualified: Sequence[str] = ("no",)
    #: What is none of these is a trial.
    no_trial: Sequence[str] = ("none",)
    retained: Sequence[str] = ("active", "completed")
    cancelled: Sequence[str] = ("cancelled", "failed", "refunded")


SETTING_NAMES = tuple(each.name for each in fields(MetricSettings))

FIND_SETTINGS = """
select qualified, unqualified, no_trial, retained, cancelled
from app.metric_settings where tenant_id = %(tenant_id)s
"""


async def get_settings(conn: Conn, *, tenant_id: UUID) -> MetricSettings:
    """Return the tenant's settings, or the defaults where nobody has set any."""
    async with conn.cursor(row_factory=class_row(MetricSettings)) as cursor:
        await cursor.execute(FIND_SETTINGS, {"tenant_id": tenant_id})
        return await cursor.fetchone() or MetricSettings()


PUT_SETTINGS = """
insert into app.metric_settings (tenant_id, qualified, unqualified, no_trial, retained, cancelled, changed_at,
  changed_by)
values (%(tenant_id)s, %(qualified)s, %(unqualified)s, %(no_trial)s, %(retained)s, %(cancelled)s, %(now)s,
  %(by)s)
on conflict on constraint metric_settings_pkey do update
  set qualified = excluded.qualified, unqualified = excluded.unqualified, no_trial = excluded.no_trial,
      retained = excluded.retained, cancelled = excluded.cancelled, changed_at = excluded.changed_at,
      changed_by = excluded.changed_by
"""


async def put_settings(
    conn: Conn, settings: MetricSettings, *, tenant_id: UUID, now: datetime, by: str
) -> None:
    lists = {name: list(values) for name, values in asdict(settings).items()}
    await conn.execute(PUT_SETTINGS, {"tenant_id": tenant_id, "now": now, "by": by, **lists})


FIND_HISTORY_START = """
select min(valid_from) from crm.field_history
where tenant_id = %(tenant_id)s and record_type = 'deal' and field = 'stage'
"""


async def find_history_start(conn: Conn, *, tenant_id: UUID) -> datetime | None:
    """Return from when on it is known in which stage deals were; None where nothing is."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(FIND_HISTORY_START, {"tenant_id": tenant_id})
        return await cursor.fetchone()


COUNT_UNDATED_DEALS = """
select count(*) from crm.deals d
where d.tenant_id = %(tenant_id)s and d.status = any(%(statuses)s::text[]) and d.closed_at is null
  and d.archived_at is null and d.merged_into is null
  and (%(seen)s::uuid[] is null or d.owner_id is null or d.owner_id = any(%(seen)s::uuid[]))
  and (%(owners)s::uuid[] is null or d.owner_id = any(%(owners)s::uuid[]))
  and (%(pipeline)s::uuid is null or d.pipeline_id = %(pipeline)s::uuid)
"""
COUNT_UNDATED_CALLS = """
select count(*) from crm.activities a
where a.tenant_id = %(tenant_id)s and a.type = 'call' and a.occurred_at is null
  and a.archived_at is null and a.merged_into is null
  and (%(seen)s::uuid[] is null or a.owner_id is null or a.owner_id = any(%(seen)s::uuid[]))
  and (%(owners)s::uuid[] is null or a.owner_id = any(%(owners)s::uuid[]))
"""
_STATUSES = {"won": ["won"], "closed": ["won", "lost"]}


async def count_undated(
    conn: Conn,
    what: str,
    *,
    tenant_id: UUID,
    seen: Sequence[UUID] | None,
    owners: Sequence[UUID] | None,
    pipeline: UUID | None,
) -> int:
    """Return how many deals that are 'won' or 'closed', or 'calls', have no time and so are in no period."""
    keys = {"tenant_id": tenant_id, "seen": seen, "owners": owners}
    async with conn.cursor(row_factory=scalar_row) as cursor:
        if what == "calls":
            await cursor.execute(COUNT_UNDATED_CALLS, keys, prepare=False)
        else:
            deals = keys | {"statuses": _STATUSES[what], "pipeline": pipeline}
            await cursor.execute(COUNT_UNDATED_DEALS, deals, prepare=False)
        return await cursor.fetchone() or 0


LIST_PIPELINES = """
select p.id, p.key, p.label, c.name as connection
from crm.pipelines p
left join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = p.connection_id
where p.tenant_id = %(tenant_id)s and p.object = 'deals' and p.archived_at is null
order by p.position, p.label, p.id
"""


@dataclass(frozen=True, slots=True)
class PipelineName:
    id: UUID
    key: str
    label: str
    #: None for a pipeline of the hub's own.
    connection: str | None


async def list_pipelines(conn: Conn, *, tenant_id: UUID) -> list[PipelineName]:
    """Return the pipelines that deals go through, in their order."""
    async with conn.cursor(row_factory=class_row(PipelineName)) as cursor:
        await cursor.execute(LIST_PIPELINES, {"tenant_id": tenant_id})
        return await cursor.fetchall()


LIST_OWNERS = """
select o.id, o.name, o.email from crm.owners o
where o.tenant_id = %(tenant_id)s and o.merged_into is null
  and (lower(o.email) = %(wanted)s or lower(o.name) = %(wanted)s)
order by o.archived_at desc nulls first, o.id
"""


@dataclass(frozen=True, slots=True)
class OwnerName:
    id: UUID
    name: str | None
    email: str | None


async def list_owners_called(conn: Conn, wanted: str, *, tenant_id: UUID) -> list[OwnerName]:
    """Return the owners with this e-mail address or name, those at work first."""
    async with conn.cursor(row_factory=class_row(OwnerName)) as cursor:
        await cursor.execute(LIST_OWNERS, {"tenant_id": tenant_id, "wanted": wanted.strip().lower()})
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Refusals:
    """How often a connection's account has refused a call for its rate, since it was first used."""

    connection: str
    refusals: int


LIST_REFUSALS = """
select c.name as connection, sum(b.rate_limit_hits)::bigint as refusals
from sync.connections c
join sync.quota_buckets b on b.platform = c.platform and b.account_id = c.account_id
where c.tenant_id = %(tenant_id)s
  and (%(connection)s::uuid is null or c.id = %(connection)s::uuid)
group by c.name
having sum(b.rate_limit_hits) > 0
order by c.name
"""


async def list_refusals(conn: Conn, *, tenant_id: UUID, connection: UUID | None) -> list[Refusals]:
    async with conn.cursor(row_factory=class_row(Refusals)) as cursor:
        await cursor.execute(LIST_REFUSALS, {"tenant_id": tenant_id, "connection": connection}, prepare=False)
        return await cursor.fetchall()
