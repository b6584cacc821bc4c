"""What a tenant may use, and how much of it is used: requests of a minute, calls of a day, stored records."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Limits:
    """None is no limit. The defaults are those of `app.count_request`."""

    requests_per_minute: int | None = 60_000
    requests_per_minute_per_key: int | None = 12_000
    crm_calls_per_day: int | None = None
    stored_records: int | None = None


GET = """
select requests_per_minute, requests_per_minute_per_key, crm_calls_per_day, stored_records
from app.tenant_limits where tenant_id = %(tenant_id)s
"""


async def get(conn: Conn, *, tenant_id: UUID) -> Limits:
    async with conn.cursor(row_factory=class_row(Limits)) as cursor:
        await cursor.execute(GET, {"tenant_id": tenant_id})
        return await cursor.fetchone() or Limits()


PUT = """
insert into app.tenant_limits (tenant_id, requests_per_minute, requests_per_minute_per_key, crm_calls_per_day,
  stored_records, changed_at)
values (%(tenant_id)s, %(requests_per_minute)s, %(requests_per_minute_per_key)s, %(crm_calls_per_day)s,
  %(stored_records)s, %(now)s)
on conflict (tenant_id) do update set requests_per_minute = excluded.requests_per_minute,
  requests_per_minute_per_key = excluded.requests_per_minute_per_key,
  crm_calls_per_day = excluded.crm_calls_per_day, stored_records = excluded.stored_records,
  changed_at = excluded.changed_at
"""


async def put(conn: Conn, limits: Limits, *, tenant_id: UUID, now: datetime) -> None:
    """Set all limits. Needs the schema's owner: the application may only read them."""
    await conn.execute(PUT, {"tenant_id": tenant_id, "now": now, **asdict(limits)})


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of one request: `refused_by` names the limit by which it was one too many."""

    refused_by: str | None
    #: Of the limit that refused it, else of the caller's own; None for no limit.
    most: int | None
    used: int
    #: Until the minute is over.
    wait_seconds: float


COUNT_REQUEST = """
select refused_by, most, used, wait_seconds from app.count_request(%(tenant_id)s, %(caller_id)s)
"""


async def count_request(conn: Conn, *, tenant_id: UUID, caller_id: UUID) -> Counted:
    """Count a request of a key or session, exactly over all processes. Needs no tenant to be set."""
    async with conn.cursor(row_factory=class_row(Counted)) as cursor:
        await cursor.execute(COUNT_REQUEST, {"tenant_id": tenant_id, "caller_id": caller_id})
        found = await cursor.fetchone()
    assert found is not None  # noqa: S101 - a function without a set gives one row
    return found


READ_REQUEST_COUNT = "select app.read_request_count(%(subject)s)"


async def read_request_count(conn: Conn, subject: UUID) -> int:
    """Return how many requests a tenant, key or session has made in this minute."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(READ_REQUEST_COUNT, {"subject": subject})
        return await cursor.fetchone() or 0


ADD_CALLS = """
insert into app.tenant_calls as t (tenant_id, day, calls) values (%(tenant_id)s, %(day)s, %(calls)s)
on conflict (tenant_id, day) do update set calls = t.calls + excluded.calls
returning calls
"""


async def add_calls(conn: Conn, calls: int, day: date, *, tenant_id: UUID) -> int:
    """Add calls to CRMs (or take some back) and return how many that makes on this day."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(ADD_CALLS, {"tenant_id": tenant_id, "day": day, "calls": calls})
        return await cursor.fetchone() or 0


READ_CALLS = "select calls from app.tenant_calls where tenant_id = %(tenant_id)s and day = %(day)s"


async def read_calls(conn: Conn, day: date, *, tenant_id: UUID) -> int:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(READ_CALLS, {"tenant_id": tenant_id, "day": day})
        return await cursor.fetchone() or 0


#: Kinds of records that a tenant may store only so many of.
COUNTED = frozenset(("company", "contact", "deal", "activity", "task"))

COUNT_RECORDS = """
select (select count(*) from crm.companies where tenant_id = %(tenant_id)s)
  + (select count(*) from crm.contacts where tenant_id = %(tenant_id)s)
  + (select count(*) from crm.deals where tenant_id = %(tenant_id)s)
  + (select count(*) from crm.activities where tenant_id = %(tenant_id)s)
  + (select count(*) from crm.tasks where tenant_id = %(tenant_id)s)
"""


async def count_records(conn: Conn, *, tenant_id: UUID) -> int:
    """Count a tenant's records, archived ones too. Reads an index of each table from end to end."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(COUNT_RECORDS, {"tenant_id": tenant_id})
        return await cursor.fetchone() or 0
