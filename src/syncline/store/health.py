"""What status pages and `doctor` ask of the database: the schema's guards, sessions, runs, counts.

Reads only, and judges nothing. Questions about the server's catalogues need no tenant.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row, scalar_row

from syncline.store.db import Conn
from syncline.store.runs import OBJECTS_RUN

READ_CLOCK = "select pg_catalog.clock_timestamp()"


async def read_clock(conn: Conn) -> datetime:
    """Return the database's time."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(READ_CLOCK)
        found = await cursor.fetchone()
    assert found is not None  # noqa: S101 - a select without a table has one row
    return found


FOLD = "select pg_catalog.lower(%(text)s::text)"


async def fold(conn: Conn, text: str) -> str:
    """Return a text in lower case as the database understands that."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(FOLD, {"text": text})
        return str(await cursor.fetchone())


READ_ROLE = """
select r.rolname as name, r.rolsuper as is_superuser, r.rolbypassrls as bypasses_rls,
  exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          where n.nspname in ('app', 'crm', 'sync', 'raw') and c.relkind in ('r', 'p')
            and pg_catalog.pg_has_role(current_user, c.relowner, 'usage')) as is_owner
from pg_catalog.pg_roles r where r.rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class Role:
    """Who is asking, and by what he would pass by row-level security."""

    name: str
    is_superuser: bool
    bypasses_rls: bool
    #: Owns tables of ours, or is a member of their owner.
    is_owner: bool


async def read_role(conn: Conn) -> Role:
    async with conn.cursor(row_factory=class_row(Role)) as cursor:
        await cursor.execute(READ_ROLE)
        found = await cursor.fetchone()
    assert found is not None  # noqa: S101 - whoever is connected has a role
    return found


# Partitions are reached through their parent only, whose policy holds.
LIST_UNPROTECTED = """
select n.nspname || '.' || c.relname as name, not c.relrowsecurity as is_off
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
where n.nspname in ('app', 'crm', 'sync', 'raw') and c.relkind in ('r', 'p') and not c.relispartition
  and (not c.relrowsecurity
       or not exists (select from pg_catalog.pg_policy p where p.polrelid = c.oid
                      and pg_catalog.pg_get_expr(p.polqual, p.polrelid) like '%%app.current_tenant_id%%'))
order by 1
"""


@dataclass(frozen=True, slots=True)
class Unprotected:
    """A table that does not keep tenants apart: row-level security is off, or its policy is missing."""

    name: str
    is_off: bool


async def list_unprotected(conn: Conn) -> list[Unprotected]:
    async with conn.cursor(row_factory=class_row(Unprotected)) as cursor:
        await cursor.execute(LIST_UNPROTECTED)
        return await cursor.fetchall()


LIST_UNCAPTURED = """
select w.name, t.tgname is null as is_missing
from unnest(%(names)s::text[]) as w (name)
left join pg_catalog.pg_trigger t on t.tgrelid = to_regclass(w.name) and t.tgname = 'capture_change'
where t.tgname is null or t.tgenabled not in ('O', 'A')
order by 1
"""


@dataclass(frozen=True, slots=True)
class Uncaptured:
    """A table whose changes reach neither the change log nor the queue."""

    name: str
    is_missing: bool


async def list_uncaptured(conn: Conn, tables: list[str]) -> list[Uncaptured]:
    """Return which of `tables` lack the trigger of change capture, or have it disabled."""
    async with conn.cursor(row_factory=class_row(Uncaptured)) as cursor:
        await cursor.execute(LIST_UNCAPTURED, {"names": tables})
        return await cursor.fetchall()


LIST_LONG_TRANSACTIONS = """
select pid, coalesce(usename::text, '') as role, coalesce(application_name, '') as application,
  extract(epoch from pg_catalog.clock_timestamp() - xact_start)::float8 as seconds
from pg_catalog.pg_stat_activity
where datname = pg_catalog.current_database() and pid <> pg_catalog.pg_backend_pid()
  and backend_type = 'client backend'
  and xact_start < pg_catalog.clock_timestamp() - make_interval(secs => %(seconds)s)
order by xact_start
"""


@dataclass(frozen=True, slots=True)
class LongTransaction:
    pid: int
    role: str
    application: str
    seconds: float


