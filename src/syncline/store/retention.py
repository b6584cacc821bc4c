"""How long each tenant keeps what, and taking away what is older, in batches that hold no lock for long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import errors, sql
from psycopg.rows import class_row, scalar_row

from syncline.domain.retention import DEFAULTS, SUBJECTS, Keep, Subject
from syncline.store.db import Conn
from syncline.store.rows import to_json

LIST_SET = "select r.subject, r.keep_days from app.retention r where r.tenant_id = %(tenant_id)s"


async def list_keeps(conn: Conn, *, tenant_id: UUID) -> dict[Subject, Keep]:
    """Return for everything how long a tenant keeps it, as set or by default."""
    cursor = await conn.execute(LIST_SET, {"tenant_id": tenant_id})
    chosen = {str(row[0]): row[1] for row in await cursor.fetchall()}
    return {
        each: Keep(each, chosen[each], is_default=False)
        if each in chosen
        else Keep(each, DEFAULTS[each].keep_days, is_default=True)
        for each in SUBJECTS
    }


PUT = """
insert into app.retention (tenant_id, subject, keep_days, set_at, set_by)
values (%(tenant_id)s, %(subject)s, %(keep_days)s, %(now)s, %(by)s)
on conflict (tenant_id, subject) do update
  set keep_days = excluded.keep_days, set_at = excluded.set_at, set_by = excluded.set_by
"""
FORGET = "delete from app.retention r where r.tenant_id = %(tenant_id)s and r.subject = %(subject)s"


async def put(
    conn: Conn, subject: Subject, keep_days: int | None, *, tenant_id: UUID, by: str, now: datetime
) -> None:
    """Keep something for so many days from now on; None is for ever."""
    await conn.execute(
        PUT, {"tenant_id": tenant_id, "subject": subject, "keep_days": keep_days, "by": by, "now": now}
    )


async def forget(conn: Conn, subject: Subject, *, tenant_id: UUID) -> None:
    """Go back to the default."""
    await conn.execute(FORGET, {"tenant_id": tenant_id, "subject": subject})


@dataclass(frozen=True, slots=True)
class Aging:
    """A table whose rows grow old; `t` is its alias, `%(before)s` the moment before which they go."""

    table: tuple[str, str]
    key: tuple[LiteralString, ...]
    old: LiteralString
    #: True where the application's own role may not delete.
    needs_owner: bool = False

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(*self.table)

    def columns(self, alias: str) -> sql.Composed:
        """Return the key's columns of one of the table's aliases."""
        return sql.SQL(", ").join(
            sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(each)) for each in self.key
        )


# The last run of each kind that ended, and that succeeded, tells how current an object is.
_OLD_RUNS: LiteralString = """t.completed_at < %(before)s and exists (
  select from sync.runs l
  where l.tenant_id = t.tenant_id and l.connection_id = t.connection_id and l.object = t.object
    and l.mode = t.mode and l.requested_at > t.requested_at and l.completed_at is not null
    and (l.status = 'success' or t.status <> 'success'))"""
# Only what has been answered: what may have been made at a CRM is looked for until that is known.
_OLD_WRITTEN: LiteralString = "t.sent_at < %(before)s and t.state <> 'sent'"

AGING: Mapping[Subject, tuple[Aging, ...]] = {
    "runs": (
        Aging(
            ("sync", "source_counts"),
            ("connection_id", "object", "run_id"),
            "t.counted_at < %(before)s and exists (select from sync.source_counts l"
            " where l.tenant_id = t.tenant_id and l.connection_id = t.connection_id and l.object = t.object"
            " and l.counted_at > t.counted_at)",
        ),
        Aging(("sync", "runs"), ("id",), _OLD_RUNS),
    ),
    "inbox": (Aging(("sync", "inbox"), ("id",), "t.state <> 'pending' and t.ended_at < %(before)s"),),
    "written": (Aging(("sync", "remote_changes"), ("id",), _OLD_WRITTEN),),
    "decisions": (Aging(("sync", "decisions"), ("id",), "t.decided_at < %(before)s"),),
    "conflicts": (
        Aging(("sync", "conflicts"), ("id",), "t.status <> 'open' and t.resolved_at < %(before)s"),
    ),
    "change_log": (
        Aging(("crm", "change_log"), ("changed_at", "id"), "t.changed_at < %(before)s", needs_owner=True),
    ),
    "audit": (Aging(("app", "audit_log"), ("id",), "t.at < %(before)s", needs_owner=True),),
    "notifications": (
        Aging(("crm", "notifications"), ("id",), "t.status <> 'pending' and t.created_at < %(before)s"),
    ),
    "raw": (),
    "deliveries": (
        Aging(("sync", "deliveries"), ("id",), "t.state <> 'pending' and t.ended_at < %(before)s"),
    ),
    # Its rows first: there may be a hundred thousand of them.
    "batches": (
        Aging(
            ("app", "batch_rows"),
            ("batch_id", "position"),
            "exists (select from app.batches b where b.tenant_id = t.tenant_id and b.id = t.batch_id"
            " and b.ended_at < %(before)s)",
        ),
        Aging(("app", "batches"), ("id",), "t.ended_at < %(before)s"),
    ),
    "alerts": (Aging(("sync", "alerts"), ("id",), "t.state = 'closed' and t.closed_at < %(before)s"),),
    "idempotency": (Aging(("app", "idempotency"), ("caller", "key"), "t.created_at < %(before)s"),),
}
_OLD_PAYLOADS: LiteralString = "t.archived_at < %(before)s"


def aging_raw(table: str) -> Aging:
    """Return payloads of records that their CRM has no more. Links are not among them."""
    return Aging(("raw", table), ("connection_id", "remote_id"), _OLD_PAYLOADS)


def old_counted(aging: Aging) -> sql.Composed:
    return sql.SQL("select count(*) from {table} t where t.tenant_id = %(tenant_id)s and ({old})").format(
        table=aging.identifier, old=sql.SQL(aging.old)
    )


async def count_old(conn: Conn, aging: Aging, before: datetime, *, tenant_id: UUID) -> int:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(old_counted(aging), {"tenant_id": tenant_id, "before": before}, prepare=False)
        return await cursor.fetchone() or 0


def old_deleted(aging: Aging) -> sql.Composed:
    return sql.SQL("""