async def list_long_transactions(conn: Conn, *, seconds: float) -> list[LongTransaction]:
    """Return transactions open for longer than `seconds`. A role sees its own ones, a superuser all."""
    async with conn.cursor(row_factory=class_row(LongTransaction)) as cursor:
        await cursor.execute(LIST_LONG_TRANSACTIONS, {"seconds": seconds})
        return await cursor.fetchall()


LIST_SUCCESSES = (
    "with "
    + OBJECTS_RUN
    + """select o.connection_id, o.object, s.at
from objects o
cross join lateral (
  select r.completed_at as at from sync.runs r
  where r.tenant_id = %(tenant_id)s and r.connection_id = o.connection_id and r.object = o.object
    and r.status in ('success', 'partial') and r.mode in ('backfill', 'incremental', 'manual')
  order by r.completed_at desc limit 1) s
"""
)


async def list_successes(conn: Conn, *, tenant_id: UUID) -> dict[tuple[UUID, str], datetime]:
    """Return when each object of each connection was last read to the end."""
    cursor = await conn.execute(LIST_SUCCESSES, {"tenant_id": tenant_id})
    return {(row[0], str(row[1])): row[2] for row in await cursor.fetchall()}


LIST_HELD = """
select connection_id, purpose from sync.leases
where tenant_id = %(tenant_id)s and holder is not null and expires_at > now()
"""


async def list_held(conn: Conn, *, tenant_id: UUID) -> set[tuple[UUID, str]]:
    """Return the leases that somebody holds, as connection and purpose."""
    cursor = await conn.execute(LIST_HELD, {"tenant_id": tenant_id})
    return {(row[0], str(row[1])) for row in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class PendingRun:
    connection_id: UUID
    object: str
    requested_at: datetime


LIST_PENDING = """
select connection_id, object, requested_at from sync.runs
where tenant_id = %(tenant_id)s and status = 'pending' and requested_at <= %(before)s
order by requested_at
"""


async def list_pending(conn: Conn, *, tenant_id: UUID, before: datetime) -> list[PendingRun]:
    """Return the runs that were asked for before `before` and that no worker has begun, oldest first."""
    async with conn.cursor(row_factory=class_row(PendingRun)) as cursor:
        await cursor.execute(LIST_PENDING, {"tenant_id": tenant_id, "before": before})
        return await cursor.fetchall()


COUNT_UNPUSHED = "select count(*) from sync.queue where tenant_id = %(tenant_id)s and state <> 'parked'"


async def count_unpushed(conn: Conn, *, tenant_id: UUID) -> int:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(COUNT_UNPUSHED, {"tenant_id": tenant_id})
        return await cursor.fetchone() or 0


COUNT_ASSOCIATIONS = """
select count(*) from raw.associations where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s
"""


async def count_associations(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> int:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(COUNT_ASSOCIATIONS, {"tenant_id": tenant_id, "connection_id": connection_id})
        return await cursor.fetchone() or 0


COUNT_HISTORY = "select count(*) from crm.field_history where tenant_id = %(tenant_id)s"


async def count_history(conn: Conn, *, tenant_id: UUID) -> int:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(COUNT_HISTORY, {"tenant_id": tenant_id})
        return await cursor.fetchone() or 0


HAS_TABLE = "select to_regclass(format('%%I.%%I', %(schema)s::text, %(name)s::text)) is not null"


async def has_table(conn: Conn, schema: str, name: str) -> bool:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(HAS_TABLE, {"schema": schema, "name": name})
        return bool(await cursor.fetchone())


COUNT_RECORDS = sql.SQL("select count(*) from {table} where tenant_id = %(tenant_id)s")


async def count_records(conn: Conn, table: str, *, tenant_id: UUID) -> int:
    """Return how many records of ours a table of `crm` holds, archived ones included."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        statement = COUNT_RECORDS.format(table=sql.Identifier("crm", table))
        await cursor.execute(statement, {"tenant_id": tenant_id})
        return await cursor.fetchone() or 0


READ_SERVER = "select pg_catalog.version(), pg_catalog.pg_database_size(pg_catalog.current_database())"


async def read_server(conn: Conn) -> tuple[str, int]:
    """Return what the server calls itself, and how many bytes our database takes."""
    row = await (await conn.execute(READ_SERVER)).fetchone()
    return (str(row[0]), int(row[1])) if row else ("", 0)