delete from {table} d
where d.tenant_id = %(tenant_id)s and ({key}) in (
  select {key_of_t} from {table} t where t.tenant_id = %(tenant_id)s and ({old}) limit %(limit)s)
""").format(
        table=aging.identifier,
        old=sql.SQL(aging.old),
        key=aging.columns("d"),
        key_of_t=aging.columns("t"),
    )


async def delete_old(conn: Conn, aging: Aging, before: datetime, *, tenant_id: UUID, limit: int) -> int:
    """Delete up to `limit` rows; returns how many."""
    values = {"tenant_id": tenant_id, "before": before, "limit": limit}
    cursor = await conn.execute(old_deleted(aging), values, prepare=False)
    return cursor.rowcount


# Whole months of the change log, each with the moment at which it ends.
LIST_MONTHS = """
select c.relname::text as name, to_date(right(c.relname, 7), 'YYYY_MM') as month
from pg_catalog.pg_inherits i
join pg_catalog.pg_class c on c.oid = i.inhrelid
where i.inhparent = 'crm.change_log'::regclass and c.relname ~ '^change_log_[0-9]{4}_[0-9]{2}$'
order by c.relname
"""


@dataclass(frozen=True, slots=True)
class Month:
    name: str
    month: date


async def list_months(conn: Conn) -> list[Month]:
    """Return the partitions of the change log, the oldest first."""
    async with conn.cursor(row_factory=class_row(Month)) as cursor:
        await cursor.execute(LIST_MONTHS)
        return await cursor.fetchall()


WAIT_BRIEFLY = "set local lock_timeout = '2s'"
DROP_MONTH = sql.SQL("drop table {table}")


async def drop_month(conn: Conn, month: Month) -> bool:
    """Drop a partition; False when others were busy with the log for two seconds. Within a transaction."""
    try:
        async with conn.transaction():
            await conn.execute(WAIT_BRIEFLY)
            await conn.execute(DROP_MONTH.format(table=sql.Identifier("crm", month.name)))
    except errors.LockNotAvailable:
        return False
    return True


# A night whose worker died is taken up again after an hour.
BEGIN_NIGHT = """
insert into app.retention_runs as r (tenant_id, night, started_at)
values (%(tenant_id)s, %(night)s, %(now)s)
on conflict (tenant_id, night) do update set started_at = excluded.started_at
  where r.ended_at is null and r.started_at < excluded.started_at - interval '1 hour'
returning r.night
"""
END_NIGHT = """
update app.retention_runs r set ended_at = %(now)s, removed = %(removed)s::jsonb, problem = %(problem)s
where r.tenant_id = %(tenant_id)s and r.night = %(night)s
"""
PRUNE_NIGHTS = """
delete from app.retention_runs r
where r.tenant_id = %(tenant_id)s and r.night < %(night)s::date - 90
"""


async def begin_night(conn: Conn, night: date, *, tenant_id: UUID, now: datetime) -> bool:
    """Be the one who tidies up for a tenant this night; False where another does, or has."""
    cursor = await conn.execute(BEGIN_NIGHT, {"tenant_id": tenant_id, "night": night, "now": now})
    return await cursor.fetchone() is not None


async def end_night(
    conn: Conn,
    night: date,
    removed: Mapping[str, int],
    problem: str | None,
    *,
    tenant_id: UUID,
    now: datetime,
) -> None:
    values: dict[str, Any] = {"tenant_id": tenant_id, "night": night, "now": now}
    await conn.execute(END_NIGHT, {**values, "removed": to_json(removed), "problem": problem})
    await conn.execute(PRUNE_NIGHTS, values)


@dataclass(frozen=True, slots=True)
class Night:
    night: date
    started_at: datetime
    ended_at: datetime | None
    removed: Mapping[str, int]
    problem: str | None


FIND_LATEST = """
select r.night, r.started_at, r.ended_at, r.removed, r.problem from app.retention_runs r
where r.tenant_id = %(tenant_id)s order by r.night desc limit 1
"""


async def find_latest(conn: Conn, *, tenant_id: UUID) -> Night | None:
    async with conn.cursor(row_factory=class_row(Night)) as cursor:
        await cursor.execute(FIND_LATEST, {"tenant_id": tenant_id})
        return await cursor.fetchone()
